"""Which hash family ranks best per stored bit, on real embeddings, against FAISS's codes.

    python benchmarks/hash_families.py DATA --kind ct --out families.json

DATA is the folder that holds `openkbp`. The database is 7 000 slices of training patients, the
queries 400 slices of validation patients; an embedding is the first 128 principal components of a
slice averaged down to 64 x 64 pixels. The score is Dice@50: the share of the 50 nearest by code
that are among the 50 nearest by Euclidean distance (ties by position). `fast` leaves out product
quantisation, whose training takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash import FlatIndex, KernelHasher, LeeHasher, RadialKernel, make_hasher
from isohash.progress import Progress, tell

LENGTHS = (64, 128, 256, 512, 1024, 4096)
N_DATABASE, N_QUERIES, DIM, TOP = 7000, 400, 128, 50
LARGEST_ITQ = 128  # FAISS's ITQ has at most one bit per dimension

Embeddings = tuple[NDArray[np.float32], NDArray[np.float32]]
Ranking = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.int64]]


def load_embeddings(folder: Path, kind: str, seed: int = 0) -> Embeddings:
    """Database (7000, 128) and queries (400, 128) of `kind` "ct" or "dose"."""
    return load_grouped(folder, kind, seed)[:2]


def load_grouped(folder: Path, kind: str, seed: int = 0) -> tuple[*Embeddings, NDArray[np.int64]]:
    """The same, and the patient of each slice of the database (7000,)."""
    (train, patient), (validation, _) = (
        _slices(folder / "openkbp" / split, kind) for split in ("train", "validation")
    )
    center = train.mean(axis=0)
    train, validation = train - center, validation - center
    _, vectors = np.linalg.eigh(train.T @ train)
    axes = vectors[:, ::-1][:, :DIM]
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train))[:N_DATABASE]
    queries = rng.permutation(len(validation))[:N_QUERIES]
    return train[rows] @ axes, validation[queries] @ axes, patient[rows]


def _slices(folder: Path, kind: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All slices with more than 5 Gy somewhere, 64 x 64 pixels each, as rows; whose they are."""
    rows = []
    for path in sorted(folder.glob("pt_*.npz")):
        with np.load(path) as case:
            planned = (case["dose"] > 500).any(axis=(0, 1))
            image = case[kind][:, :, planned].astype(np.float32)
        if kind == "ct":
            image = (np.clip(image - 1024, -200, 300) + 200) / 500
        else:
            image /= 7000
        rows.append(image.reshape(64, 2, 64, 2, -1).mean(axis=(1, 3)).reshape(4096, -1).T)
    if not rows:
        sys.exit(f"no pt_*.npz in {folder}")
    patient = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    return np.concatenate(rows), patient


def compare(
    database: NDArray[np.float32],
    queries: NDArray[np.float32],
    lengths: tuple[int, ...] = LENGTHS,
    seed: int = 0,
    fast: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Dice@50 of every family at every length, one record each."""
    truth = _nearest(_squared(queries, database))
    trials = [t for bits in lengths for t in _trials(bits, database.shape[1], seed, fast)]
    records = []
    for i, (family, bits, rank) in enumerate(trials):
        tell(progress, i, len(trials), f"{family}, {bits} bits")
        start = time.perf_counter()
        found = rank(database, queries)
        seconds = time.perf_counter() - start
        score = round(dice(found, truth), 4)
        records.append({"family": family, "bits": bits, "dice": score, "seconds": seconds})
    return records


def dice(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean share of each query's true neighbours among those found; both (n_queries, k)."""
    pairs = zip(found, truth, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in pairs]))


