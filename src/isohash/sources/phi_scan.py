"""Proves that an archive holds nothing of what identifies the patients of its source.

Every identifying value of every DICOM file below the source is looked for in every byte of every
file of the archive, and in the names of these files. Persons are looked for word by word, other
values as a whole, dates also as YYYY-MM-DD. Comparison ignores the case of letters; it knows UTF-8,
Latin-1, UTF-16 and the escapes of JSON and HTML, and looks into deflated pieces (zlib, gzip).

What it cannot see: values shorter than `SHORTEST_VALUE`, words of persons that are words of
anatomy, names of structures, and text that was drawn into pictures.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isohash.dosimetry.names import VOCABULARY
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.sources.dicom.find import identities
from isohash.sources.dicom.sniff import looks_like_dicom
from isohash.sources.identity.phi import words

SHORTEST_VALUE = 4  # bytes: shorter ones occur by chance in any file
SURE = 8  # bytes: from here on a value counts anywhere, below it only as a word within text
TEXT_RUN = 16  # printable bytes in a row that make a text
CHUNK = 1 << 24
OVERLAP = 1 << 16
INFLATED = 1 << 24  # bytes of a deflated piece that are looked at
LEAST_INFLATED = 8  # bytes: less comes out of random ones by chance

# The same bytes cut in several ways, so that a value is seen whatever stands beside it. Runs
# shorter than the shortest value are not looked at, which keeps random bytes cheap.
_CUTS = tuple(
    re.compile(b"%s{%d,}" % (letters, SHORTEST_VALUE))
    for letters in (b"[0-9a-z.]", b"[0-9a-z]", b"[a-z]", b"[0-9]", b"[0-9.]", b"[0-9-]")
)
_TEXT = re.compile(rb"[\x20-\x7e]{%d,}" % TEXT_RUN)
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){%d,}|(?:\0[\x20-\x7e]){%d,}" % ((SHORTEST_VALUE,) * 2))
_DEFLATED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")


@dataclass(frozen=True)
class Leak:
    """A place in the archive that holds a value of the source; the value itself is not repeated."""

    file: str
    offset: int  # of the byte, or of the deflated piece that holds it; -1 in the file's name
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
    hay = _Haystack(needles)
    leaks = []
    for file in sorted(path for path in archive.rglob("*") if path.is_file()):
        name = str(file.relative_to(archive))
        leaks += [Leak(name, -1, *origin) for _, origin in hay.hits(name.encode())]
        leaks += [Leak(name, at, *origin) for at, origin in hay.in_file(file)]
    return leaks


def collect(source: Path, progress: Progress | None = None) -> Needles:
    """The identifying values of all DICOM files below a folder, in all the ways they are written.

    Names of structures are kept by an archive, so values that are no more than one are left out.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file() and looks_like_dicom(path))
    needles: Needles = {}
    structures: set[str] = set()
    seen: set[str] = set()
    for done, (file, found) in enumerate(identities(files), start=1):
        structures |= {typed[0].strip() for typed in found.get("structures", ())}
        for keyword, text in _values(found.get("values", ())):
            if text not in seen:
                seen.add(text)
                for written in _spellings(text):
                    needles.setdefault(written, (keyword, file.name))
        tell(progress, done, len(files), "source")
    labels = {name.encode().lower() for name in structures}
    return {n: told for n, told in needles.items() if n not in labels or told[0] == "PatientID"}


def _values(found: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    for kind, keyword, text in found:
        if kind == "person":
            yield from ((keyword, word) for word in words(text) if word not in VOCABULARY)
        elif kind == "date":
            yield keyword, text
            yield keyword, f"{text[:4]}-{text[4:6]}-{text[6:]}"
        elif any(word not in VOCABULARY for word in words(text)):
            yield keyword, text


def _spellings(text: str) -> set[bytes]:
    """Bytes that a text may be written as, in lower-case ASCII letters."""
    forms = set()
    for cased in {text, text.lower(), text.upper()}:
        forms |= {cased.encode("utf-8", "replace"), json.dumps(cased)[1:-1].encode()}
        if not cased.isascii():
            forms.add(cased.encode("latin-1", "ignore"))
            forms.add(cased.encode("ascii", "xmlcharrefreplace"))
            forms |= {cased.encode("utf-16-le", "replace"), cased.encode("utf-16-be", "replace")}
    return {form.lower() for form in forms if len(form) >= SHORTEST_VALUE}


class _Haystack:
    """Looks for needles: those that are one token in a table, the others one by one."""

    def __init__(self, needles: Needles) -> None:
        single = {needle for needle in needles if any(cut.fullmatch(needle) for cut in _CUTS)}
        self.tokens = {needle: origin for needle, origin in needles.items() if needle in single}
        self.phrases = {needle: o for needle, o in needles.items() if needle not in single}

    def in_file(self, file: Path) -> Iterator[tuple[int, tuple[str, str]]]:
        """Hits in a file, read piece by piece; a hit in an overlap is told once."""
        seen: set[tuple[int, tuple[str, str]]] = set()
        with file.open("rb") as stream:
            start, tail = 0, b""
            while piece := stream.read(CHUNK):
                data = tail + piece
                for at, origin in self.everywhere(data):
                    hit = (start - len(tail) + at, origin)
                    if hit not in seen:
                        seen.add(hit)
                        yield hit
                start, tail = start + len(piece), data[-OVERLAP:]

    def everywhere(self, data: bytes) -> Iterator[tuple[int, tuple[str, str]]]:
        """Hits in the bytes, in what is written in two bytes a letter, and in deflated pieces."""
        yield from self.hits(data)
        for wide in _WIDE.finditer(data):
            for _, origin in self.hits(wide[0].replace(b"\0", b"")):
                yield wide.start(), origin
        for at, content in _inflated(data):
            for _, origin in self.hits(content):
                yield at, origin

    def hits(self, data: bytes) -> Iterator[tuple[int, tuple[str, str]]]:
        """Hits in plain bytes."""
        data = data.lower()
        texts = [(run.start(), run.end()) for run in _TEXT.finditer(data)]
        told: set[tuple[int, bytes]] = set()
        for cut in _CUTS:
            for found in cut.finditer(data):
                token = found[0].strip(b".-")
                at = found.start() + found[0].find(token)
                known = token in self.tokens and (at, token) not in told
                if known and _sure(at, token, texts, len(data)):
                    told.add((at, token))
                    yield at, self.tokens[token]
        for phrase, origin in self.phrases.items():
            at = data.find(phrase)
            while at >= 0:
                yield at, origin
                at = data.find(phrase, at + 1)


def _inflated(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Deflated pieces: where they begin and what they hold."""
    for start in _DEFLATED.finditer(data):
        inflater = zlib.decompressobj(wbits=47)  # zlib or gzip, as the piece says
        try:
            content = inflater.decompress(memoryview(data)[start.start() :], INFLATED)
        except zlib.error:
            continue
        if len(content) >= LEAST_INFLATED:
            yield start.start(), content


def _sure(at: int, token: bytes, texts: list[tuple[int, int]], size: int) -> bool:
    """Long values count anywhere; short ones in a text, for random bytes spell short words."""
    if len(token) >= SURE or size < TEXT_RUN:
        return True
    return any(low <= at < high for low, high in texts)
