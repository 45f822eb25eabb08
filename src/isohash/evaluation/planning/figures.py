"""The figures of the planning study: best, median and worst patient of the last split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isohash.dosimetry.isodose import default_levels, level_colours
from isohash.evaluation.kit.plotting import BLACK, BLUE, PAGE_WIDTH, figure
from isohash.evaluation.planning.patients import Patient
from isohash.features.cases.slices import case_slices, display_ct
from isohash.features.encoders.dose_calibration import DoseCalibration

SLICES = 3


def draw(out: Path, splits: Mapping[str, Sequence[Patient]], calibration: DoseCalibration) -> None:
    """Write the pictures of three patients into `out`; of patients whose CT is at hand."""
    fresh = [one for one in [*splits.values()][-1] if one.fresh is not None]
    if not fresh:
        return
    ordered = sorted(fresh, key=lambda one: one.dose_score)
    chosen = {"best": ordered[0], "median": ordered[len(ordered) // 2], "worst": ordered[-1]}
    for name, patient in chosen.items():
        draw_patient(out / f"patient-{name}.png", patient, calibration)


def draw_patient(path: Path, patient: Patient, calibration: DoseCalibration) -> None:
    """Slices with the planned and the predicted dose; histograms with their bands."""
    rows, columns = 2, SLICES + 3
    shares = {"width_ratios": [1.6] * SLICES + [1.0] * 3}
    with figure(
        path, PAGE_WIDTH, 3.7, colours=128, nrows=rows, ncols=columns, gridspec_kw=shares
    ) as (canvas, axes):
        _slices(axes[:, :SLICES], patient)
        _histograms(axes[:, SLICES:].ravel(), patient, calibration)
        canvas.suptitle(
            f"{patient.id}: planned, and foreseen from its anatomy; dose score "
            f"{patient.dose_score:.1f} Gy. Research, not for treatment",
            fontsize=9,
        )


def _slices(axes: Any, patient: Patient) -> None:
    assert patient.fresh is not None
    case, told = patient.fresh.case, patient.fresh.on_ct
    view = case_slices(case)
    planned, predicted = view.resample(case.dose), view.resample(told)  # type: ignore[arg-type]
    gy = patient.fresh.anatomy.prescription_gy
    dosed = np.flatnonzero((planned >= 0.5 * gy).any(axis=(1, 2)))
    at = dosed[np.linspace(0, len(dosed) - 1, SLICES + 2)[1:-1].round().astype(int)]
    grey, colours = display_ct(view), level_colours(default_levels(gy)[1:])
    body = (grey[at].max(axis=0) > 0) & (predicted[at].max(axis=0) > 0)
    (top, bottom), (left, right) = (np.flatnonzero(body.any(axis=a))[[0, -1]] for a in (1, 0))
    for column, k in enumerate(at.tolist()):
        for axis, dose, name in zip(
            axes[:, column], (planned[k], predicted[k]), ("planned", "foreseen"), strict=True
        ):
            axis.imshow(grey[k], cmap="gray")
            levels = sorted(colours)
            axis.contour(dose, levels, colors=[colours[one] for one in levels], linewidths=0.8)
            axis.set_xlim(left - 2, right + 2)
            axis.set_ylim(bottom + 2, top - 2)
            axis.set_axis_off()
            axis.set_title(f"{name}, {view.z_mm[k]:.0f} mm", fontsize=7)


def _histograms(axes: Any, patient: Patient, calibration: DoseCalibration) -> None:
    told, true = patient.histograms
    percent = np.array(calibration.settings.dose_volumes)
    shown = np.argsort([name.startswith("PTV") for name in patient.structures], kind="stable")
    for axis in axes:
        axis.set_axis_off()
    for axis, at in zip(axes, shown[::-1].tolist(), strict=False):
        name = patient.structures[at]
        half = calibration.histogram_half_widths(name)
        axis.set_axis_on()
        for k, shade in ((1, "#dcebf6"), (0, "#a9cfe9")):
            axis.fill_betweenx(percent, told[at] - half[k], told[at] + half[k], color=shade, lw=0)
        axis.plot(told[at], percent, color=BLUE)
        axis.plot(true[at], percent, color=BLACK, lw=1)
        axis.set_title(name, fontsize=7)
        axis.set_xlim(0, max(80.0, 1.05 * float(true.max())))
        axis.set_ylim(0, 100)
        axis.tick_params(labelsize=6)
