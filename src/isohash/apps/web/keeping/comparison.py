"""Two cases side by side: facts, and every dose that both have with its difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isohash.dosimetry.names import is_target
from isohash.retrieval.entry import Entry
from isohash.sources.identity.naming import is_unnamed

FACTS = ("label", "prescription_gy", "n_fractions", "technique", "approval", "n_slices")
METRICS = {
    "volume_cc": ("volume", "cc"), "mean_gy": ("mean", "Gy"), "d95_gy": ("D95", "Gy"),
    "d2_gy": ("D2", "Gy"), "d0.03cc_gy": ("D0.03cc", "Gy"), "conformity": ("CI", ""),
}  # fmt: skip


def compared(one: Entry, other: Entry) -> dict[str, Any]:
    """Facts that either has, and rows of structure, metric, both values and the difference."""
    facts = [
        {"fact": name, "case": one.facts.get(name), "other": other.facts.get(name)}
        for name in FACTS
        if one.facts.get(name) is not None or other.facts.get(name) is not None
    ]
    rows = list(_rows(one.doses(), other.doses()))
    return {"case": one.id, "other": other.id, "facts": facts, "doses": rows}


def _rows(
    doses: Mapping[str, Mapping[str, float]], others: Mapping[str, Mapping[str, float]]
) -> Iterator[dict[str, Any]]:
    names = [name for name in {**doses, **others} if not is_unnamed(name)]
    for name in sorted(names, key=lambda name: (not is_target(name), name)):
        own, theirs = doses.get(name, {}), others.get(name, {})
        for key, (metric, unit) in METRICS.items():
            a, b = own.get(key), theirs.get(key)
            if a is None and b is None:
                continue
            row = {"structure": name, "metric": metric, "unit": unit, "case": a, "other": b}
            yield {**row, "difference": None if a is None or b is None else b - a}
