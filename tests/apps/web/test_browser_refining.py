"""What of a query counts, and the map, in a browser: by keys, buttons and links."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from browsing import READY, until

pytestmark = pytest.mark.browser
JOINT = "/query?case=phantom-00-01&by=joint"
PLAN = "/query?case=phantom-00-01&by=plan"


def asked(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def shown(page, steps: int) -> int:
    """Go so many slices towards the feet; the slice that is shown then, as the address has it."""
    page.locator("#pane-query").focus()
    for _ in range(steps):
        page.keyboard.press("ArrowDown")
    until(page, "location.hash.includes(`slice=${workbench.state.slice}`)")
    return page.evaluate("workbench.state.slice")


def test_a_span_of_slices_is_set_by_keys_and_asked_with(visit) -> None:
    page = visit.go(JOINT)
    last = shown(page, 1)
    page.keyboard.press("[")
    first = shown(page, 5)
    page.keyboard.press("]")
    assert last == first + 5  # the head has the highest numbers
    assert page.locator("#span").input_value() == f"{first} {last}"
    page.locator("#refine").get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_url(re.compile("span="))
    until(page, READY)
    assert page.locator("#span").input_value() == f"{first} {last}"
    assert page.locator("#refine").evaluate("d => d.open")
    page.get_by_role("link", name="the whole query again").click()
    page.wait_for_url(lambda url: "span=" not in url)
    until(page, READY)


def test_marks_and_weights_are_links_that_can_be_taken_back(visit) -> None:
    page = visit.go(JOINT)
    page.locator("a[href*='good=']").first.click()
    page.wait_for_url(re.compile("good="))
    until(page, READY)
    assert asked(page)["good"][0].startswith("phantom-")
    page.locator("#refine").get_by_role("link", name="Take all marks back").click()
    page.wait_for_url(lambda url: "good=" not in url)
    until(page, READY)
    assert "good" not in asked(page)


def test_a_point_of_the_map_asks_for_what_is_like_it(visit) -> None:
    page = visit.go("/map")
    names = page.locator("#map a").evaluate_all("all => all.map(a => a.getAttribute('aria-label'))")
    assert len(names) == 15
    page.get_by_label("where a case falls").fill("phantom-01-02")
    page.get_by_role("button", name="Show").click()
    assert "The cross is where phantom-01-02 falls" in page.locator("#falls").inner_text()
    page.locator("#map a").first.focus()
    page.keyboard.press("Enter")
    until(page, READY)
    assert asked(page)["case"][0] in names[0]
