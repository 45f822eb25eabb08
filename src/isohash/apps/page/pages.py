"""What all pages have in common: text is escaped, and names are shown, not obeyed."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from isohash.visible import visible


def templates(package: str = "isohash.apps.page") -> Environment:
    """The templates of a package."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
    )


def _finalize(value: Any) -> Any:
    """Text of others without marks that turn the order of letters; our own markup as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
