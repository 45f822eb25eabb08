"""The report page: one meaning a colour, outlines where structures are, doses as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isohash.apps.page.charts import SERIES_COLOURS, Pane, pane_svg, ticks
from isohash.apps.page.report import render
from isohash.dosimetry.isodose import PALETTE
from isohash.features.cases.outlines import outlines_in, outlines_of
from isohash.features.cases.shown import METRICS, shown_of
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import case_slices
from isohash.records import Volume
from isohash.retrieval.engine import Archive
from small_cases import phantom

APART = 60.0  # of 0..441 between two colours: told apart in a line of 1 px on a screen


def page_of(archive_path: Path, case, **asked) -> str:
    with Archive.open(archive_path) as archive:
        session = archive.session(case, pictures=True)
        return render(session, session.ask(**asked), "2026-01-31")


def test_no_rank_has_the_colour_of_an_isodose_line() -> None:
    def rgb(colour: str) -> np.ndarray:
        return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)

    for rank in SERIES_COLOURS:
        for level in PALETTE:
            assert np.linalg.norm(rgb(rank) - rgb(level)) > APART, (rank, level)
    assert len(set(SERIES_COLOURS)) == len(SERIES_COLOURS)


@pytest.mark.parametrize("pixel_mm", [4.0, 2.0])
def test_outlines_enclose_the_structure_in_its_place(pixel_mm: float) -> None:
    case = phantom(0, 1)
    slices = case_slices(case, SliceSettings(size=128, pixel_mm=pixel_mm))
    names = list(case.structures)
    kept = outlines_of(case.structures, slices)
    seen = 0
    for at, index in enumerate(slices.slice_index.tolist()):
        found = outlines_in(kept, (128, 128), index)
        for number, name in enumerate(names):
            inside = slices.resample(case.structures[name])[at] >= 0.5
            if inside.sum() < 30:
                continue
            area = sum(_area(line) for line in found[number])
            assert area == pytest.approx(inside.sum(), rel=0.12, abs=8)
            points = np.concatenate(found[number])
            rows, columns = np.nonzero(inside)
            assert points[:, 0].min() == pytest.approx(columns.min(), abs=1)
            assert points[:, 1].max() == pytest.approx(rows.max(), abs=1)
            seen += 1
    assert seen > 10
    per_outline = len(kept["outline.bytes"]) / len(kept["outline.of"])
    assert per_outline < 250


def _area(line: np.ndarray) -> float:
    x, y = line.T
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2


def test_metrics_are_those_of_the_voxels() -> None:
    case = phantom(1, 0)
    slices = case_slices(case, SliceSettings(size=64, pixel_mm=8.0))
    table = shown_of(case, slices)["dvh.metrics"]
    for row, name in zip(table, sorted(case.structures), strict=True):
        told = dict(zip(METRICS, row.tolist(), strict=True))
        inside = np.sort(case.dose.array[case.structures[name].array.astype(bool)])
        assert told["mean_gy"] == pytest.approx(inside.mean(), abs=0.6)
        assert told["d95_gy"] == pytest.approx(np.quantile(inside, 0.05), abs=1.0)
        assert told["d2_gy"] == pytest.approx(np.quantile(inside, 0.98), abs=1.0)
        assert told["d2_gy"] - 0.1 <= told["d0.03cc_gy"] <= inside.max() + 0.6


def test_a_structure_that_one_side_lacks_is_told(archive_path: Path) -> None:
    case = phantom(0, 8)
    gone = next(name for name in case.structures if "PTV" not in name)
    less = replace(case, structures={n: m for n, m in case.structures.items() if n != gone})
    with_it = page_of(archive_path, case, k=2, by="joint")
    without = page_of(archive_path, less, k=2, by="joint")
    assert "not drawn" not in with_it
    assert "not drawn" in without
    assert "D0.03cc" in without
    no_dose = page_of(archive_path, replace(case, dose=None), k=2, by="ct")
    assert "drawn, no dose" in no_dose


def test_the_page_says_what_made_it_and_shows_slices_at_slice_level(archive_path: Path) -> None:
    case = phantom(0, 8)
    page = page_of(archive_path, case, k=3, by="dose", level="slice")
    assert "Made on 2026-01-31 by isohash" in page
    assert "--by dose --level slice -k 3" in page
    assert "<th>slice</th>" in page
    assert len(re.findall(r"<h3>.*, slice \d+</h3>", page)) == 3
    assert "<th>slice</th>" not in page_of(archive_path, case, k=3, by="dose")
    assert page == page_of(archive_path, case, k=3, by="dose", level="slice")


def test_a_pane_has_sides_a_scale_and_names_that_are_no_markup() -> None:
    outline = np.array([[1.0, 1.0], [5.0, 1.0], [5.0, 5.0], [1.0, 1.0]])
    grey = np.zeros((64, 64), np.uint8)
    svg = pane_svg(Pane("<t>", grey, None, 4.0, {"PTV<b>": [outline], "Organ": [outline]}), {})
    assert svg.index(">R<") < svg.index(">L<")
    assert "h12.5" in svg  # 50 mm of 4-mm pixels
    assert "5 cm" in svg
    assert "<b>" not in svg
    assert "<t>" not in svg
    assert svg.count("stroke-dasharray") == 1


@pytest.mark.parametrize("most", [0.3, 1, 1.7, 10, 70, 75, 80, 100, 123])
def test_ticks_are_round_and_few(most: float) -> None:
    found = ticks(most)
    assert 4 <= len(found) - 1 <= 10
    assert found[0] == 0
    assert found[-1] <= most * (1 + 1e-9)
    step = found[1]
    assert step / 10 ** np.floor(np.log10(step)) == pytest.approx(
        round(step / 10 ** np.floor(np.log10(step)))
    )


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_is_no_wider_than_the_window(
    archive_path: Path, tmp_path: Path, width: int
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a browser: chromium")
    page = page_of(archive_path, phantom(0, 8), k=3, by="joint")
    page = page.replace("default-src 'none'", "script-src 'unsafe-inline'")  # to ask the page
    frame = "document.title = document.body.scrollWidth + ' ' + Math.min(...[...document" \
            ".querySelectorAll('.pane')].map(p => p.getBoundingClientRect().width))"  # fmt: skip
    (tmp_path / "page.html").write_text(
        f'<iframe id="f" width="{width}" height="800" src="inner.html"></iframe>'
        "<script>onload = () => document.title = f.contentDocument.title</script>"
    )
    (tmp_path / "inner.html").write_text(page + f"<script>{frame}</script>")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"<title>(\d+) ([\d.]+)</title>", done.stdout)
    assert found, done.stdout[:500]
    assert int(found[1]) <= width
    assert float(found[2]) >= 256


def test_volumes_without_slices_have_no_outlines() -> None:
    case = phantom(0, 1)
    slices = case_slices(case, SliceSettings(size=64, pixel_mm=8.0))
    empty = Volume(np.zeros(case.ct.array.shape, bool), case.ct.affine)
    assert len(outlines_of({"nothing": empty}, slices)["outline.of"]) == 0
