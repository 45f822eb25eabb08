"""What the viewer shows is what the archive keeps: cursor, window, cuts, difference."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from browsing import READY, Visit, painted, until
from isohash.archive.store import CaseStore
from isohash.retrieval.engine import Archive
from workbench import serving

pytestmark = pytest.mark.browser
CASE = "phantom-00-01"
JOINT = f"/query?case={CASE}&by=joint"
TOLD = "document.getElementById('told-{}').textContent"


def settle(page, keys: str, truth: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)
    until(page, truth)


@pytest.fixture(scope="module")
def entry(archive_path: Path):
    with Archive.open(archive_path) as archive:
        yield archive.entry


def pixel_of(fine, x: float, y: float) -> tuple[int, int]:
    """Row and column at a place from the middle, in mm."""
    place = fine.place
    return (
        round((y + place.centre_y_mm - place.y_mm) / place.pixel_mm),
        round((x + place.centre_x_mm - place.x_mm) / place.pixel_mm),
    )


def bilinear(plane: np.ndarray, row: float, column: float) -> float:
    around = np.pad(plane, 1)
    i, j = int(np.floor(row)), int(np.floor(column))
    if not (-1 <= i < plane.shape[0] and -1 <= j < plane.shape[1]):
        return 0.0
    four = around[i + 1 : i + 3, j + 1 : j + 3]
    down, right = row - i, column - j
    return float(np.array([1 - down, down]) @ four @ np.array([1 - right, right]))


def test_the_cursor_reads_what_the_archive_keeps(visit, entry) -> None:
    fine = entry(CASE).fine
    index = entry(CASE).arrays["slice.index"].tolist()
    for x, y, row in ((0.7, 1.1, 10), (23.3, -31.3, 6), (-41.9, 11.3, 14)):
        page = visit.go("/cases")
        page = visit.go(f"{JOINT}#slice={index[row]}&x={x}&y={y}")
        at = pixel_of(fine, x, y)
        gy = 0.0 if fine.dose_gy(row) is None else fine.dose_gy(row)[at]
        told = page.locator("#told-query").inner_text()
        assert f": {fine.hu(row)[at]} HU, {gy:.2f} Gy" in told
        match = page.evaluate("workbench.viewer.panes['pane-match'].view.plane.index")
        name = page.evaluate("workbench.viewer.chosen().id")
        other = entry(name)
        there = other.arrays["slice.index"].tolist().index(match)
        hu = other.fine.hu(there)[pixel_of(other.fine, x, y)]
        assert f": {hu} HU, " in page.locator("#told-match").inner_text()


def test_the_pointer_reads_where_it_points_and_a_click_keeps_it(visit) -> None:
    page = visit.go(JOINT)
    box = page.locator("#pane-query").bounding_box()
    before = page.locator("#told-query").inner_text()
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.4 * box["height"])
    until(page, f"{TOLD.format('query')} !== {before!r}")
    pointed = page.locator("#told-query").inner_text()
    page.mouse.down()
    page.mouse.up()
    until(page, "workbench.state.x !== 0")
    page.mouse.move(5, 5)
    assert page.locator("#told-query").inner_text() == pointed
    settle(page, "Shift+ArrowRight", f"{TOLD.format('query')} !== {pointed!r}")


def test_windows_are_chosen_typed_dragged_and_kept_in_the_address(visit) -> None:
    page = visit.go(JOINT)
    shown = {}
    for key, level, width in (("1", 40, 400), ("2", -600, 1500), ("3", 400, 1800)):
        settle(page, key, f"workbench.state.level === {level} && workbench.state.width === {width}")
        until(page, f"document.getElementById('level').value === '{level}'")
        shown[key] = page.locator("#pane-query").screenshot()
    assert len(set(shown.values())) == 3
    settle(page, "+", "workbench.state.width === 1980")
    settle(page, "- .", "workbench.state.width === 1800 && workbench.state.level === 410")
    assert page.locator("#window").input_value() == ""
    page.locator("#level").fill("55")
    page.locator("#level").press("Enter")
    until(page, "workbench.state.level === 55")
    box = page.locator("#pane-query").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 100, steps=4)
    page.mouse.up()
    until(page, "workbench.state.width > 2000")
    until(page, "location.hash.includes(`level=55&width=${workbench.state.width}&`)")
    width = page.evaluate("workbench.state.width")
    page.reload()
    until(page, READY)
    assert page.evaluate("[workbench.state.level, workbench.state.width]") == [55, width]


def test_cuts_show_the_same_voxels_and_lead_to_slices(visit, entry) -> None:
    page = visit.go("/cases")
    page = visit.go(f"{JOINT}#x=14&y=-22")
    settle(page, "s", "!document.getElementById('cut-panes').hidden")
    kept = entry(CASE)
    fine, n = kept.fine, len(kept.arrays["slice.index"])
    volume = np.stack([fine.hu(row) for row in range(n)])
    row, column = pixel_of(fine, 14, -22)
    for kind, expected in (("sagittal", volume[:, :, column]), ("coronal", volume[:, row, :])):
        found = page.evaluate(
            f"""(() => {{ const cut = workbench.viewer.panes['query-{kind}'].view.plane;
                return [cut.rows, cut.columns, [...cut.hu]]; }})()"""
        )
        assert (found[0], found[1]) == expected.shape
        np.testing.assert_array_equal(np.reshape(found[2], expected.shape), expected)
        for of in ("query", "match"):
            assert painted(page, f"{of}-{kind}") > 30
    before, cut = visit.state()[0], page.locator("#query-coronal")
    width = cut.bounding_box()["width"]
    cut.click(position={"x": 0.4 * width, "y": 0.45 * width})
    until(page, f"workbench.state.slice !== {before} && workbench.state.x !== 14")
    until(page, "location.hash.includes(`slice=${workbench.state.slice}&`)")
    until(page, "location.hash.includes(`x=${workbench.state.x.toFixed(1)}&`)")
    wanted = page.evaluate("[workbench.state.slice, workbench.state.x.toFixed(1)]")
    page.reload()
    until(page, READY)
    assert page.evaluate("[workbench.state.slice, workbench.state.x.toFixed(1)]") == wanted
    assert page.locator("#query-sagittal").is_visible()


def test_the_dose_difference_is_the_results_less_the_querys(visit, entry) -> None:
    page = visit.go(JOINT)
    settle(page, "d s", "document.getElementById('apart').textContent.includes('blue -')")
    own, name = entry(CASE), page.evaluate("workbench.viewer.chosen().id")
    other = entry(name)
    index = page.evaluate("[...workbench.viewer.chosen().pairs.map(p => [p.query_slice, p.slice])]")
    pairs = dict(index)
    middle = sorted(pairs)[len(pairs) // 2]
    page.evaluate(f"workbench.viewer.jump({middle})")
    until(page, f"workbench.viewer.panes['pane-query'].view.plane.index === {middle}")
    place, there = own.fine.place, other.fine.place
    dose = own.fine.dose_gy(own.arrays["slice.index"].tolist().index(middle))
    laid = other.fine.dose_gy(other.arrays["slice.index"].tolist().index(pairs[middle]))
    found = np.reshape(
        page.evaluate("[...workbench.viewer.panes['pane-query'].view.difference.values]"),
        place.shape,
    )

    def laid_at(row: int, x: float) -> float:
        y = place.y_mm + row * place.pixel_mm - place.centre_y_mm + there.centre_y_mm
        at = (
            (y - there.y_mm) / there.pixel_mm,
            (x + there.centre_x_mm - there.x_mm) / there.pixel_mm,
        )
        return bilinear(laid, *at)

    for row, column in np.argwhere(dose > 5)[::97].tolist():
        x = place.x_mm + column * place.pixel_mm - place.centre_x_mm
        assert found[row, column] == pytest.approx(laid_at(row, x) - dose[row, column], abs=1e-3)
    cut = page.evaluate(
        f"""(() => {{ const {{ plane, difference }} = workbench.viewer.panes['query-sagittal'].view;
            const at = plane.slices.findIndex(one => one?.index === {middle}), n = plane.columns;
            return [...difference.values.slice(at * n, (at + 1) * n)]; }})()"""
    )
    column = pixel_of(own.fine, 0.0, 0.0)[1]
    expected = [laid_at(row, 0.0) - dose[row, column] for row in range(place.rows)]
    np.testing.assert_allclose(cut, expected, atol=1e-3)
    told = page.locator("#told-query").inner_text()
    assert "difference " in told


def test_a_case_without_fine_pictures_is_shown_and_says_so(
    browser, archive_path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(archive_path, tmp_path / "A"))
    with CaseStore.open(path, writable=True) as store:
        for name in (CASE, "phantom-00-02"):
            arrays = {n: np.array(a) for n, a in store.arrays(name).items() if "picture." not in n}
            store.put(name, store.metadata(name), arrays, store.fingerprint(name))
    with serving(path) as address:
        visit = Visit(browser, address)
        page = visit.go(f"{JOINT}#show=lines.outlines.cuts.difference")
        assert "isohash index SOURCE ARCHIVE --pictures" in page.locator("#note").inner_text()
        for canvas in ("pane-query", "pane-match", "query-sagittal", "match-coronal"):
            assert painted(page, canvas) > 30
        assert visit.errors == []
        page.close()
