"""Pictures of a case for the browser, as the archive keeps them: packed, slice by slice.

The answer is one block of bytes: the length of a JSON head (uint32, little-endian), the head, then
packed slices and outlines (`features.cases.planes`, `outlines`), which the head places. The browser
unpacks and draws; scrolling asks the server for nothing.

What an archive of before keeps, the small pictures of reports, is packed in the same way: HU as
far as their window goes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.apps.page.report import isodose_colours
from isohash.dosimetry.names import is_target
from isohash.errors import InputError
from isohash.features.cases.fine import DOSE_STEP_GY, PREFIX, Place
from isohash.features.cases.planes import joined, packed
from isohash.features.cases.slices import DISPLAY_HU
from isohash.retrieval.entry import Entry

NAMES = ("ct.bytes", "ct.offset", "dose.bytes", "dose.offset", "outline.bytes", "outline.offset",
         "outline.of")  # fmt: skip
SMALL = (
    "These are the small pictures of reports (4 mm, HU only from {:.0f} to {:.0f}): the archive "
    "keeps no others of this case. isohash index SOURCE ARCHIVE --pictures adds those of 2 mm."
).format(*DISPLAY_HU)


def block_of(query: Entry | object) -> bytes:
    """The block of bytes; InputError where no pictures are kept.

    The head: `rows`, `columns`, `pixel_mm`, `corner_mm`, `centre_mm` and `dose_step_gy` as in
    `Place`; `index` and `z_mm` of slices; `ct` and `dose`, where each slice begins and ends (bytes
    after the head; null: the case has none); `outlines` (structure, slice index, first and last
    byte; thirds of a pixel inside, 2 bits each), `structures`, `levels`, `prescription_gy`; `box`,
    what is worth seeing (first and last column, first and last row); `note`, what is to be told.
    """
    if not isinstance(query, Entry) or not query.has_pictures or query.kind.single:
        raise InputError("the archive keeps no pictures of it; ask without them")
    if query.fine is None:
        return _block(query, *_small(query), SMALL)
    kept = {name: query.arrays.get(PREFIX + name) for name in NAMES}
    arrays = {name: array for name, array in kept.items() if array is not None}
    rows, columns = query.fine.place.shape
    return _block(query, arrays, query.fine.place, [0, columns - 1, 0, rows - 1], "")


def _block(
    entry: Entry, arrays: Mapping[str, NDArray[Any]], place: Place, box: list[int], note: str
) -> bytes:
    blobs: list[bytes] = []
    placed = {what: _placed(arrays, what, blobs) for what in ("ct", "dose", "outline")}
    outlines = placed["outline"]
    head = {
        "id": entry.id,
        "rows": place.rows,
        "columns": place.columns,
        "pixel_mm": place.pixel_mm,
        "corner_mm": [place.x_mm, place.y_mm],
        "centre_mm": [place.centre_x_mm, place.centre_y_mm],
        "dose_step_gy": place.dose_step_gy,
        "box": box,
        "note": note,
        "index": entry.arrays["slice.index"].tolist(),
        "z_mm": [round(float(z), 3) for z in entry.arrays["slice.z_mm"]],
        "ct": placed["ct"],
        "dose": placed["dose"],
        "outlines": [
            [*of, *outlines[at : at + 2]] for at, of in enumerate(arrays["outline.of"].tolist())
        ]
        if outlines
        else [],
        "structures": [{"name": n, "target": is_target(n)} for n in entry.facts["outlined"]],
        "prescription_gy": entry.facts["prescription_gy"],
        "levels": [{"gy": gy, "colour": c} for gy, c in isodose_colours(entry).items()],
    }
    text = json.dumps(head).encode()
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def _placed(arrays: Mapping[str, NDArray[Any]], what: str, blobs: list[bytes]) -> list[int] | None:
    """Where the parts of `what` begin and end among the blobs; adds its bytes to them."""
    if f"{what}.offset" not in arrays:
        return None
    first = sum(map(len, blobs))
    blobs.append(arrays[f"{what}.bytes"].tobytes())
    found: list[int] = (arrays[f"{what}.offset"] + first).tolist()
    return found


def _small(entry: Entry) -> tuple[dict[str, NDArray[Any]], Place, list[int]]:
    """The small pictures as planes; where they lie; what of them shows a body."""
    size, low, high = int(entry.facts["size"]), *DISPLAY_HU
    x, y, mm = entry.arrays.get("preview.place", np.array([0.0, 0.0, 4.0])).tolist()
    half = mm * (size - 1) / 2.0
    shown = [entry.picture(index) for index in entry.arrays["slice.index"].tolist()]
    hu = [np.rint(low + grey * ((high - low) / 255.0)).astype(np.int16) for grey, _ in shown]
    doses = [None if gy is None else np.rint(gy / DOSE_STEP_GY) for _, gy in shown]
    steps = [b"" if gy is None else packed(gy.astype(np.uint16).view(np.int16)) for gy in doses]
    kept = {n: a for n, a in entry.arrays.items() if n.startswith("outline.")}
    place = Place(x, y, mm, size, size, DOSE_STEP_GY, x + half, y + half)
    seen = np.any([grey > 0 for grey, _ in shown], axis=0)
    return {**kept, **joined("ct", map(packed, hu)), **joined("dose", steps)}, place, _box(seen)


def _box(seen: NDArray[np.bool_]) -> list[int]:
    found = []
    for axis in (0, 1):
        there = np.flatnonzero(seen.any(axis=axis))
        found += [int(there[0]), int(there[-1])] if len(there) else [0, seen.shape[1 - axis] - 1]
    return found
