"""Filters read facts and can do nothing else."""

from __future__ import annotations

import pytest

from isohash.errors import InputError
from isohash.retrieval.where import parse_where

FACTS = {"prescription_gy": 70.0, "label": "left", "n_slices": 60}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("prescription_gy >= 60", True),
        ("prescription_gy < 60 or label == 'left'", True),
        ("not (label == 'left')", False),
        ("label in ('left', 'right') and 50 < n_slices <= 60", True),
        ("label not in ['left']", False),
        ("absent > 3", False),
        ("absent != 3", False),
        ("label < 3", False),
        ("n_slices > -1", True),
    ],
)
def test_filters_say_what_they_read(expression: str, expected: bool) -> None:
    assert parse_where(expression)(FACTS) is expected


@pytest.mark.parametrize(
    "expression",
    ["__import__('os')", "label.upper()", "(lambda: 1)()", "n_slices + 1", "a if b else c", "x :="],
)
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(InputError, match="--where"):
        parse_where(expression)
