"""Printing to a terminal or a pipe, where text of others is shown and not obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import table as rich_table
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from isohash.apps.cli.pieces import Line, Piece, Table
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


def show(pieces: Sequence[Piece]) -> None:
    """Print to stdout; without a terminal, plain and wide enough not to fold."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    console = Shown(width=width, highlight=False)
    for piece in pieces:
        console.print(_line(piece) if isinstance(piece, Line) else _table(piece))


def _line(line: Line) -> Text:
    return Text(line.text, style="bold" if line.bold else "")


def _table(table: Table) -> rich_table.Table:
    """As text, for a name may hold what looks like markup."""
    drawn = rich_table.Table(
        title=Text(table.title), title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in table.columns:
        drawn.add_column(Text(column))
    for cells, bold in table.rows:
        texts = [Text(cell, overflow="fold") for cell in cells]
        drawn.add_row(*texts, style="bold" if bold else None)
    return drawn
