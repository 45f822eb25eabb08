"""The dose model of an archive as two files: such come with isohash for archives of few plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from isohash.archive.recipe import Recipe
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.features.encoders.encoder_file import KeptEncoder
from isohash.features.encoders.shipped import DOSE, DOSE_CALIBRATION
from isohash.retrieval.dose_arrays import METRICS
from isohash.retrieval.dose_view import DoseView
from isohash.whole_files import digest, private_folder


def share_dose_model(archive: str | Path, out: str | Path) -> list[dict[str, Any]]:
    """Write what the plans of an archive teach, and how far that lies from them, into a folder.

    Both files tell the seed and the digest of the objectives of all plans. InputError where the
    archive has no model of its own, or no bands.
    """
    with CaseStore.open(archive) as store:
        recipe = Recipe(store.recipe)
        view = DoseView(recipe.dose, store.read_file)
        calibration = view.calibration if view.is_own else None
        if calibration is None:
            raise InputError(f"{archive} has no dose model of its own; index 10 plans or more")
        origin = {
            "seed": recipe.settings.seed,
            "data_digest": digest(store.gather(METRICS).array),
        }
        model = replace(view.model, name=DOSE, about={**view.model.about, **origin})
        bands = replace(calibration, about={**calibration.about, **origin})
    private_folder(out)
    return [_written(model, out, DOSE), _written(bands, out, DOSE_CALIBRATION)]


def _written(kept: KeptEncoder, out: str | Path, name: str) -> dict[str, Any]:
    path = Path(out) / f"{name}.safetensors"
    kept.save(path)
    return {"file": path.name, "KB": path.stat().st_size // 1000, "digest": kept.digest[:12]}
