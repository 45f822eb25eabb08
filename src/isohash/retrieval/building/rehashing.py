"""Learning an archive's kernel, and hashing the archive anew with it.

Both work from the embeddings (or vectors) that the archive keeps; no source is read again.
Whatever family of codes the archive had, the new ones are bits of the learned kernel, as many as
were stored. They are written beside the old ones, case by case, and one write of the recipe makes
them the archive's: a killed run leaves the archive as it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.hashing.bandwidth import NEIGHBOUR
from isohash.hashing.calibration import Calibration
from isohash.kernels.radial import RadialKernel
from isohash.progress import Progress, tell
from isohash.retrieval.building.usual import measure_anew
from isohash.retrieval.likeness import FILE
from isohash.retrieval.models import HashModel, codes_name, load_model, model_files
from isohash.retrieval.ways.vectors import VIEW

LEARNING_ROWS = 16384  # rows of the seeded sample that a kernel is learned from


@dataclass(frozen=True, eq=False)
class Sample:
    """A seeded sample of a view's embeddings (m, d) out of `n_rows`; labels where there are any."""

    rows: NDArray[np.float32]
    labels: NDArray[Any] | None
    n_rows: int

    @property
    def n_neighbours(self) -> int:
        """The rank within the sample of what is the `NEIGHBOUR`-th nearest in the archive.

        A small archive serves the nearest tenth, as the hash's own rule does.
        """
        wanted = min(NEIGHBOUR, max(1, -(-self.n_rows // 10)))
        return max(1, round(wanted * len(self.rows) / self.n_rows))


def train_kernel(
    archive: str | Path,
    objective: str = "isometry",
    n_particles: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Learn one kernel per view from the archive's embeddings and keep it there; what was found.

    Alignment takes the labels of the archive where every row has one, otherwise k-means makes
    them. A killed run goes on from its checkpoints, which lie beside the archive until it is done.
    """
    from isohash.kernels.learning.learner import KernelLearner

    rows, folder = [], _training_folder(archive)
    with CaseStore.open(archive, writable=True) as store:
        for view in _views(store):
            sample = _sample(store, view, seed)
            learner = KernelLearner(
                objective,  # type: ignore[arg-type]  # checked, with its message, by the learner
                n_particles,
                seed,
                n_neighbours=sample.n_neighbours,
                dither=False,  # as `_model` draws its hash
                n_bits=Recipe(store.recipe).settings.bits,
            )
            labels = sample.labels if objective == "alignment" else None
            # other options, or an archive that has grown since, start anew
            run = f"{view}-{objective}-{n_particles}-{seed}-{sample.n_rows}"
            learner.fit(sample.rows, labels, progress=progress, checkpoint=folder / run)
            given = "archive" if labels is not None else "k-means"
            about = {
                "kernel": objective,
                "labels": given if objective == "alignment" else None,
                **{name: _rounded(value) for name, value in asdict(learner.diagnostics_).items()},
            }
            kept = {**about, "seed": seed, "particles": learner.kernel.particles.tolist()}
            store.put_file(f"kernel-{view}", json.dumps(kept).encode())
            rows.append({"view": view, **about})
    shutil.rmtree(folder, ignore_errors=True)  # checkpoints have served
    return rows


def rehash(archive: str | Path, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Hash all of an archive with its learned kernels; a row per view says what it now has."""
    with CaseStore.open(archive, writable=True) as store:
        recipe, views = Recipe(store.recipe), _views(store)
        old = recipe.generation
        models = {view: _model(store, view, recipe.settings.seed) for view in views}
        for view, model in models.items():
            for name, data in model_files(view, model, old + 1).items():
                store.put_file(name, data)
        ids = store.ids()
        for done, case_id in enumerate(ids):
            tell(progress, done, len(ids), f"hashing {case_id}")
            arrays = _with_codes(store.arrays(case_id), models, old + 1)
            store.put(case_id, store.metadata(case_id), arrays, store.fingerprint(case_id))
        learned = {view: _kept_kernel(store, view)["kernel"] for view in views}
        now = {**recipe["settings"], "hash": "kernel", "q": 2}
        store.set_recipe(recipe.changed(generation=old + 1, kernel=learned, settings=now))
        if FILE in store.file_names():  # other codes, other distances
            measure_anew(store)
        return [
            {"view": view, "hash": model.hash.family, "kernel": learned[view], "bits": model.length}
            for view, model in models.items()
        ]


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _views(store: CaseStore) -> list[str]:
    recipe = Recipe(store.recipe)
    if not recipe.settings.embeddings:
        raise InputError(
            "the archive keeps no embeddings to learn from or to hash anew (it was made with "
            "--no-embeddings); index the source into a new archive"
        )
    return list(recipe.near)


def _training_folder(archive: str | Path) -> Path:
    path = Path(archive).absolute()
    return path.with_name(f".{path.name}.kernel")


def _source(view: str) -> str:
    """The array that the view's codes are made from."""
    return view if view == VIEW else f"embedding.{view}"


def _sample(store: CaseStore, view: str, seed: int) -> Sample:
    if not len(store):
        raise InputError(f"{store.path} holds nothing to learn from; run isohash index first")
    column = store.gather(_source(view)).array
    chosen = np.sort(np.random.default_rng(seed).permutation(len(column))[:LEARNING_ROWS])
    rows = np.asarray(column[chosen], dtype=np.float32)
    if not all("label" in store.array_names(name) for name in store.ids()):
        return Sample(rows, None, len(column))
    return Sample(rows, store.gather("label").array[chosen], len(column))


def _kept_kernel(store: CaseStore, view: str) -> Mapping[str, Any]:
    if f"kernel-{view}" not in store.file_names():
        raise InputError(f"no kernel was learned for {view}; run isohash train kernel first")
    kept: Mapping[str, Any] = json.loads(store.read_file(f"kernel-{view}"))
    return kept


def _model(store: CaseStore, view: str, seed: int) -> HashModel:
    """A hash of as many stored bits as the archive's, drawn for the view's learned kernel."""
    from isohash.hashing.kernel_hasher import KernelHasher

    kernel = RadialKernel(_kept_kernel(store, view)["particles"])
    recipe = Recipe(store.recipe)
    old = load_model(view, recipe.near[view], store.read_file, recipe.generation)
    hasher = KernelHasher(recipe.settings.bits, kernel=kernel, dither=False, random_state=seed)
    drawn = hasher.fit(_sample(store, view, seed).rows).hash_
    return HashModel(drawn, Calibration.of(drawn), old.near)


def _with_codes(
    arrays: dict[str, NDArray[Any]], models: dict[str, HashModel], generation: int
) -> dict[str, NDArray[Any]]:
    """The case's arrays with the new codes; those of the archive's present generation stay."""
    present = [codes_name(view, generation - 1) for view in models]
    kept = {n: a for n, a in arrays.items() if not n.startswith("codes.") or n in present}
    for view, model in models.items():
        if _source(view) in kept:
            embeddings = np.asarray(kept[_source(view)], dtype=np.float32)
            kept[codes_name(view, generation)] = model.hash.encode(embeddings).packed
    return kept
