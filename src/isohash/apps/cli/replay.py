"""`isohash replay`: an answer of before, asked for again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.options import ArchivePath, Json, answer_one, print_facts
from isohash.apps.cli.pieces import Line


def replay(
    archive: ArchivePath,
    answer: Annotated[
        str, typer.Argument(metavar="ID", help="What isohash query --json calls replay.")
    ],
    case: Annotated[
        Path | None, typer.Option(help="What was asked with, where ARCHIVE does not hold it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask ARCHIVE again what an answer of before was asked, and print the same bytes of JSON.

    ID holds the question, the state of the archive and a digest of the answer. Where something has
    changed since, the exit status is 1 and what has changed is told: cases added, removed or
    replaced, another recipe, another version; --json then also gives the answer as it is now.

    Example: isohash replay my-archive "$(isohash query my-archive pt_187 --json | jq -r .replay)"
    """
    answer_one()
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.replay import replay as ask_again

    with Archive.open(archive) as opened:
        found = ask_again(opened, answer, case)
    if found.same and not found.changed:
        typer.echo(json.dumps(found.answer))
        return
    facts = {"same": found.same, "changed": found.changed, "answer": found.answer}
    verdict = "the answer is the same all the same" if found.same else "the answer is another one"
    lines = [Line(f"{one}.") for one in (*found.changed, verdict)]
    print_facts(facts, lambda: lines, as_json)
    raise typer.Exit(1)
