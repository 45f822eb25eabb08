from __future__ import annotations

import pytest

from isohash.errors import MissingExtra
from isohash.evaluation.kit.plotting import figure

pytest.importorskip("matplotlib")


def test_the_same_drawing_gives_the_same_bytes_in_few_colours(tmp_path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        with figure(tmp_path / name / "x.png", 2.0, 1.5, colours=16) as (_, axes):
            axes.plot([1, 2, 4], label="line")
            axes.scatter([0, 1], [2, 3])
    first, second = ((tmp_path / name / "x.png").read_bytes() for name in "ab")
    assert first == second
    assert len(Image.open(tmp_path / "a" / "x.png").convert("RGB").getcolors()) <= 16


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"isohash\[figures\]"), figure(tmp_path / "x.png"):
        pass
