"""The command line: every command has an example in its help, `--json`, and clear errors.

Exit status 0 is success, 1 an error told in one line (or a check that failed), 2 wrong usage.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from isohash.apps.cli.commands import Commands
from isohash.apps.cli.progress import log
from isohash.apps.cli.whole import whole_program
from isohash.errors import InputError, error_json
from isohash.visible import visible

app = typer.Typer(
    cls=Commands,
    help="Find the past cases most like a new one, by CT, by dose or by both.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(whole_program)

INTERRUPTED = 130  # the exit status of what Ctrl-C ends

# What typer's parser raises for wrong usage; the newer typers carry a parser of their own.
USAGE_ERROR: Any = typer.BadParameter.__base__


def main() -> None:
    """Run the command line; errors become one line on stderr or, with --json, JSON on stdout."""
    try:
        sys.exit(_run())
    except InputError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail(
            "interrupted; finished cases are kept, run the same command again to go on", INTERRUPTED
        )
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        _fail("not enough memory; try fewer or smaller cases at once")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}")


def _for_machines() -> bool:
    return "--json" in sys.argv[1:]


def _run() -> int:
    """Wrong usage, too, is told as JSON where that is asked for."""
    _refuse_empty(sys.argv[1:])
    try:
        status = app(standalone_mode=False)
    except typer.Abort:  # what the parser makes of Ctrl-C
        raise KeyboardInterrupt from None
    except USAGE_ERROR as error:
        if not _for_machines():
            told = io.StringIO()
            error.show(told)
            typer.echo(visible(told.getvalue(), keep="\n"), err=True, nl=False)
            return int(error.exit_code)
        where = getattr(error.ctx, "command_path", "isohash")
        _fail(f"{error.format_message().rstrip('.')}; see {where} --help", error.exit_code)
    if status == INTERRUPTED:  # the newer typers make an exit of it
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _refuse_empty(words: Sequence[str]) -> None:
    """InputError for a word without text, which as a path would be the folder we are in."""
    for before, word in zip(("isohash", *words), words, strict=False):
        if not word.strip():
            raise InputError(
                f"the argument after {before} is empty; give it a value (an unset variable of the "
                "shell is empty, too), or leave it out"
            )


def _fail(message: str, status: int = 1) -> NoReturn:
    log(f"error: {message}")
    if _for_machines():
        typer.echo(json.dumps(error_json(message)))
    else:
        typer.echo(f"error: {visible(' '.join(message.split()))}", err=True)
    sys.exit(status)
