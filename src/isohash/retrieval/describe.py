"""What is inside an archive, for `isohash info`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.index.flat import distances
from isohash.retrieval.engine import Archive
from isohash.retrieval.inventory import INTERNAL, facts_in, meant
from isohash.retrieval.items import Items
from isohash.retrieval.models import codes_name, load_model
from isohash.retrieval.strangers import understanding

SAMPLED = 200  # codes on each side of the pairs looked at
BLIND = 0.5  # share of pairs beyond range from which on `info` warns


def describe(archive: str | Path) -> dict[str, Any]:
    """Counts, sizes and the recipe of an archive, as plain values."""
    with CaseStore.open(archive) as store:
        with understanding(store.path, "the facts of its cases"):
            facts = [store.metadata(name) for name in store.ids()]
            told = [fact.to_json() for fact in facts_in(facts)]
            counts = _counts(facts)
        kept = {name: count for name, count in counts.items() if count}
        with understanding(store.path, "its recipe or one of its models"):
            saturated = {view: _saturated(store, view) for view in Recipe(store.recipe).near}
        return {
            **store.info(),
            **kept,
            "facts": told,
            "recipe": store.recipe,
            "saturated": saturated,
            "warnings": [
                _warning(view, share, store.recipe["settings"].get("hash") == "adaptive")
                for view, share in saturated.items()
                if share > BLIND
            ],
        }


def describe_item(archive: Archive, name: str) -> dict[str, Any]:
    """What is kept of one item, as plain values; InputError if the archive does not hold it."""
    contents = archive.contents
    if not isinstance(contents, Items):
        query = contents.query(name, pictures=False)
        position = getattr(query, "position", None)
        if position is None:
            raise InputError(f"{name} is no row of this archive")
        return {"id": name, **contents.known(position)[1]}
    if name not in contents:
        raise InputError(
            f"{archive.store.path} holds no case {name}{meant(name, contents.ids)} "
            "isohash list shows the ids"
        )
    entry = contents.entry(name)
    facts = {key: value for key, value in entry.facts.items() if key not in INTERNAL}
    arrays = {key: [str(a.dtype), *a.shape] for key, a in entry.arrays.items()}
    return {"id": name, **facts, "doses": entry.doses(), "arrays": arrays}


def _counts(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "slices": sum(one.get("n_slices", 0) for one in facts),
        "dose_slices": sum(one.get("n_dose_slices", 0) for one in facts),
        "vectors": sum(one.get("n_rows", 0) for one in facts),
        "patients": len({one["patient"] for one in facts if "patient" in one}),
        "labels": dict(Counter(str(one["label"]) for one in facts if one.get("label"))),
    }


def _saturated(store: CaseStore, view: str) -> float:
    """Share of sampled pairs of stored codes that are as far apart as the code can tell.

    The range-of-view meter: near 1, code distances say nothing (the literature's flat scatter).
    """
    recipe = Recipe(store.recipe)
    name = codes_name(view, recipe.generation)
    if not any(name in store.array_names(case_id) for case_id in store.ids()):
        return 0.0
    model = load_model(view, recipe.near[view], store.read_file, recipe.generation)
    packed = store.gather(name).array
    rows = np.random.default_rng(0).permutation(len(packed))[: 2 * SAMPLED]
    codes = model.codes(packed[np.sort(rows)])
    half = len(codes) // 2
    if not half:
        return 0.0
    return float(np.mean(distances(codes[:half], codes[half:]) >= model.calibration.beyond))


def _warning(view: str, share: float, adaptive: bool) -> str:
    step = "of more cases" if adaptive else "with --hash adaptive"
    return (
        f"{share:.0%} of pairs lie beyond the range of the {view} codes, which tell near from "
        f"nearer, but not far from farther; a new archive {step} sees farther"
    )
