"""What `isohash propose`, `check` and `compare` print for people."""

from __future__ import annotations

from pathlib import Path

from isohash.apps.cli.pieces import Line, Piece, Table
from isohash.dosimetry.comparison import DoseComparison
from isohash.dosimetry.metrics import Conformity
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


def comparison_table(found: DoseComparison) -> list[Piece]:
    """Gamma and difference, then what is read off each structure, then conformity."""
    a, b = found.dose.name, found.reference.name
    table = Table(f"{a} against {b}", ["structure", "metric", "", a, b, "difference"])
    for one in found.metrics:
        values = (f"{one.value:.1f}", f"{one.reference:.1f}", f"{one.difference:+.1f}")
        table.add_row(one.structure, one.metric, one.unit, *values)
    parts: list[Piece] = [*(Line(line) for line in comparison_lines(found)), table]
    sides = (found.dose, found.reference)
    targets = dict.fromkeys(name for side in sides for name in side.conformity)
    fits = [
        (name, side.name, side.conformity[name])
        for name in targets
        for side in sides
        if name in side.conformity
    ]
    if fits:
        columns = ["target", "plan", "at Gy", *CONFORMITY.values()]
        shapes = Table("Conformity", columns)
        for name, plan, fit in fits:
            shapes.add_row(name, plan, f"{fit.prescription_gy:g}", *conformity_cells(fit))
        parts.append(shapes)
    return [*parts, Line("Research, not for treatment.")]


CONFORMITY = {
    "coverage": "coverage",
    "rtog": "PIV/TV",
    "paddick": "Paddick",
    "gradient": "gradient",
    "r50": "R50",
    "homogeneity": "homogeneity",
}


def conformity_cells(fit: Conformity) -> list[str]:
    """The numbers in the order of `CONFORMITY`; what is not known stays empty."""
    values = (getattr(fit, name) for name in CONFORMITY)
    return ["" if value != value else f"{value:.2f}" for value in values]


def comparison_lines(found: DoseComparison) -> list[str]:
    """Gamma and dose difference in sentences, and what is to be kept in mind."""
    lines = []
    for one in found.gamma:
        beyond = f", {one.outside} more lie outside the dose's grid" if one.outside else ""
        lines.append(
            f"gamma {one.criteria.text}: {one.passing_percent:.1f} % of {one.points} points pass, "
            f"mean {one.mean:.2f}{beyond}"
        )
    apart = found.difference
    lines.append(
        f"dose difference: mean {apart.mean_gy:+.2f} Gy, absolute {apart.mean_absolute_gy:.2f} Gy, "
        f"95 % between {apart.low_gy:+.1f} and {apart.high_gy:+.1f} Gy"
    )
    return [*lines, *(f"note: {one}" for one in found.notes)]
