"""What is inside an archive, for `isohash info`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from isohash.archive.store import CaseStore


def describe(archive: str | Path) -> dict[str, Any]:
    """Counts, sizes and the recipe of an archive, as plain values."""
    with CaseStore.open(archive) as store:
        facts = [store.metadata(name) for name in store.ids()]
        counts = {
            "slices": sum(one.get("n_slices", 0) for one in facts),
            "dose_slices": sum(one.get("n_dose_slices", 0) for one in facts),
            "vectors": sum(one.get("n_rows", 0) for one in facts),
            "patients": len({one["patient"] for one in facts if "patient" in one}),
            "labels": dict(Counter(str(one["label"]) for one in facts if one.get("label"))),
        }
        kept = {name: count for name, count in counts.items() if count}
        return {**store.info(), **kept, "recipe": store.recipe}
