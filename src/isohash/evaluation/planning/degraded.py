"""Plans made worse on purpose: how many `isohash check` tells of, and how many good ones.

Of patients whose images are at hand. A false alarm is one of the plans as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import is_target, structures_by_name
from isohash.evaluation.planning.patients import Patient
from isohash.evaluation.planning.rows import Doses, Row
from isohash.features.encoders.dose_calibration import DoseCalibration
from isohash.records import Volume
from isohash.retrieval.foreseen import Foreseen
from isohash.retrieval.planning.check import ALARM, share_as_bad, worst_excess

Field = NDArray[np.float32]
Masks = Mapping[str, NDArray[np.bool_]]


def degraded_doses(foreseen: Foreseen) -> dict[str, Field]:
    """The planned dose, and what is made of it, on the grid of the CT."""
    from scipy import ndimage

    case = foreseen.case
    assert case.dose is not None  # as whoever made the patient has made sure
    masks = {name: mask.array for name, mask in structures_by_name(case).items()}
    gy = np.asarray(case.dose.array, np.float32)
    target = np.any([mask for name, mask in masks.items() if is_target(name)], axis=0)
    sigma = [6.0 / mm for mm in case.dose.spacing_mm]
    blurred = ndimage.gaussian_filter(gy, sigma)
    return {
        "as planned": gy,
        "left parotid + 5 Gy": _organ(gy, masks, target, "Parotid_L", 5.0),
        "left parotid + 10 Gy": _organ(gy, masks, target, "Parotid_L", 10.0),
        "spinal cord + 8 Gy": _organ(gy, masks, target, "SpinalCord", 8.0),
        "targets - 5 %": np.where(target, np.float32(0.95) * gy, gy),
        "all doses + 5 %": np.float32(1.05) * gy,
        "fall-off blurred by 6 mm": np.where(target, gy, np.maximum(gy, blurred)),
        "set up 5 mm to the back": ndimage.shift(
            gy, _back(case.dose, 5.0), order=1, mode="nearest"
        ),
    }


def _organ(gy: Field, masks: Masks, target: NDArray[np.bool_], name: str, more: float) -> Field:
    """More dose to an organ outside the targets; the same where there is none."""
    added = gy.copy()
    if name in masks:
        added[masks[name] & ~target] += np.float32(more)
    return added


def _back(dose: Volume, mm: float) -> NDArray[np.float64]:
    """Steps along the array's axes that lead so far to the patient's back."""
    return np.asarray(np.linalg.solve(dose.affine[:3, :3], [0.0, mm, 0.0]), np.float64)


def check_rows(
    split: str,
    patients: Sequence[Patient],
    past: Sequence[Patient],
    calibration: DoseCalibration,
) -> list[Row]:
    """The share of plans that raise the alarm, as they were and made worse."""
    names = calibration.structures
    worst = worst_excess(*_all(past, names), calibration)
    alarms: dict[str, list[bool]] = {}
    for patient in patients:
        if patient.fresh is None:
            alarms.setdefault("as planned", []).append(_alarm(patient, None, worst, calibration))
            continue
        for what, gy in degraded_doses(patient.fresh).items():
            told = _alarm(patient, gy, worst, calibration)
            alarms.setdefault(what, []).append(told)
    return [
        {
            "split": split,
            "plan": what,
            "patients": len(raised),
            "alarm_percent": 100.0 * sum(raised) / len(raised),
        }
        for what, raised in alarms.items()
    ]


def _all(patients: Sequence[Patient], names: Sequence[str]) -> tuple[Doses, Doses]:
    told, true = (
        np.array([_rows(one.structures, one.metrics[which], names) for one in patients])
        for which in (0, 1)
    )
    return told, true


def _rows(own: Sequence[str], metrics: Doses, names: Sequence[str]) -> Doses:
    known = dict(zip(own, metrics, strict=True))
    nothing = np.full(metrics.shape[1], np.nan)
    return np.array([known.get(name, nothing) for name in names])


def _alarm(patient: Patient, gy: Field | None, past: Doses, calibration: DoseCalibration) -> bool:
    """Whether a plan is told of; without `gy` the stored one, which is not compared with itself."""
    names = calibration.structures
    told, true = patient.metrics
    if gy is not None and patient.fresh is not None:
        case = patient.fresh.case
        dose = Volume(gy, case.ct.affine if case.ct is not None else np.eye(4))
        true = replace(patient.fresh, case=replace(case, dose=dose)).planned[:, -true.shape[1] :]
    told, true = (_rows(patient.structures, rows, names)[None] for rows in (told, true))
    (own,) = worst_excess(told, true, calibration)
    if gy is None:
        past = np.delete(past, np.abs(past - own).argmin())
    return share_as_bad(float(own), past) <= ALARM
