"""How stored codes lie in memory while they are searched.

Two layouts cover every metric:

* words: bits in 64-bit words, the distance is the number of differing bits divided by `scale`.
  Hamming codes are used as they are stored. Lee codes of the smallest alphabets become cyclic
  thermometers (even q: q/2 bits a symbol, scale 1; odd q: q bits, scale 2), which turns the Lee
  distance into a Hamming distance exactly.
* symbols: two symbols to a byte up to q = 16, one up to q = 256, in two bytes beyond; the distance
  is a sum over positions of `steps[|a - b|]`. Codes that are stored as half or whole bytes
  (q = 9, 11..16 and 129..256) are used as they are.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import native
from isohash.alphabets import bits_per_symbol, pack_symbols
from isohash.errors import InputError
from isohash.index.reference import step_distances
from isohash.records import Codes

WORD_BYTES = 8

# Lee codes whose thermometers take no more bits a symbol are searched by them (q up to 8, and 10).
# At 5 bits they take a quarter more memory than half bytes, and bits are counted faster than that.
THERMOMETER_MAX_BITS = 5

# Alphabets of which two symbols fit a byte, and of which one does; two bytes hold any other.
HALF_BYTE_Q = 16
BYTE_Q = 256

# Rows whose symbols are unpacked at a time.
UNPACKED_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Layout:
    """How codes of one kind are searched: `steps` is None for the words layout."""

    length: int
    q: int
    metric: str
    top: int  # the largest symbol: less than q - 1 where the positions' alphabets say so
    width: int  # elements of an expanded row: words, bytes, or symbols of two bytes
    scale: int  # differing bits per unit of distance
    steps: NDArray[np.int32] | None  # distance of two symbols by |a - b|, shape (q,)

    @property
    def symbol_bits(self) -> int:
        """Bits of a symbol in memory: 1 (words), 4 (two symbols share a byte), 8 or 16."""
        if self.steps is None:
            return 1
        if self.wraps and self.q > BYTE_Q:  # the kernels keep the circle's size beside symbols
            return 16
        return 4 if self.top < HALF_BYTE_Q else 8 if self.top < BYTE_Q else 16

    @property
    def wraps(self) -> bool:
        """Whether the short way round the circle is ever the other one."""
        return 2 * self.top > self.q

    @property
    def largest(self) -> int:
        """An upper bound of the distance between two codes."""
        if self.steps is None:
            return self.width * WORD_BYTES * 8 // self.scale
        return self.length * int(self.steps.max())

    def expand(self, codes: Codes, threads: int = 1) -> NDArray[Any]:
        """The codes in this layout: uint64 words, or uint8 or uint16 symbols, (n, width).

        Codes that are stored as they are searched are not copied, so that a memory-mapped file is
        searched in place. `threads` share the look-up in unequal alphabets.
        """
        if self.steps is None and self.q == 2:
            return words_of(codes.packed)
        if self.searches_in_place(codes):
            return np.ascontiguousarray(codes.packed)
        if codes.alphabets is not None and self.symbol_bits == 16:
            return codes.alphabets.symbols(codes.packed, threads)
        out = np.empty((len(codes), self.width), dtype=self._dtype)
        for start in range(0, len(codes), UNPACKED_ROWS):
            part = codes[start : start + UNPACKED_ROWS].symbols()
            out[start : start + UNPACKED_ROWS] = self._arranged(part)
        return out

    def searches_in_place(self, codes: Codes) -> bool:
        """Whether stored codes are searched as they are: whole words, or half or whole bytes."""
        if self.steps is None:
            return self.q == 2 and codes.packed.shape[1] % WORD_BYTES == 0
        if codes.alphabets is not None:
            return False
        return bits_per_symbol(codes.q) == self.symbol_bits < 16

    def keeps(self, codes: Codes) -> bool:
        """Whether expanded codes still hold the stored bytes, perhaps with padding behind."""
        return (self.steps is None and self.q == 2) or self.searches_in_place(codes)

    @property
    def _dtype(self) -> type[np.uint64 | np.uint8 | np.uint16]:
        if self.steps is None:
            return np.uint64
        return np.uint16 if self.symbol_bits == 16 else np.uint8

    def _arranged(self, symbols: NDArray[np.int64]) -> NDArray[Any]:
        if self.steps is None:
            return words_of(thermometer(symbols, self.q))
        return half_bytes(symbols) if self.symbol_bits == 4 else symbols


@lru_cache(maxsize=64)
def layout_of(length: int, q: int, metric: str | None, top: int | None = None) -> Layout:
    """The layout for codes of `length` symbols from `q`, searched by `metric`.

    `top` is the largest symbol in use, by default q - 1.
    """
    top = q - 1 if top is None else top
    steps = step_distances(q, metric)[: top + 1]
    name = metric or ("hamming" if q == 2 else "lee")
    if length * max(2, int(steps.max())) > native.MAX_DISTANCE:
        raise InputError(
            f"{name} distances of {length} symbols (q = {q}) do not fit 32 bits: use shorter codes"
        )
    if q == 2:  # one bit a symbol: the three metrics agree
        return Layout(length, q, name, 1, _n_words(length), 1, None)
    bits, scale = (q // 2, 1) if q % 2 == 0 else (q, 2)
    if name == "lee" and bits <= THERMOMETER_MAX_BITS:
        return Layout(length, q, name, top, _n_words(length * bits), scale, None)
    width = -(-length // 2) if top < HALF_BYTE_Q else length
    return Layout(length, q, name, top, width, 1, steps.astype(np.int32))


def layout_for(codes: Codes) -> Layout:
    """The layout for such codes."""
    return layout_of(codes.length, codes.q, codes.metric, top_symbol(codes))


def top_symbol(codes: Codes) -> int:
    """The largest symbol that such codes may hold."""
    return codes.q - 1 if codes.alphabets is None else int(codes.alphabets.values.max())


def words_of(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Rows of bytes as rows of 64-bit words, zero-padded; no copy where none is needed."""
    if packed.shape[1] % WORD_BYTES == 0 and packed.flags.c_contiguous:
        return packed.view(np.uint64)
    n_words = -(-packed.shape[1] // WORD_BYTES)
    padded = np.zeros((len(packed), n_words * WORD_BYTES), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def half_bytes(symbols: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Symbols below 16, two to a byte, the first in the high half; an odd one out is padded."""
    out = np.zeros((len(symbols), -(-symbols.shape[1] // 2)), dtype=np.uint8)
    out += (symbols[:, ::2] << 4).astype(np.uint8)
    out[:, : symbols.shape[1] // 2] |= symbols[:, 1::2].astype(np.uint8)
    return out


def thermometer(symbols: NDArray[Any], q: int) -> NDArray[np.uint8]:
    """Cyclic thermometer bits of Lee symbols, packed, shape (n, n_bytes).

    Symbol s sets a window of bits that slides round a circle, so two symbols differ in as many
    bits as they are steps apart (twice as many for odd q).
    """
    table = thermometer_table(q)
    n_bits = table.shape[1]
    if n_bits <= 16:  # a symbol's bits as one number
        numbers = (table @ (1 << np.arange(n_bits - 1, -1, -1))).astype(np.uint16)
        return pack_symbols(numbers[symbols], np.full(symbols.shape[1], n_bits, np.uint8))
    bits = table[symbols]  # (n, length, n_bits)
    return np.packbits(bits.reshape(len(symbols), symbols.shape[1] * n_bits), axis=1)


@lru_cache(maxsize=64)
def thermometer_table(q: int) -> NDArray[np.bool_]:
    """The thermometer bits of each symbol, shape (q, bits per symbol)."""
    symbol = np.arange(q)[:, None]
    if q % 2 == 0:
        half = q // 2
        position = np.arange(half)
        return (position < symbol) & (position >= symbol - half)
    # Odd q: a window of (q - 1)/2 set bits that starts at bit s; one step changes both its ends.
    position = np.arange(q)
    return (position - symbol) % q < q // 2


def _n_words(n_bits: int) -> int:
    return -(-n_bits // (WORD_BYTES * 8))


if sys.byteorder != "little":  # pragma: no cover - no such machine is supported by numpy wheels
    raise ImportError("isohash.index needs a little-endian machine")
