"""How far every past case is from every query, by each way of retrieval that the study compares.

All are given as tables (n_queries, n_past). A query that is itself among the past cases is left
out of everything that is fitted for it: scales, predicted histograms, bandwidths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isohash.distances import distance_matrix
from isohash.dosimetry.plan_distance import plan_distances
from isohash.dosimetry.rigid import dose_at, rigid_between
from isohash.evaluation.validity.patients import VIEWS, Patient
from isohash.features.cases.geometry_settings import GEOMETRY_PARTS, GeometrySettings
from isohash.features.cases.measures import Measured, common_structures
from isohash.features.encoders.case_encoders import fit_geometry
from isohash.features.encoders.plan import fit_plan
from isohash.hashing.bandwidth import neighbour_distance
from isohash.progress import Progress, tell
from isohash.retrieval.dense import Dense
from isohash.retrieval.plan_comparison import PlanComparison
from isohash.retrieval.slices import SliceTable

Table = NDArray[np.float64]

ALPHAS = (0.1, 0.25, 0.5, 0.75, 0.9)
STRIDE = 3  # dose distances look at every third voxel along each axis
NEAR_ROWS = 4096

# name -> parts of the geometry vector, and whether of the targets only
ANATOMY: dict[str, tuple[tuple[str, ...], bool]] = {
    "target signature": (("signature",), True),
    "structure sizes and places": (("signature",), False),
    "overlap-volume histograms": (("overlap",), False),
    "geometry": (GEOMETRY_PARTS, False),
}
PLAN = "plan"
PLAN_SHARED = "plan, shared structures only"
LOW, HIGH = "expected at least", "expected at most"  # the interval told with a distance
OWN_DVH = "own DVHs"
NEEDS_DOSE = ("dose", "down-sampled dose", "joint", OWN_DVH)


def needs_dose(way: str) -> bool:
    """Whether a way of retrieval looks at the query's dose, which a new patient does not have."""
    return way.startswith(NEEDS_DOSE)


def plan_table(queries: Sequence[Patient], past: Sequence[Patient]) -> Table:
    """Plan distance in Gy: mean absolute difference of histograms over shared structures."""
    settings = common_structures([one.measured for one in (*queries, *past)], share=0.0)
    a, b = ([one.measured.doses(settings) for one in group] for group in (queries, past))
    return plan_distances(np.array(a), np.array(b))


def dose_table(
    queries: Sequence[Patient], past: Sequence[Patient], progress: Progress | None = None
) -> Table:
    """Mean absolute difference in Gy after rigid alignment, at scored voxels on a coarse grid."""
    table = np.zeros((len(queries), len(past)))
    for row, query in enumerate(queries):
        tell(progress, row, len(queries), f"doses laid upon {query.id}")
        coarse = (np.argwhere(query.kept) % STRIDE == 0).all(axis=1)
        chosen = query.scored_there & coarse
        points, own = query.points_mm[chosen], query.planned[chosen]
        for column, other in enumerate(past):
            moved = rigid_between(query.centres, other.centres)(points)
            table[row, column] = np.abs(dose_at(other.dose, moved) - own).mean()
    return table


def anatomy_tables(
    queries: Sequence[Patient],
    past: Sequence[Patient],
    progress: Progress | None = None,
) -> dict[str, Table]:
    """Tables of `ANATOMY`, `PLAN`, `PLAN_SHARED` and `OWN_DVH`, and of the ends `LOW` and `HIGH`.

    For a query that is among the past cases everything is fitted to the others.
    """
    names = [*ANATOMY, PLAN, PLAN_SHARED, OWN_DVH, LOW, HIGH]
    tables = {name: np.full((len(queries), len(past)), np.nan) for name in names}
    everyone = common_structures([one.measured for one in past], share=0.0)
    fitted: _Fitted | None = None
    for row, query in enumerate(queries):
        tell(progress, row, len(queries), f"fitting without {query.id}")
        others = [at for at, one in enumerate(past) if one.id != query.id]
        if fitted is None or len(others) < len(past):
            fitted = _Fitted([past[at].measured for at in others])
        for name, values in fitted.compare(query.measured, everyone).items():
            tables[name][row, others] = values
    return tables


class _Fitted:
    """The encoders of anatomy fitted to some cases, and what they make of these."""

    def __init__(self, past: Sequence[Measured]) -> None:
        self.past = past
        settings = common_structures(past)
        self.plan = fit_plan(past, settings)
        self.planned = np.array([one.doses(self.plan.settings) for one in past])
        self.encoders = {}
        for name, (parts, targets_only) in ANATOMY.items():
            own = GeometrySettings(settings.targets, ()) if targets_only else settings
            vectors = np.array([one.vector(own, parts) for one in past])
            encoder = fit_geometry(vectors, own, parts)
            self.encoders[name] = encoder, encoder.encode_vectors(vectors)

    def compare(
        self, query: Measured, everyone: GeometrySettings
    ) -> dict[str, NDArray[np.float64]]:
        """Distances to the cases by every way."""
        rows = {}
        for name, (encoder, embeddings) in self.encoders.items():
            vector = query.vector(encoder.settings, encoder.parts)[None]
            rows[name] = np.linalg.norm(
                (embeddings - encoder.encode_vectors(vector)).astype(np.float64), axis=1
            )
        predicted = self.plan.predict(query)
        if predicted is not None:
            rows[PLAN] = PlanComparison.exact(predicted, self.planned, self.plan.structures).mean_gy
            rows[PLAN_SHARED] = plan_distances(predicted[None], self.planned)[0]
            expected = np.array([self.plan.expected_distance(gy) for gy in rows[PLAN]])
            rows[LOW], rows[HIGH] = expected[:, 1], expected[:, 2]
        own = np.array([one.doses(everyone) for one in self.past])
        rows[OWN_DVH] = plan_distances(query.doses(everyone)[None], own)[0]
        return rows


