"""The workbench in a browser: what people do with keys, pointer and address, on phantoms."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from browsing import READY, Visit, painted, until
from small_cases import phantom, write_openkbp

pytestmark = pytest.mark.browser
PLAN = "/query?case=phantom-00-01"
JOINT = "/query?case=phantom-00-01&by=joint"


def test_the_address_signs_in_and_forgets_the_token(visit) -> None:
    assert "token" not in visit.page.url
    assert visit.page.title() == "isohash: archive" or "isohash" in visit.page.title()


def test_a_case_is_found_by_filter_and_asked_with(visit) -> None:
    page = visit.go("/cases")
    page.get_by_role("link", name="family-01").click()
    assert "where=" in page.url
    rows = page.locator("tbody tr")
    assert rows.count() == 5
    page.get_by_role("link", name="phantom-01-02", exact=True).click()
    until(page, READY)
    assert page.locator("h1").inner_text() == "Like phantom-01-02"


def test_scrolling_shows_the_matched_slices_and_asks_for_nothing(visit) -> None:
    page = visit.go(JOINT)
    pairs = page.evaluate(
        "workbench.state.facts.matches[0].pairs.map(p => [p.query_slice, p.slice])"
    )
    matched = dict(pairs)
    before = len(visit.asked)
    page.locator("#pane-query").focus()
    for key, by in (("ArrowDown", 1), ("ArrowUp", -1), ("ArrowDown", 1), ("PageUp", -10)):
        index = page.evaluate("[...document.querySelectorAll('#slice')].map(s => Number(s.value))")[
            0
        ]
        page.keyboard.press(key)
        until(page, f"Number(document.getElementById('slice').value) === {max(0, index + by)}")
    page.mouse.move(
        *[v + 40 for v in (page.locator("#pane-query").bounding_box()[k] for k in "xy")]
    )
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(200)
    own, _ = visit.state()
    told = page.locator("#told-match").inner_text()
    assert len(visit.asked) == before
    if own in matched:
        assert "distance" in told
    assert page.evaluate("workbench.drawn()") < 200


def test_slices_lines_wash_and_structures_are_drawn(visit) -> None:
    page = visit.go(PLAN)
    for canvas in ("pane-query", "pane-match"):
        assert painted(page, canvas) > 50
    shown = painted(page, "pane-query")
    page.keyboard.press("w")
    page.wait_for_timeout(300)
    assert page.locator("#wash").is_checked()
    assert painted(page, "pane-query") != shown
    for key, name in (("i", "lines"), ("o", "outlines")):
        page.keyboard.press(key)
        assert not page.locator(f"#{name}").is_checked()
    page.keyboard.press("p")
    page.wait_for_timeout(300)
    assert "100 %" in page.locator("#levels").inner_text()


def test_results_are_chosen_by_keys_and_by_pointer(visit) -> None:
    page = visit.go(JOINT)
    page.keyboard.press("j")
    until(page, "document.querySelector('tr.chosen')?.dataset.rank === '2'")
    until(page, "document.getElementById('told-match').textContent.startsWith('2. ')")
    page.keyboard.press("k")
    until(page, "document.querySelector('tr.chosen')?.dataset.rank === '1'")
    page.get_by_role("button", name="Show result 3").click()
    until(page, "document.getElementById('told-match').textContent.startsWith('3. ')")
    third = page.locator("#hits tr[data-rank='3']").get_attribute("data-case")
    page.keyboard.press("m")
    page.wait_for_url(f"**case={third}**")
    until(page, READY)
    page.go_back()
    until(page, READY)
    assert page.locator("h1").inner_text() == "Like phantom-00-01"


def test_the_address_holds_the_state(visit, browser, address: str) -> None:
    page = visit.go(JOINT)
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    until(page, "location.hash.includes('result=2')")
    wanted, url = visit.state(), page.url
    for other in (visit, Visit(browser, address)):
        other.go(url.removeprefix(visit.base))
        other.settled(wanted)


def test_the_weight_is_moved_live_and_only_the_answer_is_asked_for(visit) -> None:
    page = visit.go(JOINT)
    before = len(visit.asked)
    for alpha in ("0", "0.5", "1"):
        page.locator("#alpha").fill(alpha)
        until(page, f"new URLSearchParams(location.search).get('alpha') === '{alpha}'")
        shown = [
            row.get_attribute("data-case") for row in page.locator("#hits tr[data-rank]").all()
        ]
        asked = f"/api/query?case=phantom-00-01&by=joint&alpha={alpha}"
        ids = page.evaluate(
            f"fetch('{asked}').then(a => a.json()).then(a => a.matches.map(m => m.id))"
        )
        assert shown == ids
    assert f"alpha={alpha}" in page.url
    new = [url for url in visit.asked[before:] if "/api/pictures" in url]
    assert len(new) == len(set(new))
    page.locator("#alpha").fill("0")
    until(page, "location.search.includes('alpha=0')")
    page.reload()
    until(page, READY)
    assert page.locator("#alpha").input_value() == "0"


def test_a_click_on_the_strip_shows_the_pair(visit) -> None:
    page = visit.go(JOINT)
    box = page.locator("#strip").bounding_box()
    first = page.evaluate("workbench.state.facts.matches[0].pairs[0].query_slice")
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    until(page, f"workbench.state.slice === {first}")


def test_histograms_are_read_at_the_pointer(visit) -> None:
    page = visit.go(PLAN)
    page.wait_for_selector("#dvh canvas")
    page.locator("#structures button").nth(1).click()
    name = page.locator("#structures button").nth(1).inner_text()
    over = page.locator("#dvh .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    until(page, "document.getElementById('dvh-told').textContent.includes('of the volume')")
    assert name in page.locator("#dvh-told").inner_text()


def test_a_new_patient_is_sent_and_compared(visit, tmp_path: Path) -> None:
    write_openkbp(phantom(0, 8), tmp_path / "pt_1.npz")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as bundle:
        bundle.write(tmp_path / "pt_1.npz", "pt_1.npz")
    page = visit.go("/cases")
    file = {"name": "new.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
    page.locator("#zip").set_input_files(file)
    page.wait_for_url("**/query?case=upload-**")
    until(page, READY)
    assert page.locator("h1").inner_text() == "Like the uploaded patient"
    bad = {"name": "new.zip", "mimeType": "application/zip", "buffer": b"no zip"}
    page = visit.go("/cases")
    page.locator("#zip").set_input_files(bad)
    until(page, "document.getElementById('progress').textContent.length > 30")
    assert "the upload" in page.locator("#progress").inner_text()
    visit.errors.clear()  # the browser tells the refusal's status as an error


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["/cases", "/case?case=phantom-00-01", JOINT])
def test_pages_fit_narrow_and_wide_screens(browser, address: str, width: int, path: str) -> None:
    visit = Visit(browser, address, width)
    page = visit.go(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, a, input, select')].filter(e =>
             e.type !== 'hidden' && !e.textContent.trim() && !e.ariaLabel && !e.labels?.length
           ).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    page.close()


def test_results_go_into_a_cohort_and_two_are_compared_by_keyboard(visit) -> None:
    page = visit.go(PLAN)
    page.get_by_text("Keep", exact=True).focus()
    page.keyboard.press("Enter")
    for box in page.get_by_role("checkbox", name="Keep phantom").all()[:2]:
        box.focus()
        page.keyboard.press("Space")
    page.get_by_label("called").fill("hard necks")
    page.get_by_role("button", name="Put").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/kept/*")
    assert page.locator("h1").inner_text() == "hard necks"
    page.get_by_label("Note on").first.fill("narrow")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="compare with the first").click()
    until(page, READY)
    assert page.locator("#dvh canvas").count() == 1
    visit.go("/kept")
    page.get_by_role("link", name="hard necks").click()
    page.get_by_role("button", name="Keep it no longer").click()
    assert page.get_by_role("link", name="hard necks").count() == 0
