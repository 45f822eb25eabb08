"""What in the files of a source, of any kind, may identify a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.sources.apart import nifti_texts, parquet_columns
from isohash.sources.arrays import npz_headers, read_npz
from isohash.sources.dicom.sniff import looks_like_dicom
from isohash.sources.identity.file_names import looks_like_identity
from isohash.sources.identity.spellings import folded
from isohash.sources.nifti import is_mask, is_nifti, stem
from isohash.sources.openkbp import CSV_PARTS
from isohash.sources.packed import is_packed, unpacked
from isohash.sources.walk import walk

Value = tuple[str, str, str, str]  # kind (as in phi.identifying, or name), element, text, file

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
OF_PLANS = {
    "ct",
    "dose",
    "gy",
    "cgy",
    "voxel",
    "dimensions",
    "csv",
    "nii",
    "gz",
    "npz",
    "npy",
    "dcm",
}
MOST_TEXT = 1 << 20  # bytes of a CSV file that are looked at for words


def values_in(source: Path, progress: Progress | None = None) -> Iterator[Value]:
    """Everything identifying below a folder; names of folders count from `source` downwards."""
    if is_packed(source):
        yield from _in_names(Path(source.name))
        source, _ = unpacked(source)
    files = list(walk(source, []))
    likely = [file for file in files if looks_like_dicom(file)]
    if likely:
        yield from _in_dicom(likely, progress)
    for file in files:
        yield from _in_names(file.relative_to(source))
        suffix = file.suffix.lower()
        with suppress(InputError, OSError):
            if suffix == ".npz":
                yield from _in_ids(file)
            elif suffix in (".csv", ".tsv"):
                yield from _in_csv(file)
            elif suffix == ".parquet":
                yield from _in_parquet(file)
            elif is_nifti(file):
                yield from _in_nifti(file)
            elif suffix in PICTURES:
                yield from _in_picture(file)


def _in_dicom(files: list[Path], progress: Progress | None) -> Iterator[Value]:
    from isohash.sources.dicom.find import identities

    for done, (file, found) in enumerate(identities(files), start=1):
        if "error" in found:
            yield "unread", "", str(file), file.name
        for kind, element, text in found.get("values", ()):
            yield kind, element, text, file.name
        for typed in found.get("structures", ()):
            yield "name", "ROIName", typed[0].strip(), file.name
        tell(progress, done, len(files), "source")


def _in_names(path: Path) -> Iterator[Value]:
    for part in (*path.parts[:-1], path.stem):
        if looks_like_identity(part):
            yield from _of_name(part, "name of a file or folder", path.name)


def _of_name(text: str, element: str, file: str) -> Iterator[Value]:
    """A name that looks like a person's: its words but those of plans, numbers and dates."""
    told = _WORD.sub(lambda word: "" if _is_of_plans(word[0]) else word[0], text)
    yield "person", element, told, file
    yield "number", element, told, file
    for digits in re.findall(r"\d{8}", text):
        yield "date", element, digits, file
        yield "date", element, digits[4:] + digits[2:4] + digits[:2], file


_WORD = re.compile(r"[^\W\d_]+")


def _is_of_plans(word: str) -> bool:
    return folded(word) in VOCABULARY or folded(word) in OF_PLANS


def _in_ids(file: Path) -> Iterator[Value]:
    for name, header in npz_headers(file).items():
        if header.dtype.kind in "US":
            for one in read_npz(file, [name])[name].ravel().tolist():
                text = one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
                if looks_like_identity(text):
                    yield from _of_name(text, f"array {name}", file.name)


def _in_csv(file: Path) -> Iterator[Value]:
    if file.name not in CSV_PARTS:
        yield "name", "name of a CSV file", file.stem, file.name
    with file.open("rb") as stream:
        text = stream.read(MOST_TEXT).decode("utf-8", "replace")
    for cell in set(re.findall(r"[^,;\t\r\n\"]*[^\W\d_]{2}[^,;\t\r\n\"]*", text)):
        yield "name", "cell of a CSV file", cell.strip(), file.name
        if looks_like_identity(cell):
            yield from _of_name(cell, "cell of a CSV file", file.name)


def _in_parquet(file: Path) -> Iterator[Value]:
    for name, column in parquet_columns(file).items():
        if column.dtype.kind == "U":
            for text in filter(looks_like_identity, column.tolist()):
                yield from _of_name(text, f"column {name}", file.name)


def _in_nifti(file: Path) -> Iterator[Value]:
    """The texts of a header: NIfTI has room for a description and a few names."""
    if is_mask(file):
        yield "name", "name of a mask", stem(file), file.name
    for element, text in nifti_texts(file).items():
        yield "text", element, text, file.name
        if looks_like_identity(text):
            yield from _of_name(text, element, file.name)


def _in_picture(file: Path) -> Iterator[Value]:
    from PIL import Image, UnidentifiedImageError

    with suppress(UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        with Image.open(file) as picture:
            told = [*picture.info.values(), *picture.getexif().values()]
        for one in told:
            text = one.decode("utf-8", "replace") if isinstance(one, bytes) else one
            if isinstance(text, str) and 0 < len(text) < MOST_TEXT:
                yield "text", "text of a picture", text, file.name
                if looks_like_identity(text):
                    yield from _of_name(text, "text of a picture", file.name)
