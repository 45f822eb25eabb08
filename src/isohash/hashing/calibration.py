"""Code distance -> Euclidean distance with a confidence interval, and "beyond range".

Two sources, one table. In closed form (`Calibration.of`): the expected code distance is inverted,
and the interval holds every distance that would not make the observed count surprising, by the
exact binomial law for bits (Clopper and Pearson 1934), by the central limit for q-ary symbols.
From held-out rows (`Calibration.fit`), for any hash: quantiles of the true distance among pairs of
nearly the same code distance, of rows with their nearest and of random pairs (`measured`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError
from isohash.hashing.drawn import DrawnHash
from isohash.hashing.fitted.points import PointHash

if TYPE_CHECKING:  # what makes tables is imported to make them: a query reads them
    from isohash.hashing.measured import Curves
    from isohash.hashing.resolution import Response

VERSION = 1
KNOTS = 513  # rows of the table
Column = NDArray[np.float64]

OWN_UNIT = 0.5  # of a fitted code's unit: what an interval leaves room for on either side
SHORTEST = 1e-9  # arm of an interval of bits, as a share of the farthest distance told: rounding


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

    Example:
        >>> import isohash, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((200, 16))
        >>> hash_ = isohash.KernelHasher(n_bits=1024).fit(X).hash_
        >>> told = isohash.Calibration.of(hash_).estimate([0, 100])
        >>> float(told.estimate[0]), bool(told.low[1] < told.estimate[1] < told.high[1])
        (0.0, True)
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
        groups: ArrayLike | None = None,
    ) -> Calibration:
        """From rows of X (n, d), which the hash should not have been fitted to.

        Intervals hold for the nearest by code, as an answer shows them, and for random pairs.
        `groups` (n,) names the patient (or other origin) of each row: an answer does not show rows
        of the query's own.
        """
        from isohash.hashing.measured import Measuring
        from isohash.hashing.pairs import nearest_pairs, sample_pairs

        _check_confidence(confidence)
        near, far = nearest_pairs(hash_, X, rng, groups), sample_pairs(hash_, X, rng)
        farthest = max(float(far[0][-1]), float(near.code.max()))
        beyond = float(np.nextafter(farthest, math.inf))
        tail, source = (1.0 - confidence) / 2.0, f"{near.code.size + len(far[0])} pairs"
        if isinstance(hash_, PointHash):
            unit = hash_.unit
            measuring = Measuring(lambda x: x * unit, OWN_UNIT * unit, tail)
            near = replace(near, code=np.sqrt(near.code))
            found = measuring.curves(near, (np.sqrt(far[0]), far[1]), rng)
            return cls._of_curves(found, beyond, confidence, source, squared=True)
        law = cls.of(hash_, confidence)
        beyond = min(beyond, law.beyond)
        seen = far[0] < beyond
        if not seen.any():
            return law
        measuring = Measuring(law._means, SHORTEST * float(law.estimates[-1]), tail, beyond)
        found = measuring.curves(near, (far[0][seen], far[1][seen]), rng)
        if not seen.all():
            found = _with_blind_end(found, far[1][~seen], beyond, 2.0 * tail)
        return cls._of_curves(found, beyond, confidence, source)

    @classmethod
    def _of_curves(
        cls, found: Curves, beyond: float, confidence: float, source: str, squared: bool = False
    ) -> Calibration:
        table = (found.x, found.middle, found.low, found.high)
        return cls(*table, beyond, confidence, source, squared)

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

    def _means(self, code: Column) -> Column:
        return np.asarray(np.interp(code, self.distances, self.estimates))

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
    from isohash.hashing.cosine import CosineHash
    from isohash.hashing.lee import LeeHash
    from isohash.hashing.resolution import response

    if isinstance(hash_, CosineHash | LeeHash):
        return response(hash_)
    raise InputError(
        f"a {hash_.family} hash has no closed form: use Calibration.fit with held-out embeddings"
    )


def _with_blind_end(found: Curves, true: Column, beyond: float, tail: float) -> Curves:
    """The curves with one last row: all pairs beyond range, and their one-sided lower bound."""
    low = max(float(np.quantile(true, tail)), found.low[-1])
    middle = max(float(np.median(true)), found.middle[-1], low)
    x, m, lows = (np.append(c, e) for c, e in
                  ((found.x, beyond), (found.middle, middle), (found.low, low)))  # fmt: skip
    return replace(
        found, x=x, middle=m, low=lows, high=np.append(found.high, max(found.high[-1], middle))
    )


def _check_confidence(confidence: float) -> None:
    if not 0.5 <= confidence < 1.0:
        raise InputError(f"confidence must lie in [0.5, 1), got {confidence}")
