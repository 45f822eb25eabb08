"""What uncovered length shall cost in an alignment: chosen by patients that are left out.

python benchmarks/alignment.py DATA --out docs/numbers

DATA holds openkbp/train, lung_ct_rtstruct_dicom, rt_breast_boost_dicom and tg119_phantom, as found
in public (unpacked or zipped); synthetic phantoms are added. Each case is asked once of all others.
The table of docs/validity.md follows: how retrieval distance follows plans and doses, of which site
the nearest are, and how many slices are matched of those that the lengths allow.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from isohash.distances import distance_matrix
from isohash.evaluation.kit.results import read_results, write_results
from isohash.evaluation.validity.distances import dose_table, plan_table
from isohash.evaluation.validity.study import patients_of
from isohash.features.cases.slices import case_slices, encoder_input
from isohash.features.encoders.shipped import shipped_encoder
from isohash.hashing.bandwidth import neighbour_distance
from isohash.records import Case, Volume
from isohash.retrieval.dense import UNCOVERED, Dense
from isohash.retrieval.ranked import Question, Ranked
from isohash.retrieval.slices import SliceTable
from isohash.sources.phantom import phantom_case
from isohash.sources.reading import find

ROOT = Path(__file__).resolve().parents[1]
PRICES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
VIEWS = ("ct", "dose")
WAYS = {"ct": {"ct": 1.0}, "dose": {"dose": 1.0}, "joint": {"ct": 0.25, "dose": 0.75}}
K = 10
BEFORE = "before"  # any slice to any, as long as none runs backwards

Table = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of a case: heights and embeddings by view, and of which site it is."""

    site: str
    z_mm: NDArray[np.float64]
    rows: dict[str, NDArray[np.int64]]  # of the slices that have a view
    embeddings: dict[str, NDArray[np.float32]]


def phantom_in(path: Path) -> Case:
    """The TG-119 phantom, whose arrays are (y, x, z)."""
    with np.load(path) as file:
        hu, (x, y, z) = file["hu"], file["resolution_xyz_mm"]
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = x, y, z, 1.0
    return Case("tg119", ct=Volume(hu.transpose(2, 0, 1).astype(np.float32), affine))


def other_cases(data: Path) -> list[tuple[str, Case]]:
    """Cases of other sites."""
    found = [("TG-119", phantom_in(data / "tg119_phantom" / "tg119_phantom.npz"))]
    found += [("phantom", phantom_case(f, m)) for f in range(3) for m in range(4)]
    with TemporaryDirectory() as folder:
        for site in ("lung", "breast"):
            (archive,) = data.glob(f"*{site}*/*.zip")
            zipfile.ZipFile(archive).extractall(Path(folder) / site)
            found += [(site, one.read()) for one in find(Path(folder) / site).found]
    return found


def stack_of(site: str, case: Case, encoders: Mapping[str, Any]) -> Stack:
    view = case_slices(case)
    dosed = np.flatnonzero(view.has_dose) if case.dose is not None else np.arange(0)
    rows = {"ct": np.arange(len(view) if case.ct is not None else 0), "dose": dosed}
    embeddings = {
        name: encoders[name].encode(encoder_input(view, name)[at])
        for name, at in rows.items()
        if len(at)
    }
    return Stack(site, np.asarray(view.z_mm, np.float64), rows, embeddings)


def table_of(stacks: Sequence[Stack]) -> SliceTable:
    """Where all slices lie, and which have a view."""
    start = np.concatenate([[0], np.cumsum([len(one.z_mm) for one in stacks])])
    row = {view: np.full(start[-1], -1) for view in VIEWS}
    for view in VIEWS:
        has = np.concatenate([one.rows[view] + a for one, a in zip(stacks, start, strict=False)])
        row[view][has] = np.arange(len(has))
    index = np.concatenate([np.arange(len(one.z_mm)) for one in stacks])
    return SliceTable(start, index, np.concatenate([one.z_mm for one in stacks]), row)


def embeddings_of(stacks: Sequence[Stack], view: str) -> NDArray[np.float32]:
    return np.concatenate([one.embeddings[view] for one in stacks if view in one.embeddings])


@dataclass(frozen=True, eq=False)
class Everyone:
    """All cases, and how far a slice has its 50th neighbour."""

    stacks: list[Stack]
    stored: SliceTable
    embeddings: dict[str, NDArray[np.float32]]
    near: dict[str, float]

    @classmethod
    def of(cls, stacks: list[Stack]) -> Everyone:
        """The slices of all, and their scales."""
        rng = np.random.default_rng(0)
        embeddings = {view: embeddings_of(stacks, view) for view in VIEWS}
        near = {}
        for view, rows in embeddings.items():
            some = np.sort(rng.permutation(len(rows))[:4096])
            near[view] = neighbour_distance(rows[some], rng)
        return cls(stacks, table_of(stacks), embeddings, near)

    def asked(self, at: int) -> Dense:
        """One case against all."""
        own = self.stacks[at]
        exact = {
            view: distance_matrix(own.embeddings[view], rows) / self.near[view]
            for view, rows in self.embeddings.items()
            if view in own.embeddings
        }
        counts = {view: np.zeros(table.shape, np.int32) for view, table in exact.items()}
        everyone = np.arange(len(self.stacks))
        return Dense(table_of([own]), self.stored, everyone, counts, {}, exact)


