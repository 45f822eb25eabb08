"""Which strangers are told as unlike an archive, and how often its own kind is.

python benchmarks/strangers.py ARCHIVE DATA --queries FOLDER --out docs/numbers

ARCHIVE holds OpenKBP's training patients, FOLDER patients that took no part; DATA is that of
benchmarks/alignment.py, whose cases of other sites are asked too. The table of docs/validity.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from alignment import ROOT, other_cases
from scipy.ndimage import rotate

from isohash.evaluation.kit.results import read_results, write_results
from isohash.records import Case, Volume
from isohash.retrieval.engine import Archive, Session
from isohash.sources.reading import find

BY = ("ct", "dose", "joint", "plan")
SPOILT = 3  # patients that are tilted, cut and so on

Make = Callable[[Case], Case]


def changed(case: Case, ct: Callable[[Any], Any], dose: Callable[[Any], Any]) -> Case:
    """The same with other voxels, without structures."""
    parts = {}
    for name, change in (("ct", ct), ("dose", dose)):
        volume = getattr(case, name)
        parts[name] = Volume(change(np.asarray(volume.array, np.float32)), volume.affine)
    return replace(case, **parts, structures={})


def tilted(degrees: float, axes: tuple[int, int]) -> Make:
    """Turned in its own box."""

    def turn(outside: float) -> Callable[[Any], Any]:
        return lambda a: rotate(a, degrees, axes, reshape=False, order=1, cval=outside)

    return lambda case: changed(case, turn(-1000), turn(0))


def half(case: Case) -> Case:
    """Nothing of its left."""

    def cut(outside: float) -> Callable[[Any], Any]:
        return lambda a: np.where(np.arange(a.shape[2]) < a.shape[2] // 2, a, np.float32(outside))

    return changed(case, cut(-1000), cut(0))


def turned(axes: tuple[int, int]) -> Make:
    """By half a turn."""

    def turn(a: Any) -> Any:
        return np.flip(a, axes).copy()

    return lambda case: changed(case, turn, turn)


def shorter(case: Case) -> Case:
    """The first half of its slices."""
    parts = {}
    for name in ("ct", "dose"):
        volume = getattr(case, name)
        array = np.asarray(volume.array, np.float32)
        parts[name] = Volume(array[: len(array) // 2], volume.affine)
    return replace(case, **parts, structures={})


def noise(case: Case) -> Case:
    """Uniform in HU and Gy."""
    rng = np.random.default_rng(0)
    return changed(
        case, lambda a: rng.uniform(-1000, 1000, a.shape), lambda a: rng.uniform(0, 70, a.shape)
    )


def another_site(case: Case) -> Case:
    """The same images with the structures of a chest."""
    names = ("Lung_L", "Lung_R", "Heart", "Liver", "Kidney_L", "Kidney_R")
    return replace(case, structures=dict.fromkeys(names, next(iter(case.structures.values()))))


SPOILERS: dict[str, Make] = {
    "rolled by 15 degrees": tilted(15, (1, 2)),
    "rolled by 45 degrees": tilted(45, (1, 2)),
    "leant sidewards by 45 degrees": tilted(45, (0, 2)),
    "leant back by 45 degrees": tilted(45, (0, 1)),
    "prone": turned((1, 2)),
    "prone and feet first": turned((0, 1)),
    "left half cut away": half,
    "half of the slices": shorter,
    "noise": noise,
    "structures of a chest": another_site,
}


def asked(data: Path, queries: Path) -> Iterator[tuple[str, Case]]:
    """Cases with their kind."""
    for place, one in enumerate(find(queries).found):
        case = replace(one.read(), id="query", patient="query")
        yield "own kind, left out", case
        if place < SPOILT:
            yield from ((kind, make(case)) for kind, make in SPOILERS.items())
    for site, case in other_cases(data):
        yield site, replace(case, id="query", patient="query")


def alarms(session: Session) -> dict[str, bool]:
    """By way that can answer: whether the query is told as unlike."""
    found = {}
    for by in BY:
        ways = [way for way in session.ways if by in way.names and way.why_not() is None]
        views = {"joint": {"ct", "dose"}}.get(by, {by})
        if ways and (by == "plan" or views <= set(ways[-1].own)):
            found[by] = session.ask(1, by=by).unlike is not None
    return found


def measure(archive: Path, data: Path, queries: Path) -> list[dict[str, Any]]:
    """A row for each kind: how many were asked and told, by way."""
    rows: dict[str, dict[str, Any]] = {}
    with Archive.open(archive) as opened:
        for kind, case in asked(data, queries):
            row = rows.setdefault(
                kind, {"query": kind, **{f"{by}_{n}": 0 for by in BY for n in ("told", "asked")}}
            )
            for by, told in alarms(opened.session(case)).items():
                row[f"{by}_asked"] += 1
                row[f"{by}_told"] += int(told)
    return list(rows.values())


def table(about: dict[str, Any]) -> str:
    """The table of docs/validity.md."""
    body = ["| query | " + " | ".join(BY) + " |", "|---" * (len(BY) + 1) + "|"]
    for row in about["rows"]:
        cells = (
            f"{row[f'{by}_told']} of {row[f'{by}_asked']}" if row[f"{by}_asked"] else ""
            for by in BY
        )
        body.append(f"| {row['query']} | " + " | ".join(cells) + " |")
    machine = about["machine"]
    made = f"{machine['processor']}, Python {machine['python']}"
    return "\n".join(body) + f"\n\nAn archive of {about['members']} patients; {made}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    rows = measure(options.archive, options.data, options.queries)
    with Archive.open(options.archive) as opened:
        write_results(options.out, "strangers", rows, {"seed": 0, "members": len(opened)})
    page, about = ROOT / "docs" / "validity.md", read_results(options.out, "strangers")
    body = f"<!-- strangers -->\n{table(about)}\n<!-- /strangers -->"
    pattern = r"<!-- strangers -->.*?<!-- /strangers -->"
    page.write_text(re.sub(pattern, lambda _: body, page.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
