"""The file meta information in the form that nearly every file has.

To hand it to the parser costs as much as to read the elements behind it, and files are many. What
has any other form is left to the parser.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

PREAMBLE = 132  # bytes: 128 of anything and "DICM"
GROUP = b"\x02\x00"
LENGTH = b"\x02\x00\x00\x00UL\x04\x00"  # how long the group is; the first of its elements
COMMANDS = b"\x00\x00"  # another group that may come before the data set, and does not in files
IMPLICIT = {ImplicitVRLittleEndian: True, ExplicitVRLittleEndian: False}
LONG = (b"OB", b"UN", b"UT")
SHORT = (b"AE", b"SH", b"UI", b"UL")
SYNTAX = Tag("TransferSyntaxUID")


@dataclass(frozen=True)
class Meta:
    """The elements, where the data set begins, and whether its types are implicit."""

    elements: FileMetaDataset
    end: int
    implicit: bool


def usual_meta(head: bytes) -> Meta | None:
    """What the first bytes of a file say of it; None if not all of it is as it usually is.

    The group tells its length, which its elements fill exactly, in order and each once; no data is
    compressed or big-endian.
    """
    begin = PREAMBLE + len(LENGTH) + 4
    if head[PREAMBLE - 4 : PREAMBLE] != b"DICM" or head[PREAMBLE : begin - 4] != LENGTH:
        return None
    end = begin + int.from_bytes(head[begin - 4 : begin], "little")
    if end + 8 > len(head) or head[end : end + 2] in (GROUP, COMMANDS):
        return None
    found: dict[BaseTag, RawDataElement] = {}
    at, last = PREAMBLE, 0
    while at < end:
        element = _element(head, at)
        if element is None or element.tag <= last:
            return None
        found[element.tag] = element
        at, last = element.value_tell + element.length, element.tag
    named = found[SYNTAX].value if SYNTAX in found else None
    implicit = IMPLICIT.get((named or b"").decode("latin-1").rstrip("\0"))
    if at != end or implicit is None:
        return None
    return Meta(FileMetaDataset(found), end, implicit)


def _element(head: bytes, at: int) -> RawDataElement | None:
    """The element at `at`, if it is one of this group."""
    vr, short = head[at + 4 : at + 6], head[at + 4 : at + 6] in SHORT
    if head[at : at + 2] != GROUP or not (short or vr in LONG):
        return None
    value = at + (8 if short else 12)
    length = int.from_bytes(head[value - (2 if short else 4) : value], "little")
    tag = Tag(2, int.from_bytes(head[at + 2 : at + 4], "little"))
    held = head[value : value + length]
    return RawDataElement(tag, vr.decode(), length, held, value, False, True)
