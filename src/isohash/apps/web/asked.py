"""What a URL asks: the options of `isohash query`, by the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from isohash.errors import InputError
from isohash.retrieval.request import Request


@dataclass(frozen=True)
class Asked:
    """A case and how it is asked; `values` are what the URL said, without what it left open."""

    case: str
    values: Mapping[str, Any]

    @property
    def request(self) -> Request:
        """The same as a request; InputError where it means nothing."""
        return Request.of(None, dict(self.values))  # type: ignore[arg-type]

    def url(self, page: str = "/query", **changes: Any) -> str:
        """The address of a page in this state, with some of it changed; None leaves it out."""
        values = {"case": self.case, **self.values, **changes}
        return f"{page}?{urlencode(_told(values))}"


def asked(
    case: Annotated[str, Query(description="The id of a case in the archive, or of an upload.")],
    k: Annotated[int, Query(description="How many results.", ge=1, le=10_000)] = 10,
    by: Annotated[str | None, Query(description="plan, map, ct, dose or joint.")] = None,
    alpha: Annotated[str | None, Query(description="Weight of CT in a joint query, 0..1.")] = None,
    level: Annotated[str | None, Query(description="case or slice.")] = None,
    query_slice: Annotated[str | None, Query(alias="slice", description="For level=slice.")] = None,
    where: Annotated[str | None, Query(description="Filter, as --where.")] = None,
    absent: Annotated[str | None, Query(description="mean or ignored.")] = None,
    same_patient: Annotated[bool, Query(description="Keep the query's own patient.")] = False,
    rerank: Annotated[str | None, Query(description="Candidates to order exactly.")] = None,
) -> Asked:
    """The state in a URL; what a form left empty is not asked."""
    given = {
        "k": k,
        "by": by,
        "alpha": _number(float, alpha, "alpha"),
        "level": level,
        "slice": _number(int, query_slice, "slice"),
        "where": where,
        "absent": absent,
        "same_patient": same_patient,
        "rerank": _number(int, rerank, "rerank"),
    }
    return Asked(case, _told(given))


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not left open; a weight of 0 is told."""
    return {name: v for name, v in values.items() if not (v is None or v is False or v == "")}


def _number(kind: Callable[[str], float], text: str | None, name: str) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{name} must be a number, got {text!r}") from None
