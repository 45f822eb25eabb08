"""Tells DICOM files that are cut short, as interrupted copies are.

A parser takes what is left of such a file for all there is: a structure set loses its later
structures without a word. So every element of the file is followed to its end, by its length or, in
sequences of undefined length, item by item. What cannot be followed is no proof of a cut. A copy
whose space was laid out beforehand has its full size, and zeros where the rest should be.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
UNDEFINED = 0xFFFFFFFF
ITEM, END_OF_ITEM, END_OF_SEQUENCE = 0xE000, 0xE00D, 0xE0DD  # of group FFFE
DELIMITERS = 0xFFFE
META = 0x0002
DEEPEST = 64
ZEROS = 64  # so many at the end of a file, within an element that holds text, were never written
OF_ZEROS = (0x7FE0, 0xFFFC)  # groups of pixels and of padding, which may be zeros
CHUNK = 1 << 16
Bytes = bytes | mmap.mmap


class _Cut(Exception):
    """The file ends before the element does."""


class _Lost(Exception):
    """This is no element: nothing more can be told."""


class _Filled(Exception):
    """Zeros begin within an element and go on to the end of the file."""


def cut_short(file: Path) -> str:
    """Why the file is not whole; empty if it is, or if that cannot be told."""
    size = file.stat().st_size
    if not size:
        return "the file is empty"
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        written = _written(data)
        try:
            _follow(data, written)
        except _Cut:
            return _told(size)
        except (_Lost, RecursionError):
            return _filled(size - written) if size - written > ZEROS else ""
        except _Filled:
            return _filled(size - written)
    return ""


def ends_before(file: Path, tag: int) -> bool:
    """Whether a file that is not cut within an element has none from this tag on."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _follow(data, _written(data)) < tag
        except (_Cut, _Lost, _Filled, RecursionError):
            return False


def is_beginning(part: Path, whole: Path) -> bool:
    """Whether a file is the beginning of another, or that and zeros: a copy that broke off."""
    with part.open("rb") as a, whole.open("rb") as b:
        one, other = a.read(CHUNK), b.read(CHUNK)
        while one == other and one:
            one, other = a.read(CHUNK), b.read(CHUNK)
        n = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), None)
        n = min(len(one), len(other)) if n is None else n
        return not _holds_more(one[n:], a) and _holds_more(other[n:], b)


def _holds_more(first: bytes, rest: BinaryIO) -> bool:
    """Whether anything but zeros is in these bytes and in what follows them."""
    return any(chunk.strip(b"\0") for chunk in chain([first], iter(lambda: rest.read(CHUNK), b"")))


