"""Options and output that commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.pieces import Piece, rows_table

ArchivePath = Annotated[Path, typer.Argument(help="The archive folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


def outside(path: Path | None) -> Path | None:
    """A place to write results to, if one is given, refused inside an archive before the work."""
    from isohash.whole_files import refuse_in_archive

    if path is not None:
        refuse_in_archive(path)
    return path


Out = Annotated[Path, typer.Option(help="Folder for the PNG, CSV and JSON.", callback=outside)]
Work = Annotated[
    Path | None, typer.Option(help="Folder for what a rerun goes on from [OUT.work, beside OUT].")
]
Quick = Annotated[bool, typer.Option("--quick", help="A small version, in seconds.")]
DataSets = Annotated[Path, typer.Argument(help="Folder of the data sets.", show_default=False)]


def print_facts(facts: Any, table: Callable[[], Sequence[Piece]], as_json: bool) -> None:
    """Print facts as one line of JSON; else what `table` makes, which only people wait for."""
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        from isohash.apps.cli.console import show

        show(table())


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows as one JSON list or as a table."""
    print_facts(rows, lambda: [rows_table(title, rows)], as_json)


def tell_all(results: Mapping[str, Sequence[Mapping[str, Any]]], out: Path, as_json: bool) -> None:
    """Print several lists of rows, each under its name."""
    print_facts(
        results,
        lambda: [rows_table(f"{name}; see {out}", rows) for name, rows in results.items()],
        as_json,
    )


def group(about: str) -> typer.Typer:
    """Commands under one name, such as `isohash train`."""
    made = typer.Typer(
        help=about, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )
    made.callback()(lambda: None)  # which keeps it a group however few there are
    return made


def answer_one() -> None:
    """Before NumPy is imported: its threads take longer to start than one case needs them."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
