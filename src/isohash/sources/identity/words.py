"""The words that names of persons are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator

SHORTEST = 2  # letters: an initial turns up everywhere
HARMLESS = {
    "anonymous", "anonymized", "anonymised", "anon", "unknown", "none", "null", "test", "phantom",
    "patient", "the", "and", "for", "isohash", "name", "no", "not", "na",
}  # fmt: skip
PARTICLES = {  # of names, which tell nobody from anybody
    "dr", "md", "phd", "prof", "mr", "mrs", "ms", "jr", "sr", "ii", "iii", "herr", "frau", "mme",
    "van", "von", "der", "den", "de", "del", "la", "le", "el", "al", "di", "da", "do", "dos", "zu",
}  # fmt: skip

_WORD = re.compile(r"[^\W\d_]+")


def words(text: str) -> Iterator[str]:
    """Words of letters that may tell a person, as they are written."""
    for word in _WORD.findall(text):
        if len(word) >= SHORTEST and word.lower() not in HARMLESS | PARTICLES:
            yield word
