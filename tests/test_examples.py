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


WITH_EXAMPLES = [name for name in sorted(isohash._HOMES) if examples(name)]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_prints_what_it_says(name: str) -> None:
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in examples(name):
        runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)


def test_there_are_examples() -> None:
    assert {"FlatIndex", "KernelHasher", "LeeHasher", "RadialKernel", "Request", "build_archive",
            "dice", "load_hash", "make_hasher"} <= set(WITH_EXAMPLES)  # fmt: skip
