"""All families of drawn hashes under one roof, and the way back from what they saved.

Importing this module needs neither scikit-learn nor torch: it is what a query uses.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from isohash.errors import InputError
from isohash.hashing.saving import unpack

if TYPE_CHECKING:
    from isohash.hashing.cosine import CosineHash
    from isohash.hashing.fitted.adaptive import AdaptiveHash
    from isohash.hashing.fitted.block import BlockHash
    from isohash.hashing.lee import LeeHash

DrawnHash: TypeAlias = "CosineHash | LeeHash | AdaptiveHash | BlockHash"

# Where each family is: a query loads the one that its archive has.
FAMILIES = {
    "cosine": ("isohash.hashing.cosine", "CosineHash"),
    "lee": ("isohash.hashing.lee", "LeeHash"),
    "adaptive": ("isohash.hashing.fitted.adaptive", "AdaptiveHash"),
    "block": ("isohash.hashing.fitted.block", "BlockHash"),
}


def load_hash(source: str | Path | bytes) -> DrawnHash:
    """Read a hash of any family from the file (or the bytes) that its `save` wrote.

    Example:
        >>> import numpy as np, isohash
        >>> X = np.random.default_rng(0).standard_normal((200, 8))
        >>> hasher = isohash.KernelHasher(64).fit(X)
        >>> again = isohash.load_hash(hasher.hash_.to_bytes())
        >>> bool((again.encode(X).packed == hasher.transform(X).packed).all())
        True
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return from_bytes(bytes(source))
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the hash {source}: {error.strerror}") from error
    try:
        return from_bytes(data)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def from_bytes(data: bytes) -> DrawnHash:
    """Rebuild a hash of any family from its `to_bytes`."""
    family, tensors, header = unpack(data)
    if family not in FAMILIES:
        raise InputError(f"unknown hash family {family!r}; known: {', '.join(sorted(FAMILIES))}")
    module, name = FAMILIES[family]
    kind: Any = getattr(import_module(module), name)
    try:
        hash_: DrawnHash = kind.from_parts(tensors, header)
    except KeyError as error:
        raise InputError(f"the saved {family} hash lacks {error}") from error
    return hash_
