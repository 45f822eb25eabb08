"""Numbers that judge a plan: near-minimum, near-maximum, homogeneity, conformity, fall-off, EQD2.

All take what they need by name: absolute doses in Gy, prescriptions explicit, nothing normalised
behind the reader's back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import SLAB
from isohash.dosimetry.dvh import DVH, dvh
from isohash.errors import InputError
from isohash.records import Volume

MAX_CC = 0.03  # the "maximum" of a structure is the dose to its hottest 0.03 cc


@dataclass(frozen=True)
class StructureDose:
    """What is usually quoted of one structure, in Gy and cc."""

    volume_cc: float
    mean_gy: float
    d2_gy: float
    d50_gy: float
    d98_gy: float
    max_gy: float  # to the hottest 0.03 cc
    homogeneity: float
    prescription_gy: float | None = None

    @property
    def percent(self) -> dict[str, float]:
        """The doses as percent of the prescription, by name; empty where none is known."""
        if self.prescription_gy is None:
            return {}
        doses = {"mean": self.mean_gy, "d2": self.d2_gy, "d50": self.d50_gy, "d98": self.d98_gy,
                 "max": self.max_gy}  # fmt: skip
        return {name: percent_of(gy, self.prescription_gy) for name, gy in doses.items()}


def structure_dose(curve: DVH, prescription_gy: float | None = None) -> StructureDose:
    """The usual numbers of a structure from its DVH, absolute and relative.

    Example:
        >>> import isohash, numpy as np
        >>> dose = isohash.Volume(np.full((4, 4, 4), 60.0, np.float32), np.eye(4))
        >>> mask = isohash.Volume(np.ones((4, 4, 4), bool), np.eye(4))
        >>> structure_dose(isohash.dvh(dose, mask), 60.0).percent["mean"]
        100.0
    """
    return StructureDose(
        volume_cc=curve.volume_cc,
        mean_gy=curve.mean_gy,
        d2_gy=curve.d(2),
        d50_gy=curve.d(50),
        d98_gy=curve.d(98),
        max_gy=curve.d_cc(MAX_CC),
        homogeneity=homogeneity_index(curve),
        prescription_gy=prescription_gy,
    )


def percent_of(dose_gy: float, prescription_gy: float) -> float:
    """A dose as percent of a prescription."""
    return 100.0 * dose_gy / _positive(prescription_gy, "prescription_gy")


def homogeneity_index(curve: DVH) -> float:
    """(D2 - D98) / D50 of ICRU report 83, 3.7.1.5: 0 is uniform; infinite where D50 is 0."""
    median = curve.d(50)
    return (curve.d(2) - curve.d(98)) / median if median > 0 else float("inf")


FITS = {
    "coverage": "coverage",
    "rtog": "PIV/TV",
    "paddick": "Paddick",
    "gradient": "gradient",
    "r50": "R50",
    "homogeneity": "homogeneity",
}  # the fields of `Conformity` as people call them


@dataclass(frozen=True)
class Conformity:
    """How well a prescription isodose fits a target; NaN where nothing reaches the prescription.

    With TV, PIV and TV_PIV the volumes of the target, of the prescription isodose and of their
    overlap, and V_half that of the isodose of half the prescription, everywhere on the grid:

    * `coverage` = TV_PIV / TV, the share of the target that gets the prescription;
    * `rtog` = PIV / TV of the RTOG (Shaw et al., Int. J. Radiat. Oncol. Biol. Phys. 27 (1993)
      1231), 1 to 2 is per protocol;
    * `paddick` = TV_PIV^2 / (TV PIV), see `conformity_index`;
    * `gradient` = V_half / PIV (Paddick and Lippitz, J. Neurosurg. 105 suppl. (2006) 194), below 3
      in radiosurgery;
    * `r50` = V_half / TV, see `gradient_index`;
    * `homogeneity` = (D2 - D98) / D50, see `homogeneity_index`.

    Example:
        >>> import isohash, numpy as np
        >>> dose = isohash.Volume(np.full((4, 4, 4), 40.0, np.float32), np.eye(4))
        >>> half = isohash.Volume(np.arange(64).reshape(4, 4, 4) < 32, np.eye(4))
        >>> fit = isohash.conformity_of(dose, half, 40.0)
        >>> fit.coverage, fit.paddick, fit.gradient
        (1.0, 0.5, 1.0)
    """

    prescription_gy: float
    coverage: float
    rtog: float
    paddick: float
    gradient: float
    r50: float
    homogeneity: float

    @property
    def cells(self) -> list[str]:
        """The numbers in the order of `FITS`; what is not known stays empty."""
        values = (getattr(self, name) for name in FITS)
        return ["" if value != value else f"{value:.2f}" for value in values]


def conformity_of(dose: Volume, target: Volume, prescription_gy: float) -> Conformity:
    """All of `Conformity` of one target; grids and errors as in `conformity_index`.

    Example:
        >>> import isohash, numpy as np
        >>> dose = isohash.Volume(np.full((4, 4, 4), 60.0, np.float32), np.eye(4))
        >>> half = isohash.Volume(np.arange(64).reshape(4, 4, 4) < 32, np.eye(4))
        >>> conformity_of(dose, half, 60.0).rtog
        2.0
    """
    return fit_of(dose, target, prescription_gy, dvh(dose, target))


def fit_of(dose: Volume, target: Volume, prescription_gy: float, curve: DVH) -> Conformity:
    """The same where the target's histogram is known."""
    piv, overlap, tv = _voxels(dose, target, prescription_gy)
    half, _, _ = _voxels(dose, target, 0.5 * prescription_gy)
    return Conformity(
        prescription_gy=float(prescription_gy),
        coverage=overlap / tv,
        rtog=piv / tv,
        paddick=overlap**2 / (tv * piv) if piv > 0 else 0.0,
        gradient=half / piv if piv > 0 else float("nan"),
        r50=half / tv,
        homogeneity=homogeneity_index(curve),
    )


