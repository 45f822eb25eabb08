"""Answers to many queries as flat rows, for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.retrieval.answer import Answer
from isohash.retrieval.engine import Archive
from isohash.retrieval.inventory import INTERNAL
from isohash.retrieval.request import Request


def answers(
    archive: Archive, items: Sequence[Any], request: Request, progress: Progress | None = None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One row for each result of each query; and the queries that could not be asked, with why.

    A file of vectors is asked with every row of it.
    """
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for done, item in enumerate(items):
        tell(progress, done, len(items), f"asking {item}")
        try:
            for answer in archive.session(item).each(request):
                rows += rows_of_answer(answer)
        except InputError as error:
            failed[str(item)] = str(error)
    return rows, failed


def rows_of_answer(answer: Answer) -> list[dict[str, Any]]:
    """The matches of an answer as flat rows: what was asked, rank, distance, interval, facts."""
    return [
        {
            "query": answer.query,
            "by": answer.by,
            "rank": match.rank,
            "id": match.id,
            "distance": match.distance,
            "low": None if match.interval is None else match.interval[0],
            "high": None if match.interval is None else match.interval[1],
            "tied_with_rank": match.tie,
            **_flat(match.facts),
        }
        for match in answer.matches
    ]


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in facts.items() if name not in ("id", *INTERNAL)}
    return {
        name: "; ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in plain.items()
    }
