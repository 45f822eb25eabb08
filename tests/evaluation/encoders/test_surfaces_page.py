"""The page of isodose surfaces, opened by a browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from isohash.evaluation.encoders.surfaces import IsodoseLevel, Scene, surfaces_of, write_page

pytest.importorskip("skimage")
Image = pytest.importorskip("PIL.Image")

QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def screenshot(page: Path, to: Path, profile: Path) -> np.ndarray:
    """What a browser without a screen shows of a page: (height, width, 3)."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium: apt-get install chromium")
    command = [browser, "--headless", "--no-sandbox", "--no-first-run", *QUIET, *SOFTWARE]
    command += [f"--user-data-dir={profile}", "--window-size=600,500", "--virtual-time-budget=4000"]
    subprocess.run(
        [*command, f"--screenshot={to}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return np.asarray(Image.open(to).convert("RGB")).astype(int)


@pytest.mark.browser
def test_each_pane_shows_its_ball_whole_and_in_its_colour(tmp_path: Path) -> None:
    z, y, x = np.mgrid[-20:21, -20:21, -20:21].astype(np.float32)
    ball = np.maximum(16 - np.sqrt(z**2 + y**2 + x**2), 0)
    scenes = [
        Scene(colour, surfaces_of(ball, (1.0, 1.0, 1.0), [IsodoseLevel(1.0, colour, code, 1.0)]))
        for colour, code in (("red", "#ff0000"), ("green", "#00ff00"))
    ]
    write_page(scenes, "Two balls", tmp_path / "page.html")
    seen = screenshot(tmp_path / "page.html", tmp_path / "seen.png", tmp_path / "profile")
    for pane, (channel, other) in enumerate([(0, 1), (1, 0)]):
        part = seen[100:, 300 * pane : 300 * (pane + 1)]
        shown = part[:, :, channel] - part[:, :, other] > 60
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        assert np.ptp(rows) > 150
        assert abs(np.ptp(rows) - np.ptp(columns)) < 10  # a circle, cut off at no side
        assert columns[0] > 0
        assert columns[-1] < 299
