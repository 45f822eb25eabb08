"""Cases as a kind of item: axial slices, seen as CT and as dose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.profile import profile_of
from isohash.features.cases.shown import facts_of, picture_of, shown_of
from isohash.features.cases.slices import CaseSlices, case_slices, encoder_input
from isohash.features.kinds import Kind, Rows, View
from isohash.records import Case


def _ct_rows(slices: CaseSlices) -> Rows:
    return np.arange(len(slices) if slices.hu is not None else 0)


def _dose_rows(slices: CaseSlices) -> Rows:
    return np.flatnonzero(slices.has_dose)


def _ct_images(slices: CaseSlices, rows: Rows) -> NDArray[np.float32]:
    return encoder_input(slices, "ct")[rows]


def _dose_images(slices: CaseSlices, rows: Rows) -> NDArray[np.float32]:
    return encoder_input(slices, "dose")[rows]


CT = View("ct", "CT", "HU", "grey", _ct_rows, _ct_images)
DOSE = View("dose", "dose", "Gy", "lines", _dose_rows, _dose_images)
CASES = Kind("cases", Case, (CT, DOSE), case_slices, facts_of, shown_of, picture_of, profile_of)
VIEWS = tuple(view.name for view in CASES.views)
