"""The file of a flat index: safetensors with a JSON header, read whole or mapped.

The arrays are `codes` (packed; first of their type by this name, so that they lie at a whole word),
`ids` or `names` where they were given, and the alphabets. The header says of which kind the codes
are, and vouches for all bytes (SHA-256).
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.alphabets import Alphabets
from isohash.errors import InputError
from isohash.records import Codes
from isohash.whole_files import write_whole

FORMAT = "isohash flat index 1"
KEY = "isohash"
DTYPES = {"U8": np.uint8, "U16": np.uint16, "I64": np.int64}


def write_index(path: str | Path, codes: Codes, ids: NDArray[Any] | None) -> None:
    """Write codes and the ids that were given for them, whole or not at all."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {"codes": np.ascontiguousarray(codes.packed)}
    if ids is not None:
        arrays |= {"ids": ids} if ids.dtype.kind == "i" else _names(ids.tolist())
    if codes.alphabets is not None:
        arrays |= codes.alphabets.arrays()
    header = {
        "format": FORMAT,
        "length": codes.length,
        "q": codes.q,
        "metric": codes.metric,
        "hash_digest": codes.hash_digest,
    }
    header["sha256"] = _digest(header, arrays)
    write_whole(path, [bytes(save(arrays, {KEY: json.dumps(header, sort_keys=True)}))])


def read_index(path: str | Path, mapped: bool) -> tuple[Codes, NDArray[Any] | None]:
    """Codes and ids; with `mapped` the codes stay on the disk, and their bytes are not checked."""
    try:
        header, arrays = _read(Path(path), mapped)
        alphabets = Alphabets.of(arrays) if "widths" in arrays else None
        kind = (header["length"], header["q"], header["metric"], alphabets, header["hash_digest"])
        codes = Codes(arrays["codes"], *kind)
    except OSError as error:
        raise InputError(f"cannot read the index {path}: {error.strerror or error}") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        told = str(error) if isinstance(error, InputError) else repr(error)
        raise InputError(f"{path} does not hold an index of isohash: {told}") from error
    if not mapped and _digest(header, arrays) != header.get("sha256"):
        raise InputError(f"{path} is damaged: its content does not match its digest")
    if "names" in arrays:
        return codes, np.array(_texts(arrays), dtype=np.dtypes.StringDType())
    return codes, arrays.get("ids")


def _read(path: Path, mapped: bool) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, 1 << 20):
            raise ValueError("its header is longer than the file")
        fields = json.loads(file.read(length))
    header = json.loads(fields.pop("__metadata__")[KEY])
    if header["format"] != FORMAT:
        raise InputError(f"its format is {header['format']!r}, this isohash reads {FORMAT!r}")
    arrays = {name: _array(path, 8 + length, size, about) for name, about in fields.items()}
    if not mapped:
        arrays = {name: np.array(array) for name, array in arrays.items()}
    return header, arrays


def _array(path: Path, start: int, size: int, about: dict[str, Any]) -> NDArray[Any]:
    dtype, shape = np.dtype(DTYPES[about["dtype"]]), tuple(about["shape"])
    first, last = about["data_offsets"]
    if last - first != math.prod(shape) * dtype.itemsize or start + last > size or first < 0:
        raise ValueError("an array lies outside the file")
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=start + first, shape=shape)


def _names(ids: list[str]) -> dict[str, NDArray[Any]]:
    texts = [name.encode() for name in ids]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return {"names": np.frombuffer(b"".join(texts), np.uint8), "ends": ends}


def _texts(arrays: dict[str, NDArray[Any]]) -> list[str]:
    text, ends = arrays["names"].tobytes(), arrays["ends"].tolist()
    return [text[a:b].decode() for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _digest(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    kind = {name: value for name, value in header.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(kind, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
