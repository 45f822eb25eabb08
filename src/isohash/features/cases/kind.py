"""Cases as a kind of item: axial slices, seen as CT and as dose.

What cuts and draws them is imported when it is used: a stored case is asked by its codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.profile import profile_of
from isohash.features.kinds import Arrays, Kind, Picture, Rows, View
from isohash.records import Case

if TYPE_CHECKING:
    from isohash.features.cases.slice_settings import SliceSettings
    from isohash.features.cases.slices import CaseSlices


def _cut(case: Case, settings: SliceSettings) -> CaseSlices:
    from isohash.features.cases.slices import case_slices

    return case_slices(case, settings)


def _facts(case: Case, slices: CaseSlices) -> dict[str, Any]:
    from isohash.features.cases.shown import facts_of

    return facts_of(case, slices)


def _shown(case: Case, slices: CaseSlices) -> Arrays:
    from isohash.features.cases.shown import shown_of

    return shown_of(case, slices)


def _fine(case: Case, slices: CaseSlices) -> Arrays:
    from isohash.features.cases.fine import fine_of

    return fine_of(case, slices)


def _picture(
    arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], slice_index: int
) -> Picture:
    from isohash.features.cases.shown import picture_of

    return picture_of(arrays, facts, slice_index)


def _ct_rows(slices: CaseSlices) -> Rows:
    return np.arange(len(slices) if slices.hu is not None else 0)


def _dose_rows(slices: CaseSlices) -> Rows:
    return np.flatnonzero(slices.has_dose)


def _ct_images(slices: CaseSlices, rows: Rows) -> NDArray[np.float32]:
    from isohash.features.cases.slices import encoder_input

    return encoder_input(slices, "ct")[rows]


def _dose_images(slices: CaseSlices, rows: Rows) -> NDArray[np.float32]:
    from isohash.features.cases.slices import encoder_input

    return encoder_input(slices, "dose")[rows]


CT = View("ct", "CT", "HU", "grey", _ct_rows, _ct_images)
DOSE = View("dose", "dose", "Gy", "lines", _dose_rows, _dose_images)
CASES = Kind("cases", Case, (CT, DOSE), _cut, _facts, _shown, _picture, profile_of, _fine)
VIEWS = tuple(view.name for view in CASES.views)
