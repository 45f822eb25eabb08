"""Fitting a dose model to past plans, and to each part of them for those that it leaves out.

Of every plan a sample of cells is kept (`sample_of`), so that the features of all plans never lie
in memory together. `fit_dose_models` returns the model of all plans and, for each fold of
patients, one that has not seen these: what it says of them is what it would say of new ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.anatomy import Field
from isohash.features.cases.voxels import Voxels, VoxelSettings
from isohash.features.encoders.dose_model import (
    FEWEST_HOT,
    HOT_PERCENT,
    DoseModel,
    DoseModels,
    level_rows,
)
from isohash.features.encoders.scope import FEWEST, Scope, has_organs, measures
from isohash.features.encoders.tree_fitting import fit_trees
from isohash.features.encoders.trees import BoostedTrees, BoostingSettings
from isohash.progress import Progress, tell

COMMON = 0.1  # an organ or dose level that fewer of the plans have says little about the others
MOST_ORGANS, MOST_LEVELS = 16, 4
SAME_LEVEL = 0.03  # dose levels, as shares of the prescription, that differ less are one
CELLS, MANY_CELLS = 2000, 6000  # of a plan, drawn evenly; the second where plans are few
STRUCTURE_CELLS = 500  # of a structure among those that a third more are drawn from
FOLDS, FEW_FOLDS = 4, 8  # the second where plans are few
FEW_PLANS = 40
BOOSTING = BoostingSettings()


@dataclass(frozen=True, eq=False)
class Sample:
    """What is kept of a plan to learn from: features (m, f) and dose shares (m,) of some cells.

    `level` (m,) is the position of the dose level that a cell lies in, -1 outside the targets.
    """

    id: str
    patient: str
    values: NDArray[np.float16]
    share: Field
    level: NDArray[np.int8]
    organs: NDArray[np.bool_]
    measures: NDArray[np.float64]


def common_settings(
    levels: Sequence[Iterable[float]], organs: Sequence[Iterable[str]]
) -> VoxelSettings:
    """Features of the dose levels and organs that enough of the plans have.

    `levels` are the shares of the highest prescription in each plan, `organs` its canonical names.
    """
    least = max(FEWEST, COMMON * len(levels))
    shares = Counter(round(share, 2) for own in levels for share in set(own))
    found: list[float] = []
    for share, count in shares.most_common():
        apart = all(abs(share - other) > SAME_LEVEL for other in found)
        if apart and count >= least and len(found) < MOST_LEVELS:
            found.append(share)
    names = Counter(name for own in organs for name in set(own))
    often = [name for name, count in names.most_common(MOST_ORGANS) if count >= least]
    return VoxelSettings(tuple(sorted(found, reverse=True)) or (1.0,), tuple(sorted(often)))


def sample_of(
    voxels: Voxels, gy: Field, settings: VoxelSettings, patient: str, cells: int, seed: int
) -> Sample:
    """Cells of a plan with dose `gy` (n,), drawn evenly and once more from its structures.

    Where no dose is recorded, none is known: such cells are left out.
    """
    anatomy = voxels.anatomy
    key = [seed, *anatomy.id.encode()]
    rng, dosed = np.random.default_rng(key), np.flatnonzero(gy > 0)
    if not len(dosed):
        raise InputError(f"case {anatomy.id} has no dose near its targets")
    evenly = rng.choice(dosed, min(cells, len(dosed)), replace=False)
    masks = [*(level.mask for level in anatomy.levels), *anatomy.organs.values()]
    inside = [dosed[mask[voxels.cells][dosed]] for mask in masks]
    drawn = [rng.permutation(own)[:STRUCTURE_CELLS] for own in inside]
    more = rng.permutation(np.concatenate(drawn))[: cells // 3]
    at = np.concatenate([evenly, more])
    level = np.full(len(gy), -1, np.int8)
    for position, rows in level_rows(voxels, settings.levels).items():
        level[rows] = position
    whole = np.float32(anatomy.prescription_gy)
    own = has_organs(anatomy, settings.organs)
    return Sample(
        anatomy.id, patient, voxels.values[at], gy[at] / whole, level[at], own, measures(anatomy)
    )


def fit_dose_models(
    samples: Sequence[Sample],
    settings: VoxelSettings,
    boosting: BoostingSettings | None = None,
    name: str = "own",
    progress: Progress | None = None,
) -> DoseModels:
    """The dose model of all plans, and those that leave out each fold of the patients."""
    boosting = boosting or BOOSTING
    if len({sample.patient for sample in samples}) < FEWEST:
        raise InputError(f"a dose model needs plans of {FEWEST} patients, got {len(samples)}")
    fold = folds_of([sample.patient for sample in samples], boosting.seed)
    trees, left_out = [], [np.empty(0, np.float32)] * len(samples)
    n_folds = int(fold.max()) + 1
    for k in range(n_folds):
        tell(progress, k, n_folds + 1, f"learning doses, fold {k + 1} of {n_folds}")
        trees.append(_grown([s for s, f in zip(samples, fold, strict=True) if f != k], boosting))
        for at in np.flatnonzero(fold == k).tolist():
            left_out[at] = trees[k].predict(samples[at].values)
    tell(progress, n_folds, n_folds + 1, "learning doses from all plans")
    trees.append(_grown(samples, boosting))
    hot = _hot(samples, left_out, len(settings.levels))
    scope = Scope(
        settings.organs,
        np.array([s.organs for s in samples]),
        np.array([s.measures for s in samples]),
    )
    missed = [np.abs(p - s.share).mean() for p, s in zip(left_out, samples, strict=True)]
    about: dict[str, Any] = {"plans": len(samples), "error_share": float(np.mean(missed))}
    models = [DoseModel(name, settings, one, hot, scope, about) for one in trees]
    of = {sample.patient: int(k) for sample, k in zip(samples, fold, strict=True)}
    return DoseModels(models[-1], tuple(models[:-1]), of)


def folds_of(patients: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The fold of each plan; all plans of a patient are in one."""
    names = sorted(set(patients))
    n_folds = FOLDS if len(names) >= FEW_PLANS else min(FEW_FOLDS, len(names))
    order = np.random.default_rng([seed, 2]).permutation(len(names))
    of = {name: int(at) % n_folds for name, at in zip(names, order, strict=True)}
    return np.array([of[patient] for patient in patients])


def _grown(samples: Sequence[Sample], boosting: BoostingSettings) -> BoostedTrees:
    values = np.concatenate([sample.values for sample in samples])
    return fit_trees(values, np.concatenate([sample.share for sample in samples]), boosting)


def _hot(
    samples: Sequence[Sample], predicted: Sequence[Field], n_levels: int
) -> NDArray[np.float64]:
    """What left-out predictions lack at the hottest shares of each level: the median of plans."""
    hot = np.zeros((n_levels, len(HOT_PERCENT)))
    for level in range(n_levels):
        lacking = []
        for sample, own in zip(samples, predicted, strict=True):
            inside = sample.level == level
            if inside.sum() >= 2 * FEWEST_HOT:
                at = 100.0 - np.array(HOT_PERCENT)
                lacking.append(
                    np.percentile(sample.share[inside], at) - np.percentile(own[inside], at)
                )
        if len(lacking) >= FEWEST:
            hot[level] = np.median(lacking, axis=0)
    return hot
