"""What commands print for people, as plain records: what draws them is loaded only to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Line(NamedTuple):
    """Text that stands alone."""

    text: str
    bold: bool = False


class Row(NamedTuple):
    """Cells of a table."""

    cells: tuple[str, ...]
    bold: bool


class Table:
    """A title, columns and rows of text, which is shown as it is."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self.title = title
        self.columns = tuple(columns)
        self.rows: list[Row] = []

    def add_row(self, *cells: str, bold: bool = False) -> None:
        """Add a row; cells that it lacks stay empty."""
        self.rows.append(Row(cells, bold))


Piece = Line | Table


def rows_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of an evaluation, with their columns."""
    table = Table(title, list(rows[0]) if rows else [])
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
