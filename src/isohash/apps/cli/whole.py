"""Options of the whole program: `isohash --version`, `isohash -v --log run.log index ...`.

What tells progress may also stand after the command: `isohash query ARCHIVE CASE -q`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.progress import also_speak, log, speak
from isohash.visible import visible
from isohash.whole_files import telling_replaced

CONTRADICT = "--verbose and --quiet contradict each other"


def _version(wanted: bool) -> None:
    if wanted:
        import isohash

        typer.echo(f"isohash {isohash.__version__}")
        raise typer.Exit


Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Tell each step on stderr, also when piped.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")]
LogFile = Annotated[
    Path | None,
    typer.Option("--log", help="Add each step and error, with its time, to this file."),
]


def whole_program(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Find the past cases most like a new one, by CT, by dose or by both."""
    if not speak(verbose, quiet, log_file):
        raise typer.BadParameter(CONTRADICT)
    telling_replaced(lambda path: typer.echo(f"{visible(str(path))} is replaced", err=True))
    log(f"isohash {context.invoked_subcommand}")


def also_after(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command, which takes what tells progress among its own options."""

    @wraps(command)
    def called(*args: Any, verbose: bool, quiet: bool, log_file: Path | None, **given: Any) -> Any:
        if not also_speak(verbose, quiet, log_file):
            raise typer.BadParameter(CONTRADICT)
        return command(*args, **given)

    own = inspect.signature(command, eval_str=True)
    told = {"verbose": (Verbose, False), "quiet": (Quiet, False), "log_file": (LogFile, None)}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in told.items()
    ]
    parameters = [*own.parameters.values(), *more]
    called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called
