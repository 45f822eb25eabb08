"""The one file that holds an encoder: safetensors with a JSON header and a digest.

Layout: the safetensors metadata has the single key `isohash`, a JSON object with `format`,
`kind`, `name`, `dim`, `size`, `settings` and `digest`; the tensors belong to the kind. The digest
is the SHA-256 of everything else, so an archive can pin the encoder that made its codes, and a
file that was damaged or edited is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.whole_files import write_whole

FORMAT = 1
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class EncoderHeader:
    """What an encoder says about itself.

    `size` is the height and width of its input images; `settings` are the kind's own and those
    of its training, plain JSON values.
    """

    kind: str
    name: str
    dim: int
    size: int
    settings: Mapping[str, Any]


def encoder_digest(header: EncoderHeader, tensors: Tensors) -> str:
    """SHA-256 of the header and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(_fields(header), sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_encoder(path: str | Path, header: EncoderHeader, tensors: Tensors) -> None:
    """Write the file through a temporary name: a reader never sees half of it."""
    from safetensors.numpy import save

    fields = {**_fields(header), "digest": encoder_digest(header, tensors)}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    write_whole(path, [save(arrays, {"isohash": json.dumps(fields, sort_keys=True)})])


def read_encoder(path: str | Path) -> tuple[EncoderHeader, dict[str, NDArray[Any]]]:
    """Header and tensors of an encoder file; raises InputError unless the digest agrees."""
    fields, tensors = read_tensors(path)
    if fields.get("format", 0) > FORMAT:
        raise InputError(f"{path} is an encoder of format {fields['format']}: update isohash")
    try:
        header = EncoderHeader(
            *(fields[name] for name in ("kind", "name", "dim", "size", "settings"))
        )
        digest = fields["digest"]
    except KeyError as error:
        raise InputError(f"{path} is not an isohash encoder: its header lacks {error}") from error
    if encoder_digest(header, tensors) != digest:
        raise InputError(f"{path} is damaged: its content does not match its digest")
    return header, tensors


def read_tensors(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The JSON object under `isohash` and all tensors of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            fields = json.loads((file.metadata() or {})["isohash"])
            return fields, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"no encoder file at {path}") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not an isohash safetensors file: {error}") from error


def _fields(header: EncoderHeader) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": header.kind,
        "name": header.name,
        "dim": header.dim,
        "size": header.size,
        "settings": dict(header.settings),
    }
