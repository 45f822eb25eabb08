"""Tables as CSV whose cells a spreadsheet shows and does not compute."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")  # what begins a formula in some spreadsheet


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with a header of all their names; lists are joined with semicolons.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([cell(name) for name in columns])
    writer.writerows([cell(row.get(name)) for name in columns] for row in rows)
    return stream.getvalue()


def cell(value: Any) -> Any:
    """A value as it stands in a cell; a carriage return would end its row."""
    value = plain(value)
    if isinstance(value, str):
        mark = "'" if value.lstrip(" ").startswith(COMPUTED) else ""
        return mark + value.replace("\r", " ")
    return value


def plain(value: Any) -> Any:
    """A value for people: lists are joined, what is not known is empty."""
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return "" if value is None else value
