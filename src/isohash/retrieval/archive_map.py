"""An archive as points in a plane: what lies near what, what lies alone, what is there twice.

Plans lie as far apart as their histograms differ in Gy; where there are no plans, cases as far as
the mean points of their codes, vectors as far as their codes say. The two axes that keep most of
the squared distances are shown (principal coordinates: Torgerson 1952, Gower 1966), and a query
falls where its distances put it (Gower 1968). Nothing in it is random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import distance_matrix
from isohash.dosimetry.plan_distance import plan_distances
from isohash.errors import InputError
from isohash.hashing.fitted.points import PointHash
from isohash.records import Codes
from isohash.retrieval.engine import Archive, Session
from isohash.retrieval.items import Items
from isohash.retrieval.models import HashModel, codes_name
from isohash.retrieval.plan_code import STEP_GY
from isohash.retrieval.ways.plan import PlanWay
from isohash.retrieval.ways.vectors import VectorRows

MOST = 1500  # points; of more, evenly many are taken in the order of the archive
LISTED = 10  # outliers, and pairs
SHADES, OTHERS = 7, "others"  # values of a fact that are told apart, and the rest
TWICE = 0.1  # of the median distance to the nearest: what is nearer is told as there twice

GY, UNITS = "Gy", "distances of near neighbours (of codes that stand for no point: symbols)"

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Alone:
    """A case and how far its nearest is, itself left out."""

    id: str
    nearest: str
    distance: float


@dataclass(frozen=True)
class Twice:
    """Two cases that may be one, and why."""

    ids: tuple[str, str]
    distance: float
    why: str


@dataclass(frozen=True, eq=False)
class ArchiveMap:
    """Points (n, 2) of cases; `positions` (n,) are theirs in the archive, `apart` (n, n) distances.

    `space` says what the distances are, `unit` in what; `kept` is the share of the squared
    distances that the two axes keep. `sources` (n, d) are what was compared, None of plans.
    """

    ids: tuple[str, ...]
    positions: Places
    points: Numbers
    apart: Numbers
    kept: float
    space: str
    unit: str
    outliers: tuple[Alone, ...]
    twice: tuple[Twice, ...]
    sources: Numbers | None = None

    def place(self, apart: Numbers) -> tuple[float, float]:
        """Where something falls that lies so far (n,) from the cases."""
        squared = self.apart**2
        spread = np.maximum((self.points**2).sum(axis=0), 1e-12)
        found = (self.points.T @ (squared.mean(axis=0) - apart**2)) / (2.0 * spread)
        return float(found[0]), float(found[1])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = zip(self.ids, self.points.tolist(), strict=True)
        return {
            "space": self.space, "unit": self.unit, "kept": self.kept,
            "points": [{"id": name, "x": x, "y": y} for name, (x, y) in told],
            "outliers": [vars(one) for one in self.outliers],
            "twice": [{**vars(one), "ids": list(one.ids)} for one in self.twice],
        }  # fmt: skip


def archive_map(archive: Archive) -> ArchiveMap:
    """The map of an archive; InputError where fewer than three things can be compared.

    Example:
        >>> import isohash, numpy as np, tempfile
        >>> rows = np.random.default_rng(0).standard_normal((60, 16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = isohash.build_archive(rows, f"{folder}/archive", bits=64)
        ...     with isohash.Archive.open(f"{folder}/archive") as archive:
        ...         found = archive_map(archive)
        >>> found.points.shape, found.outliers[0].id in found.ids
        ((60, 2), True)
    """
    positions, apart, sources, space = _compared(archive)
    if len(positions) < 3:
        raise InputError("a map needs three cases that can be compared; index more")
    names = tuple(archive.contents.known(at)[0] for at in positions.tolist())
    points, kept = principal_coordinates(apart)
    patients = archive.contents.facts.column("patient")
    own = patients.code[positions] if any(v is not None for v in patients.values) else None
    return ArchiveMap(
        names, positions, points, apart, kept, space, GY if sources is None else UNITS,
        tuple(_outliers(names, apart, own)), tuple(_twice(names, apart, own)), sources,
    )  # fmt: skip


def principal_coordinates(apart: Numbers) -> tuple[Numbers, float]:
    """Points (n, 2) of distances (n, n), and the share of their squares that these keep.

    Each axis points to where its farthest point lies, so that the same distances give one map.
    """
    squared = apart**2
    centred = -0.5 * (squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None])
    centred -= 0.5 * squared.mean()
    values, vectors = np.linalg.eigh((centred + centred.T) / 2.0)
    first = np.argsort(-values)[:2]
    axes = vectors[:, first] * np.sqrt(np.maximum(values[first], 0.0))
    farthest = axes[np.abs(axes).argmax(axis=0), np.arange(2)]
    positive = float(values[values > 0].sum())
    kept = float(np.maximum(values[first], 0.0).sum()) / positive if positive > 0 else 0.0
    return axes * np.where(farthest < 0, -1.0, 1.0), kept


def query_place(found: ArchiveMap, session: Session) -> tuple[float, float] | None:
    """Where the query of a session falls; None where it cannot be compared in that space."""
    name = session.case
    if name in found.ids:
        x, y = found.points[found.ids.index(name)].tolist()
        return x, y
    if found.sources is not None:
        point = _query_point(session)
        return None if point is None else found.place(distance_matrix(point, found.sources)[0])
    plans = next((way.comparison for way in session.ways if isinstance(way, PlanWay)), None)
    if plans is None:
        return None
    rows = {case: row for row, case in enumerate(plans.case.tolist())}
    return found.place(plans.shared_gy[[rows[at] for at in found.positions.tolist()]])


def _query_point(session: Session) -> Numbers | None:
    """The point (1, d) of a query's codes, as those of an archive's items are made."""
    contents = session.archive.contents
    if isinstance(contents, Items):
        view, model = next(iter(contents.pipeline.models.items()))
        packed = session.query.arrays.get(codes_name(view, contents.pipeline.generation))
        codes = model.codes(packed)
        return _points(model, codes).mean(axis=0, keepdims=True) if len(codes) else None
    assert isinstance(contents, VectorRows)
    query = session.query
    own = None if query.position is None else contents.codes[np.array([query.position])]
    codes = contents.model.hash.encode(query.vectors[:1]) if own is None else own
    return _points(contents.model, codes)


Compared = tuple[Places, Numbers, Numbers | None, str]


def _compared(archive: Archive) -> Compared:
    """Positions of what is shown, their distances, what was compared, and what that is."""
    contents = archive.contents
    if isinstance(contents, Items):
        return _plans(contents) or _images(contents)
    assert isinstance(contents, VectorRows)  # as there is no other kind
    positions = _some(len(contents))
    points = _points(contents.model, contents.codes[positions])
    return positions, distance_matrix(points, points), points, "vectors, as their codes tell them"


def _plans(items: Items) -> Compared | None:
    """By plan, where three cases have one."""
    column = items.plans
    if column is None or len(column.case) < 3:
        return None
    rows = _some(len(column.case))
    doses = column.codes[rows].astype(np.float64) * STEP_GY
    doses[~column.known[rows]] = np.nan
    apart = plan_distances(doses, doses)
    apart = np.where(np.isnan(apart), np.nanmean(apart), apart)
    np.fill_diagonal(apart, 0.0)
    return column.case[rows], apart, None, "plans: mean difference of their histograms"


def _images(items: Items) -> Compared:
    """By the mean point of a case's codes in its first view."""
    view, model = next(iter(items.pipeline.models.items()))
    column = items.store.gather(codes_name(view, items.pipeline.generation))
    some = np.flatnonzero(np.diff(column.start) > 0)
    some = some[_some(len(some))]
    means = [
        _points(model, model.codes(column.array[column.start[at] : column.start[at + 1]])).mean(0)
        for at in some.tolist()
    ]
    points = np.array(means).reshape(len(some), -1)
    label = items.pipeline.kind.labels[view]
    told = f"{label}: the mean point of a case's codes"
    return some, distance_matrix(points, points), points, told


def _points(model: HashModel, codes: Codes) -> Numbers:
    """What codes stand for, in units of near neighbours; symbols themselves where for no point."""
    if isinstance(model.hash, PointHash):
        return np.asarray(model.hash.reconstruct(codes), dtype=np.float64) / model.near
    return np.asarray(codes.symbols(), dtype=np.float64)


def _some(n: int) -> Places:
    return np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(np.int64)) if n else np.arange(0)


def _outliers(names: Sequence[str], apart: Numbers, own: Places | None) -> list[Alone]:
    """Those whose nearest is farthest, others of the same patient left out."""
    others = apart.copy()
    others[_same(len(names), own)] = np.inf
    nearest = others.argmin(axis=1)
    found = others[np.arange(len(names)), nearest]
    order = np.argsort(-np.where(np.isfinite(found), found, -1.0), kind="stable")[:LISTED]
    return [Alone(names[at], names[nearest[at]], float(found[at])) for at in order.tolist()]


def _twice(names: Sequence[str], apart: Numbers, own: Places | None) -> list[Twice]:
    """Pairs that are much nearer than neighbours are, the nearest first, and pairs of a patient."""
    others = np.where(_same(len(names), None), np.inf, apart)
    limit = TWICE * float(np.median(others.min(axis=1)))
    first, second = np.triu_indices(len(names), 1)
    same = np.zeros(len(first), dtype=bool) if own is None else own[first] == own[second]
    picked = np.flatnonzero(same | (apart[first, second] <= limit))
    order = picked[np.argsort(apart[first[picked], second[picked]], kind="stable")][: 2 * LISTED]
    return [
        Twice(
            (names[first[at]], names[second[at]]),
            float(apart[first[at], second[at]]),
            "the same patient" if same[at] else "nearly the same",
        )
        for at in order.tolist()
    ]


def _same(n: int, own: Places | None) -> NDArray[np.bool_]:
    """Which pairs (n, n) are of one thing, or of one patient."""
    return np.eye(n, dtype=bool) if own is None else own[:, None] == own


def coloured(archive: Archive, positions: Places, fact: str) -> tuple[list[str], Mapping[str, int]]:
    """The value of a fact of each case as a word, and how many have each, the most frequent first.

    Numbers of more than `SHADES` values are told as ranges that hold equally many.
    """
    column = archive.contents.facts.column(fact)
    values = [column.values[code] for code in column.code[positions].tolist()]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(set(numbers)) > SHADES:
        cuts = np.quantile(numbers, np.linspace(0, 1, SHADES + 1))
        words = [_range(v, cuts) for v in values]
    else:
        words = [_word(v) for v in values]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    kept = sorted(counts, key=lambda word: (-counts[word], word))[:SHADES]
    words = [word if word in kept else OTHERS for word in words]
    return words, {w: words.count(w) for w in [*kept, *([OTHERS] if OTHERS in words else [])]}


def _range(value: Any, cuts: Numbers) -> str:
    if not isinstance(value, int | float):
        return _word(None)
    at = int(np.clip(np.searchsorted(cuts, value, side="right") - 1, 0, SHADES - 1))
    return f"{cuts[at]:g} to {cuts[at + 1]:g}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value in (None, ""):
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)