def _trials(bits: int, dim: int, seed: int, fast: bool) -> Iterator[tuple[str, int, Ranking]]:
    yield "make_hasher", bits, _by_codes(make_hasher(bits, seed))
    yield "make_hasher, asymmetric", bits, _asymmetric(bits, seed)
    far = RadialKernel([1.0])
    yield "random t, gamma = 1", bits, _by_codes(KernelHasher(bits, far, random_state=seed))
    yield (
        "random t, independent",
        bits,
        _by_codes(KernelHasher(bits, orthogonal=False, random_state=seed)),
    )
    yield "random t", bits, _by_codes(KernelHasher(bits, random_state=seed))
    yield (
        "random t, stratified",
        bits,
        _by_codes(KernelHasher(bits, dither="stratified", random_state=seed)),
    )
    yield "t = 0", bits, _by_codes(KernelHasher(bits, dither=False, random_state=seed))
    for q, width in ((4, 2), (16, 4)):
        yield f"Lee, q = {q}", bits, _by_codes(LeeHasher(bits // width, q, random_state=seed))
        squared = LeeHasher(bits // width, q, random_state=seed, metric="squared_lee")
        yield f"squared Lee, q = {q}", bits, _by_codes(squared)
    features = LeeHasher(bits // 4, 16, n_features=500, random_state=seed)
    yield "Lee, q = 16, 500 features", bits, _by_codes(features)
    yield from _faiss_trials(bits, dim, fast)


def _faiss_trials(bits: int, dim: int, fast: bool) -> Iterator[tuple[str, int, Ranking]]:
    try:
        import faiss
    except ImportError:
        return
    faiss.omp_set_num_threads(1)

    def searched(make: Callable[[], Any]) -> Ranking:
        def rank(X: NDArray[np.float32], Q: NDArray[np.float32]) -> NDArray[np.int64]:
            index = make()
            index.train(X)
            index.add(X)
            return index.search(Q, TOP)[1]

        return rank

    yield "FAISS LSH", bits, searched(lambda: faiss.IndexLSH(dim, bits, True, True))
    if bits <= min(dim, LARGEST_ITQ):
        yield "FAISS ITQ", bits, searched(lambda: faiss.index_factory(dim, f"ITQ{bits},LSH"))
    if bits == dim:
        yield (
            "FAISS RaBitQ (+64)",
            bits,
            searched(lambda: faiss.index_factory(dim, f"RR{dim},RaBitQ")),
        )
    if not fast and bits // 8 <= dim // 2:
        rotated = f"OPQ{bits // 8}_{dim},PQ{bits // 8}x8"
        yield "FAISS OPQ, code against code", bits, _opq_symmetric(dim, rotated)
        yield "FAISS OPQ, asymmetric", bits, searched(lambda: faiss.index_factory(dim, rotated))


def _opq_symmetric(dim: int, name: str) -> Ranking:
    import faiss

    def rank(X: NDArray[np.float32], Q: NDArray[np.float32]) -> NDArray[np.int64]:
        index = faiss.index_factory(dim, name)
        index.train(X)
        decoded = [index.sa_decode(index.sa_encode(Z)) for Z in (Q, X)]
        return _nearest(_squared(*decoded))

    return rank


def _by_codes(hasher: Any) -> Ranking:
    def rank(X: NDArray[np.float32], Q: NDArray[np.float32]) -> NDArray[np.int64]:
        index = FlatIndex.of(hasher.fit(X).transform(X), threads=1)
        return index.search(hasher.transform(Q), TOP).ids

    return rank


def _asymmetric(bits: int, seed: int) -> Ranking:
    def rank(X: NDArray[np.float32], Q: NDArray[np.float32]) -> NDArray[np.int64]:
        hasher = make_hasher(bits, seed).fit(X)
        return _nearest(hasher.asymmetric(Q, hasher.transform(X)))

    return rank


def _squared(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    x, y = a.astype(np.float64), b.astype(np.float64)
    return np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1) - 2.0 * x @ y.T


def _nearest(distances: NDArray[Any]) -> NDArray[np.int64]:
    return np.argsort(distances, axis=1, kind="stable")[:, :TOP]


def digest(folder: Path) -> str:
    """SHA-256 over the names and checksums of the arrays of all cases."""
    state = hashlib.sha256()
    for path in sorted((folder / "openkbp").glob("*/pt_*.npz")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                state.update(f"{path.parent.name}/{path.name}/{member.filename}".encode())
                state.update(member.CRC.to_bytes(4, "big"))
    return state.hexdigest()[:16]


def table(records: list[dict[str, Any]]) -> str:
    """The records as a Markdown table, families by lengths."""
    lengths = sorted({r["bits"] for r in records})
    families = list(dict.fromkeys(r["family"] for r in records))
    known = {(r["family"], r["bits"]): r["dice"] for r in records}
    lines = [
        "| family | " + " | ".join(map(str, lengths)) + " |",
        "|---" * (len(lengths) + 1) + "|",
    ]
    for family in families:
        cells = (f"{known[family, b]:.3f}" if (family, b) in known else "-" for b in lengths)
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that holds openkbp")
    parser.add_argument("--kind", choices=("ct", "dose"), default="ct")
    parser.add_argument("--bits", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fast", action="store_true", help="leave out product quantisation")
    parser.add_argument("--out", type=Path, help="write the records as JSON")
    options = parser.parse_args()
    embeddings = load_embeddings(options.data, options.kind, options.seed)

    def progress(done: int, total: int, message: str) -> None:
        print(f"\r{done}/{total} {message:40}", end="", file=sys.stderr, flush=True)

    records = compare(*embeddings, tuple(options.bits), options.seed, options.fast, progress)
    print(file=sys.stderr)
    print(f"{options.kind}, seed {options.seed}, data {digest(options.data)}\n")
    print(table(records))
    if options.out:
        about = {"kind": options.kind, "seed": options.seed, "digest": digest(options.data)}
        options.out.write_text(json.dumps({**about, "records": records}, indent=1))


if __name__ == "__main__":
    main()
