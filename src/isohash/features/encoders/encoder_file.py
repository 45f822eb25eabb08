"""The one file that holds an encoder: safetensors with a JSON header and a digest.

Layout: the safetensors metadata has the single key `isohash`, a JSON object with `format`,
`kind`, `name`, `dim`, `size`, `settings` and `digest`; the tensors belong to the kind. The digest
is the SHA-256 of everything else, so an archive can pin the encoder that made its codes, and a
file that was damaged or edited is refused.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.whole_files import write_whole

FORMAT = 1
KEY = "isohash"
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


class KeptEncoder(ABC):
    """What encoders of every kind share: a digest, bytes and a file, made of header and tensors."""

    KIND: ClassVar[str]

    @property
    @abstractmethod
    def _header(self) -> EncoderHeader:
        """All that is no tensor."""

    @property
    @abstractmethod
    def _tensors(self) -> Tensors:
        """The arrays by name."""

    @classmethod
    @abstractmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 that names this encoder: equal digests give equal embeddings."""
        return encoder_digest(self._header, self._tensors)

    def to_bytes(self) -> bytes:
        """The content of the encoder's file; the same encoder gives the same bytes."""
        return encoder_bytes(self._header, self._tensors)

    def save(self, path: str | Path) -> None:
        """Write the encoder to one safetensors file, which `load_encoder` reads."""
        write_whole(path, [self.to_bytes()])

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "this file") -> Self:
        """The encoder of such bytes; InputError names `source` unless it is one of this kind."""
        header, tensors = parse_encoder(data, source)
        if header.kind != cls.KIND:
            raise InputError(
                f"{source} holds an encoder of kind {header.kind!r}, {cls.__name__} reads "
                f"{cls.KIND!r}"
            )
        return cls.of(header, tensors)


def encoder_digest(header: EncoderHeader, tensors: Tensors) -> str:
    """SHA-256 of the header and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(_fields(header), sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def encoder_bytes(header: EncoderHeader, tensors: Tensors) -> bytes:
    """The content of an encoder's file."""
    from safetensors.numpy import save

    fields = {**_fields(header), "digest": encoder_digest(header, tensors)}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return bytes(save(arrays, {KEY: json.dumps(fields, sort_keys=True)}))


def parse_encoder(data: bytes, source: str) -> tuple[EncoderHeader, dict[str, NDArray[Any]]]:
    """Header and tensors of an encoder; InputError names `source` unless the digest agrees."""
    fields, tensors = parse_tensors(data, source)
    if fields.get("format", 0) > FORMAT:
        raise InputError(f"{source} is an encoder of format {fields['format']}: update isohash")
    try:
        header = EncoderHeader(
            *(fields[name] for name in ("kind", "name", "dim", "size", "settings"))
        )
        digest = fields["digest"]
    except KeyError as error:
        raise InputError(f"{source} is not an isohash encoder: its header lacks {error}") from error
    if encoder_digest(header, tensors) != digest:
        raise InputError(f"{source} is damaged: its content does not match its digest")
    return header, tensors


def parse_tensors(data: bytes, source: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The JSON object under `isohash` and all tensors of the bytes of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY]), tensors
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source} is not an isohash safetensors file: {error}") from error


def content_of(path: str | Path) -> bytes:
    """The bytes of an encoder's file; InputError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"no encoder file at {path}") from error
    except OSError as error:
        raise InputError(f"cannot read the encoder file {path}: {error.strerror}") from error


def _fields(header: EncoderHeader) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": header.kind,
        "name": header.name,
        "dim": header.dim,
        "size": header.size,
        "settings": dict(header.settings),
    }
