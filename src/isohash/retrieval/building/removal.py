"""Taking items out of an archive so that nothing of them is left in its files.

What was learned from many (hashes, encoders, models of doses) stays: it holds no case. Who must
undo that, too, indexes what is left into a new folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isohash.archive import folder
from isohash.archive.recipe import Recipe
from isohash.archive.state import segment_files
from isohash.archive.store import CaseStore
from isohash.errors import InputError
from isohash.progress import Progress
from isohash.retrieval.building.dose_keeping import recalibrate
from isohash.retrieval.building.usual import keep_usual, keep_usual_rows
from isohash.retrieval.dose_view import FOLDS, DoseView
from isohash.retrieval.inventory import meant
from isohash.retrieval.likeness import FILE
from isohash.retrieval.ways.row_names import NAMES, RowNames

TELLING = 7  # letters from which on a name in 100 MB of numbers is no chance
BLOCK = 1 << 24  # bytes of a file looked at together


@dataclass(frozen=True)
class Removed:
    """What was taken out, how much is left, and files that still hold something of it."""

    removed: tuple[str, ...]
    n_cases: int
    left_in: tuple[str, ...]
    notes: tuple[str, ...] = ()


def remove(
    path: str | Path,
    names: Sequence[str] = (),
    patient: str | None = None,
    progress: Progress | None = None,
) -> Removed:
    """Take cases, or files or rows of vectors, out of an archive, by name or by patient.

    Rewrites the archive without them, then looks for their names in every byte of it. Raises
    InputError, before anything is changed, for a name that it does not hold.
    """
    with CaseStore.open(path, writable=True) as store:
        if Recipe(store.recipe).kind == "vectors":
            gone = _remove_vectors(store, names, patient)
        else:
            gone = _remove_cases(store, _cases(store, names, patient))
        store.compact(progress)
        n_left = sum(store.column("n_rows")) if "n_rows" in _facts(store) else len(store)
    notes = _clear_quarantine(Path(path))
    with CaseStore.open(path, writable=True):
        pass  # what readers had open is swept away now, if they are done
    left = _left(Path(path), gone)
    return Removed(tuple(gone), n_left, tuple(left), tuple(notes))


def _facts(store: CaseStore) -> set[str]:
    return set(store.metadata(store.ids()[0])) if len(store) else set()


def _cases(store: CaseStore, names: Sequence[str], patient: str | None) -> list[str]:
    for name in names:
        if name not in store:
            raise InputError(f"{store.path} holds no case {name}{meant(name, store.ids())}")
    if patient is None:
        return list(dict.fromkeys(names))
    patients = store.column("patient")
    if patient not in patients:
        raise InputError(
            f"{store.path} holds no case of patient {patient}{meant(patient, map(str, patients))} "
            "isohash resolve SOURCE tells the pseudonyms of a source"
        )
    own = [name for name, one in zip(store.ids(), patients, strict=True) if one == patient]
    return list(dict.fromkeys([*names, *own]))


def _remove_cases(store: CaseStore, names: Sequence[str]) -> list[str]:
    patients = {store.metadata(name).get("patient") for name in names}
    for name in names:
        store.delete(name)
    if FOLDS in store.file_names():  # names patients
        folds = json.loads(store.read_file(FOLDS))
        kept = {one: fold for one, fold in folds.items() if one not in patients}
        left = set(store.column("patient")) if len(store) else set()
        kept |= {one: fold for one, fold in folds.items() if one in left}
        store.put_file(FOLDS, json.dumps(kept, sort_keys=True).encode())
    if len(store):
        recalibrate(store, DoseView(Recipe(store.recipe).dose, store.read_file))
    if FILE in store.file_names():
        keep_usual(store, anew=True)
    left = set(store.column("patient")) if len(store) else set()
    return [*names, *sorted(str(one) for one in patients - left if one and one not in names)]


def _remove_vectors(store: CaseStore, names: Sequence[str], patient: str | None) -> list[str]:
    """Whole files by their name, or rows by their ids; rows without ids are called by place."""
    if patient is not None:
        raise InputError("--patient is for cases: vectors have no patient")
    rows = RowNames(store).entries
    files = {one.file for one in rows}
    ids = {one.name(row) for one in rows if one.ids is not None for row in range(one.n)}
    for name in names:
        if name not in files | ids:
            raise InputError(
                f"{store.path} holds no file and no id {name}{meant(name, files | ids)} Rows "
                "without ids go with their file"
            )
    for entry, one in zip(store.ids(), rows, strict=True):
        if one.file in names:
            store.delete(entry)
        elif one.ids is not None and any(one.name(row) in names for row in range(one.n)):
            _without(store, entry, [row for row in range(one.n) if one.name(row) not in names])
    if FILE in store.file_names():
        keep_usual_rows(store, anew=True)
    return list(dict.fromkeys(names))


def _without(store: CaseStore, entry: str, kept: Sequence[int]) -> None:
    """An entry with only some of its rows; its file counts as unchanged."""
    if not kept:
        store.delete(entry)
        return
    arrays = {name: array[list(kept)] for name, array in store.arrays(entry).items()}
    names = arrays[NAMES]
    arrays[NAMES] = names[:, : int((names != 0).any(axis=0).sum())]
    facts = {**store.metadata(entry), "n_rows": len(kept)}
    store.put(entry, facts, arrays, store.fingerprint(entry))


def _clear_quarantine(path: Path) -> list[str]:
    """Damaged copies may hold what was removed, and nobody can look into them."""
    place = path / folder.QUARANTINE
    if not place.is_dir():
        return []
    files = sorted(file.name for file in place.iterdir())
    shutil.rmtree(place)
    return [f"damaged files that a repair had set aside are gone, too: {', '.join(files)}"]


def _left(path: Path, names: Sequence[str]) -> list[str]:
    """Files of the archive that hold one of the names, and segments that a reader keeps."""
    with CaseStore.open(path) as store:
        live = store.segments()
    held = [file for file, sequence in segment_files(path) if sequence not in live]
    wanted = [(name if len(name) >= TELLING else f'"{name}"').encode() for name in names]
    for file in sorted(path.rglob("*")):
        if file.is_file() and file not in held and _holds(file, wanted):
            held.append(file)
    return [str(file.relative_to(path)) for file in held]


def _holds(file: Path, wanted: Sequence[bytes]) -> bool:
    """Whether a name stands in a file between characters that no name has."""
    longest, tail = max(map(len, wanted), default=0) + 1, b"\0"
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            block = tail + block
            if any(_stands(one, block) for one in wanted):
                return True
            tail = block[-longest:]
    return False


def _stands(name: bytes, block: bytes) -> bool:
    at = block.find(name)
    while at >= 0:
        before, after = block[at - 1 : at], block[at + len(name) : at + len(name) + 1]
        if not (_of_name(before) or _of_name(after)):
            return True
        at = block.find(name, at + 1)
    return False


def _of_name(character: bytes) -> bool:
    return character.isalnum() or (character in (b"-", b"_", b"~") and character != b"")
