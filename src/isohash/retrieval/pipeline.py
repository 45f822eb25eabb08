"""One item on its way from file to codes: samples, embeddings, codes.

The same `Pipeline` codes the items of an archive and the queries put to it; it is saved in the
archive, so both always use the same encoders and the same drawn hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import Recipe
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.encoders.plan import PlanEncoder
from isohash.features.kinds import Kind, Rows, Samples
from isohash.features.known import KINDS
from isohash.records import Case, Codes
from isohash.retrieval.dose_arrays import ABOUT, KeptDose, as_json
from isohash.retrieval.dose_view import DoseView
from isohash.retrieval.models import HashModel, load_model, model_files
from isohash.retrieval.plan_code import plan_arrays
from isohash.retrieval.slices import SliceTable
from isohash.retrieval.strangers import understanding

if TYPE_CHECKING:
    from isohash.features.encoders.encoders import Encoder

PLAN_FILE = "encoder-plan"


class KeptEncoders(Mapping[str, "Encoder"]):
    """The encoders of an archive's views, each read when it is first asked for.

    A stored case is asked by its stored codes and embeddings, and needs none of them.
    """

    def __init__(self, views: Sequence[str], read: Callable[[str], bytes], archive: Path) -> None:
        self._views, self._read, self._archive = tuple(views), read, archive
        self._found: dict[str, Encoder] = {}

    def __getitem__(self, view: str) -> Encoder:
        if view not in self._views:
            raise KeyError(view)
        if view not in self._found:
            from isohash.features.encoders.encoders import encoder_from_bytes

            name = f"encoder-{view}"
            with understanding(self._archive, name):
                self._found[view] = encoder_from_bytes(self._read(name), name)
        return self._found[view]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


@dataclass(frozen=True, eq=False)
class CodedItem:
    """An item cut into samples; `rows[view]` are those that have an image of that view.

    Embeddings, codes and plan are computed when first asked for: a query by plan encodes no image.
    """

    item: Any
    samples: Samples
    rows: Mapping[str, Rows]
    pipeline: Pipeline

    @property
    def kind(self) -> Kind:
        """What kind of item it is."""
        return self.pipeline.kind

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is known of it."""
        return self.kind.facts(self.item, self.samples)

    @property
    def table(self) -> SliceTable:
        """Where each sample lies and which row of each view it owns."""
        row = {view: np.full(len(self.samples), -1, dtype=np.int64) for view in self.kind.labels}
        for view, used in self.rows.items():
            row[view][used] = np.arange(len(used))
        index = np.asarray(self.samples.slice_index, dtype=np.int64)
        z_mm = np.asarray(self.samples.z_mm, dtype=np.float64)
        return SliceTable(np.array([0, len(self.samples)]), index, z_mm, row)

    @cached_property
    def embeddings(self) -> dict[str, NDArray[np.float32]]:
        """(rows of that view, d), of the views that have any."""
        encoders, views = self.pipeline.encoders, {view.name: view for view in self.kind.views}
        return {
            name: as_stored(encoders[name].encode(views[name].images(self.samples, rows)))
            for name, rows in self.rows.items()
            if len(rows)
        }

    @property
    def errors(self) -> dict[str, float]:
        """By view, how badly its encoder gives back some of the samples; NaN where it cannot."""
        from isohash.features.encoders.reconstruction import typical_error

        encoders, views = self.pipeline.encoders, {view.name: view for view in self.kind.views}
        return {
            name: typical_error(encoders[name], partial(views[name].images, self.samples), rows)
            for name, rows in self.rows.items()
        }

    @cached_property
    def codes(self) -> dict[str, Codes]:
        """The codes of the embeddings."""
        models = self.pipeline.models
        return {view: models[view].hash.encode(e) for view, e in self.embeddings.items()}

    @cached_property
    def plan(self) -> dict[str, NDArray[Any]]:
        """What is kept for comparing it by plan (`plan_code`)."""
        encoder, layout = self.pipeline.plan, self.pipeline.layout
        if layout is None or not self.item.structures:
            return {}
        from isohash.features.cases.measures import measure

        measured = measure(self.item, layout)
        planned = measured.doses(layout) if measured.has_dose else None
        return plan_arrays(encoder.predict(measured) if encoder else None, planned)

    @cached_property
    def dose(self) -> dict[str, NDArray[Any]]:
        """What is kept of the dose that its anatomy would get (`dose_arrays`).

        Empty where it has no anatomy, or nobody foretells doses.
        """
        view, layout = self.pipeline.dose, self.pipeline.dose_layout
        if view is None or layout is None:
            return {}
        from isohash.retrieval.foreseen import foresee

        model = None if view.why_not else view.for_patient(self.item.patient)
        try:
            return foresee(self.item, model, view.why_not).asked(layout)
        except InputError as error:
            return {ABOUT: as_json({"why_not": str(error)})}

    @property
    def planned(self) -> dict[str, NDArray[Any]]:
        """Histograms and objectives of its own dose, by which a finished plan is checked."""
        if not isinstance(self.item, Case) or self.item.dose is None:
            return {}
        from isohash.retrieval.foreseen import foresee

        return {"own.planned": foresee(self.item, None).planned}

    def foreseen(self) -> CodedItem | str:
        """The same item with the dose that its anatomy would get; or why none can be told."""
        kept = KeptDose(self.dose)
        if kept.predicted is None:
            return str(kept.about.get("why_not", "the archive foretells no doses"))
        from isohash.dosimetry.dose import PlacedDose

        dose = PlacedDose([kept.predicted], *kept.ct_grid)
        return self.pipeline.code(replace(self.item, dose=dose))


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The encoder and the hash of each view; a view that no item has when fitting has neither.

    `generation` counts how often the archive was hashed anew; it marks the names of what depends
    on the hash, so that old and new codes are never mixed. `plan` is None where items are not
    compared by their plans, `dose` what is known of the archive's dose model.
    """

    kind: Kind
    slices: SliceSettings
    encoders: Mapping[str, Encoder]
    models: Mapping[str, HashModel]
    generation: int = 0
    plan: PlanEncoder | None = None
    dose: DoseView | None = None

    @property
    def layout(self) -> GeometrySettings | None:
        """The structures by which plans are compared, None if they are not."""
        return self.plan.settings if self.plan is not None else self.dose_layout

    @property
    def dose_layout(self) -> GeometrySettings | None:
        """The structures whose predicted histograms are compared; None if doses are not kept."""
        return None if self.dose is None else self.dose.layout

    def code(self, item: Any) -> CodedItem:
        """Cut an item into samples, to be encoded and hashed when asked for."""
        self.kind.check(item, "the query")
        samples = self.kind.cut(item, self.slices)
        views = [view for view in self.kind.views if view.name in self.models]
        return CodedItem(item, samples, {view.name: view.rows(samples) for view in views}, self)

    def to_files(self) -> dict[str, bytes]:
        """The models as named blobs for an archive."""
        files = {}
        for view, encoder in self.encoders.items():
            files[f"encoder-{view}"] = encoder.to_bytes()
            files |= model_files(view, self.models[view], self.generation)
        if self.plan is not None:
            files[PLAN_FILE] = self.plan.to_bytes()
        return files

    @classmethod
    def from_files(cls, recipe: Recipe, read: Callable[[str], bytes], archive: Path) -> Pipeline:
        """Load the models that `to_files` made."""
        kind, near, generation = KINDS[recipe.kind], recipe.near, recipe.generation
        views = [view for view in kind.labels if view in near]
        return cls(
            kind,
            recipe.slices,
            KeptEncoders(views, read, archive),
            {view: load_model(view, near[view], read, generation) for view in views},
            generation,
            PlanEncoder.from_bytes(read(PLAN_FILE)) if recipe.has_plan_encoder else None,
            DoseView(recipe.dose, read),
        )


def as_stored(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings rounded to the float16 that an archive keeps.

    Codes are made from the rounded values, so that the stored embeddings give the stored codes.
    """
    with np.errstate(over="ignore"):  # refused by the hash as not finite
        return embeddings.astype(np.float16).astype(np.float32)
