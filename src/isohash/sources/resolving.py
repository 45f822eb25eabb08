"""The way back from pseudonyms to files, for who holds the key and the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isohash.errors import InputError
from isohash.progress import Progress
from isohash.sources.found import Findings, Found
from isohash.sources.identity.naming import Naming
from isohash.sources.reading import find


@dataclass(frozen=True)
class Resolved:
    """A case or a file of vectors below a source: its names in an archive, and where it lies."""

    id: str
    patient: str
    path: str
    files: tuple[str, ...]


def resolve(
    source: str | Path, names: Sequence[str] = (), progress: Progress | None = None
) -> list[Resolved]:
    """What lies below `source` under these ids or patients; all of it if none is named.

    Raises InputError for a name that nothing there has, as where another key is set.
    """
    plain = find(source, progress=progress)
    hidden = plain.named_by(Naming(pseudonymous_ids=True))
    rows = [_resolved(one) for one in plain.found]
    if plain.kind != "dicom":
        rows += [_resolved(one) for one in hidden.found]
    kept = [row for row in rows if not names or {row.id, row.patient} & set(names)]
    missing = [n for n in names if not any(n in (row.id, row.patient) for row in rows)]
    if missing:
        raise InputError(_unknown(missing, plain, source))
    return kept


def _resolved(found: Found) -> Resolved:
    files = tuple(map(str, found.files))
    return Resolved(found.key, found.patient or found.key, found.path, files)


def _unknown(missing: Sequence[str], findings: Findings, source: str | Path) -> str:
    return (
        f"{source}: none of its {len(findings.found)} cases is {', '.join(missing)}; give the "
        "folder that the archive was made from, and the key that it was made with "
        "(ISOHASH_KEY_FILE)"
    )
