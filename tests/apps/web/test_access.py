"""The workbench without a mouse and for screen readers: axe-core, and the whole way by keyboard."""

from __future__ import annotations

import pytest

from browsing import READY, Visit, until

pytestmark = pytest.mark.browser
CASE = "phantom-00-01"
ALL = "show=lines.wash.outlines.percent.cuts.difference"
PAGES = ["/cases", "/cases?where=label == 'nobody'", f"/case?case={CASE}", f"/query?case={CASE}",
         f"/query?case={CASE}&by=joint#{ALL}", f"/query?case={CASE}&by=ct&level=slice&slice=12",
         "/query?case=nobody", "/kept", f"/compare?case={CASE}&other=phantom-01-02"]  # fmt: skip
SERIOUS = ("serious", "critical")


def serious(page) -> list[str]:
    """What axe-core finds that keeps people from using a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [
        f"{one['id']}: {one['help']}: {node['target']} {node['html'][:120]}"
        for one in axe.run(page).response["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_keeps_anybody_out(browser, address: str, path: str) -> None:
    found: list[str] = []
    for width in (1280, 390):
        visit = Visit(browser, address, width)
        page = visit.page
        page.goto(visit.base + path)
        page.wait_for_load_state("networkidle")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += [f"{width} {scheme} {one}" for one in serious(page)]
        page.close()
    assert found == []


def test_what_keeps_people_out_is_found(visit) -> None:
    page = visit.go("/cases")
    page.evaluate("document.querySelector('main').append(new Image(20, 20))")
    assert any(one.startswith("image-alt") for one in serious(page))


def tabbed(page, truth: str, most: int = 400) -> None:
    """Tab on until what has the focus is what is looked for; it must show that it has it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"(e => {truth})(document.activeElement)"):
            assert page.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            ), "the focus cannot be seen"
            return
    raise AssertionError(f"never reached by keyboard: {truth}")


def test_the_whole_way_is_gone_by_keyboard(visit) -> None:
    page = visit.go("/cases")
    tabbed(page, f"e.textContent === '{CASE}'")
    page.keyboard.press("Enter")
    until(page, READY)
    page.keyboard.press("/")
    page.keyboard.type("label == 'family-00'")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=label**")
    until(page, READY)
    tabbed(page, "e.id === 'pane-query'")
    first = visit.state()[0]
    for key in ("ArrowDown", "PageUp", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowDown"):
        page.keyboard.press(key)
    until(
        page, f"workbench.state.slice !== {first} && workbench.state.x < 0 && workbench.state.y > 0"
    )
    for key, shown in (
        ("2", "level === -600"),
        ("s", "x < 0"),
        ("d", "y > 0"),
        ("j", "rank === 2"),
    ):
        page.keyboard.press(key)
        until(page, f"workbench.state.{shown}")
    until(page, "!document.getElementById('cut-panes').hidden")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()
    tabbed(page, "e.closest('#structures') !== null")
    page.keyboard.press("Enter")
    name = page.evaluate("workbench.state.facts.matches[1].id")
    tabbed(page, f"e.classList.contains('more') && e.closest('tr').dataset.case === '{name}'")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**case={name}**")
    until(page, READY)
