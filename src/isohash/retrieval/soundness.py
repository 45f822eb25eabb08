"""Whether an archive can be asked: every byte as it was written, and all models there.

A damaged archive is repaired in two steps: its files are made whole (`archive.repair`), then what
was lost of the models is put back where somebody else has it: encoders that come with the package,
known by their digest, and what follows from the stored cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from isohash.archive import repair as bytes_repair
from isohash.archive import verify as bytes_verify
from isohash.archive.files import DamagedArchive
from isohash.archive.recipe import Recipe
from isohash.archive.repair import Repair
from isohash.archive.store import CaseStore
from isohash.archive.verify import Damage, Report
from isohash.errors import InputError
from isohash.features.encoders.shipped import shipped_by_digest
from isohash.progress import Progress
from isohash.retrieval.building.dose_keeping import recalibrate
from isohash.retrieval.building.usual import measure_anew
from isohash.retrieval.dose_view import CALIBRATION, FOLDS, MODEL, DoseView
from isohash.retrieval.held import contents_of
from isohash.retrieval.likeness import FILE
from isohash.retrieval.models import model_names
from isohash.retrieval.pipeline import PLAN_FILE
from isohash.retrieval.strangers import understanding

LOST = (
    "it is lost, and questions that need it cannot be answered; restore the archive from a backup, "
    "or index its source into a new folder"
)
PUT_BACK = "it is lost, and questions that need it cannot be answered; verify --repair puts it back"


def verify(path: str | Path, progress: Progress | None = None) -> Report:
    """Check every byte of an archive, and that nothing is missing that answers are made with."""
    report = bytes_verify.verify(path, progress)
    return replace(report, problems=(*report.problems, *_unanswered(Path(path), report.ok)))


def repair(path: str | Path, progress: Progress | None = None) -> Repair:
    """Make a damaged archive whole, and put lost models back where they are known elsewhere."""
    mended = bytes_repair.repair(path, progress)
    restored = tuple(_put_back(Path(path)))
    lost = tuple(name for name in mended.lost_files if name not in restored)
    return replace(mended, lost_files=lost, restored=restored)


def _unanswered(path: Path, whole: bool) -> Iterator[Damage]:
    """What keeps questions from being answered; of damaged bytes others have told."""
    try:
        with CaseStore.open(path) as store, understanding(path, "its recipe or one of its models"):
            missing = _missing(store)
            for name in missing:
                yield Damage(name, PUT_BACK if _known_elsewhere(store, name) else LOST)
            if whole and not missing:
                contents_of(store).load()
    except DamagedArchive:
        return
    except InputError as error:
        yield Damage("recipe.json", f"questions cannot be answered: {error}")


def _missing(store: CaseStore) -> list[str]:
    there = store.file_names()
    return [name for name in _needed(Recipe(store.recipe)) if name not in there]


def _needed(recipe: Recipe) -> Iterator[str]:
    """The files that answers are made with."""
    for view in recipe.near:
        yield from model_names(view, recipe.generation)
        if recipe.kind != "vectors":
            yield f"encoder-{view}"
    if recipe.has_plan_encoder:
        yield PLAN_FILE
    if "model" in recipe.dose:
        yield from (MODEL, FOLDS)
    if "calibrated_on" in recipe.dose:
        yield CALIBRATION
    if "likeness" in recipe:
        yield FILE


def _known_elsewhere(store: CaseStore, name: str) -> bool:
    return name in (CALIBRATION, FILE) or _shipped(store, name) is not None


def _shipped(store: CaseStore, name: str) -> bytes | None:
    """The file of an encoder that comes with the package, if the archive was made with it."""
    digest = Recipe(store.recipe).get("digests", {}).get(name)
    return None if digest is None else shipped_by_digest(digest)


def _put_back(path: Path) -> Iterator[str]:
    with CaseStore.open(path, writable=True) as store:
        for name in _missing(store):
            content = _shipped(store, name)
            if content is not None:
                store.put_file(name, content)
                yield name
            elif name == FILE:
                measure_anew(store)
                yield name
            elif name == CALIBRATION:
                recalibrate(store, DoseView(Recipe(store.recipe).dose, store.read_file))
                yield from [name] * (name in store.file_names())