def allowed_slices(query: SliceTable, stored: SliceTable, case: int, views: Sequence[str]) -> int:
    """How many slices of a case its and the query's length allow to be matched."""
    own = query.z_mm[query.usable(views)]
    here = slice(int(stored.start[case]), int(stored.start[case + 1]))
    found = stored.z_mm[here][stored.usable(views)[here]]
    spacing = max(float(np.median(np.abs(np.diff(z)))) for z in (own, found) if len(z) > 1)
    return int(min(np.ptp(own), np.ptp(found)) / spacing + 1e-6) + 1


def asked_before(dense: Dense, question: Question) -> tuple[Table, list[Ranked]]:
    """Distances and matches as they were when nothing uncovered cost anything."""
    weights = tuple(question.weights)
    rows = np.flatnonzero(dense.query.usable(weights))
    usable = dense.stored.usable(weights)
    start = np.concatenate([[0], np.cumsum(usable)])[dense.stored.start]
    costs = sum(
        w * dense.exact[v][np.ix_(dense.query.row[v][rows], dense.stored.row[v][usable])]
        for v, w in question.weights.items()
    )
    spacing = dense.stored.spacing_mm()
    reach = np.ceil(2 * dense.query.spacing_mm()[0] / spacing)
    reach = np.where(np.isfinite(reach), reach, 1).clip(1).astype(int)
    totals, distinct = np.full(dense.stored.n_cases, np.inf), {}
    for case in np.flatnonzero((np.diff(start) > 0) & question.allowed).tolist():
        part = costs[:, start[case] : start[case + 1]]
        totals[case], distinct[case] = freely_aligned(part, int(reach[case]))
    return totals / len(rows), distinct


def freely_aligned(costs: Table, reach: int) -> tuple[float, int]:
    """The least total of a path that never runs backwards, and how many columns it touches."""
    tables = [costs[0]]
    for row in costs[1:]:
        least = tables[-1].copy()
        for step in range(1, min(reach, costs.shape[1] - 1) + 1):
            np.minimum(least[step:], tables[-1][:-step], out=least[step:])
        tables.append(row + least)
    column = int(tables[-1].argmin())
    path = [column]
    for table in tables[-2::-1]:
        first = max(0, column - reach)
        column = first + int(table[first : column + 1].argmin())
        path.append(column)
    return float(tables[-1].min()), len(set(path))


def measured(everyone: Everyone, way: str, prices: Sequence[float]) -> dict[Any, dict[str, Any]]:
    """By price: the table of distances (n, n), and matched and allowed slices of the K nearest."""
    weights, n = WAYS[way], len(everyone.stacks)
    names = (BEFORE, *prices)
    found = {name: {"table": np.full((n, n), np.nan), "slices": []} for name in names}
    for at in range(n):
        dense = everyone.asked(at)
        if any(view not in dense.exact for view in weights):
            continue
        others = np.arange(n) != at
        question = Question(weights, K, others)
        rows = int(dense.query.usable(tuple(weights)).sum())
        for name in names:
            if name == BEFORE:
                apart, distinct = asked_before(dense, question)
                nearest = np.argsort(apart, kind="stable")[:K].tolist()
                told = [(case, distinct[case]) for case in nearest if np.isfinite(apart[case])]
            else:
                priced = replace(dense, uncovered=name)
                apart = priced.totals(weights) / rows
                ranked = priced.rank(question)
                told = [(one.case, len({pair.slice for pair in one.pairs})) for one in ranked]
            found[name]["table"][at] = np.where(others & np.isfinite(apart), apart, np.nan)
            found[name]["slices"] += [
                (m, allowed_slices(dense.query, everyone.stored, case, tuple(weights)))
                for case, m in told
            ]
    return found


def row_of(
    way: str, name: Any, told: dict[str, Any], sites: Sequence[str], truth: dict[str, Table]
) -> dict[str, Any]:
    """What one price is worth."""
    table, n = told["table"], len(truth["plan"])
    known = ~np.isnan(table[:n, :n])
    row = {"way": way, "price": name}
    for target, values in truth.items():
        cells = known & ~np.eye(n, dtype=bool)
        row[f"r_{target}"] = float(spearmanr(table[:n, :n][cells], values[cells])[0])
        away = np.where(known, table[:n, :n], np.inf)
        row[f"nearest_{target}_gy"] = float(values[np.arange(n), away.argmin(axis=1)].mean())
        order = away.argsort(axis=1, kind="stable")[:, :5]
        row[f"five_{target}_gy"] = float(np.take_along_axis(values, order, axis=1).mean())
    row |= purity(table, sites)
    share = np.array([m / most for m, most in told["slices"]])
    row |= {"matched_median": float(np.median(share)), "matched_least": float(share.min())}
    return row | {"below_half": int((share < 0.5).sum()), "lists": len(share)}


