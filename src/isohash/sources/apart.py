"""NIfTI and Parquet, read in child processes with limits: their libraries are large and not ours.

A file that crashes, hangs or swells its reader costs that file only, as with DICOM (`sandbox`).
What used up its processor time is remembered and not tried again before it changes (`slow`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from isohash.errors import InputError
from isohash.records import Case
from isohash.sandbox import ChildFailed, Message, Pool, TooSlow
from isohash.sources.arrays import MAX_BYTES
from isohash.sources.extras import ask_for
from isohash.sources.slow import AGAIN, digest_of, known, remember, state_of
from isohash.sources.tables import Columns

MEMORY = 2 * MAX_BYTES  # address space of a child: the largest table, and a copy of it
FILE_SECONDS = 120.0  # of processor time, for one file
BYTES_PER_SECOND = 10e6  # and as much more as its size may need


def nifti_case(folder: Path, files: Iterable[Path]) -> Case:
    """The case of these files of a folder; InputError names the file that cannot be used."""
    from isohash.sources.dicom.wire import case_from_message

    ask_for(".nii")
    several = list(files)
    request = {"task": "nifti", "folder": str(folder), "files": list(map(str, several))}
    return case_from_message(*_asked(request, folder, several))


def nifti_texts(file: Path) -> dict[str, str]:
    """The free texts of a header, by their names; for who searches for what identifies."""
    ask_for(".nii")
    found: dict[str, str] = _asked({"task": "texts", "file": str(file)}, file, [file])[0]["texts"]
    return found


def parquet_columns(path: Path) -> Columns:
    """The arrays `X` (n, d), and `ids` and `y` where the file has them."""
    from isohash.sources.dicom.wire import array_from

    ask_for(".parquet")
    header, blobs = _asked({"task": "parquet", "file": str(path)}, path, [path])
    return {name: array_from(item, blobs) for name, item in header["columns"].items()}


def _asked(request: dict[str, Any], where: Path, files: list[Path]) -> Message:
    """What a child answers; InputError where it cannot, or took too long in an earlier run."""
    seconds = FILE_SECONDS + sum(file.stat().st_size for file in files) / BYTES_PER_SECOND
    digest = digest_of("\0".join(map(state_of, files)), seconds)
    if digest in known():
        raise InputError(f"{where}: takes longer than {seconds:.0f} s to read, {AGAIN}")
    try:
        return _pool().call(request, seconds)
    except ChildFailed as error:
        if isinstance(error, TooSlow):
            remember(digest)
        raise InputError(f"{where}: {error}; copy or export it again") from error


@cache
def _pool() -> Pool:
    return Pool("isohash.sources.apart_child", MEMORY)
