"""The plan encoder: the dose-volume histograms that a new patient's anatomy would get.

`fit_plan` learns them from past plans: kernel ridge regression (Gaussian kernel) from the geometry
vector of `case_encoders` to the dose at fixed volumes of every structure, each structure from the
cases that have it. Two cases are then compared as plans are: by the mean absolute difference of
the histograms of the structures that both have, in Gy. A new patient enters with predicted
histograms, a past plan with its own: what is known need not be predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.plan_distance import Doses, Matrix, differences, plan_distances, with_unknown
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GEOMETRY_PARTS, GeometrySettings
from isohash.features.encoders.encoder_file import EncoderHeader, KeptEncoder, Tensors
from isohash.features.encoders.scaling import scaled
from isohash.features.encoders.spread import spread_of

if TYPE_CHECKING:
    from isohash.features.cases.measures import Measured

# Chosen by leave-one-out error on the 169 OpenKBP training patients; within a factor of two of
# either the error changes by less than 3 %.
RIDGE = 0.03
WIDTH = 4.0
FEWEST = 10  # cases from which a structure's doses are learned; with fewer it is left out
SAME = 1e-9  # of the bandwidth: anatomies whose squared distance is less are one


@dataclass(frozen=True, eq=False)
class PlanEncoder(KeptEncoder):
    """Raw geometry vector (p,) -> predicted doses (structures, dose_volumes).

    The prediction is mean + exp(-|x - anchors|^2 / bandwidth) @ coefficients, x being the scaled
    vector. `expected` (4, bins): predicted distances in Gy, and the 2.5th, 50th and 97.5th
    percentile of the true plan distances seen there among pairs of past cases, left out in turn.
    """

    KIND: ClassVar = "plan"

    name: str
    settings: GeometrySettings
    parts: tuple[str, ...]
    fill: Matrix
    scale: Matrix
    anchors: Matrix
    coefficients: Matrix
    mean: Matrix
    bandwidth: float
    expected: Matrix
    about: Mapping[str, Any] = field(default_factory=dict)
    ridge: float = RIDGE

    @property
    def structures(self) -> tuple[str, ...]:
        """Whose doses are predicted, in the order of the first axis."""
        return self.settings.structures

    def predict(self, case: Measured) -> Doses | None:
        """Gy that the anatomy would get; None without a target or a known organ.

        A case that the encoder learned from is told what it would be told if it were new.
        """
        has = case.has(self.settings)
        if not case.has_target or not has[len(self.settings.targets) :].any():
            return None
        vector = case.vector(self.settings, self.parts)[None]
        row = scaled(vector, self.fill, self.scale)[0]
        squared = ((self.anchors - row) ** 2).sum(axis=1)
        if squared.min() < SAME * self.bandwidth:
            doses = self._left_out(int(squared.argmin()), squared)
        else:
            doses = self.predict_vectors(vector)[0]
        return np.where(has[:, None], doses, np.nan)

    def _left_out(self, own: int, squared: Matrix) -> Doses:
        """The prediction of the fit without case `own`, whose squared distances are given.

        Without it the coefficients are c - K^-1[:, own] c[own] / K^-1[own, own].
        """
        kernel = np.exp(-squared / self.bandwidth)
        blocks = self.coefficients.reshape(len(self.anchors), len(self.structures), -1)
        flat = self.mean.reshape(len(self.structures), -1).copy()
        for s in range(len(self.structures)):
            has = np.flatnonzero(blocks[:, s].any(axis=1))
            coefficients = blocks[has, s]
            if own in has:
                at = int(np.searchsorted(has, own))
                column = self._inverse(s, has)[:, at, None]
                coefficients = coefficients - column * (coefficients[at] / column[at])
            flat[s] += kernel[has] @ coefficients
        return _as_histograms(flat.reshape(1, -1), len(self.structures))[0]

    def _inverse(self, structure: int, has: NDArray[np.int64]) -> Matrix:
        """The inverse of the kernel of the cases that have a structure, with its ridge."""
        if structure not in self._inverses:
            own = self.anchors[has]
            squared = ((own[:, None] - own[None]) ** 2).sum(axis=2)
            kernel = np.exp(-squared / self.bandwidth) + self.ridge * np.eye(len(has))
            self._inverses[structure] = np.linalg.inv(kernel)
        return self._inverses[structure]

    @cached_property
    def _inverses(self) -> dict[int, Matrix]:
        return {}

    def predict_vectors(self, vectors: Matrix) -> Doses:
        """Gy (n, structures, dose_volumes) of raw vectors (n, p), whether or not all are there."""
        rows = scaled(vectors, self.fill, self.scale)
        kernel = np.stack(
            [np.exp(-((self.anchors - row) ** 2).sum(axis=1) / self.bandwidth) for row in rows]
        )
        flat = np.stack([self.mean + row @ self.coefficients for row in kernel])
        return _as_histograms(flat, len(self.structures))

    def expected_distance(self, predicted_gy: float) -> tuple[float, float, float]:
        """Median and 95 % interval of the true plan distance, given the predicted one; in Gy."""
        at, low, median, high = self.expected
        found = [float(np.interp(predicted_gy, at, curve)) for curve in (median, low, high)]
        return found[0], found[1], found[2]

    @property
    def _header(self) -> EncoderHeader:
        settings = {
            **self.about,
            "geometry": self.settings.to_json(),
            "parts": list(self.parts),
            "bandwidth": self.bandwidth,
            **({} if self.ridge == RIDGE else {"ridge": self.ridge}),
        }
        return EncoderHeader(self.KIND, self.name, len(self.mean), 0, settings)

    @property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        names = ("fill", "scale", "anchors", "coefficients", "mean", "expected")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, header: EncoderHeader, tensors: Tensors) -> Self:
        """The encoder with this header and these tensors."""
        about = dict(header.settings)
        return cls(
            name=header.name,
            settings=GeometrySettings.from_json(about.pop("geometry")),
            parts=tuple(about.pop("parts")),
            bandwidth=about.pop("bandwidth"),
            ridge=about.pop("ridge", RIDGE),
            about=about,
            **tensors,
        )


def fit_plan(
    cases: Sequence[Measured],
    settings: GeometrySettings,
    parts: Sequence[str] = GEOMETRY_PARTS,
    *,
    ridge: float = RIDGE,
    width: float = WIDTH,
    name: str = "plan",
) -> PlanEncoder:
    """Learn to predict the doses of `settings.structures` from the geometry of cases with dose.

    `width` times the median squared distance is the kernel's bandwidth. Structures that fewer than
    `FEWEST` of the cases have are left out.
    """
    from isohash.features.encoders.case_encoders import fit_geometry

    cases = [case for case in cases if case.has_dose]
    settings = _learnable(cases, settings)
    vectors = np.array([case.vector(settings, parts) for case in cases])
    doses = np.array([case.doses(settings) for case in cases])
    geometry = fit_geometry(vectors, settings, parts, name)
    anchors = scaled(vectors, geometry.fill, geometry.scale)
    squared = ((anchors[:, None] - anchors[None]) ** 2).sum(axis=2)
    bandwidth = width * float(np.median(squared[np.triu_indices(len(anchors), 1)]))
    if bandwidth <= 0:
        raise InputError("all cases have the same geometry: there is nothing to learn from")
    fit = _ridge(np.exp(-squared / bandwidth), doses, ridge)
    left_out = _as_histograms(fit.left_out, len(settings.structures))
    errors = np.nanmean(np.abs(left_out - doses), axis=(0, 2)).tolist()
    return PlanEncoder(
        name,
        settings,
        tuple(parts),
        geometry.fill,
        geometry.scale,
        anchors,
        fit.coefficients,
        fit.mean,
        bandwidth,
        expected_curves(left_out, doses),
        {"cases": len(cases), "errors_gy": dict(zip(settings.structures, errors, strict=True))},
        ridge,
    )


def expected_curves(predicted: Doses, doses: Doses) -> Matrix:
    """How true plan distances spread where predicted ones lie (4, bins); see `PlanEncoder`.

    Over all pairs of a case, with its predicted doses, and another that shares a structure with it.
    """
    at = np.full((len(doses), len(doses)), np.nan)
    for row, own in enumerate(predicted):
        others = np.arange(len(doses)) != row
        at[row, others] = with_unknown(*differences(own, doses[others])).mean(axis=0)
    true = plan_distances(doses, doses)
    return spread_of(at, true)


def shared_curves(predicted: Doses, doses: Doses) -> Matrix:
    """The same where only structures count that both cases have."""
    at = plan_distances(predicted, doses)
    np.fill_diagonal(at, np.nan)
    return spread_of(at, plan_distances(doses, doses))


def _learnable(cases: Sequence[Measured], settings: GeometrySettings) -> GeometrySettings:
    """The settings without the structures that too few cases have."""
    nobody = np.zeros((0, len(settings.structures)), dtype=bool)
    frequent = np.vstack([nobody, *(case.has(settings) for case in cases)]).sum(axis=0) >= FEWEST
    enough = {name for name, often in zip(settings.structures, frequent, strict=False) if often}
    targets = tuple(name for name in settings.targets if name in enough)
    organs = tuple(name for name in settings.organs if name in enough)
    if not organs:
        raise InputError(
            f"a plan encoder needs {FEWEST} cases with dose that share an organ, by canonical "
            f"names; {len(cases)} cases with dose were given"
        )
    return GeometrySettings(targets, organs, settings.percentiles, settings.dose_volumes)


@dataclass(frozen=True, eq=False)
class _Ridge:
    coefficients: Matrix  # (n, v)
    mean: Matrix  # (v,)
    left_out: Matrix  # (n, v), every case predicted by the others


def _ridge(kernel: Matrix, doses: Doses, ridge: float) -> _Ridge:
    """Kernel ridge regression of every structure on the cases that have it.

    The prediction of a case by the others is y - (y - f) / (1 - h), h the diagonal of
    K (K + ridge)^-1; the mean is taken as given.
    """
    n, n_structures, width = doses.shape
    coefficients = np.zeros((n, n_structures, width))
    mean = np.zeros((n_structures, width))
    left_out = np.full(doses.shape, np.nan)
    for s in range(n_structures):
        has = np.flatnonzero(~np.isnan(doses[:, s, 0]))
        own = kernel[np.ix_(has, has)]
        mean[s] = doses[has, s].mean(axis=0)
        inverse = np.linalg.inv(own + ridge * np.eye(len(has)))
        coefficients[has, s] = inverse @ (doses[has, s] - mean[s])
        # residual of the left-out case: coefficients / diagonal of the inverse
        left_out[has, s] = doses[has, s] - coefficients[has, s] / np.diag(inverse)[:, None]
    flat = n_structures * width
    return _Ridge(coefficients.reshape(n, flat), mean.ravel(), left_out.reshape(n, flat))


def _as_histograms(flat: Matrix, n_structures: int) -> Doses:
    """Predicted doses as a histogram is: not negative, and falling as the volume grows."""
    doses = np.maximum(flat, 0.0).reshape(len(flat), n_structures, -1)
    return -np.sort(-doses, axis=2)
