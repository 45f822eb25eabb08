"""Pages from templates, and addresses in them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, Response

from isohash.apps.page.charts import SERIES_COLOURS
from isohash.apps.page.pages import templates
from isohash.apps.web.who import csrf_field, who


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page of the workbench."""
    found = templates("isohash.apps.web").get_template(template)
    common = {"colours": SERIES_COLOURS, "address": address, "csrf": csrf_field, "who": who}
    return HTMLResponse(found.render(**common, **values), status)


def address(path: str, **values: Any) -> str:
    """The address of a page; what is None or empty is left out."""
    kept = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


def file_answer(content: str, kind: str, name: str) -> Response:
    """A file to save, under a name that no header can be made of."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    disposition = f'attachment; filename="{safe[:120]}"'
    return Response(content, media_type=kind, headers={"Content-Disposition": disposition})
