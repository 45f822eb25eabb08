"""`isohash bench ...`: speed beside the peers that are installed, interleaved, as ratios."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli_evaluate import Json, Quick, print_rows
from isohash.apps.progress import progress_bar

bench = typer.Typer(help="Speed beside the peers that are installed.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Keep `bench` a group of commands however few there are."""


@bench.command()
def search(
    out: Annotated[Path, typer.Option(help="Folder for the PNG, CSV and JSON.")] = Path(
        "out/bench"
    ),
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Exact top-k against FAISS and other peers: ratios from one interleaved run.

    Example: isohash bench search --out out/bench
    """
    from isohash.index.bench import run_search_bench

    with progress_bar(as_json) as progress:
        rows = [asdict(row) for row in run_search_bench(out, quick, progress)]
    print_rows(f"Search; see {out}", rows, as_json)
