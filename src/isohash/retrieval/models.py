"""The hash of one view with what its code distances mean; how it is kept in an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.hashing.calibration import Calibration
from isohash.hashing.drawn import DrawnHash, load_hash
from isohash.hashing.fitted.points import PointHash
from isohash.records import Codes


@dataclass(frozen=True, eq=False)
class HashModel:
    """What turns embeddings into codes, and code distances back into embedding distances.

    `near` is the embedding distance at which an item typically has its 50th nearest neighbour.
    """

    hash: DrawnHash
    calibration: Calibration
    near: float

    @cached_property
    def _no_codes(self) -> Codes:
        return self.hash.encode(np.zeros((0, self.hash.dim), np.float32))

    @property
    def length(self) -> int:
        """Symbols of a code."""
        return self._no_codes.length

    @cached_property
    def linear(self) -> bool:
        """Whether codes estimate the distance itself; the others count differing symbols."""
        return isinstance(self.hash, PointHash)

    def asking(self, vectors: NDArray[np.floating]) -> Codes:
        """Queries (n, d) as codes that rank stored ones best, where candidates are looked for.

        Codes that stand for points are asked with the finer codes of `encode_queries`: only the
        stored side is then as coarse as its bits.
        """
        if isinstance(self.hash, PointHash):
            return self.hash.encode_queries(vectors)
        return self.hash.encode(vectors)

    def measured(self, counts: ArrayLike) -> NDArray[np.float64]:
        """Integer code distances as distances that may be averaged and added over views.

        The share of differing symbols or, where codes estimate the distance itself, that distance
        in units of `near`.
        """
        if isinstance(self.hash, PointHash):
            return np.sqrt(np.asarray(counts, dtype=np.float64)) * (self.hash.unit / self.near)
        return np.asarray(counts, dtype=np.float64) / self.length

    @cached_property
    def near_measured(self) -> float:
        """The distance of near neighbours, as `measured` tells distances."""
        if self.linear:
            return 1.0
        return float(self.measured(self.calibration.code_distance([self.near]))[0])

    def untold(self, vectors: NDArray[np.floating], codes: Codes) -> NDArray[np.float64] | None:
        """How far vectors (n, d) lie from the points of their codes, in units of `near`.

        None for codes that stand for no point.
        """
        if not isinstance(self.hash, PointHash):
            return None
        told = self.hash.project(vectors)
        x = np.asarray(vectors, dtype=np.float64) - self.hash.center
        along = x @ self.hash.axes.astype(np.float64)
        outside = np.maximum((x**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        within = ((told - self.hash.reconstruct(codes)) ** 2).sum(axis=1)
        return np.asarray(np.sqrt(outside + within) / self.near)

    def counted(self, distance: float) -> float:
        """The code distance that `measured` turned into this."""
        if isinstance(self.hash, PointHash):
            return float((distance * self.near / self.hash.unit) ** 2)
        return distance * self.length

    def codes(self, packed: NDArray[np.uint8] | None) -> Codes:
        """Stored bytes as codes again; None, or the bytes of no code at all, are zero codes."""
        if packed is None or not len(packed):
            return self._no_codes
        return self.hash.codes(np.ascontiguousarray(packed))


def mark(generation: int) -> str:
    """What distinguishes the names of one generation of hashes from another's."""
    return f"@{generation}" if generation else ""


def codes_name(view: str, generation: int) -> str:
    """The array of a view's codes made by one generation of hashes."""
    return f"codes.{view}{mark(generation)}"


def model_names(view: str, generation: int) -> tuple[str, str]:
    """The names of what `model_files` makes."""
    return f"hash-{view}{mark(generation)}", f"calibration-{view}{mark(generation)}"


def model_files(view: str, model: HashModel, generation: int = 0) -> dict[str, bytes]:
    """A hash and its calibration as named blobs for an archive."""
    contents = (model.hash.to_bytes(), model.calibration.to_json().encode())
    return dict(zip(model_names(view, generation), contents, strict=True))


def load_model(
    view: str, near: float, read: Callable[[str], bytes], generation: int = 0
) -> HashModel:
    """What `model_files` made, read back by name."""
    hashed, calibrated = map(read, model_names(view, generation))
    return HashModel(load_hash(hashed), Calibration.from_json(calibrated.decode()), near)