def conformity_index(dose: Volume, target: Volume, prescription_gy: float) -> float:
    """Paddick's index TV_PIV^2 / (TV PIV), J. Neurosurg. 93 suppl. 3 (2000) 219: 1 is perfect.

    TV is the volume of the target, PIV that of the prescription isodose, TV_PIV of their overlap;
    `dose` (Gy) and `target` (a mask) lie on one grid; else, and where the target is empty or the
    prescription not positive, InputError.

    Example:
        >>> import isohash, numpy as np
        >>> dose = isohash.Volume(np.full((4, 4, 4), 60.0, np.float32), np.eye(4))
        >>> half = isohash.Volume(np.arange(64).reshape(4, 4, 4) < 32, np.eye(4))
        >>> conformity_index(dose, half, 60.0)
        0.5
    """
    piv, overlap, tv = _voxels(dose, target, prescription_gy)
    return overlap**2 / (tv * piv) if piv > 0 else 0.0


def gradient_index(dose: Volume, target: Volume, prescription_gy: float) -> float:
    """R50: volume of the half-prescription isodose over the target's volume.

    As for `conformity_index`, of which it is the companion: how fast the dose falls off.

    Example:
        >>> import isohash, numpy as np
        >>> dose = isohash.Volume(np.full((4, 4, 4), 40.0, np.float32), np.eye(4))
        >>> half = isohash.Volume(np.arange(64).reshape(4, 4, 4) < 32, np.eye(4))
        >>> gradient_index(dose, half, 60.0)
        2.0
    """
    half, _, tv = _voxels(dose, target, 0.5 * _positive(prescription_gy, "prescription_gy"))
    return half / tv


def eqd2(
    dose_gy: NDArray[np.floating] | float, n_fractions: int, alpha_beta_gy: float
) -> NDArray[np.float64]:
    """Dose in 2-Gy fractions of equal effect: D (d + a/b) / (2 + a/b), d = D / n_fractions.

    The linear-quadratic model (Withers et al., Cancer 52, 1983), each voxel with its own dose per
    fraction; no correction for time. `dose_gy` is the dose of the course in Gy, of any shape.

    Example:
        >>> float(eqd2(60.0, 20, 10.0))  # 60 Gy in 20 fractions of 3 Gy
        65.0
    """
    if n_fractions < 1:
        raise InputError(f"n_fractions must be at least 1, got {n_fractions}")
    ratio = _positive(alpha_beta_gy, "alpha_beta_gy")
    total = np.asarray(dose_gy, dtype=np.float64)
    return total * (total / n_fractions + ratio) / (2.0 + ratio)


def _voxels(dose: Volume, target: Volume, level_gy: float) -> tuple[float, float, float]:
    """How many voxels get the level: all, those of the target; and how many the target has."""
    same = dose.grid_shape == target.grid_shape
    if not same or not np.allclose(dose.affine, target.affine, atol=1e-3):
        raise InputError("dose and target must lie on one grid; resample the dose first")
    mask, level_gy = target.array >= 0.5, _positive(level_gy, "prescription_gy")
    if not mask.any():
        raise InputError("the target is empty")
    all_of_it = within = 0
    for first in range(0, len(mask), SLAB):
        treated = dose.slab(first, first + SLAB) >= level_gy
        all_of_it += int(np.count_nonzero(treated))
        within += int(np.count_nonzero(treated & mask[first : first + SLAB]))
    return float(all_of_it), float(within), float(np.count_nonzero(mask))


def _positive(number: float, name: str) -> float:
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{name} must be positive, got {number}")
    return float(number)
