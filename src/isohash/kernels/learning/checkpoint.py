"""A checkpoint of a training run: one NPZ file with its arrays and a JSON header, no pickle."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError

FORMAT = 1


def digest(settings: Mapping[str, Any], *arrays: NDArray[Any] | None) -> str:
    """SHA-256 of the settings and the bytes of the arrays: what a resumed run must share."""
    sha = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode())
    for array in arrays:
        if array is not None:
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def save(path: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write the file whole or not at all: a killed run leaves the one before."""
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, header=np.array(text), **arrays)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, expected_digest: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file written by `save`; refuses one from other data or other settings."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a readable checkpoint ({error}); delete it") from error
    if header.get("format") != FORMAT:
        raise InputError(f"{path} has checkpoint format {header.get('format')}, not {FORMAT}")
    if header.get("digest") != expected_digest:
        raise InputError(f"{path} is from other data or settings; delete it or name another file")
    return arrays, header
