"""Examples in the docstrings of public names run as they are printed."""

from __future__ import annotations

import doctest
import sys

import pytest

import isohash

FINDER = doctest.DocTestFinder(recurse=False)


def examples(name: str) -> list[doctest.DocTest]:
    value = getattr(isohash, name)
    module = sys.modules[value.__module__]
    return [one for one in FINDER.find(value, name, module) if one.examples]


NAMES = sorted(isohash._HOMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_it_says(name: str) -> None:
    found, told = examples(name), []
    assert any("Example:" in (one.docstring or "") for one in found), f"{name} has no Example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in found:
        runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)
