"""How a command tells what it does: a bar on a terminal, lines if asked for, a file of them.

The file is for its owner only: errors name paths, and paths may name patients.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isohash.errors import InputError
from isohash.progress import Progress
from isohash.visible import visible


@dataclass
class _Voice:
    """What was asked of the whole program."""

    verbose: bool = False
    quiet: bool = False
    file: Path | None = None


_voice = _Voice()


def speak(verbose: bool, quiet: bool, file: Path | None) -> bool:
    """Set what commands tell; False if it makes no sense."""
    _voice.verbose, _voice.quiet, _voice.file = verbose, quiet, file
    return not (verbose and quiet)


def also_speak(verbose: bool, quiet: bool, file: Path | None) -> bool:
    """The same, beside what was set before."""
    return speak(_voice.verbose or verbose, _voice.quiet or quiet, file or _voice.file)


def log(line: str) -> None:
    """Add a line to the file, if there is one."""
    if _voice.file is None:
        return
    stamp = dt.datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        descriptor = os.open(_voice.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            stream.write(f"{stamp} {visible(' '.join(line.split()))}\n")
    except OSError as error:
        path, _voice.file = _voice.file, None
        raise InputError(f"--log {path}: cannot be written ({error.strerror})") from error


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a callable (done, total, message), or None if nobody looks."""
    if _voice.verbose or _voice.file is not None:
        yield _lines(loud=_voice.verbose)
    elif quiet or _voice.quiet or not sys.stderr.isatty():
        yield None
    else:
        with _bar() as show:
            yield show


def _lines(loud: bool) -> Progress:
    """Each step as a line, once."""
    last = ""

    def tell(done: int, total: int, message: str) -> None:
        nonlocal last
        if message == last:
            return
        last = message
        line = f"{message} ({done} of {total})"
        log(line)
        if loud:
            print(visible(line), file=sys.stderr)  # noqa: T201

    return tell


@contextmanager
def _bar() -> Iterator[Callable[[int, int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # which would take codes in what others print for styles
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task("", total=None)
        stage = ""

        def show(done: int, total: int, message: str) -> None:
            nonlocal stage
            kind = message.split(" ")[0]
            if kind != stage:  # a new stage starts its own estimate of the time left
                bar.reset(task)
                stage = kind
            bar.update(task, completed=done, total=total, description=visible(message))

        yield show
