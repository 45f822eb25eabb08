"""Frozen records that cross the borders between modules; this module knows none of them.

A `Case` is read by `sources`, turned into embeddings by `features`, into `Codes` by `hashing`,
searched by `index` (`Hits`) and kept by `archive`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.alphabets import Alphabets, bits_per_symbol, pack_symbols, unpack_symbols
from isohash.errors import InputError
from isohash.whole_files import whole_file

Metric = Literal["hamming", "lee", "squared_lee"]
METRICS: tuple[Metric, ...] = ("hamming", "lee", "squared_lee")


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D array with its place in the patient.

    `array` has shape (z, y, x): `array[k]` is one slice. `affine` (4, 4) takes the array index
    (k, j, i, 1) to patient coordinates in mm, LPS as in DICOM: x to the patient's left, y to the
    back, z to the head. Values are HU for CT, Gy for dose, bool for structures.

    Example:
        >>> import isohash, numpy as np
        >>> affine = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
        >>> ct = isohash.Volume(np.zeros((10, 64, 64), np.int16), affine)
        >>> ct.spacing_mm, ct.voxel_cc
        ((3.0, 2.0, 2.0), 0.012)
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, dtype=np.float64)
        if self.array.ndim != 3:
            raise InputError(f"a volume has 3 axes (z, y, x), got shape {self.array.shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(f"affine must be a finite (4, 4) matrix, got shape {affine.shape}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise InputError("affine is singular: check the voxel spacing and the axis directions")
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along the array axes (z, y, x)."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The shape of `array`, known also where that is not made yet."""
        return self.array.shape

    def slab(self, first: int, stop: int) -> NDArray[Any]:
        """Slices `first` to `stop` of the array; a volume that is made of others makes no more."""
        return self.array[first:stop]

    @property
    def voxel_cc(self) -> float:
        """Volume of one voxel in cubic centimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)


@dataclass(frozen=True, eq=False)
class Case:
    """One plan of one patient, free of identity. Absent parts are None or empty.

    `patient` groups the cases of one patient (a pseudonym); `label` is a known class or family,
    where there is one. `dose` and `structures` lie on the CT grid; without a CT
    structures may lie on another than the dose, and dose is sampled in them by `dvh`. `facts` are
    plain values known of plan and dose, such as `n_fractions` and `technique`, by which cases can
    be filtered. `possible` is where dose may lie, with air around the body, if a source tells.

    Example:
        >>> import isohash, numpy as np
        >>> ct = isohash.Volume(np.zeros((10, 64, 64), np.int16), np.eye(4))
        >>> case = isohash.Case("phantom", ct=ct, prescription_gy=60.0)
        >>> case.patient, case.dose is None
        ('phantom', True)
    """

    id: str
    ct: Volume | None = None
    dose: Volume | None = None
    structures: Mapping[str, Volume] = field(default_factory=dict)
    prescription_gy: float | None = None
    warnings: tuple[str, ...] = ()
    patient: str = ""
    label: str | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    possible: Volume | None = None

    def __post_init__(self) -> None:
        if not self.patient:
            object.__setattr__(self, "patient", self.id)


@dataclass(frozen=True, eq=False)
class Image:
    """One image of any subject, free of identity: `pixels` uint8 (rows, columns, 3), sRGB.

    Sources reduce large images. `label` is a known class, where there is one, `patient` groups the
    images of one patient, and `facts` are plain values by which images can be filtered, such as the
    `folder` it lay in, and `width` and `height` of the original in pixels. InputError for pixels of
    another shape or type.

    Example:
        >>> import isohash, numpy as np
        >>> tile = isohash.Image("tile", np.zeros((64, 48, 3), np.uint8), label="benign")
        >>> tile.patient, tile.label
        ('tile', 'benign')
    """

    id: str
    pixels: NDArray[np.uint8]
    label: str | None = None
    patient: str = ""
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
            raise InputError(
                f"an image has pixels uint8 (rows, columns, 3), got {dtype} of shape {shape}"
            )
        if not self.patient:
            object.__setattr__(self, "patient", self.id)


@dataclass(frozen=True, eq=False)
class Vectors:
    """Plain vectors as a source: `array` (n, d) float32; names of rows and labels (n,) if known.

    Example:
        >>> import isohash, numpy as np
        >>> vectors = isohash.Vectors(np.ones((2, 8), np.float32), ids=("first", "second"))
        >>> vectors.array.shape, vectors.ids
        ((2, 8), ('first', 'second'))
    """

    array: NDArray[np.float32]
    ids: tuple[str, ...] | None = None
    labels: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Hits:
    """Nearest items, best first: both arrays have shape (n_queries, k).

    Ids are integers, or strings where the index was given strings. As elsewhere, a result unpacks
    into distances and ids: `D, I = index.search(codes, k)`.

    Example:
        >>> import isohash, numpy as np
        >>> codes = isohash.Codes.from_symbols(np.eye(4, 8, dtype=int), q=2)
        >>> hits = isohash.FlatIndex.of(codes).search(codes[:1], k=2)
        >>> hits.ids.tolist(), hits.distances.tolist()
        ([[0, 1]], [[0, 2]])
    """

    ids: NDArray[Any]
    distances: NDArray[np.int32]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.distances, self.ids))


@dataclass(frozen=True, eq=False)
class Codes:
    """Hash codes as they are stored: `packed` uint8 (n, n_bytes), `length` symbols of alphabet `q`.

    For q = 2 the layout is that of `numpy.packbits`. For larger q every symbol takes
    `bits_per_symbol(q)` bits, most significant first, symbols in order, zero-padded to a byte.
    With `alphabets` the positions take the bits that these say instead. `metric` None means
    Hamming for q = 2 and Lee otherwise. `hash_digest` tells which hash made the codes, where that
    is known: codes of two hashes cannot be compared.

    Example:
        >>> import isohash
        >>> codes = isohash.Codes.from_symbols([[0, 4, 2], [1, 1, 1]], q=5)
        >>> codes.shape, codes.metric, codes.stored_bits
        ((2, 3), 'lee', 16)
        >>> codes[1:].symbols().tolist()
        [[1, 1, 1]]
    """

    packed: NDArray[np.uint8]
    length: int
    q: int = 2
    metric: Metric | None = None
    alphabets: Alphabets | None = None
    hash_digest: str | None = None

    def __post_init__(self) -> None:
        packed = np.asarray(self.packed)
        if self.q < 2:
            raise InputError(f"q must be at least 2 symbols, got {self.q}")
        if self.length < 1:
            raise InputError(f"a code has at least 1 symbol, got length {self.length}")
        n_bytes = -(-self._n_bits() // 8)
        if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != n_bytes:
            raise InputError(
                f"packed codes of {self.length} symbols (q = {self.q}) are uint8 of shape "
                f"(n, {n_bytes}), got {packed.dtype} of shape {packed.shape}"
            )
        metric = self.metric or ("hamming" if self.q == 2 else "lee")
        if metric not in METRICS:
            raise InputError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
        object.__setattr__(self, "packed", packed)
        object.__setattr__(self, "metric", metric)

    def _n_bits(self) -> int:
        if self.alphabets is None:
            return self.length * bits_per_symbol(self.q)
        if self.alphabets.length != self.length or self.alphabets.values.max() >= self.q:
            raise InputError(f"the alphabets do not fit {self.length} symbols in 0..{self.q - 1}")
        return int(self.alphabets.widths.sum(dtype=np.int64))

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n, length) of the symbols, as which NumPy sees the codes."""
        return len(self), self.length

    @property
    def ndim(self) -> int:
        """Axes of the symbols."""
        return 2

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return iter(self.symbols())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.symbols().astype(dtype or np.int64, copy=False)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Codes:
        return replace(self, packed=self.packed[rows])

    @cached_property
    def stored_bits(self) -> int:
        """Bits that one code takes on disk."""
        return 8 * int(self.packed.shape[1])

    @classmethod
    def from_symbols(cls, symbols: ArrayLike, q: int, metric: Metric | None = None) -> Codes:
        """Pack integer symbols (n, length), each in 0..q-1; InputError for any other number."""
        array = np.atleast_2d(np.asarray(symbols))
        if array.dtype.kind not in "biu":
            raise InputError(
                f"symbols must be integers in 0..{q - 1}, got {array.dtype}: round them first, or "
                "let a hasher make codes of real numbers"
            )
        if array.size and (array.min() < 0 or array.max() >= q):
            raise InputError(f"symbols must lie in 0..{q - 1}, got {array.min()}..{array.max()}")
        if q == 2:
            return cls(np.packbits(array.astype(bool), axis=1), array.shape[1], 2, metric)
        widths = np.full(array.shape[1], bits_per_symbol(q), np.uint8)
        return cls(pack_symbols(array, widths), array.shape[1], q, metric)

    def symbols(self) -> NDArray[np.int64]:
        """The unpacked symbols, shape (n, length)."""
        if self.alphabets is not None:
            return self.alphabets.symbols(self.packed).astype(np.int64)
        widths = np.full(self.length, bits_per_symbol(self.q), np.uint8)
        return unpack_symbols(self.packed, widths).astype(np.int64)

    def save(self, path: str | Path) -> None:
        """Write the codes to one file, without pickle."""
        kind = {"length": self.length, "q": self.q, "metric": self.metric}
        header = json.dumps({**kind, "hash_digest": self.hash_digest})
        arrays = {"packed": self.packed, "header": np.array(header)}
        if self.alphabets is not None:
            arrays |= self.alphabets.arrays()
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Codes:
        """Read codes written by `save`."""
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                alphabets = Alphabets.of(file) if "widths" in file else None
                return cls(
                    file["packed"],
                    header["length"],
                    header["q"],
                    header["metric"],
                    alphabets,
                    header.get("hash_digest"),  # files of version 0.1 do not tell
                )
        except (KeyError, ValueError, OSError) as error:
            raise InputError(f"{path} does not hold isohash codes: {error}") from error
