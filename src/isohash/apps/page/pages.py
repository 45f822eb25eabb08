"""What all pages have in common: text is escaped, and names are shown, not obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import isohash
from isohash.retrieval.answer import (
    covered_text,
    distance_header,
    distance_text,
    headers,
    interval_text,
    near_header,
    shares_text,
    tie_text,
)
from isohash.visible import visible


def plan_text(facts: Mapping[str, Any]) -> str:
    """Prescription, fractions, technique and approval of a case in a few words."""
    prescription, fractions = facts.get("prescription_gy"), facts.get("n_fractions")
    dose = "" if prescription is None else f"{prescription:g} Gy"
    in_fractions = f"in {fractions} fractions" if fractions else ""
    words = [f"{dose} {in_fractions}".strip(), facts.get("technique"), facts.get("approval")]
    return ", ".join(str(word) for word in words if word)


# What templates call by these names.
TEXTS = (
    covered_text, distance_header, distance_text, headers, interval_text, near_header, plan_text,
    shares_text, tie_text,
)  # fmt: skip


@cache
def templates(package: str = "isohash.apps.page") -> Environment:
    """The templates of a package."""
    found = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
    )
    found.globals |= {text.__name__: text for text in TEXTS}
    found.globals["version"] = isohash.__version__
    return found


def _finalize(value: Any) -> Any:
    """Text of others without marks that turn the order of letters; our own markup as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
