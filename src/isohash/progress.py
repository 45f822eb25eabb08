"""How long work tells what it has done: a callable, or None where nobody listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how many steps are done, of how many, and what is being done now.

The first word of the message names the stage: a terminal starts a new estimate of the time left
with each stage.
"""


def tell(progress: Progress | None, done: int, total: int, message: str) -> None:
    """Report to whoever listens."""
    if progress is not None:
        progress(done, total, message)
