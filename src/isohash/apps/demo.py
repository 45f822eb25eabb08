"""The demonstration: synthetic patients in known families -> archive -> queries -> self-check."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isohash.apps.page.collage import write_collage
from isohash.apps.page.report import write_report
from isohash.progress import Progress
from isohash.records import Case
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.sources.found import Findings, Found
from isohash.sources.identity.naming import Naming
from isohash.sources.phantom import phantom_case
from isohash.whole_files import private_folder

FAMILIES, PER_FAMILY = 6, 11  # each query has ten relatives
K = PER_FAMILY - 1
# Less than the defaults: 66 phantoms need no more, and the whole must stay below a minute.
SETTINGS = {"bits": 512, "dim": 64, "fit_slices": 768, "fit_cases": 24, "dose_model": False}
WAYS = ("ct", "dose", "joint", "plan")
# The self-check's promise: nine of ten neighbours by CT and dose come from the query's family.
ENOUGH = 9.0


@dataclass(frozen=True)
class DemoResult:
    """Relatives among the K nearest, per family and way of asking, and where things lie."""

    relatives: dict[str, dict[str, int]]
    k: int
    by_chance: float
    n_cases: int
    seconds: float
    archive: str
    report: str
    collage: str

    @property
    def means(self) -> dict[str, float]:
        """Mean number of relatives among the k nearest, per way of asking."""
        rows = self.relatives.values()
        return {by: sum(row[by] for row in rows) / len(rows) for by in WAYS}

    @property
    def passed(self) -> bool:
        """Whether the joint queries find at least 9 of 10 relatives on average."""
        return self.means["joint"] >= ENOUGH * self.k / 10

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {**asdict(self), "means": self.means, "passed": self.passed}


def run_demo(folder: str | Path, seed: int = 0, progress: Progress | None = None) -> DemoResult:
    """Index 66 synthetic cases below `folder`, ask for the relatives of one case of each family."""
    start = time.monotonic()
    out = Path(folder)
    private_folder(out)
    index_found(phantoms(seed), out / "archive", {**SETTINGS, "seed": seed}, progress)
    archive = Archive.open(out / "archive")
    relatives = {}
    for family in range(FAMILIES):
        session = archive.session(_name(family, 0))
        relatives[session.query.facts["label"]] = {
            by: sum(m.facts["label"] == session.query.facts["label"] for m in session.ask(K, by=by))
            for by in WAYS
        }
    session = archive.session(_name(0, 0))
    write_report(session, session.ask(5, by="joint"), out / "report.html")
    write_report(session, session.ask(5), out / "report-by-plan.html")
    write_collage(session, session.ask(K + 1, by="joint"), out / "collage.png")
    return DemoResult(
        relatives=relatives,
        k=K,
        by_chance=K * K / (len(archive) - 1),
        n_cases=len(archive),
        seconds=time.monotonic() - start,
        archive=str(out / "archive"),
        report=str(out / "report.html"),
        collage=str(out / "collage.png"),
    )


def phantoms(seed: int, families: int = FAMILIES, per_family: int = PER_FAMILY) -> Findings:
    """The demonstration's cases, made when they are read."""
    return Findings(
        "phantom",
        tuple(
            Found(
                key=_name(family, member),
                state=f"phantom-{seed}-{family}-{member}",
                path=_name(family, member),
                reader=_reader(family, member, seed),
            )
            for family in range(families)
            for member in range(per_family)
        ),
    )


def _reader(family: int, member: int, seed: int) -> Callable[[Naming], Case]:
    return lambda naming: phantom_case(family, member, seed)


def _name(family: int, member: int) -> str:
    return f"phantom-{family:02d}-{member:02d}"