def image_tables(
    queries: Sequence[Patient], past: Sequence[Patient], progress: Progress | None = None
) -> dict[str, Table]:
    """Tables of the ways that look at images: pooled, aligned, down-sampled, joint by alpha."""
    stacks = _Stacks.of(past)
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for at, query in enumerate(queries):
        tell(progress, at, len(queries), f"images like those of {query.id}")
        for name, row in _image_rows(query, past, stacks).items():
            rows.setdefault(name, []).append(row)
    return {name: np.array(found) for name, found in rows.items()}


@dataclass(frozen=True, eq=False)
class _Stacks:
    """The slices of all past cases as an archive keeps them, and their embeddings by view.

    `near[view]` is the distance at which a slice has its 50th nearest neighbour.
    """

    table: SliceTable
    embeddings: Mapping[str, NDArray[np.float32]]
    near: Mapping[str, float]

    @classmethod
    def of(cls, past: Sequence[Patient]) -> _Stacks:
        """The stacks of some cases."""
        rng = np.random.default_rng(0)
        embeddings = {view: np.concatenate([one.slices[view] for one in past]) for view in VIEWS}
        near = {}
        for view in VIEWS:
            rows = rng.permutation(len(embeddings[view]))[:NEAR_ROWS]
            near[view] = neighbour_distance(embeddings[view][np.sort(rows)], rng)
        return cls(slice_table(past), embeddings, near)


def slice_table(patients: Sequence[Patient]) -> SliceTable:
    """Where the slices of patients lie, and which have a dose; every slice has a CT."""
    lengths = [len(one.z_mm["ct"]) for one in patients]
    dosed = np.concatenate([np.isin(one.z_mm["ct"], one.z_mm["dose"]) for one in patients])
    return SliceTable(
        start=np.concatenate([[0], np.cumsum(lengths)]),
        index=np.concatenate([np.arange(n) for n in lengths]),
        z_mm=np.concatenate([one.z_mm["ct"] for one in patients]),
        row={"ct": np.arange(sum(lengths)), "dose": np.where(dosed, np.cumsum(dosed) - 1, -1)},
    )


def _image_rows(
    query: Patient, past: Sequence[Patient], stacks: _Stacks
) -> dict[str, NDArray[np.float64]]:
    rows = {}
    for view, label in (("ct", "CT"), ("dose", "dose")):
        pooled = np.array([one.slices[view].mean(axis=0) for one in past])
        own = query.slices[view].mean(axis=0)
        rows[f"{label}, pooled slices"] = distance_matrix(own[None], pooled)[0]
        volumes = np.array([one.coarse[view] for one in past])
        rows[f"down-sampled {label}"] = distance_matrix(query.coarse[view][None], volumes)[0]
    return rows | _aligned_rows(query, stacks)


def _aligned_rows(query: Patient, stacks: _Stacks) -> dict[str, NDArray[np.float64]]:
    """As the product compares cases by the embeddings of their slices; late and early fusion."""
    apart = {
        view: distance_matrix(query.slices[view], stacks.embeddings[view]) / stacks.near[view]
        for view in VIEWS
    }
    dense = Dense(
        query=slice_table([query]),
        stored=stacks.table,
        cases=np.arange(stacks.table.n_cases),
        counts={},
        measure={},
        exact=apart,
    )
    rows = {
        "CT, aligned slices": dense.totals({"ct": 1.0}) / len(query.slices["ct"]),
        "dose, aligned slices": dense.totals({"dose": 1.0}) / len(query.slices["dose"]),
    }
    both = _ct_where_dosed(apart["ct"], dense)
    for alpha in ALPHAS:
        late = dense.totals({"ct": alpha, "dose": 1 - alpha})
        early = np.sqrt(alpha * both**2 + (1 - alpha) * apart["dose"] ** 2)
        joined = replace(dense, exact={"dose": early}).totals({"dose": 1.0})
        rows[f"joint, late, alpha {alpha:g}"] = late / len(query.slices["dose"])
        rows[f"joint, early, alpha {alpha:g}"] = joined / len(query.slices["dose"])
    return rows


def _ct_where_dosed(apart: Table, dense: Dense) -> Table:
    """The distances by CT of those slices that also have a dose, in the order of the doses."""
    return apart[np.ix_(dense.query.row["dose"] >= 0, dense.stored.row["dose"] >= 0)]
