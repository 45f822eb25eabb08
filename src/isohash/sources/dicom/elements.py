"""Elements of DICOM files: reading a file, and taking values from it that may be anything.

Values are untrusted: absent, of the wrong type, not to be decoded. Each way of failing is None or
an InputError that repeats nothing of the file.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset as parse_elements
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag, Tag

from isohash.errors import InputError
from isohash.sources.dicom.meta import usual_meta

DEFLATED = b"1.2.840.10008.1.2.1.99"  # may expand without bound before anything can be checked
PLAIN = ("CS", "DA", "DS", "IS", "LO", "TM", "UI")  # text that needs no character set if ASCII
# The characters of decimal and integer strings (PS3.5 6.2), and what parts them. Python takes more
# for a number: 1_0, nan, infinity, digits of other scripts.
DECIMAL, INTEGER = b"0123456789+-.eE \\", b"0123456789+- "
UNDEFINED = "a value that DICOM does not define"
DEFINED_TERMS = {  # PS3.3 C.8.8.3, C.11.1, C.7.6.3
    "DoseUnits": ("GY", "RELATIVE"),
    "DoseType": ("PHYSICAL", "EFFECTIVE", "ERROR"),
    "DoseSummationType": (
        "PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "FRACTION", "BEAM", "BRACHY", "FRACTION_SESSION",
        "BEAM_SESSION", "BRACHY_SESSION", "CONTROL_POINT", "RECORD",
    ),
    "RescaleType": ("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"),
    "PhotometricInterpretation": (
        "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422",
        "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT",
    ),
}  # fmt: skip
META_GROUP = b"\x02\x00"  # of the elements before the data set, which name its transfer syntax
HEAD_BYTES = 4096  # in which a file must name its syntax, or end its meta information
DAMAGED = "damaged DICOM"
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # of floats, of doubles, of whole numbers
SYNTAX_TAG = b"\x02\x00\x10\x00UI"


@contextmanager
def quietly() -> Iterator[None]:
    """Silence pydicom, which repeats values in its warnings and its log.

    Deviations that matter are checked and reported by us.
    """
    log = logging.getLogger("pydicom")
    was = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was


def read_dataset(
    file: Path,
    specific_tags: Callable[[bytes], list[BaseTag] | None] = lambda head: None,
    stop_before_pixels: bool = False,
) -> FileDataset:
    """Read a DICOM file; every way of failing is one InputError without content of the file.

    `specific_tags` chooses the elements to read, None for all, by the first bytes of the file.
    """
    return _read(file, specific_tags, stop_before_pixels)[0]


def read_before_pixels(
    file: Path, specific_tags: Callable[[bytes], list[BaseTag] | None]
) -> tuple[FileDataset, int]:
    """The elements before the pixels, as `read_dataset` reads them, and where these ended."""
    return _read(file, specific_tags, stop_before_pixels=True)


def _read(
    file: Path, specific_tags: Callable[[bytes], list[BaseTag] | None], stop_before_pixels: bool
) -> tuple[FileDataset, int]:
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            _check_syntax(head)
            dataset = _parsed(stream, head, specific_tags(head), stop_before_pixels)
            return dataset, stream.tell()
    except InputError:
        raise
    except InvalidDicomError as error:
        raise InputError("not a DICOM file") from error
    except RecursionError as error:
        raise InputError("sequences nested too deep") from error
    except MemoryError as error:
        raise InputError("declares more data than memory holds") from error
    except Exception as error:
        raise InputError(f"{DAMAGED} ({type(error).__name__})") from error


def _parsed(
    stream: BinaryIO, head: bytes, tags: list[BaseTag] | None, stop_before_pixels: bool
) -> FileDataset:
    """What pydicom makes of a file, spared the meta information where that is as usual."""
    meta = usual_meta(head)
    if meta is None:
        stream.seek(0)
        return pydicom.dcmread(
            stream, force=True, specific_tags=tags, stop_before_pixels=stop_before_pixels
        )
    stream.seek(meta.end)
    stop = _at_pixels if stop_before_pixels else None
    elements = parse_elements(stream, meta.implicit, True, stop_when=stop, specific_tags=tags)
    dataset = FileDataset(stream, elements, head[:128], meta.elements, meta.implicit, True)
    dataset.set_original_encoding(meta.implicit, True, elements.original_character_set)
    return dataset


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in PIXELS


def only(keywords: Sequence[str]) -> Callable[[bytes], list[BaseTag]]:
    """Reads these elements whatever the file is."""
    tags = [Tag(keyword) for keyword in keywords]
    return lambda head: tags


def value(dataset: Dataset, keyword: str) -> Any:
    """A value by keyword, None if absent, empty or not to be converted."""
    try:
        tag = _tag(keyword)
        found = dataset[tag].value if tag in dataset else None
    except Exception:  # noqa: BLE001 - conversion of arbitrary bytes
        return None
    return None if found is None or found == "" else found


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...]:
    """Finite numbers by keyword; InputError if absent, not numbers or not `count` of them."""
    plain = _plain_text(dataset, keyword)
    found: Any
    if plain is not None:
        found = plain.split("\\")
    elif (short := _short(dataset, keyword)) is not None:
        found = short
    else:
        found = value(dataset, keyword)
    try:
        values = _decimals([found] if _is_scalar(found) else found, plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{keyword} is missing or not a number") from error
    if count is not None and len(values) != count:
        raise InputError(f"{keyword} must have {count} value(s), got {len(values)}")
    return values


def _decimals(items: Sequence[Any], plain: str | None) -> tuple[float, ...]:
    """Finite numbers; ValueError if they were written in a way that DICOM does not know."""
    written = [_as_written(item) for item in items] if plain is None else []
    texts = [item for item in written if isinstance(item, str)] if plain is None else [plain]
    values = tuple(map(float, items))
    if not all(_only(DECIMAL, text) for text in texts) or not all(map(math.isfinite, values)):
        raise ValueError
    return values


def _only(characters: bytes, written: str) -> bool:
    return written.isascii() and not written.encode().translate(None, characters)


def _as_written(item: Any) -> Any:
    """The text that pydicom made a number of, where it was text: it takes what Python takes."""
    return getattr(item, "original_string", item)


def whole_number(item: Dataset, keyword: str) -> int | None:
    """An integer by keyword, None if absent or not a number."""
    plain = _plain_text(item, keyword)
    found = _as_written(value(item, keyword)) if plain is None else plain
    if found is None or (isinstance(found, str) and not _only(INTEGER, found)):
        return None
    try:
        return int(found)
    except (TypeError, ValueError, OverflowError):
        return None


def frame_count(dataset: Dataset) -> int:
    """How many frames an image declares: one where it says nothing."""
    found = whole_number(dataset, "NumberOfFrames")
    if found is None and text(dataset, "NumberOfFrames"):
        raise InputError("NumberOfFrames is not a number")
    return found or 1


def term(dataset: Dataset, keyword: str) -> str:
    """A defined term by keyword, empty if absent; anything else is not repeated, but told as such.

    What is typed in place of a term may be anything, a name too, and terms are told in messages.
    Terms are capitals, which not every program knows.
    """
    found = text(dataset, keyword).upper()
    return found if not found or found in DEFINED_TERMS[keyword] else UNDEFINED


def text(dataset: Dataset, keyword: str, required: bool = False) -> str:
    """Text by keyword, empty if absent or a sequence; if `required` that is an InputError."""
    found = (
        plain if (plain := _plain_text(dataset, keyword)) is not None else value(dataset, keyword)
    )
    if isinstance(found, Items):  # in place of a text; its items may not even be read
        found = None
    if found is None and required:
        raise InputError(f"{keyword} is missing")
    return "" if found is None else str(found).strip()


def _check_syntax(head: bytes) -> None:
    """Refuse what may expand without bound, or hides whether it does.

    A file may name no transfer syntax at all, but not one further behind than we look.
    """
    if DEFLATED in head:
        raise InputError("deflated transfer syntax, which may expand without bound")
    meta = head[132:] if head[128:132] == b"DICM" else head
    if meta[:2] == META_GROUP and SYNTAX_TAG not in head and not _meta_ends(meta):
        raise InputError(f"names no transfer syntax in its first {HEAD_BYTES} bytes")


def _meta_ends(meta: bytes) -> bool:
    """Whether the file meta information ends, element by element, within these bytes."""
    at = 0
    while meta[at : at + 2] == META_GROUP:
        if meta[at + 4 : at + 6] in (b"OB", b"UN", b"UT"):
            at += 12 + int.from_bytes(meta[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(meta[at + 6 : at + 8], "little")
    return at < len(meta)


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def _plain_text(dataset: Dataset, keyword: str) -> str | None:
    """Text of an element as it lies in the file, which spares the parser most of its time.

    None if that will not do: the element is absent, empty, no text, or not ASCII. Values beyond 64
    kB do not fit a short type in an explicit file, and are written as of unknown type (CP-1066).
    """
    raw, tag = _raw(dataset, keyword), _tag(keyword)
    if raw is None or not raw.value:
        return None
    if (dictionary_VR(tag) if raw.VR == "UN" else raw.VR) not in PLAIN:
        return None
    try:
        return raw.value.decode("ascii").strip(" \0") or None
    except UnicodeDecodeError:
        return None


def _raw(dataset: Dataset, keyword: str) -> RawDataElement | None:
    """An element as it lies in the file, None if it is absent, taken apart or of no known type."""
    tag = _tag(keyword)
    try:
        raw = dataset.get_item(tag) if tag in dataset else None
    except Exception:  # noqa: BLE001 - types and lengths of arbitrary bytes
        return None
    return raw if isinstance(raw, RawDataElement) else None


def _short(dataset: Dataset, keyword: str) -> int | None:
    """An unsigned number of 16 bits as it lies in the file, None if it is something else."""
    raw = _raw(dataset, keyword)
    if raw is not None and raw.VR == "US" and raw.value and len(raw.value) == 2:
        return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
    return None


def _is_scalar(found: Any) -> bool:
    return isinstance(found, int | float | str)
