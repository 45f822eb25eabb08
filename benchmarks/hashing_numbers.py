"""Numbers of docs/hashing.md: the default codes at equal bits, and recall of two-stage search.

    python benchmarks/hashing_numbers.py DATA --out docs/numbers

DATA is the folder that holds `openkbp`; the slices are those of hash_families.py, whose trials
tell of the other families. Writes default_codes and two_stage (CSV and JSON).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hash_families import DIM, TOP, Embeddings, _faiss_trials, dice, digest, load_embeddings

from isohash import KernelHasher, make_hasher
from isohash.evaluation.kit.results import write_results
from isohash.index.two_stage import TwoStageIndex, rerank

Row = dict[str, Any]
KINDS = ("ct", "dose")
LENGTHS = (128, 256, 512, 1024, 4096)
SHORT_AND_USUAL = (128, 1024)
CANDIDATES = (10, 20, 50, 100, 200, 500)
WANTED = 10


def default_codes(kind: str, data: Embeddings, seed: int) -> Iterator[Row]:
    """Dice@50 of the default codes and of FAISS's codes that train quickly."""
    database, queries = data
    everything = np.tile(np.arange(len(database)), (len(queries), 1))
    truth = rerank(queries, everything, database, TOP).ids
    for bits in LENGTHS:
        for against in ("codes", "vectors"):
            hasher = make_hasher(bits, seed, against).fit(database)
            index = TwoStageIndex(hasher.hash_, database, keep_vectors=False, threads=1)
            if against == "codes":
                found = index.index.search(hasher.transform(queries), TOP).ids
            else:
                found = index.search(queries, TOP, len(database)).ids
            yield _row(kind, f"make_hasher, {against}", bits, hasher.hash_.family, found, truth)
        for family, length, rank in _faiss_trials(bits, DIM, fast=True):
            yield _row(kind, family, length, "", rank(database, queries), truth)


def _row(kind: str, family: str, bits: int, quantiser: str, found: Any, truth: Any) -> Row:
    score = round(dice(found, truth), 4)
    return {"kind": kind, "family": family, "bits": bits, "quantiser": quantiser, "dice": score}


def two_stage(kind: str, data: Embeddings, seed: int) -> Iterator[Row]:
    """Share of the 10 nearest found when N candidates by code are ordered exactly."""
    database, queries = data
    everything = np.tile(np.arange(len(database)), (len(queries), 1))
    truth = rerank(queries, everything, database, WANTED).ids
    for bits in SHORT_AND_USUAL:
        families = {
            "make_hasher": make_hasher(bits, seed),
            "t = 0": KernelHasher(bits, dither=False, random_state=seed),
        }
        for family, hasher in families.items():
            index = TwoStageIndex(hasher.fit(database).hash_, database, threads=1)
            row: Row = {"kind": kind, "family": family, "bits": bits}
            for n in CANDIDATES:
                found = index.search(queries, WANTED, n).ids
                row[f"N={n}"] = round(dice(found, truth), 4)
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that holds openkbp")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    embedded = {kind: load_embeddings(options.data, kind, options.seed) for kind in KINDS}
    about = {"seed": options.seed, "data": digest(options.data), "dim": DIM, "k": TOP}
    for name, measure in (("two_stage", two_stage), ("default_codes", default_codes)):
        rows = []
        for kind, data in embedded.items():
            for row in measure(kind, data, options.seed):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
        metric = f"Dice of the {TOP} nearest" if name == "default_codes" else "recall of the 10"
        write_results(options.out, name, rows, {**about, "metric": metric})


if __name__ == "__main__":
    main()