def pixels_cut_short(file: Path, at: int) -> str:
    """Why the pixels that begin at `at` are not whole, as `cut_short` says it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(at)
        head = stream.read(12).ljust(12, b"\0")
    explicit = head[4:6].isalpha()
    (length,) = struct.unpack(
        (">" if head[:2] == b"\x7f\xe0" else "<") + "L", head[8:12] if explicit else head[4:8]
    )
    if length == UNDEFINED or head[:4] not in (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10"):
        return cut_short(file)
    return _told(size) if at + (12 if explicit else 8) + length > size else ""


def _told(size: int) -> str:
    return f"cut short: its {size} bytes end within an element"


def _filled(zeros: int) -> str:
    return f"cut short: its last {zeros} bytes are zeros, within an element"


def _written(data: Bytes) -> int:
    """Where the zeros begin that a file ends in."""
    for end in range(len(data), 0, -CHUNK):
        begin = max(0, end - CHUNK)
        if kept := bytes(data[begin:end]).rstrip(b"\0"):
            return begin + len(kept)
    return 0


@dataclass(frozen=True)
class _Syntax:
    """How elements are written."""

    explicit: bool
    order: str  # as in struct: < or >

    def number(self, data: Bytes, at: int, kind: str) -> int:
        try:
            (found,) = struct.unpack_from(self.order + kind, data, at)
        except struct.error as error:
            raise _Cut from error
        return int(found)


EXPLICIT, IMPLICIT = _Syntax(True, "<"), _Syntax(False, "<")
SYNTAXES = {
    ExplicitVRLittleEndian: EXPLICIT,
    ImplicitVRLittleEndian: IMPLICIT,
    ExplicitVRBigEndian: _Syntax(True, ">"),
}


def _follow(data: Bytes, written: int) -> int:
    """Go from element to element until the end of what is `written`; the tag of the last one."""
    at = 132 if data[128:132] == b"DICM" else 0
    syntax, named = EXPLICIT, ""
    while data[at : at + 2] == b"\x02\x00":
        after = _end_of_element(data, at, EXPLICIT, 0)
        if data[at + 2 : at + 6] == b"\x10\x00UI":
            named = data[at + 8 : after].decode("ascii", "replace").rstrip("\0 ")
        at = after
    syntax = SYNTAXES.get(named, EXPLICIT) if named else _guessed(data, at)
    last = 0
    while at < len(data):
        if at >= written or (len(data) - at < 8 and not data[at:].strip(b"\0\r\n ")):
            break  # padding behind the last element
        after = _end_of_element(data, at, syntax, 0)
        group = syntax.number(data, at, "H")
        last = group << 16 | syntax.number(data, at + 2, "H")
        if after > written + ZEROS and group not in OF_ZEROS and group % 2 == 0:
            raise _Filled
        at = after
    return last


def _guessed(data: Bytes, at: int) -> _Syntax:
    """The syntax of a file that names none, by its first element."""
    if not (data[at + 4 : at + 6].isalpha() and data[at + 4 : at + 6].isupper()):
        return IMPLICIT
    return SYNTAXES[ExplicitVRBigEndian] if data[at] == 0 and data[at + 1] else EXPLICIT


def _end_of_element(data: Bytes, at: int, syntax: _Syntax, depth: int) -> int:
    """Where the next element begins."""
    if depth > DEEPEST:
        raise _Lost
    vr, at = _vr(data, at, syntax)
    if vr is None or vr in LONG:
        length = syntax.number(data, at, "L")
        at += 4
    else:
        length = syntax.number(data, at, "H")
        at += 2
    if length == UNDEFINED:
        nested = IMPLICIT if vr == b"UN" else syntax
        return _end_of_sequence(data, at, nested, depth + 1)
    if at + length > len(data):
        raise _Cut
    return at + length


def _vr(data: Bytes, at: int, syntax: _Syntax) -> tuple[bytes | None, int]:
    """The type of the element at `at`, None where types are implicit, and where its length is."""
    if len(data) - at < 8:
        raise _Cut
    if not syntax.explicit:
        return None, at + 4
    vr = bytes(data[at + 4 : at + 6])
    if not (vr.isalpha() and vr.isupper()):
        raise _Lost
    return vr, at + (8 if vr in LONG else 6)


def _end_of_sequence(data: Bytes, at: int, syntax: _Syntax, depth: int) -> int:
    """Behind the delimiter of a sequence of undefined length, or of pixels in fragments."""
    while True:
        group, kind = syntax.number(data, at, "H"), syntax.number(data, at + 2, "H")
        length = syntax.number(data, at + 4, "L")
        at += 8
        if group != DELIMITERS or kind not in (ITEM, END_OF_SEQUENCE):
            raise _Lost
        if kind == END_OF_SEQUENCE:
            return at
        if length == UNDEFINED:
            at = _end_of_item(data, at, syntax, depth)
        elif at + length > len(data):
            raise _Cut
        else:
            at += length


def _end_of_item(data: Bytes, at: int, syntax: _Syntax, depth: int) -> int:
    while (syntax.number(data, at, "H"), syntax.number(data, at + 2, "H")) != (
        DELIMITERS,
        END_OF_ITEM,
    ):
        at = _end_of_element(data, at, syntax, depth)
    return at + 8
