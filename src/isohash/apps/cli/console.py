"""Printing to a terminal or a pipe, where text of others is shown and not obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from isohash.visible import visible

PIPED_WIDTH = 160


class Shown(Console):
    """A console on which text cannot steer the terminal or begin a line of its own."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The pieces to print; every text of tables and lines passes here."""
        if isinstance(renderable, str):
            renderable = Text(renderable)
        if isinstance(renderable, Text):
            renderable = renderable.copy()
            renderable.plain = visible(renderable.plain)
        return super().render(renderable, options)


def show(content: RenderableType) -> None:
    """Print to stdout; without a terminal, plain and wide enough not to fold."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Shown(width=width, highlight=False).print(content)
