"""Levels of the search engine, as a parameter of tests."""

from __future__ import annotations

import pytest

from isohash.index.dispatch import LEVELS, available_levels


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kernel level in turn, forced; one that this machine lacks skips."""
    if request.param not in available_levels():
        pytest.skip(f"this machine or build has no {request.param} kernels")
    monkeypatch.setenv("ISOHASH_ISA", request.param)
    return request.param
