"""Doses of structures of a query and its results, and the counter-example among these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from isohash.apps.page.report import ORGAN_METRICS, TARGET_METRICS, dose_rows
from isohash.dosimetry.names import is_target
from isohash.retrieval.entry import Entry


class DoseRow(NamedTuple):
    """A structure: a cell for the query and for each result, and which result differs most.

    `most` is that result's place among them, the metric's label and the difference in Gy; None
    where no result can be compared.
    """

    structure: str
    cells: list[str]
    most: tuple[int, str, float] | None


def dose_table(query: Entry, entries: Sequence[Entry]) -> list[DoseRow]:
    """One row for each structure that one of them has: near in all need not be near in it."""
    own, others = query.doses(), [entry.doses() for entry in entries]
    rows = []
    for name, cells in dose_rows(query, entries):
        key, label, _ = (TARGET_METRICS if is_target(name) else ORGAN_METRICS)[0]
        mine = own.get(name, {}).get(key)
        apart = [
            (at, label, doses[name][key] - mine)
            for at, doses in enumerate(others)
            if mine is not None and key in doses.get(name, {})
        ]
        rows.append(DoseRow(name, cells, max(apart, key=lambda one: abs(one[2]), default=None)))
    return rows
