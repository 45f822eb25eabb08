"""Filters over columns against the same filter asked of every item."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.errors import InputError
from isohash.retrieval.facts import Column, FactTable
from isohash.retrieval.where import parse_where

VALUES = st.sampled_from([None, 0, 1, 1.0, True, False, 70.0, "70", "", "PTV", ["PTV", "Cord"], []])
FILTERS = [
    "a >= 1",
    "a == 1 and b != 'PTV'",
    "not a or b",
    "'PTV' in a",
    "a in [1, '70']",
    "a < b <= 70",
    "a == a",
    "c",
    "1 < 2",
    "a == -1 or b == 70",
]


@given(st.lists(st.tuples(VALUES, VALUES), max_size=30), st.sampled_from(FILTERS))
def test_a_filter_over_columns_is_the_filter_of_each_item(rows, where) -> None:
    facts = [{"a": a, "b": b} for a, b in rows]
    table = FactTable(len(facts), lambda name: [one.get(name) for one in facts])
    wanted = [parse_where(where)(one) for one in facts]
    assert table.passing(where).tolist() == wanted
    assert table.passing(None).tolist() == [True] * len(facts)


@given(st.lists(VALUES, max_size=20), VALUES)
def test_equal_items_are_found(values, value) -> None:
    found = FactTable(len(values), lambda name: values).equal("a", value)
    assert found.tolist() == [one == value for one in values]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_arrays_and_lists_make_the_same_column(values) -> None:
    for column in (Column.of(values), Column.of(np.array(values))):
        assert [column.values[code] for code in column.code] == values
        assert len(column.values) == len(set(values))


def test_each_distinct_combination_is_looked_at_once_and_each_column_read_once() -> None:
    read: list[str] = []

    def values(name: str) -> list[object]:
        read.append(name)
        return [("x", "y", "z")[at % 3] for at in range(30_000)]

    table = FactTable(30_000, values)
    assert table.passing("a == 'x' and b != 'y'").sum() == 10_000
    assert table.passing("a == 'z'").sum() == 10_000
    assert sorted(read) == ["a", "b"]


def test_what_is_no_filter_is_refused() -> None:
    table = FactTable(3, lambda name: [1, 2, 3])
    for wrong in ("a +", "f(a)", "a.b", "lambda: 1", "[x for x in a]", ""):
        with pytest.raises(InputError, match="--where"):
            table.passing(wrong)
