"""What the commands about everyday archives print and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isohash.apps.cli.pieces import Line, Piece
from isohash.apps.cli.tables import LINES_SHOWN, listing
from isohash.apps.csv_text import csv_text, plain
from isohash.errors import InputError

if TYPE_CHECKING:
    from isohash.retrieval.building.merging import Merged
    from isohash.retrieval.building.removal import Removed
    from isohash.retrieval.inventory import Fact
    from isohash.sources.resolving import Resolved

# What is shown of a case in a list, where it is known; the rest is in --csv and --json.
COLUMNS = ("id", "patient", "label", "prescription_gy", "fractions", "technique", "n_structures",
           "n_slices", "n_dose_slices")  # fmt: skip

DOSES = {"mean_gy": "mean", "d95_gy": "D95", "d2_gy": "D2", "d0.03cc_gy": "D0.03cc"}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows whole or not at all; lists are joined with semicolons."""
    from isohash.whole_files import write_whole

    try:
        write_whole(path, [csv_text(rows).encode()])
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def list_table(
    rows: Sequence[Mapping[str, Any]], total: int, archive: Path, written: Path | None
) -> list[Piece]:
    """The first rows, and how many there are."""
    columns = [name for name in COLUMNS if any(row.get(name) not in (None, "") for row in rows)]
    if all(row.get("patient") == row["id"] for row in rows):
        columns = [name for name in columns if name != "patient"]
    cells = [tuple(_shown(row.get(name)) for name in columns) for row in rows]
    rest = f"all in {written}" if written else "see --csv or --json for all"
    table = listing(str(archive), columns, cells, LINES_SHOWN, rest)
    last = Line(f"{len(rows)} of {total} in {archive}.")
    return [*table, last]


def facts_table(facts: Sequence[Fact], archive: Path) -> list[Piece]:
    """Name, how many have it, and its values."""
    cells = [(one.name, str(one.n), one.kind, one.values) for one in facts]
    return [*listing(f"{archive}: names for --where", ["name", "of", "is", "values"], cells, 100)]


def show_table(facts: Mapping[str, Any]) -> list[Piece]:
    """Facts one a line, doses one a structure, warnings as notes."""
    apart = ("id", "doses", "arrays", "warnings", "structures")
    plain = [(name, _shown(value)) for name, value in facts.items() if name not in apart]
    doses = [
        (name, *(f"{one[key]:.1f}" if key in one else "" for key in DOSES))
        for name, one in facts.get("doses", {}).items()
    ]
    arrays = [
        (name, shape[0], " x ".join(map(str, shape[1:])))
        for name, shape in facts.get("arrays", {}).items()
    ]
    return [
        *listing(str(facts["id"]), ["fact", "value"], plain, 100),
        *listing("Doses (Gy)", ["structure", *DOSES.values()], doses, 100),
        *listing("Kept", ["array", "type", "shape"], arrays, 100),
        *(Line(f"warning: {warning}") for warning in facts.get("warnings", ())),
    ]


def removed_table(found: Removed, archive: Path) -> list[Piece]:
    """What is gone, and whether anything is left of it."""
    lines = [f"note: {note}" for note in found.notes]
    lines.append(f"removed: {', '.join(found.removed)}. {archive} now holds {found.n_cases}.")
    lines.append(
        "Nothing of it is left in any file of the archive."
        if not found.left_in
        else f"Still in {', '.join(found.left_in)}: another process has the archive open, or what "
        "is left is damaged; end it and run the command again, or verify --repair."
    )
    return [*map(Line, lines)]


def merged_table(found: Mapping[str, Merged], archive: Path) -> list[Piece]:
    """What came from where, and what has another name now."""
    lines = []
    for other, one in found.items():
        renamed = [f"{old} as {new}" for old, new in one.added.items() if old != new]
        lines += [f"note: {note}" for note in one.notes]
        lines += [f"note: named apart: {', '.join(renamed)}"] if renamed else []
        lines.append(f"{other}: {len(one.added)} added, {len(one.unchanged)} here already.")
        last = one.n_cases
    return [*map(Line, [*lines, f"{archive} now holds {last}."])]


def exported_table(n_rows: int, failed: Mapping[str, str], out: Path) -> list[Piece]:
    """Where the answers are, and who got none."""
    table = listing("Not answered", ["case", "reason"], list(failed.items()))
    last = Line(f"{n_rows} results in {out}; {len(failed)} cases not answered.")
    return [*table, last]


def resolved_table(found: Sequence[Resolved], source: Path) -> list[Piece]:
    """Every file of what was asked for; of a whole source where each case lies."""
    cells = [(one.id, one.patient, one.path, str(len(one.files))) for one in found]
    files = found[0].files if len(found) == 1 else ()
    table = listing(str(source), ["id", "patient", "lies in", "files"], cells, 1000)
    return [*table, *map(Line, files)]


def links_table(rows: Sequence[Mapping[str, Any]], source: Path) -> list[Piece]:
    """The UIDs behind cases; where a viewer shows one, its address."""
    columns = ["id", "study", *(["viewer"] if rows and "viewer" in rows[0] else ["node"])]
    return [*listing(str(source), columns, [tuple(r[c] for c in columns) for r in rows], 1000)]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(plain(value))
