"""Learning an archive's kernel, and hashing the archive anew with it.

Both work from the embeddings that the archive keeps; no source is read again. The new codes are
written beside the old ones, case by case, and one write of the recipe makes them the archive's: a
killed run leaves the archive as it was.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.apps.entry import codes_name
from isohash.apps.pipeline import HashModel, load_model, model_files
from isohash.apps.retrieval import VIEWS, View
from isohash.apps.settings import Progress, settings_of, tell
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.hashing.calibration import Calibration
from isohash.kernels.radial import RadialKernel

LEARNING_ROWS = 4096


def train_kernel(
    archive: str | Path,
    objective: str = "isometry",
    n_particles: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Learn one kernel per view from the archive's embeddings and keep it there; what was found."""
    from isohash.kernels.learner import KernelLearner

    rows = []
    with CaseStore.open(archive, writable=True) as store:
        for view in _views(store):
            learner = KernelLearner(objective, n_particles, seed)  # type: ignore[arg-type]
            learner.fit(_sample(store, view, seed), progress=progress)
            particles = learner.kernel.particles
            kept = {"objective": objective, "seed": seed, "particles": particles.tolist()}
            store.put_file(f"kernel-{view}", json.dumps(kept).encode())
            rows.append({"view": view, **asdict(learner.diagnostics_)})
    return rows


def rehash(archive: str | Path, progress: Progress | None = None) -> int:
    """Hash all cases with the learned kernels; the number of cases hashed."""
    with CaseStore.open(archive, writable=True) as store:
        recipe = store.recipe
        generation = recipe.get("generation", 0) + 1
        models = {
            view: _model(store, view, seed=recipe["settings"]["seed"]) for view in _views(store)
        }
        for view, model in models.items():
            for name, data in model_files(view, model, generation).items():
                store.put_file(name, data)
        ids = store.ids()
        for done, case_id in enumerate(ids):
            tell(progress, done, len(ids), f"hashing {case_id}")
            arrays = _with_codes(store.arrays(case_id), models, generation)
            store.put(case_id, store.metadata(case_id), arrays, store.fingerprint(case_id))
        learned = {
            view: json.loads(store.read_file(f"kernel-{view}"))["objective"] for view in models
        }
        store.set_recipe({**recipe, "generation": generation, "kernel": learned})
        return len(ids)


def _views(store: CaseStore) -> list[View]:
    near = store.recipe["near"]
    if store.recipe["kind"] != "cases":
        raise InputError("kernels are learned for archives of cases; this one holds vectors")
    if not settings_of(store.recipe)["embeddings"]:
        raise InputError(
            "the archive keeps no embeddings to learn from or to hash anew (it was made with "
            "--no-embeddings); index the source into a new archive"
        )
    return [view for view in VIEWS if view in near]


def _sample(store: CaseStore, view: View, seed: int) -> NDArray[np.float32]:
    column = store.gather(f"embedding.{view}").array
    rows = np.random.default_rng(seed).permutation(len(column))[:LEARNING_ROWS]
    return np.asarray(column[np.sort(rows)], dtype=np.float32)


def _model(store: CaseStore, view: View, seed: int) -> HashModel:
    """The archive's hash of a view, drawn anew for the kernel that was learned for it."""
    from isohash.hashing.kernel_hasher import KernelHasher

    if f"kernel-{view}" not in store.file_names():
        raise InputError(f"no kernel was learned for {view}; run isohash train kernel first")
    recipe = store.recipe
    if recipe["settings"]["q"] != 2:
        raise InputError("learned kernels serve binary codes; this archive has q-ary ones")
    kernel = RadialKernel(json.loads(store.read_file(f"kernel-{view}"))["particles"])
    old = load_model(view, recipe["near"][view], store.read_file, recipe.get("generation", 0))
    bits = recipe["settings"]["bits"]
    hasher = KernelHasher(bits, kernel=kernel, dither=False, random_state=seed)
    drawn = hasher.fit(_sample(store, view, seed)).hash_
    return HashModel(drawn, Calibration.of(drawn), old.near)


def _with_codes(
    arrays: dict[str, NDArray[Any]], models: dict[View, HashModel], generation: int
) -> dict[str, NDArray[Any]]:
    """The case's arrays with the new codes; those of the archive's present generation stay."""
    present = [codes_name(view, generation - 1) for view in models]
    kept = {n: a for n, a in arrays.items() if not n.startswith("codes.") or n in present}
    for view, model in models.items():
        if f"embedding.{view}" in kept:
            embeddings = np.asarray(kept[f"embedding.{view}"], dtype=np.float32)
            kept[codes_name(view, generation)] = model.hash.encode(embeddings).packed
    return kept
