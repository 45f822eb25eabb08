"""One case on its way from file to codes: slices, embeddings, codes.

The same `Pipeline` codes the cases of an archive and the queries put to it; it is saved in the
archive, so both always use the same encoders and the same drawn hashes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.features.cases.measures import measure
from isohash.features.cases.slices import (
    CaseSlices,
    ImageKind,
    SliceSettings,
    case_slices,
    encoder_input,
)
from isohash.features.encoders.encoders import Encoder, load_encoder, load_plan_encoder
from isohash.features.encoders.plan import PlanEncoder
from isohash.records import Case, Codes
from isohash.retrieval.comparison import (
    VIEWS,
    SliceTable,
    View,
)
from isohash.retrieval.models import HashModel, load_model, model_files
from isohash.retrieval.plan_code import plan_arrays

PLAN_FILE = "encoder-plan"
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, eq=False)
class CodedCase:
    """A case cut into slices; `rows[view]` are those that have an image of that view.

    Embeddings, codes and plan are computed when first asked for: a query by plan encodes no image.
    """

    case: Case
    slices: CaseSlices
    rows: Mapping[View, NDArray[np.int64]]
    pipeline: Pipeline

    @property
    def table(self) -> SliceTable:
        """Where each slice lies and which row of each view it owns."""
        return slice_table(self.slices, self.rows)

    @cached_property
    def embeddings(self) -> dict[View, NDArray[np.float32]]:
        """(rows of that view, d), of the views that have any."""
        return {
            view: as_stored(encoder.encode(images_of(self.slices, view, self.rows[view])))
            for view, encoder in self.pipeline.encoders.items()
            if len(self.rows[view])
        }

    @cached_property
    def codes(self) -> dict[View, Codes]:
        """The codes of the embeddings."""
        models = self.pipeline.models
        return {view: models[view].hash.encode(e) for view, e in self.embeddings.items()}

    @cached_property
    def plan(self) -> dict[str, NDArray[Any]]:
        """What the plan view keeps of it (`plan_view.plan_arrays`)."""
        encoder = self.pipeline.plan
        if encoder is None or not self.case.structures:
            return {}
        measured = measure(self.case, encoder.settings)
        planned = measured.doses(encoder.settings) if measured.has_dose else None
        return plan_arrays(encoder.predict(measured), planned)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The encoder and the hash of each view; a view that no case has when fitting has neither.

    `generation` counts how often the archive was hashed anew; it marks the names of what depends
    on the hash, so that old and new codes are never mixed. `plan` is None where cases are not
    compared by their plans.
    """

    slices: SliceSettings
    encoders: Mapping[View, Encoder]
    models: Mapping[View, HashModel]
    generation: int = 0
    plan: PlanEncoder | None = None

    def code(self, case: Case) -> CodedCase:
        """Cut a case into slices, to be encoded and hashed when asked for."""
        slices = case_slices(case, self.slices)
        rows = {view: rows_of(slices, view) for view in self.models}
        return CodedCase(case, slices, rows, self)

    def to_files(self) -> dict[str, bytes]:
        """The models as named blobs for an archive."""
        files = {}
        for view, encoder in self.encoders.items():
            files[f"encoder-{view}"] = _saved(encoder.save)
            files |= model_files(view, self.models[view], self.generation)
        if self.plan is not None:
            files[PLAN_FILE] = _saved(self.plan.save)
        return files

    @classmethod
    def from_files(
        cls,
        slices: SliceSettings,
        near: Mapping[View, float],
        read: Callable[[str], bytes],
        generation: int = 0,
        has_plan: bool = False,
    ) -> Pipeline:
        """Load the models that `to_files` made; `near` names the views that have one."""
        views = [view for view in VIEWS if view in near]
        return cls(
            slices,
            {view: _loaded(read(f"encoder-{view}"), load_encoder) for view in views},
            {view: load_model(view, near[view], read, generation) for view in views},
            generation,
            _loaded(read(PLAN_FILE), load_plan_encoder) if has_plan else None,
        )


def as_stored(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings rounded to the float16 that an archive keeps.

    Codes are made from the rounded values, so that the stored embeddings give the stored codes.
    """
    with np.errstate(over="ignore"):  # refused by the hash as not finite
        return embeddings.astype(np.float16).astype(np.float32)


def rows_of(slices: CaseSlices, view: View) -> NDArray[np.int64]:
    """The slices that have an image of this view worth encoding."""
    if view == "ct":
        return np.arange(len(slices) if slices.hu is not None else 0)
    return np.flatnonzero(slices.has_dose)


def images_of(slices: CaseSlices, view: View, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The encoder's input (rows, size, size) of one view."""
    return encoder_input(slices, cast(ImageKind, view))[rows]


def slice_table(slices: CaseSlices, rows: Mapping[View, NDArray[np.int64]]) -> SliceTable:
    """Where each slice lies and which row of each view's codes it owns."""
    table = {view: np.full(len(slices), -1, dtype=np.int64) for view in VIEWS}
    for view, used in rows.items():
        table[view][used] = np.arange(len(used))
    return SliceTable(
        start=np.array([0, len(slices)]),
        index=np.asarray(slices.slice_index, dtype=np.int64),
        z_mm=np.asarray(slices.z_mm, dtype=np.float64),
        row=table,
    )


def _saved(save: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder"
        save(path)
        return path.read_bytes()


def _loaded(data: bytes, load: Callable[[Path], Loaded]) -> Loaded:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder"
        path.write_bytes(data)
        return load(path)


def load_pipeline(store: CaseStore) -> Pipeline:
    """The encoders and hashes kept in an archive."""
    recipe = store.recipe
    if recipe.get("kind") != "cases":
        raise InputError(f"this archive holds {recipe.get('kind')}; give it a source of that kind")
    settings = SliceSettings.from_json(recipe["slices"])
    generation = recipe.get("generation", 0)
    has_plan = "encoder" in recipe.get("plan", {})
    return Pipeline.from_files(settings, recipe["near"], store.read_file, generation, has_plan)
