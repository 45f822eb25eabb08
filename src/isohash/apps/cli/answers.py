"""What `isohash query` prints for people: one answer as a table, those of many rows a line each."""

from __future__ import annotations

from collections.abc import Sequence

from isohash.apps.cli.pieces import Line, Piece, Table
from isohash.apps.cli.tables import LINES_SHOWN
from isohash.retrieval.answer import (
    COVERED_HEADER,
    TIE_HEADER,
    Answer,
    covered_text,
    distance_header,
    distance_text,
    headers,
    interval_text,
    near_header,
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
    sliced = ["slice"] if answer.level == "slice" and answer.by != "vector" else []
    labels = ["class"] if any(match.facts.get("label") for match in answer.matches) else []
    if answer.in_gy:
        return _plan_table(answer, labels)
    near = [near_header(answer, view) for view in answer.near_views]
    ties = [TIE_HEADER] if any(match.tie for match in answer.matches) else []
    covers = [COVERED_HEADER] if "covered" in answer.explained else []
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
            *(match.near[view].text for view in answer.near_views),
            *(tie_text(answer, match) for _ in ties),
            *(covered_text(match) for _ in covers),
            *(str(match.facts.get("label") or "") for _ in labels),
        )
    return _in_full(answer, table)


def _in_full(answer: Answer, table: Table) -> list[Piece]:
    """Above all else, that the query is unlike the archive; below, what the numbers mean."""
    above = [Line(answer.unlike.text, bold=True)] if answer.unlike else []
    titles = headers(answer)
    explained = [f"{titles[name]}: {told}." for name, told in answer.explained.items()]
    notes = [f"note: {one}" for one in answer.warnings]
    below = [*answer.refined, f"{answer.meaning} {answer.uncertain}", *explained, *notes]
    return [*above, table, *(Line(line) for line in below)]


def _plan_table(answer: Answer, labels: Sequence[str]) -> list[Piece]:
    """Distance in Gy with the range of true ones, and the structures that differ most."""
    table = Table(
        f"{answer.query}: {answer.summary}",
        ["rank", "id", "Gy apart", "true, 95 % interval", "most of it (Gy)", *labels],
    )
    for match in answer.matches:
        table.add_row(
            str(match.rank),
            match.id,
            f"{match.distance:.1f}",
            interval_text(match),
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
    lines = [
        *more,
        f"In brackets: {distance_header(first)}. {first.meaning} {first.uncertain}",
        *notes,
    ]
    return [*(Line(line, bold=True) for line in above), table, *(Line(line) for line in lines)]
