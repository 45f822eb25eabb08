"""What `isohash pull` and `send` print for people."""

from __future__ import annotations

from pathlib import Path

from isohash.apps.cli.pieces import Line, Piece
from isohash.apps.cli.tables import listing, names_and_step
from isohash.retrieval.building.pulling import PullReport
from isohash.sources.pacs.sending import Sent

STEP = 'Write them into a file {"typed": "name"} and run again with --aliases FILE --again.'


def pull_table(report: PullReport, archive: Path) -> list[Piece]:
    """What came and what did not, with the reasons; nothing that names a study to others."""
    notes = [(case, note) for case, several in report.warnings.items() for note in several]
    return [
        *(Line(f"note: {note}") for note in report.notes),
        *listing(
            "Not brought: the next run tries again", ["study", "why"], [*report.failed.items()]
        ),
        *listing("Skipped", ["file", "reason"], [(s.path, s.reason) for s in report.skipped]),
        *listing("Indexed with warnings", ["case", "warning"], notes),
        *(names_and_step(report.unmapped, STEP) if report.unmapped else ()),
        Line(
            f"{report.source}: {report.n_studies} studies, {report.unchanged} seen before, "
            f"{report.unwanted} not asked for, {report.brought} brought, {len(report.failed)} "
            f"failed; {len(report.indexed)} cases indexed. {archive} now holds {report.n_cases}."
        ),
    ]


def sent_table(done: Sent) -> list[Piece]:
    """How much was sent, and what was not taken."""
    return [
        *listing("Not taken", ["file", "why"], [*done.refused.items()]),
        Line(f"{len(done.sent)} objects sent to {done.node}."),
    ]
