"""Options of the whole program: `isohash --version`, `isohash -v --log run.log index ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.progress import log, speak
from isohash.visible import visible
from isohash.whole_files import telling_replaced


def _version(wanted: bool) -> None:
    if wanted:
        import isohash

        typer.echo(f"isohash {isohash.__version__}")
        raise typer.Exit


def whole_program(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell each step on stderr, also when piped.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")] = False,
    log_file: Annotated[
        Path | None,
        typer.Option("--log", help="Add each step and error, with its time, to this file."),
    ] = None,
) -> None:
    """Find the past cases most like a new one, by CT, by dose or by both."""
    if verbose and quiet:
        raise typer.BadParameter("--verbose and --quiet contradict each other")
    speak(verbose, quiet, log_file)
    telling_replaced(lambda path: typer.echo(f"{visible(str(path))} is replaced", err=True))
    log(f"isohash {context.invoked_subcommand}")
