"""What the files of a source call their structures, for the owner who fills the table of names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.sources.dicom.sniff import looks_like_dicom
from isohash.sources.identity.aliases import Aliases
from isohash.sources.identity.naming import Naming, Typed
from isohash.sources.openkbp import is_csv, is_csv_case, is_mask
from isohash.sources.packed import is_packed, unpacked
from isohash.sources.walk import walk


def unknown_names(
    source: str | Path, aliases: Mapping[str, str] | None = None, progress: Progress | None = None
) -> Naming:
    """The names below `source` that neither `aliases` nor the shipped tables know.

    They are in the `unknown` of what comes back: by structure set, and there by the number that
    stands for them. Headers alone are read. InputError if nothing below `source` names structures.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; check the spelling")
    place = unpacked(source)[0] if is_packed(source) else source
    files = [place] if place.is_file() else list(walk(place, []))
    naming, n_sets = Naming(Aliases.of(aliases)), 0
    for case, typed in [*_in_csv_folders(files), *_in_dicom(files, progress)]:
        naming.names(case, typed)
        n_sets += 1
    if not n_sets:
        raise InputError(f"{source}: no DICOM structure set and no folder of CSV files below it")
    return naming


def _in_csv_folders(files: list[Path]) -> list[tuple[str, list[Typed]]]:
    folders: dict[Path, list[Path]] = {}
    for file in files:
        if is_csv(file):
            folders.setdefault(file.parent, []).append(file)
    return [
        (str(folder), [Typed(file.stem) for file in inside if is_mask(file.name)])
        for folder, inside in folders.items()
        if is_csv_case({file.name for file in inside})
    ]


def _in_dicom(files: list[Path], progress: Progress | None) -> list[tuple[str, list[Typed]]]:
    from isohash.sources.dicom.find import identities

    likely = [file for file in files if looks_like_dicom(file)]
    sets = []
    for done, (file, found) in enumerate(identities(likely), start=1):
        if found.get("structures"):
            sets.append((str(file), [Typed(*one) for one in found["structures"]]))
        tell(progress, done, len(likely), "headers")
    return sets
