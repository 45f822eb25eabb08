"""`isohash names`: structures that no table knows, and the way to give them names."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.options import Json, print_facts
from isohash.apps.cli.progress import progress_bar
from isohash.errors import InputError


def names(
    source: Annotated[Path, typer.Argument(help="Folder or file of cases.", show_default=False)],
    aliases: Annotated[
        Path | None, typer.Option(help="Your names of structures, as for isohash index.")
    ] = None,
    add_to: Annotated[
        Path | None,
        typer.Option(help="Add what is unknown to this table of names, to be filled in there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the names of structures below SOURCE that no table knows.

    An archive keeps a number for each of them (`ROI 7 (organ)`), for a name that was typed may be a
    patient's. Entries added by --add-to are empty: give those that name anatomy a name such as
    SpinalCord_PRV05 (TG-263), leave the others, and index with --aliases. The listing is for the
    owner of the files; with --json it holds no name.

    Example: isohash names /path/to/plans --add-to our-names.json
    """
    from isohash.apps.cli.tables import unknown_names_table
    from isohash.dosimetry.names import load_aliases
    from isohash.retrieval.naming import unmapped
    from isohash.sources.typed_names import unknown_names

    table = add_to if aliases is None and add_to is not None and add_to.exists() else aliases
    known = {} if table is None else load_aliases(table)
    with progress_bar(as_json) as progress:
        rows = unmapped(unknown_names(source, known, progress))
    added = {row.typed: "" for row in rows if row.typed not in known}
    if add_to is not None:
        _write(add_to, {**known, **added})
    facts = [{k: v for k, v in asdict(row).items() if k != "typed"} for row in rows]
    print_facts(facts, lambda: unknown_names_table(rows, source, table=add_to), as_json)


def _write(path: Path, table: dict[str, str]) -> None:
    """Replace the table at once; it may hold names of patients, so only its owner reads it."""
    from isohash.whole_files import OWNER_ONLY, write_whole

    content = json.dumps(table, indent=1, ensure_ascii=False).encode() + b"\n"

    try:
        write_whole(path, content, OWNER_ONLY, kept_up=True)
    except OSError as error:
        raise InputError(f"--add-to {path}: cannot be written ({error.strerror})") from error
