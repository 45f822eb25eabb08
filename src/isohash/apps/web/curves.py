"""Dose-volume histograms of several cases, structure by structure, for the browser's chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isohash.apps.page.charts import Curve
from isohash.dosimetry.names import is_target
from isohash.features.cases.shown import DVH_BIN_GY
from isohash.retrieval.entry import Entry
from isohash.sources.identity.naming import is_unnamed


def curves(entries: Sequence[Entry], foreseen: Mapping[str, Curve] | None = None) -> dict[str, Any]:
    """`dose_gy` (n,), and by structure the volume in percent of each case, None where it has none.

    `foreseen` are the histograms that the query's anatomy would get, by structure. Structures
    without a name of a table are left out: they are not the same in two cases.
    """
    found = [entry.dvhs() for entry in entries]
    names = [
        name for name in dict.fromkeys(n for one in found for n in one) if not is_unnamed(name)
    ]
    most = max((_end(one[name]) for one in found for name in one), default=1)
    return {
        "cases": [entry.id for entry in entries],
        "dose_gy": (DVH_BIN_GY * np.arange(most)).tolist(),
        "structures": [
            {
                "name": name,
                "target": is_target(name),
                "percent": [_percent(one, name, most) for one in found],
                "foreseen": _foreseen((foreseen or {}).get(name), most),
            }
            for name in sorted(names, key=lambda name: (not is_target(name), name))
        ],
    }


def _end(volume: Any) -> int:
    """The bin after the last with any volume."""
    return min(len(volume), int(np.flatnonzero(volume > 0)[-1]) + 2 if (volume > 0).any() else 1)


def _foreseen(curve: Curve | None, most: int) -> list[float] | None:
    if curve is None:
        return None
    percent = np.interp(DVH_BIN_GY * np.arange(most), curve.x, curve.y, right=0.0)
    percent[0] = 100.0  # also where all the dose foreseen is none
    return [round(float(value), 2) for value in percent]


def _percent(dvhs: Any, name: str, most: int) -> list[float] | None:
    if name not in dvhs:
        return None
    return [round(100.0 * float(value), 2) for value in dvhs[name][:most]]
