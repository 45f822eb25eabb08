"""Which plan encoder an archive gets: its own or the shipped one, whichever misses less.

An archive's own plans teach its own practice, but need to be many; the shipped encoder knows the
structures and dose levels of OpenKBP only. Both are judged on the plans of the archive's sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.measures import Measured, common_structures
from isohash.features.encoders.plan import PlanEncoder, fit_plan
from isohash.features.encoders.shipped import shipped_plan_encoder

# Cases with dose below which an archive's own plans are not learned from (docs/validity.md shows
# how the error falls with their number).
OWN_CASES = 20
# Share of the sample whose structures the shipped encoder must know.
SHIPPED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class PlanChoice:
    """The encoder, or None; `about` says for the recipe which, how well it fits, or why none."""

    encoder: PlanEncoder | None
    about: dict[str, Any]


def choose_plan_encoder(sample: Sequence[Measured]) -> PlanChoice:
    """The encoder that predicts the sample's plans best, if any beats their mean.

    Without structures there is nothing to choose, nor to explain.
    """
    if not sample:
        return PlanChoice(None, {})
    shipped, own = _shipped(sample), _own(sample)
    tried = [encoder for encoder in (own, shipped) if encoder is not None]
    if not tried:
        return PlanChoice(None, {"missing": _why_none(sample)})
    names = set.intersection(*(set(encoder.structures) for encoder in tried))
    if own is not None and not names:  # nothing by which to compare them
        tried, names = [own], set(own.structures)
    found = {e.name: _error(e, sample, names, left_out=e is own) for e in tried}
    known = {name: error for name, error in found.items() if error is not None}
    best = min(tried, key=lambda e: (known.get(e.name, np.inf), e is own))
    about: dict[str, Any] = {"encoder": best.name, "structures": list(best.structures)}
    if best.name in known:
        errors = {"error_gy": known[best.name], "mean_plan_error_gy": _mean_error(sample, names)}
        about |= {name: round(error, 3) for name, error in errors.items()}
        if about["error_gy"] >= about["mean_plan_error_gy"]:
            return PlanChoice(None, {"missing": _why_poor(about, len(sample))})
    return PlanChoice(best, about)


def _shipped(sample: Sequence[Measured]) -> PlanEncoder | None:
    encoder = shipped_plan_encoder()
    usable = sum(encoder.predict(case) is not None for case in sample)
    return encoder if usable and usable >= SHIPPED_SHARE * len(sample) else None


def _own(sample: Sequence[Measured]) -> PlanEncoder | None:
    planned = [case for case in sample if case.has_dose]
    if len(planned) < OWN_CASES:
        return None
    try:
        return fit_plan(planned, common_structures(planned), name="own")
    except InputError:  # no structures in common
        return None


def _error(
    encoder: PlanEncoder, sample: Sequence[Measured], names: set[str], left_out: bool
) -> float | None:
    """Mean absolute error in Gy over these structures; None without a plan to compare with."""
    if left_out:
        return float(np.mean([encoder.about["errors_gy"][name] for name in names]))
    rows = [at for at, name in enumerate(encoder.structures) if name in names]
    misses = [
        np.abs(predicted - case.doses(encoder.settings))[rows]
        for case in sample
        if case.has_dose and (predicted := encoder.predict(case)) is not None
    ]
    return _structure_mean(np.array(misses)) if misses else None


def _mean_error(sample: Sequence[Measured], names: set[str]) -> float:
    """The error of taking every plan for the mean of the others."""
    planned = [case for case in sample if case.has_dose]
    settings = common_structures(planned, share=0.0)
    rows = [at for at, name in enumerate(settings.structures) if name in names]
    doses = np.array([case.doses(settings)[rows] for case in planned])
    known = (~np.isnan(doses)).sum(axis=0)
    apart = np.abs(doses - np.nansum(doses, axis=0) / np.maximum(1, known))
    return _structure_mean(apart * (known / np.maximum(1, known - 1)))


def _structure_mean(misses: NDArray[np.float64]) -> float:
    """Mean over cases, then over structures; NaN entries are absent."""
    known = ~np.isnan(misses)
    per_structure = np.where(known, misses, 0.0).sum(axis=(0, 2)) / np.maximum(
        1, known.sum(axis=(0, 2))
    )
    return float(per_structure[known.any(axis=(0, 2))].mean())


def _why_none(sample: Sequence[Measured]) -> str:
    planned = sum(case.has_dose for case in sample)
    named = sum(bool(case.own.targets and case.own.organs) for case in sample)
    return (
        f"{named} of {len(sample)} cases have a target and an organ by names that are known, "
        f"{planned} have dose; an own plan encoder needs {OWN_CASES} of both, the shipped one "
        "needs OpenKBP's structures"
    )


def _why_poor(about: dict[str, Any], n: int) -> str:
    return (
        f"the best plan encoder ({about['encoder']}) misses the plans of {n} cases by "
        f"{about['error_gy']:.1f} Gy, their mean plan by {about['mean_plan_error_gy']:.1f} Gy"
    )
