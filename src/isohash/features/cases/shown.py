"""What of a case is kept for people: its facts, small pictures of its slices, its histograms.

| array | shape | meaning |
|---|---|---|
| `preview.bytes`, `preview.offset` | | each slice's CT (uint8) and dose (cGy, uint16), deflated |
| `preview.place` | (3,) | patient x and y of their first pixel's centre, and pixel size, in mm |
| `dvh.volume` | (structures, bins) | cumulative volume fraction at multiples of `DVH_BIN_GY` |
| `dvh.metrics` | (structures, `METRICS`) | cc, Gy and Paddick's index (NaN where there is none) |
| `outline.*` | | outlines of structures (`outlines`) |
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dvh import dvh
from isohash.dosimetry.metrics import conformity_index
from isohash.dosimetry.names import canonical_name
from isohash.dosimetry.structures import is_empty
from isohash.errors import InputError
from isohash.features.cases.anatomy import prescribed_targets
from isohash.features.cases.inflating import inflated
from isohash.features.cases.outlines import outlines_of
from isohash.features.cases.planes import joined
from isohash.features.cases.slices import CaseSlices, display_ct
from isohash.records import Case, Volume

DVH_BIN_GY = 0.5
DVH_MAX_GY = 100.0
METRICS = ("volume_cc", "mean_gy", "d95_gy", "d2_gy", "d0.03cc_gy", "conformity")
HOT_CC = 0.03
DEFLATE_LEVEL = 4  # measured: level 9 saves 6 % more and takes 5 times as long


def facts_of(case: Case, slices: CaseSlices) -> dict[str, Any]:
    """What is known of a case; `structures` names the rows of `dvh.volume`."""
    return {
        **case.facts,
        "patient": case.patient,
        "label": case.label,
        "prescription_gy": case.prescription_gy,
        "warnings": list(case.warnings),
        "structures": list(named(case)) if case.dose is not None else [],
        "outlined": list(named(case)),
        "n_structures": len(case.structures),
        "n_slices": len(slices),
        "n_dose_slices": int(slices.has_dose.sum()),
        "size": slices.settings.size,
    }


def shown_of(case: Case, slices: CaseSlices) -> dict[str, NDArray[Any]]:
    """The arrays of the table above."""
    structures = named(case)
    outlines = outlines_of(structures, slices)
    return {**_previews(slices), **outlines, **_doses(case, structures)}


def picture_of(
    arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], slice_index: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Grey CT (y, x) in the display window, and dose in Gy or None, of one slice."""
    row = int(np.flatnonzero(arrays["slice.index"] == slice_index)[0])
    first, last = arrays["preview.offset"][row : row + 2]
    size = int(facts["size"])
    data = inflated(arrays["preview.bytes"][first:last], 3 * size * size)  # a byte, and two of dose
    grey = np.frombuffer(data, np.uint8, size * size).reshape(size, size)
    if len(data) == size * size:
        return grey, None
    cgy = np.frombuffer(data, "<u2", offset=size * size).reshape(size, size)
    return grey, cgy.astype(np.float32) / np.float32(100)


def dose_summary(curve: NDArray[np.float32]) -> dict[str, float]:
    """D95, D2 and mean (Gy) of a stored histogram, to the width of its bins."""
    found = {"mean_gy": float(curve[1:].sum() + curve[0] / 2) * DVH_BIN_GY}
    for share in (95, 2):
        found[f"d{share}_gy"] = _dose_at(curve, share / 100)
    return {one: round(value, 2) for one, value in found.items()}


def _dose_at(curve: NDArray[np.float32], fraction: float) -> float:
    """The dose that a fraction of the volume gets at least."""
    above = np.flatnonzero(curve >= fraction)
    if not len(above) or above[-1] + 1 >= len(curve):
        return float((above[-1] if len(above) else 0) * DVH_BIN_GY)
    at = int(above[-1])
    high, low = float(curve[at]), float(curve[at + 1])
    return (at + (high - fraction) / (high - low)) * DVH_BIN_GY


def named(case: Case) -> dict[str, Volume]:
    """The structures to draw, by the names under which cases can be compared."""
    named: dict[str, Volume] = {}
    for name in sorted(case.structures):
        if not is_empty(case.structures[name]):
            named.setdefault(canonical_name(name) or name, case.structures[name])
    return named


def _previews(slices: CaseSlices) -> dict[str, NDArray[Any]]:
    size = slices.settings.size
    if slices.hu is None:
        grey = np.zeros((len(slices), size, size), np.uint8)
    else:
        grey = display_ct(slices)
    blobs = []
    for row in range(len(slices)):
        data = grey[row].tobytes()
        if slices.dose_cgy is not None and slices.has_dose[row]:
            data += slices.dose_cgy[row].astype("<u2").tobytes()
        blobs.append(zlib.compress(data, DEFLATE_LEVEL))
    return {
        **joined("preview", blobs),
        "preview.place": np.array([*slices.corner_mm, slices.settings.pixel_mm]),
    }


def _doses(case: Case, structures: Mapping[str, Volume]) -> dict[str, NDArray[np.float32]]:
    """Histograms and what physicists read off them; nothing of a case without dose."""
    edges = np.arange(0.0, DVH_MAX_GY + DVH_BIN_GY, DVH_BIN_GY)
    n = len(structures) if case.dose is not None else 0
    table, metrics = np.zeros((n, len(edges)), np.float32), np.zeros((n, len(METRICS)), np.float32)
    wanted = _prescribed(case)
    for row, (name, mask) in enumerate(structures.items() if case.dose is not None else ()):
        curve = dvh(case.dose, mask)  # type: ignore[arg-type]
        table[row] = np.interp(edges, curve.dose_gy, curve.fraction, right=0.0)
        read = (curve.volume_cc, curve.mean_gy, curve.d(95), curve.d(2), curve.d_cc(HOT_CC))
        metrics[row] = (*read, _conformity(case, mask, wanted.get(name)))
    return {"dvh.volume": table, "dvh.metrics": metrics}


def _prescribed(case: Case) -> dict[str, float]:
    """What the targets are prescribed; nothing where that is not known."""
    try:
        return prescribed_targets(case)
    except InputError:
        return {}


def _conformity(case: Case, target: Volume, prescription_gy: float | None) -> float:
    """Paddick's index at the target's own prescription; NaN where it cannot be told.

    Of a target inside another of less dose it is that of a boost; of the outer one it counts what
    the boost spills, so only the target of the highest prescription has one.
    """
    if prescription_gy is None or prescription_gy != max(_prescribed(case).values()):
        return float("nan")
    try:
        return conformity_index(case.dose, target, prescription_gy)  # type: ignore[arg-type]
    except InputError:  # another grid, or nothing of it on this one
        return float("nan")
