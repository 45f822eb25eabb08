"""What is put into a store: cases, checked, and their arrays as the blocks of one segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isohash.archive import folder
from isohash.archive.segment_format import DTYPES, Pieces
from isohash.archive.segments import array_bytes
from isohash.errors import InputError

Arrays = Mapping[str, NDArray[Any]]
Shape = tuple[str, np.dtype[Any], tuple[int, ...]]


class Put(NamedTuple):
    """A case to be kept: its id, what is known of it, its arrays, and what tells a change of it."""

    id: str
    metadata: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    fingerprint: str = ""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of a segment, numbered from 1 (block 0 is its content).

    `shapes` are name, type and shape of each, `sources` its bytes, `rows` of each case: array name
    -> [block, first row, count].
    """

    shapes: Sequence[Shape]
    sources: Sequence[Pieces]
    rows: Sequence[Mapping[str, list[int]]]


@dataclass
class _Block:
    """A block that grows: arrays of one name, type and shape of rows."""

    number: int
    parts: list[NDArray[Any]] = field(default_factory=list)
    n: int = 0

    def take(self, array: NDArray[Any]) -> list[int]:
        """Add an array; where its rows are."""
        first, self.n = self.n, self.n + len(array)
        self.parts.append(array)
        return [self.number, first, len(array)]


def joined(cases: Sequence[Arrays]) -> Blocks:
    """The arrays of cases, each with at least one axis, one after the other."""
    blocks: dict[Any, _Block] = {}
    rows = []
    for arrays in cases:
        where = {}
        for name, array in arrays.items():
            key = name, array.dtype, array.shape[1:]
            block = blocks.setdefault(key, _Block(len(blocks) + 1))
            where[name] = block.take(array)
        rows.append(where)
    shapes = [(name, dtype, (block.n, *row)) for (name, dtype, row), block in blocks.items()]
    return Blocks(shapes, [list(map(array_bytes, b.parts)) for b in blocks.values()], rows)


def checked(case: Put) -> Put:
    """The case as it is stored; InputError says what cannot be."""
    check_text(case.id, "a case id", empty=False)
    check_text(case.fingerprint, "a fingerprint")
    facts = folder.normalised(dict(case.metadata), f"metadata of case {case.id!r}")
    stored = {name: _as_column(name, array) for name, array in case.arrays.items()}
    return Put(case.id, facts, stored, case.fingerprint)


def _as_column(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array as it is stored: little-endian, contiguous, with at least one axis."""
    check_text(name, "an array name", empty=False)
    found = np.asarray(array)
    if found.dtype.newbyteorder("<").str not in DTYPES:
        raise InputError(
            f"array {name!r} has dtype {found.dtype}; the archive holds integers, floats and bool"
        )
    if found.ndim == 0:
        raise InputError(f"array {name!r} is a scalar; put it into the metadata or give it an axis")
    return np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("<"))


def check_text(text: str, what: str, empty: bool = True) -> None:
    """InputError unless `what` is text that UTF-8 can hold."""
    if not isinstance(text, str) or (not text and not empty):
        raise InputError(f"{what} must be text{'' if empty else ' and not empty'}, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} must be valid Unicode, got {text!r}") from None
