"""What the commands print for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isohash.apps.cli.pieces import Line, Piece, Table

if TYPE_CHECKING:  # the modules behind these are loaded only by the commands that need them
    from isohash.apps.demo import DemoResult
    from isohash.archive.repair import Repair
    from isohash.archive.verify import Report
    from isohash.retrieval.naming import Unmapped
    from isohash.retrieval.settings import IndexReport
    from isohash.sources.phi_scan import Scan

LINES_SHOWN = 20


def demo_table(result: DemoResult) -> list[Piece]:
    """Relatives found per family, the expected number, and what to open."""
    table = Table(
        f"Relatives among the {result.k} nearest of {result.n_cases} synthetic cases",
        ["family", *result.means],
    )
    for family, found in result.relatives.items():
        table.add_row(family, *(f"{found[by]} of {result.k}" for by in result.means))
    table.add_row("mean", *(f"{mean:.1f}" for mean in result.means.values()), bold=True)
    verdict = "passed" if result.passed else "FAILED"
    return [
        table,
        Line(
            f"Expected: {result.k} by a perfect search, {result.by_chance:.1f} by chance. "
            f"Self-check (joint, at least 9 of 10): {verdict}, in {result.seconds:.0f} s."
        ),
        Line(f"Open {result.report} and {result.collage}; ask more:"),
        Line(f"  isohash query {result.archive} phantom-02-03 --by dose -k 5"),
        Line(f"  isohash serve {result.archive}    (in the browser; pip install 'isohash[serve]')"),
    ]


def index_table(
    report: IndexReport,
    archive: Path,
    source: Path,
    rehashed: Sequence[Mapping[str, Any]] = (),
) -> list[Piece]:
    """Found, indexed, hashed anew; and what was skipped, is doubtful or has unknown names."""
    lines = [
        Line(
            f"{one['view']}: hashed anew with the learned {one['kernel']} kernel, "
            f"{one['bits']} bits ({one['hash']})."
        )
        for one in rehashed
    ]
    lines += [Line(f"note: {note}") for note in (*report.notes, *_news(report))]
    notes = [(case, note) for case, several in report.warnings.items() for note in several]
    return [
        *lines,
        *listing("Skipped", ["file", "reason"], [(s.path, s.reason) for s in report.skipped]),
        *listing("Indexed with warnings", ["id", "warning"], notes),
        *(unknown_names_table(report.unmapped, source, LINES_SHOWN) if report.unmapped else []),
        _sum(report, archive),
    ]


def _sum(report: IndexReport, archive: Path) -> Line:
    """The last line: what happened to all that was found."""
    replaced = f" ({len(report.replaced)} of them replaced)" if report.replaced else ""
    what = "image" if report.kind == "images" else "case"
    found = f"1 {what}" if report.n_found == 1 else f"{report.n_found} {what}s"
    return Line(
        f"{found} found ({report.kind}): {len(report.indexed)} indexed{replaced}, "
        f"{len(report.unchanged)} unchanged, {len(report.skipped)} files or {what}s skipped. "
        f"{archive} now holds {report.n_cases}."
    )


def _news(report: IndexReport) -> list[str]:
    """What happened to names that the archive knew."""
    told = [
        f"{old} means something else here; indexed as {new}" for new, old in report.apart.items()
    ]
    if report.replaced:
        told.insert(0, f"replaced by their new versions: {_some(report.replaced)}")
    told += [f"{file}: gone are {_some(names)}" for file, names in report.vanished.items()]
    return told


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - LINES_SHOWN
    return ", ".join(names[:LINES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def unknown_names_table(
    rows: Sequence[Unmapped], source: Path, most: int | None = None, table: Path | None = None
) -> list[Piece]:
    """What was typed for structures that became numbers: shown to the owner, kept nowhere."""
    if not rows:
        return [Line(f"{source}: the tables know all names of structures.")]
    step = (
        f"isohash names {source} --add-to our-names.json puts them into a table"
        if table is None
        else f"They are in {table}"
    )
    step += ": fill in their names there and index again with --aliases."
    return names_and_step(rows, step, most or len(rows))


def names_and_step(rows: Sequence[Unmapped], step: str, most: int = LINES_SHOWN) -> list[Piece]:
    """Typed names that no table knows, for the owner's eyes, and what to do about them."""
    title = "Names that no table knows: archives keep a number for each (only you see this list)"
    cells = [(r.typed, r.kind, str(r.n_cases), ", ".join(r.suggestions) or "-") for r in rows]
    columns = ["typed", "is a", "sets", "near"]
    return [*listing(title, columns, cells, most, "see isohash names"), Line(step)]


def listing(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    most: int = LINES_SHOWN,
    rest: str = "see --json for all",
) -> list[Table]:
    """The first rows as a table, and how many more there are; nothing where there are none."""
    if not rows:
        return []
    table = Table(title, columns)
    for row in rows[:most]:
        table.add_row(*row)
    if (more := len(rows) - most) > 0:
        table.add_row(f"and {more} more", rest)
    return [table]


