"""Pictures of a case for the browser, as the archive keeps them: deflated, slice by slice.

The answer is one block of bytes: the length of a JSON head (uint32, little-endian), the head, then
the deflated slices and outlines, which the head places. The browser inflates and draws; the server
computes nothing, so that scrolling asks it for nothing.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.apps.page.report import isodose_colours
from isohash.dosimetry.names import is_target
from isohash.errors import InputError
from isohash.retrieval.entry import Entry


def packed(query: Entry | object) -> bytes:
    """The block of bytes; InputError where no pictures are kept.

    The head: `size` and `pixel_mm` of pictures, `index`, `z_mm` and `offset` of slices (bytes after
    the head; uint8 grey values, then uint16 cGy where there is dose), `outlines` (structure, slice
    index, first and last byte; 2 bits a pixel: thirds of it inside), `structures`, `levels`.
    """
    if not isinstance(query, Entry) or not query.has_pictures:
        raise InputError("the archive keeps no pictures of it; ask without them")
    entry, arrays = query, query.arrays
    slices = arrays["preview.bytes"].tobytes()
    outlines = arrays["outline.bytes"].tobytes() if "outline.of" in arrays else b""
    place = arrays.get("preview.place")
    head = {
        "id": entry.id,
        "size": int(entry.facts["size"]),
        "pixel_mm": None if place is None else float(place[2]),
        "corner_mm": None if place is None else place[:2].tolist(),
        "index": arrays["slice.index"].tolist(),
        "z_mm": _plain(arrays["slice.z_mm"]),
        "offset": arrays["preview.offset"].tolist(),
        "outlines": _outlines(entry, len(slices)),
        "structures": [{"name": n, "target": is_target(n)} for n in entry.facts["outlined"]],
        "prescription_gy": entry.facts["prescription_gy"],
        "levels": [{"gy": gy, "colour": c} for gy, c in isodose_colours(entry).items()],
    }
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + slices + outlines


def _outlines(entry: Entry, first: int) -> list[list[int]]:
    """Of each outline: structure, slice index, and where its bytes begin and end."""
    if "outline.of" not in entry.arrays:
        return []
    offset = entry.arrays["outline.offset"] + first
    return np.column_stack([entry.arrays["outline.of"], offset[:-1], offset[1:]]).tolist()


def _plain(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 3) for value in values]
