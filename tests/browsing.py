"""Visits to the workbench in a browser, for tests."""

from __future__ import annotations

READY = "document.body.dataset.ready === 'yes'"


def until(page, truth: str) -> None:
    """Wait for an expression to be true; the page's own policy forbids the driver's way."""
    from playwright.sync_api import Error

    for _ in range(300):
        try:
            if page.evaluate(truth):
                return
        except Error as error:  # the page was just left for the one that is waited for
            if "context was destroyed" not in str(error):
                raise
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {truth}")


class Visit:
    """A page of the workbench, and what it asked for; another origin or an error fails the test."""

    def __init__(self, browser, address: str, width: int = 1280) -> None:
        self.base, _, token = address.partition("/?token=")
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{self.base}/?token={token}")

    def go(self, path: str):
        self.page.goto(self.base + path)
        if path.startswith("/query"):
            until(self.page, READY)
        return self.page

    def state(self) -> tuple[int, int]:
        found = self.page.evaluate("[workbench.state.slice, workbench.state.rank]")
        return tuple(found)

    def settled(self, wanted: tuple[int, int]) -> None:
        until(
            self.page,
            f"workbench.state.slice === {wanted[0]} && workbench.state.rank === {wanted[1]}",
        )


def painted(page, canvas: str) -> int:
    """How many different colours a canvas shows."""
    return page.evaluate(
        f"""() => {{
          const c = document.getElementById("{canvas}");
          const shown = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          return new Set(new Uint32Array(shown.data.buffer)).size;
        }}"""
    )
