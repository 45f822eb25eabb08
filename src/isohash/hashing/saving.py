"""Hashes as bytes: safetensors for the arrays, one JSON string for the rest, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from isohash.errors import InputError
from isohash.whole_files import BY_UMASK, write_whole

VERSION = 1
KEY = "isohash"  # the one metadata entry: safetensors does not keep the order of several


class Kept:
    """What all hashes have in common: a file, and a digest that tells one hash from another."""

    def to_bytes(self) -> bytes:
        """The whole hash, without pickle; `load_hash` reads it."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write the hash to one file."""
        write_whole(path, [self.to_bytes()], BY_UMASK)

    @cached_property
    def digest(self) -> str:
        """Equal for the same hash, saved and read again or not; its codes carry it."""
        return hashlib.blake2b(self.to_bytes(), digest_size=16).hexdigest()


def pack(family: str, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """One hash as bytes: the same arrays and metadata give the same bytes."""
    header = {"format": "isohash hash", "version": VERSION, "family": family, **metadata}
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return bytes(write_tensors(contiguous, {KEY: json.dumps(header, sort_keys=True)}))


def unpack(data: bytes) -> tuple[str, dict[str, NDArray[Any]], dict[str, Any]]:
    """Family, arrays and metadata of what `pack` wrote."""
    try:
        tensors = read_tensors(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY])
        version, family = header.pop("version"), header.pop("family")
        header.pop("format")
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"these bytes are not a hash saved by isohash: {error!r}") from error
    if version != VERSION:
        raise InputError(
            f"the hash has format version {version}, this isohash reads {VERSION}: update isohash"
        )
    return family, tensors, header
