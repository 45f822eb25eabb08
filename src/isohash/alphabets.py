"""How the symbols of a code are stored: in so many bits each, without gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.errors import InputError

MAX_Q = 2**16  # symbols are two bytes at most


def bits_per_symbol(q: int) -> int:
    """Bits that one of `q` symbols takes when stored: the ceiling of log2 q, at least 1."""
    if q > MAX_Q:
        raise InputError(f"stored symbols are of at most {MAX_Q}, got q = {q}")
    return max(1, (q - 1).bit_length())


def pack_symbols(symbols: NDArray[Any], widths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Symbols (n, length) in `widths` (length,) bits, 1 to 16, highest first, without gaps."""
    if native.available():
        return native.pack(symbols, widths)
    position, shift, _ = _places(widths)
    return np.packbits((symbols[:, position].astype(np.uint16) >> shift) & np.uint16(1), axis=1)


def unpack_symbols(packed: NDArray[np.uint8], widths: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The symbols (n, length) that `pack_symbols` packed."""
    if native.available():
        return native.unpack(packed, widths)
    position, shift, begin = _places(widths)
    bits = np.unpackbits(packed, axis=1, count=len(position)).astype(np.uint16)
    return np.add.reduceat(bits << shift, begin, axis=1, dtype=np.uint16)


def _places(
    widths: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.int64]]:
    """Of every stored bit its position and its shift; where each position's bits begin."""
    position = np.repeat(np.arange(len(widths)), widths)
    begin = np.cumsum(widths, dtype=np.int64) - widths
    shift = widths[position] - 1 - (np.arange(len(position)) - begin[position])
    return position, shift.astype(np.uint16), begin


@dataclass(frozen=True, eq=False)
class Alphabets:
    """The few of q symbols that each position of a code uses, so that it is stored in fewer bits.

    Position i stores in `widths[i]` bits which of its 2^widths[i] symbols it holds; `values` lists
    these symbols, ascending, position after position. Distances are between symbols, not between
    what is stored, so quantisers of unequal fineness share one metric.

    With `spans`, group g of spans[g] neighbouring positions stores in `widths[g]` bits which of its
    2^widths[g] rows of symbols it holds, and `values` lists these rows (vector quantisers).
    """

    widths: NDArray[np.uint8]
    values: NDArray[np.uint16]
    spans: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if not len(self.widths) or self.widths.min() < 1 or self.widths.max() > 16:
            raise InputError("an alphabet has 1 to 16 bits at every position")
        if self.spans is not None and (len(self.spans) != len(self.widths) or not self.spans.all()):
            raise InputError("every alphabet spans at least one position")
        if len(self.values) != int(self._sizes.sum()):
            raise InputError(
                f"alphabets of widths {self.widths.tolist()} cannot hold {len(self.values)} symbols"
            )

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Alphabets:
        """Rebuild what `arrays` named."""
        spans = arrays["spans"] if "spans" in arrays else None  # noqa: SIM401  # npz has no get
        return cls(arrays["widths"], arrays["values"], spans)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The alphabets as named arrays, to be saved."""
        kept: dict[str, NDArray[Any]] = {"widths": self.widths, "values": self.values}
        return kept if self.spans is None else {**kept, "spans": self.spans}

    @property
    def length(self) -> int:
        """Positions of a code."""
        return len(self.widths) if self.spans is None else int(self.spans.sum(dtype=np.int64))

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = np.left_shift(1, self.widths.astype(np.int64))
        return rows if self.spans is None else rows * self.spans.astype(np.int64)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where the symbols of each position (or group) begin in `values`."""
        return np.cumsum(self._sizes) - self._sizes

    def symbols(self, packed: NDArray[np.uint8], threads: int = 1) -> NDArray[np.uint16]:
        """The symbols (n, length) that the stored bytes stand for."""
        if native.available():
            spans = np.ones_like(self.widths) if self.spans is None else self.spans
            return native.symbols(packed, self.widths, spans, self.values, threads)
        indices = self.unpack(packed)
        if self.spans is None:
            return self.values[self.starts + indices]
        parts = zip(self.starts.tolist(), self._sizes.tolist(), self.spans.tolist(), strict=True)
        tables = [self.values[start : start + size].reshape(-1, s) for start, size, s in parts]
        return np.hstack([table[indices[:, g]] for g, table in enumerate(tables)])

    def pack(self, indices: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Bytes that store `indices` (n, length) into each position's symbols."""
        return pack_symbols(indices, self.widths)

    def unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """The indices (n, length) that `pack` stored."""
        return unpack_symbols(packed, self.widths)
