"""A progress bar with the time left, on a terminal; silence when the output is piped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from isohash.progress import Progress


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a callable (done, total, message) that draws on stderr, or None if nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        stage = ""

        def show(done: int, total: int, message: str) -> None:
            nonlocal stage
            kind = message.split(" ")[0]
            if kind != stage:  # a new stage starts its own estimate of the time left
                bar.reset(task)
                stage = kind
            bar.update(task, completed=done, total=total, description=message)

        yield show
