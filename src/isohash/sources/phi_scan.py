"""Proves that an archive holds nothing of what identifies the patients of its source.

Every identifying value of every DICOM file below the source is looked for in every byte of every
file of the archive, and in the names of these files. Persons are looked for word by word, other
values as a whole; comparison ignores the case of letters and knows UTF-8 and Latin-1.

What it cannot see: values shorter than `SHORTEST_VALUE`, names that are words of anatomy, and
text that the archive compressed or drew into pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from isohash.errors import InputError
from isohash.sources.dicom_scan import quietly, read_dataset
from isohash.sources.found import Progress
from isohash.sources.phi import (
    DATES,
    NUMBERS,
    PERSON_KEYWORDS,
    PLACES,
    TEXTS,
    UIDS,
    texts_of,
    words,
)
from isohash.sources.sniff import looks_like_dicom

SHORTEST_VALUE = 4  # bytes: shorter ones occur by chance in any file
SURE = 8  # bytes: from here on a value counts anywhere, below it only as a word within text
TEXT_RUN = 16  # printable bytes in a row that make a text
CHUNK = 1 << 24
OVERLAP = 1 << 10

# The same bytes cut in several ways, so that a value is seen whatever stands beside it. Runs
# shorter than the shortest value are not looked at, which keeps random bytes cheap.
_CUTS = tuple(
    re.compile(b"%s{%d,}" % (letters, SHORTEST_VALUE))
    for letters in (b"[0-9a-z.]", b"[0-9a-z]", b"[a-z]", b"[0-9]", b"[0-9.]")
)
_TEXT = re.compile(rb"[\x20-\x7e]{%d,}" % TEXT_RUN)


@dataclass(frozen=True)
class Leak:
    """A place in the archive that holds a value of the source; the value itself is not repeated."""

    file: str
    offset: int  # of the byte; -1 in the file's name
    element: str  # keyword of the DICOM element that the value is from
    source: str  # a file that has it


Needles = dict[bytes, tuple[str, str]]  # lower-case value -> (keyword, source file)


def phi_scan(
    archive_folder: str | Path, source_folder: str | Path, progress: Progress | None = None
) -> list[Leak]:
    """All leaks found; an empty list means that nothing identifying was found."""
    archive, source = Path(archive_folder), Path(source_folder)
    for folder in (archive, source):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; check the spelling")
    needles = collect(source, progress)
    if not needles:
        raise InputError(f"{source}: no DICOM file below it holds anything identifying to look for")
    single = {needle for needle in needles if any(cut.fullmatch(needle) for cut in _CUTS)}
    tokens = {needle: origin for needle, origin in needles.items() if needle in single}
    phrases = {needle: origin for needle, origin in needles.items() if needle not in single}
    leaks = []
    for file in sorted(path for path in archive.rglob("*") if path.is_file()):
        name = str(file.relative_to(archive))
        leaks += [Leak(name, -1, *origin) for _, origin in _hits(name.encode(), tokens, phrases)]
        leaks += [Leak(name, at, *origin) for at, origin in _in_file(file, tokens, phrases)]
    return leaks


def collect(source: Path, progress: Progress | None = None) -> Needles:
    """The identifying values of all DICOM files below a folder."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and looks_like_dicom(path))
    needles: Needles = {}
    for done, file in enumerate(files):
        try:
            with quietly():
                dataset = read_dataset(file, stop_before_pixels=True)
                for keyword, text in _values(dataset):
                    for encoded in {text.encode("utf-8"), text.encode("latin-1", "ignore")}:
                        if len(encoded) >= SHORTEST_VALUE:
                            needles.setdefault(encoded.lower(), (keyword, file.name))
        except InputError:
            continue  # no DICOM after all: it holds nothing that could have been read
        if progress is not None:
            progress(done + 1, len(files), "source")
    return needles


def _values(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for keyword, text in texts_of(dataset, PERSON_KEYWORDS):
        yield from ((keyword, word) for word in words(text))
    for keyword, text in texts_of(dataset, (*NUMBERS, *PLACES, *TEXTS, *DATES, *UIDS)):
        if any(words(text)):
            yield keyword, text.strip()
    for element in dataset:
        if element.tag.is_private and element.VR in ("LO", "LT", "PN", "SH", "ST", "UT"):
            for item in element.value if element.VM > 1 else [element.value]:
                if any(words(str(item))):
                    yield "private element", str(item).strip()


def _in_file(
    file: Path, tokens: Needles, phrases: Needles
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Hits in a file, read piece by piece; a hit in an overlap is told once."""
    seen: set[tuple[int, tuple[str, str]]] = set()
    with file.open("rb") as stream:
        start, tail = 0, b""
        while piece := stream.read(CHUNK):
            data = tail + piece
            for at, origin in _hits(data, tokens, phrases):
                hit = (start - len(tail) + at, origin)
                if hit not in seen:
                    seen.add(hit)
                    yield hit
            start, tail = start + len(piece), data[-OVERLAP:]


def _hits(data: bytes, tokens: Needles, phrases: Needles) -> Iterator[tuple[int, tuple[str, str]]]:
    data = data.lower()
    texts = [(run.start(), run.end()) for run in _TEXT.finditer(data)]
    told: set[tuple[int, bytes]] = set()
    for cut in _CUTS:
        for found in cut.finditer(data):
            token = found[0].strip(b".")
            at = found.start() + found[0].find(token)
            if token in tokens and (at, token) not in told and _sure(at, token, texts, len(data)):
                told.add((at, token))
                yield at, tokens[token]
    for phrase, origin in phrases.items():
        at = data.find(phrase)
        while at >= 0:
            yield at, origin
            at = data.find(phrase, at + 1)


def _sure(at: int, token: bytes, texts: list[tuple[int, int]], size: int) -> bool:
    """Long values count anywhere; short ones in a text, for random bytes spell short words."""
    if len(token) >= SURE or size < TEXT_RUN:
        return True
    return any(low <= at < high for low, high in texts)
