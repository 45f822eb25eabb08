"""Code distance -> Euclidean distance with a confidence interval, and "beyond range".

Two sources, one table. In closed form (`Calibration.of`): the expected code distance is inverted,
and the interval holds every distance that would not make the observed count surprising, by the
exact binomial law for bits (Clopper and Pearson 1934), by the central limit for q-ary symbols.
From held-out pairs (`Calibration.fit`), for any hash: quantiles of the true distance among pairs
of nearly the same code distance.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.hashing.cosine import CosineHash
from isohash.hashing.drawn import DrawnHash
from isohash.hashing.fitted.points import PointHash
from isohash.hashing.lee import LeeHash
from isohash.hashing.pairs import sample_pairs
from isohash.hashing.resolution import Response, response

VERSION = 1
KNOTS = 513  # rows of the table
Column = NDArray[np.float64]
Table = tuple[Column, Column, Column, Column]  # code distance, estimate, low, high

SMALLEST_WINDOW = 400  # pairs from which quantiles are taken, at the near end
WINDOW_SHARE = 0.02  # of all pairs, elsewhere


@dataclass(frozen=True, eq=False)
class Estimate:
    """Distances read off codes; every array has the shape of the code distances.

    `low` and `high` bound the distance with the calibration's confidence. Where `beyond_range`,
    the code says only "at least `low`": `high` is infinite and `estimate` a lower bound too.
    """

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    beyond_range: NDArray[np.bool_]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.estimate, self.low, self.high, self.beyond_range))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A table over ascending code `distances`: estimate, low and high, read by interpolation.

    From the code distance `beyond` on, the code cannot tell how far away an item is. `squared`
    says that codes are compared by a squared distance: then the table is over its root.
    """

    distances: NDArray[np.float64]
    estimates: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    beyond: float
    confidence: float
    source: str
    squared: bool = False

    @classmethod
    def of(cls, hash_: DrawnHash, confidence: float = 0.95) -> Calibration:
        """From the closed form of a cosine or q-ary hash."""
        _check_confidence(confidence)
        curve = _response_of(hash_)
        code = np.unique(np.rint(np.linspace(0, curve.n * curve.largest, KNOTS)))
        low, high = curve.interval(code, confidence)
        blind = np.isinf(high)
        middle = curve.invert(code / curve.n)
        return cls(
            code,
            middle,
            low,
            np.where(blind, middle, high),
            float(code[blind].min(initial=np.inf)),
            confidence,
            "closed form",
        )

    @classmethod
    def fit(
        cls,
        hash_: DrawnHash,
        X: ArrayLike,
        rng: np.random.Generator,
        confidence: float = 0.95,
    ) -> Calibration:
        """From pairs of rows of X (n, d), which the hash should not have been fitted to."""
        _check_confidence(confidence)
        code, true = sample_pairs(hash_, X, rng)
        source, beyond = f"{len(code)} pairs", float(np.nextafter(code[-1], math.inf))
        if not isinstance(hash_, PointHash):
            beyond = min(beyond, cls.of(hash_, confidence).beyond)
        squared = isinstance(hash_, PointHash)
        x = np.sqrt(code) if squared else code
        blind = int(np.searchsorted(code, beyond))
        table = _windowed_quantiles(x[:blind], true[:blind], (1.0 - confidence) / 2.0)
        if blind < len(code):
            table = _with_blind_end(table, true[blind:], beyond, 1.0 - confidence)
        return cls(table[0], table[1], table[2], table[3], beyond, confidence, source, squared)

    def estimate(self, distance: ArrayLike) -> Estimate:
        """Distances, intervals and "beyond range" for code distances of any shape."""
        code = np.asarray(distance, dtype=np.float64)
        if code.size and not (code >= 0).all():
            raise InputError(f"code distances must be >= 0, got {code.min()}")
        beyond = code >= self.beyond
        if self.squared:
            code = np.sqrt(code)
        middle, low, high = (
            np.interp(code, self.distances, column)
            for column in (self.estimates, self.lows, self.highs)
        )
        return Estimate(middle, low, np.where(beyond, np.inf, high), beyond)

    def code_distance(self, distance: ArrayLike) -> NDArray[np.float64]:
        """The code distance at which `estimate` gives a distance: its inverse, any shape."""
        code = np.interp(np.asarray(distance, np.float64), self.estimates, self.distances)
        return np.asarray(code * code if self.squared else code)

    def to_json(self) -> str:
        """The table as JSON; `from_json` reads it."""
        arrays = {k: v.tolist() for k, v in asdict(self).items() if isinstance(v, np.ndarray)}
        beyond = self.beyond if math.isfinite(self.beyond) else None
        rest = {"beyond": beyond, "confidence": self.confidence, "source": self.source}
        rest["squared"] = self.squared
        return json.dumps({"version": VERSION, **rest, **arrays}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read what `to_json` wrote."""
        try:
            data = json.loads(text)
            if data["version"] != VERSION:
                raise InputError(f"calibration of version {data['version']}: update isohash")
            beyond = math.inf if data["beyond"] is None else float(data["beyond"])
            return cls(
                np.array(data["distances"], dtype=np.float64),
                np.array(data["estimates"], dtype=np.float64),
                np.array(data["lows"], dtype=np.float64),
                np.array(data["highs"], dtype=np.float64),
                beyond,
                float(data["confidence"]),
                str(data["source"]),
                bool(data["squared"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is not a saved calibration: {error}") from error


def range_of_view(hash_: DrawnHash, distances: ArrayLike, confidence: float = 0.95) -> float:
    """Share of the `distances` (of sampled pairs) that the code cannot tell from infinity.

    Near 1 the code is blind on this archive: code distance against true distance is the flat
    scatter of a kernel whose bandwidth does not fit the data.
    """
    r = np.asarray(distances, dtype=np.float64).ravel()
    if not len(r) or not np.isfinite(r).all() or r.min() < 0:
        raise InputError("range_of_view needs finite distances >= 0 of some sampled pairs")
    if isinstance(hash_, PointHash):
        return 0.0  # its distances never wrap or level off
    _check_confidence(confidence)
    curve = _response_of(hash_)
    code = np.linspace(0, curve.n * curve.largest, KNOTS)
    _, high = curve.interval(code, confidence)
    last = code[np.isinf(high)].min(initial=np.inf)
    return float(np.mean(curve.mean_at(r) * curve.n >= last))


def _response_of(hash_: DrawnHash) -> Response:
    if isinstance(hash_, CosineHash | LeeHash):
        return response(hash_)
    raise InputError(
        f"a {hash_.family} hash has no closed form: use Calibration.fit with held-out embeddings"
    )


def _windowed_quantiles(x: Column, true: Column, tail: float) -> Table:
    """Monotone quantiles of `true` over windows of ascending `x`, with rows for both ends of x.

    Windows hold a share of the pairs, fewer at both ends: at the near end lie the results of a
    query. Within a window the trend is taken out by a straight line before quantiles are read.
    """
    rows = []
    for start, end in itertools.pairwise(_window_edges(len(x)).tolist()):
        part, y = x[start:end], true[start:end]
        center = part.mean()
        slope = np.polyfit(part - center, y, 1)[0] if np.ptp(part) > 0 else 0.0
        rows.append([center, *np.quantile(y - slope * (part - center), (0.5, tail, 1 - tail))])
    rows.append([x[-1], *(np.array(rows[-1][1:]) + max(slope, 0.0) * (x[-1] - center))])
    table = np.array(rows)
    table = table[np.concatenate([[True], np.diff(table[:, 0]) > 0])]
    middle, low, high = (np.maximum.accumulate(np.maximum(c, 0.0)) for c in table.T[1:])
    if table[0, 0] == 0:
        return table[:, 0], middle, low, high
    zero = np.zeros(1)
    return (
        np.concatenate([zero, table[:, 0]]),
        np.concatenate([zero, middle]),
        np.concatenate([zero, low]),
        np.concatenate([high[:1], high]),
    )


def _with_blind_end(table: Table, true: Column, beyond: float, tail: float) -> Table:
    """The table with one last row: all pairs beyond range, and their one-sided lower bound."""
    end = (beyond, np.median(true), np.quantile(true, tail), table[3][-1])
    x, middle, low, high = (np.append(c, e) for c, e in zip(table, end, strict=True))
    return x, middle, low, high


def _window_edges(n: int) -> NDArray[np.int64]:
    """Ascending from 0 to n: windows double from both ends up to their share of all pairs."""
    half, edges = n // 2, [0]
    while edges[-1] < half:
        edges.append(edges[-1] + int(max(SMALLEST_WINDOW, min(edges[-1], WINDOW_SHARE * n))))
    near = np.array([e for e in edges if e <= half - SMALLEST_WINDOW // 2] or [0])
    return np.unique(np.concatenate([near, n - near]))


def _check_confidence(confidence: float) -> None:
    if not 0.5 <= confidence < 1.0:
        raise InputError(f"confidence must lie in [0.5, 1), got {confidence}")
