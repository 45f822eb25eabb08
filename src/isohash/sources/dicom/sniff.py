"""Tells DICOM files by their first bytes, without loading a DICOM library."""

from __future__ import annotations

from pathlib import Path

FIRST_TYPES = (b"UI", b"CS", b"UL", b"DA", b"TM", b"DT", b"LO", b"SH", b"PN", b"SQ")
META_TYPES = (b"\0UL", b"\0OB", b"\0UI")  # of its first element: length, version or class
SHORT_LENGTHS = tuple(bytes([n, 0]) for n in range(0, 66, 2))  # of an implicit-VR first element


HEAD_BYTES = 1024
CLASS_TAG = b"\x02\x00\x02\x00UI"  # MediaStorageSOPClassUID
STORAGE = b"1.2.840.10008.5.1.4.1.1."
PICTURES = frozenset(
    STORAGE + last
    for last in (
        b"1",  # computed radiography
        b"1.1",  # digital radiography
        b"1.2",  # mammography
        b"1.3",  # radiography within the mouth
        b"6.1",  # ultrasound
        b"7",  # secondary capture
        b"77.1.1",  # endoscopy
        b"77.1.4",  # photography
        b"77.1.5.1",  # photography of the retina
    )
)


def looks_like_dicom(file: Path) -> bool:
    """Whether the file begins like DICOM: the magic word, or an element of group 0002 or 0008."""
    try:
        with file.open("rb") as stream:
            head = stream.read(132)
    except OSError:
        return False
    if head[128:132] == b"DICM":
        return True
    if head[:2] == b"\x02\x00" and head[3:6] in META_TYPES:  # meta information, no preamble
        return True
    if head[:2] == b"\x00\x08" and head[4:6] in FIRST_TYPES:  # big endian
        return True
    return head[:2] == b"\x08\x00" and head[4:6] in (*FIRST_TYPES, *SHORT_LENGTHS)


def is_picture(file: Path) -> bool:
    """Whether a DICOM file is a single image of no CT: its meta information names such a class."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return False
    at = head.find(CLASS_TAG)
    length = int.from_bytes(head[at + 6 : at + 8], "little")
    return at >= 0 and head[at + 8 : at + 8 + length].strip(b"\0 ") in PICTURES


def cut_preamble(file: Path) -> bool:
    """Whether a file is so short that only a part of DICOM's preamble can be left of it."""
    try:
        with file.open("rb") as stream:
            return len(head := stream.read(132)) < 132 and (bytes(128) + b"DICM").startswith(head)
    except OSError:
        return False
