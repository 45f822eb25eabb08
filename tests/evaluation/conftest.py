"""Drawing takes most of the time of a small experiment: a run that only resumes need not draw."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isohash.evaluation.kit import plotting


@pytest.fixture
def draw_no_more(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and figures are made but not rendered for the rest of the test."""
    return lambda: monkeypatch.setattr(plotting, "_save", lambda drawing, path, colours: None)
