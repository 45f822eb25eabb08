"""File names that serve as ids: whether they look like a person, and pseudonyms in their place."""

from __future__ import annotations

import re
from collections.abc import Iterable

from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.sources.identity.dates import dates_in
from isohash.sources.identity.spellings import folded
from isohash.sources.identity.words import HARMLESS

LONG_NUMBER = 6  # digits: the number of a patient rather than of a file
_NAME = re.compile(r"(?<![^\W\d_])[^\W\d_]{2,}")
USUAL = HARMLESS | VOCABULARY | {
    "case", "cases", "pt", "pat", "subject", "sub", "ses", "scan", "image", "img", "slice",
    "series", "study", "dose", "plan", "ct", "mr", "pet", "rs", "rd", "rp", "rt", "rtstruct",
    "rtdose", "rtplan", "struct", "structures", "dicom", "dcm", "data", "train",
    "training", "validation",
    "valid", "val", "set", "sets", "part", "file", "copy", "new", "old", "final", "export", "fold",
    "vectors", "vector", "embeddings", "embedding", "features", "feature", "labels", "ids", "row",
    "rows", "batch", "sample", "samples", "random", "small", "large", "tiny", "full", "query",
    "queries", "base", "index", "database", "db", "archive", "possible", "mask", "phantom", "demo",
    "example", "no", "of", "in", "with", "without", "abdomen", "pelvis", "thorax", "head", "neck",
    "chest", "tumor", "tumour", "lesion", "cell", "cells", "tissue", "slide", "wsi", "patch",
}  # fmt: skip


def looks_like_identity(name: str) -> bool:
    """Whether a name may hold a person's: a date, a long number, or two words that are names."""
    if re.fullmatch(r"[a-z]+-[a-z2-7]{16}", name):  # a pseudonym
        return False
    text = name.replace("_", " ")
    if re.search(rf"\d{{{LONG_NUMBER},}}", re.sub(r"(?<=\d)[-. ](?=\d)", "", text)):
        return True
    if any(found.day.year >= 1900 for found in dates_in(text)):
        return True
    return len(personal_words(name)) >= 2 or "^" in name


def personal_words(name: str) -> list[str]:
    """The folded words of a name that are none of those that files are usually called by."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)
    return [low for word in _NAME.findall(spaced) if (low := folded(word)) not in USUAL]


def suspicious(names: Iterable[str]) -> list[str]:
    """Those of the names that look like identity; of paths, those of which any part does."""
    return [name for name in names if any(map(looks_like_identity, parts_of(name)))]


def parts_of(name: str) -> list[str]:
    """The parts of a path, the last without the ending of an image and the number of its page."""
    *folders, last = name.split("/")
    return [*folders, re.sub(r"\.(png|jpe?g|tiff?|dcm)(#\d+)?$", "", last, flags=re.IGNORECASE)]
