"""What `isohash query` prints for people: one answer as a table, those of many rows a line each."""

from __future__ import annotations

from collections.abc import Sequence

from isohash.apps.cli.pieces import Line, Piece, Table
from isohash.apps.cli.tables import LINES_SHOWN
from isohash.retrieval.answer import (
    Answer,
    covered_text,
    distance_header,
    distance_text,
    shares_text,
    tie_text,
)

SHARES_SHOWN = 3
NEAREST_SHOWN = 3  # of each row of a file


def query_table(answers: Sequence[Answer], source: str) -> list[Piece]:
    """One answer in full, or a line of each."""
    return answer_table(answers[0]) if len(answers) == 1 else answers_table(answers, source)


def answer_table(answer: Answer) -> list[Piece]:
    """Rank, id, distance with interval, and the calibrated distance of each view."""
    views = list(answer.weights)
    sliced = ["slice"] if answer.level == "slice" and answer.by != "vector" else []
    labels = ["class"] if any(match.facts.get("label") for match in answer.matches) else []
    if answer.by in ("plan", "map"):
        return _plan_table(answer, labels)
    by_code = "by code, " if answer.n_reranked else ""
    near = [f"{answer.labels[view]}, {by_code}near = 1" for view in views]
    ties = ["tied"] if any(match.tie for match in answer.matches) else []
    covers = ["slices of its own"] if answer.level == "case" else []
    table = Table(
        f"{answer.query}: {answer.summary}",
        ["rank", "id", *sliced, distance_header(answer), *near, *ties, *covers, *labels],
    )
    for match in answer.matches:
        table.add_row(
            str(match.rank),
            match.id,
            *(str(match.pairs[0].slice) for _ in sliced),
            distance_text(answer, match),
            *(match.near[view].text for view in views),
            *(tie_text(answer, match) for _ in ties),
            *(covered_text(match) for _ in covers),
            *(str(match.facts.get("label") or "") for _ in labels),
        )
    return _in_full(answer, table)


def _in_full(answer: Answer, table: Table) -> list[Piece]:
    """Above all else, that the query is unlike the archive; below, what the numbers mean."""
    above = [Line(answer.unlike.text, bold=True)] if answer.unlike else []
    notes = (Line(f"note: {one}") for one in answer.warnings)
    return [*above, table, Line(answer.meaning), *notes]


def _plan_table(answer: Answer, labels: Sequence[str]) -> list[Piece]:
    """Distance in Gy with the range of true ones, and the structures that differ most."""
    table = Table(
        f"{answer.query}: {answer.summary}",
        ["rank", "id", "Gy apart", "true, 95 % interval", "most of it (Gy)", *labels],
    )
    for match in answer.matches:
        low, high = match.interval
        table.add_row(
            str(match.rank),
            match.id,
            f"{match.distance:.1f}",
            f"{low:.1f} to {high:.1f}",
            shares_text(match.shares[:SHARES_SHOWN]),
            *(str(match.facts.get("label") or "") for _ in labels),
        )
    return _in_full(answer, table)


def answers_table(answers: Sequence[Answer], source: str) -> list[Piece]:
    """The nearest of each row of a file of vectors, a line each, and where all of it is."""
    first = answers[0]
    strange = sum(answer.unlike is not None for answer in answers)
    above = [f"{strange} of {len(answers)} rows are unlike this archive"] if strange else []
    table = Table(
        f"{source}: {len(answers)} rows, and the nearest of {first.n_considered} {first.what}",
        ["row", *(f"rank {i + 1}" for i in range(min(NEAREST_SHOWN, len(first)))), ""],
    )
    for row, answer in enumerate(answers[:LINES_SHOWN]):
        shown = [f"{m.id} ({distance_text(answer, m)})" for m in answer.matches[:NEAREST_SHOWN]]
        table.add_row(str(row), *shown, "unlike this archive" if answer.unlike else "")
    notes = [f"note: {one}" for one in dict.fromkeys(w for a in answers for w in a.warnings)]
    rest = (
        f"{len(answers) - LINES_SHOWN} rows more: --slice N shows one in full, --json tells all, "
        "isohash export writes them as CSV"
    )
    more = [rest] if len(answers) > LINES_SHOWN else []
    lines = [*more, f"In brackets: {distance_header(first)}. {first.meaning}", *notes]
    return [*(Line(line, bold=True) for line in above), table, *(Line(line) for line in lines)]
