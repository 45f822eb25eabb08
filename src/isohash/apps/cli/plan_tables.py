"""What `isohash propose` and `check` print for people."""

from __future__ import annotations

from pathlib import Path

from isohash.apps.cli.pieces import Line, Piece, Table
from isohash.retrieval.planning.check import Check
from isohash.retrieval.planning.proposal import Proposal


def proposal_table(proposal: Proposal, out: Path) -> list[Piece]:
    """The objectives with their bands, what is doubtful, and what to open."""
    table = Table(
        f"The dose that {proposal.query} would get, as {proposal.learned_from} show",
        ["structure", "metric", "Gy", "68 %", "90 %", "best of similar", "whose"],
    )
    for one in proposal.objectives:
        table.add_row(
            one.structure,
            one.metric,
            f"{one.gy:.1f}",
            f"{one.low_68:.1f} to {one.high_68:.1f}",
            f"{one.low_90:.1f} to {one.high_90:.1f}",
            "" if one.best_gy is None else f"{one.best_gy:.1f}",
            one.best_case or "",
        )
    notes = [f"unlike the archive: {one}" for one in proposal.unlike] + list(proposal.warnings)
    lines = [f"note: {note}" for note in notes]
    lines.append(f"Open {out / 'proposal.html'}. Research, not for treatment.")
    return [table, *map(Line, lines)]


def check_table(check: Check) -> list[Piece]:
    """The objectives, worst first, and how many past plans are as bad."""
    table = Table(
        f"The plan of {check.query} against what its anatomy would get",
        ["structure", "metric", "planned Gy", "foreseen", "90 %", "verdict", "better was"],
    )
    for one in check.findings:
        table.add_row(
            one.structure,
            one.metric,
            f"{one.planned_gy:.1f}",
            f"{one.foreseen_gy:.1f}",
            f"{one.low_90:.1f} to {one.high_90:.1f}",
            one.verdict,
            ", ".join(f"{name} {gy:.1f}" for name, gy in one.shown_by),
        )
    told = "ALARM: " if check.alarm else ""
    line = (
        f"{told}{100 * check.share_as_bad:.0f} % of {check.compared_with} past plans have an "
        "objective as far beyond what was foreseen. Research, not for treatment."
    )
    return [table, *(Line(f"note: {one}") for one in check.warnings), Line(line)]