def verify_table(report: Report, mended: Repair | None, archive: Path) -> list[Piece]:
    """What a repair did, if there was one; then every problem, or that there is none."""
    checked = f"{report.n_bytes_checked / 1e6:.1f} MB checked"
    before = [] if mended is None else _repair_lines(mended, archive)
    notes = [Line(f"note: {note}") for note in report.notes]
    if not report.problems:
        return [*before, Line(f"{archive}: no damage found, {checked}."), *notes]
    table = Table(f"{archive}: damaged, {checked}", ["where", "what"])
    for problem in report.problems:
        table.add_row(problem.segment, problem.what)
    return [*before, table, *notes]


def _repair_lines(mended: Repair, archive: Path) -> list[Line]:
    if mended == type(mended)():
        return [Line(f"{archive}: nothing to repair.")]
    aside = {f"set aside in {archive}/quarantine": mended.quarantined} if mended.quarantined else {}
    parts = {**aside, "lost cases": mended.lost_cases or ("none",), "lost files": mended.lost_files}
    parts["put back"] = mended.restored
    lines = [f"{what}: {', '.join(names)}" for what, names in parts.items() if names]
    return [Line(line) for line in [*lines, *(f"repaired: {note}" for note in mended.notes)]]


def scan_table(scan: Scan, archive: Path) -> list[Piece]:
    """Where identity was found, or that it was not; what was searched, and what cannot be seen."""
    nothing = Line(f"{archive}: nothing that identifies a patient of the source was found.")
    cells = [(leak.file, str(leak.offset), leak.element, leak.source) for leak in scan.leaks]
    title, columns = f"{archive}: identity found", ["file", "at byte", "element", "from"]
    found: Sequence[Piece] = listing(title, columns, cells) or [nothing]
    searched = ", ".join(f"{number:,} {what}" for what, number in scan.searched.items())
    chance = [
        Line(
            f"by chance: {len(scan.by_chance)} values of few letters or digits stand where chance "
            "gives them as well, neither told nor excluded (--json says where)."
        )
    ]
    cannot = [Line(f"cannot be seen: {what}.") for what in scan.cannot]
    return [*found, Line(f"Searched: {searched}."), *chance * bool(scan.by_chance), *cannot]


def info_table(facts: Mapping[str, Any], archive: Path) -> list[Piece]:
    """What an archive holds, how it was made and what may be asked of it; --json tells the rest."""
    table = Table(str(archive), ["", ""])
    for name, value in _about(facts):
        table.add_row(name, value)
    return [
        table,
        *(Line(f"note: {note}") for note in facts["recipe"].get("notes", ())),
        *(Line(f"warning: {warning}") for warning in facts["warnings"]),
    ]


def _about(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    recipe, settings = facts["recipe"], facts["recipe"]["settings"]
    counts = {"vectors": facts.get("vectors")} if facts.get("vectors") else {}
    counts = counts or {"cases": facts["cases"], "patients": facts.get("patients")}
    counts |= {name: facts.get(name) for name in ("slices", "dose_slices")}
    yield (
        "holds",
        ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count),
    )
    for fact in facts["facts"]:
        if fact["name"] in ("prescription_gy", "fractions", "technique", "label", "structures"):
            yield fact["name"], f"{fact['values']} (of {fact['n']})" if fact["n"] else "unknown"
    yield "size", f"{facts['bytes'] / 1e6:.1f} MB in {facts['segments']} segments"
    names = recipe.get("encoders", {})
    yield from ((f"encoder of {view}", str(name)) for view, name in names.items())
    yield "codes", f"{settings.get('bits')} bits, hash {settings.get('hash')}"
    if "plan" in recipe:
        plan = recipe["plan"]
        yield "asked by plan", "yes" if "encoder" in plan else f"no: {plan.get('missing', '')}"
    if recipe.get("dose"):
        dose = recipe["dose"]
        told = f"yes, learned from {dose.get('plans', 'OpenKBP')} plans"
        yield "foretells doses", told if "model" in dose else f"no: {dose.get('missing', '')}"
    made = recipe.get("versions", {})
    yield "made by", f"isohash {made.get('isohash', '?')}, seed {settings.get('seed', 0)}"


def doctor_table(facts: Mapping[str, Any]) -> list[Piece]:
    """The machine, the search engine and the optional parts."""
    table = Table(f"isohash {facts['isohash']}", ["", ""])
    for name in ("python", "machine", "sqlite"):
        table.add_row(name, str(facts[name]))
    for name, value in facts["search"].items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        table.add_row(f"search {name}", str(shown) if shown != "" else "none")
    for name, found in facts["required"].items():
        table.add_row(name, found or "MISSING: reinstall isohash")
    for name, part in facts["optional"].items():
        state = "installed" if part["installed"] else f"not installed; {part['install']}"
        table.add_row(name, f"{state} (isohash[{part['extra']}]: {part['for']})")
    return [table]