def purity(table: Table, sites: Sequence[str]) -> dict[str, float]:
    """Of which site the nearest are: share of as many as there are others, at most three."""
    shares: dict[str, list[float]] = {}
    for at, site in enumerate(sites):
        mates = [i for i, s in enumerate(sites) if s == site and np.isfinite(table[at, i])]
        if not mates:
            continue
        order = np.argsort(np.where(np.isnan(table[at]), np.inf, table[at]), kind="stable")
        k = min(3, len(mates))
        shares.setdefault(site, []).append(float(np.mean([sites[i] == site for i in order[:k]])))
    return {f"purity {site}": float(np.mean(found)) for site, found in shares.items()}


def share(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def table(about: dict[str, Any]) -> str:
    """The table of docs/validity.md."""
    head = ("by", "price", "r, plan", "r, dose", "nearest plan, Gy", "nearest dose, Gy",
            "own site: head and neck", "phantom", "lung", "matched of allowed", "least",
            "below half")  # fmt: skip
    lines = []
    for row in about["rows"]:
        cells = [row["way"], str(row["price"])]
        cells += [share(row[name]) for name in ("r_plan", "r_dose")]
        cells += [f"{row[name]:.1f}" for name in ("nearest_plan_gy", "nearest_dose_gy")]
        sites = ("head and neck", "phantom", "lung")
        cells += [share(row[f"purity {s}"]) if row.get(f"purity {s}") else "" for s in sites]
        cells += [share(row[name]) for name in ("matched_median", "matched_least")]
        lines.append([*cells, f"{row['below_half']} of {row['lists']}"])
    body = ["| " + " | ".join(line) + " |" for line in (head, *lines)]
    return "\n".join([body[0], "|---" * len(head) + "|", *body[1:]]) + (
        f"\n\n{about['patients']} patients of OpenKBP and {about['others']} other cases; seed 0; "
        f"{about['machine']['processor']}, Python {about['machine']['python']}."
    )


def filled(page: str, about: dict[str, Any]) -> str:
    """The page with the table that these numbers make."""
    body = f"<!-- alignment -->\n{table(about)}\n<!-- /alignment -->"
    pattern = r"<!-- alignment -->.*?<!-- /alignment -->"
    return re.sub(pattern, lambda _: body, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    parser.add_argument("--work", type=Path, default=Path("benchmarks/results/alignment"))
    parser.add_argument("--patients", type=int, help="only so many of OpenKBP")
    parser.add_argument("--prices", type=float, nargs="+", default=PRICES)
    parser.add_argument("--again", action="store_true", help="tell the written numbers")
    options = parser.parse_args()
    if not options.again:
        measure(options)
    page = ROOT / "docs" / "validity.md"
    page.write_text(filled(page.read_text(), read_results(options.out, "alignment")))


def measure(options: argparse.Namespace) -> None:
    """All rows, written to the folder of numbers."""
    encoders = {view: shipped_encoder(f"{view}-deep") for view in VIEWS}
    options.work.mkdir(parents=True, exist_ok=True)
    found = find(options.data / "openkbp" / "train").found[: options.patients]
    patients, _ = patients_of(found, options.work, encoders, None)
    kept = options.work / f"truth-{len(patients)}.npz"
    if not kept.is_file():
        tables = {"plan": plan_table(patients, patients), "dose": dose_table(patients, patients)}
        np.savez(kept, **tables)
    with np.load(kept) as file:
        truth = {name: file[name] for name in file.files}
    stacks = []
    for one in patients:
        dosed = np.flatnonzero(np.isin(one.z_mm["ct"], one.z_mm["dose"]))
        rows = {"ct": np.arange(len(one.z_mm["ct"])), "dose": dosed}
        stacks.append(Stack("head and neck", one.z_mm["ct"], rows, one.slices))
    stacks += [stack_of(site, case, encoders) for site, case in other_cases(options.data)]
    everyone, rows_told = Everyone.of(stacks), []
    sites = [one.site for one in stacks]
    for way in WAYS:
        for name, told in measured(everyone, way, options.prices).items():
            rows_told.append(row_of(way, name, told, sites, truth))
            print(rows_told[-1], flush=True)
    about = {"seed": 0, "uncovered": UNCOVERED, "patients": len(patients)}
    write_results(
        options.out, "alignment", rows_told, {**about, "others": len(sites) - len(patients)}
    )


if __name__ == "__main__":
    main()
