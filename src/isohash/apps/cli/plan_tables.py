"""What `isohash propose`, `check` and `compare` print for people."""

from __future__ import annotations

from pathlib import Path

from isohash.apps.cli.pieces import Line, Piece, Table
from isohash.dosimetry.comparison import DoseComparison
from isohash.dosimetry.metrics import FITS
from isohash.retrieval.likeness import Unlike
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
    lines = [f"note: {note}" for note in proposal.warnings]
    lines.append(f"Open {out / 'proposal.html'}. Research, not for treatment.")
    return [*_strange(proposal.unlike), table, *map(Line, lines)]


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
    notes = (Line(f"note: {one}") for one in check.warnings)
    return [*_strange(check.unlike), table, *notes, Line(line)]


def _strange(unlike: Unlike | None) -> list[Piece]:
    """Above all else, that the patient is unlike the archive; as of an answer."""
    return [Line(unlike.text, bold=True)] if unlike else []


def comparison_table(found: DoseComparison) -> list[Piece]:
    """Gamma and difference, then what is read off each structure, then conformity."""
    a, b = found.dose.name, found.reference.name
    table = Table(f"{a} against {b}", ["structure", "metric", "", a, b, "difference"])
    for one in found.metrics:
        values = (f"{one.value:.1f}", f"{one.reference:.1f}", f"{one.difference:+.1f}")
        table.add_row(one.structure, one.metric, one.unit, *values)
    parts: list[Piece] = [*map(Line, found.lines), table]
    if found.fits:
        shapes = Table("Conformity", ["target", "plan", "at Gy", *FITS.values()])
        for target, plan, fit in found.fits:
            shapes.add_row(target, plan, f"{fit.prescription_gy:g}", *fit.cells)
        parts.append(shapes)
    return [*parts, Line("Research, not for treatment.")]
