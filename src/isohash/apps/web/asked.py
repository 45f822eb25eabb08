"""What a URL asks: the options of `isohash query`, by the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from isohash.errors import InputError
from isohash.retrieval.refined import named_weights
from isohash.retrieval.request import Request

CALLED = {"box": "box_mm", "structure": "structures"}  # parameters that `Request` calls otherwise
PLACES = ("span", "box")


@dataclass(frozen=True)
class Asked:
    """A case and how it is asked; `values` are what the URL said, without what it left open."""

    case: str
    values: Mapping[str, Any]

    @property
    def request(self) -> Request:
        """The same as a request; InputError where it means nothing."""
        options = {CALLED.get(name, name): value for name, value in self.values.items()}
        if "structures" in options:
            options["structures"] = named_weights(options["structures"])
        return Request.of(None, options)  # type: ignore[arg-type]

    def url(self, page: str = "/query", **changes: Any) -> str:
        """The address of a page in this state, with some of it changed; None leaves it out."""
        values = {"case": self.case, **self.values, **changes}
        texts = {name: " ".join(map(str, v)) if name in PLACES else v for name, v in values.items()
                 if v is not None}  # fmt: skip
        return f"{page}?{urlencode(_told(texts), doseq=True)}"


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
    covered: Annotated[str | None, Query(description="Least share of the query's length.")] = None,
    span: Annotated[str | None, Query(description="First and last slice that count.")] = None,
    box: Annotated[str | None, Query(description="x0 y0 x1 y1 in mm that counts by map.")] = None,
    structure: Annotated[list[str] | None, Query(description="NAME=WEIGHT, by plan.")] = None,
    good: Annotated[list[str] | None, Query(description="Ids of what is wanted.")] = None,
    bad: Annotated[list[str] | None, Query(description="Ids of what is not wanted.")] = None,
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
        "covered": _number(float, covered, "covered"),
        "span": _numbers(int, span, "span"),
        "box": _numbers(float, box, "box"),
        "structure": _some(structure),
        "good": _some(good),
        "bad": _some(bad),
    }
    return Asked(case, _told(given))


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not left open; a weight of 0 is told."""
    return {name: v for name, v in values.items() if not (v is None or v is False or v == "")}


def _some(texts: list[str] | None) -> list[str] | None:
    return [text for text in texts or () if text] or None


def _numbers(kind: Callable[[str], float], text: str | None, name: str) -> tuple[float, ...] | None:
    """Numbers with spaces or commas between them."""
    if text is None or not text.strip():
        return None
    found = (_number(kind, one, name) for one in text.replace(",", " ").split())
    return tuple(one for one in found if one is not None)


def _number(kind: Callable[[str], float], text: str | None, name: str) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{name} must be a number, got {text!r}") from None
