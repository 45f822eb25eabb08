"""How fast embeddings become codes, beside the matrix product alone and beside FAISS's codecs.

Everything runs on one thread, in turn, round after round in one process; a ratio is the median
over rounds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from isohash.distances import nearest
from isohash.evaluation.kit.results import Row, write_results
from isohash.evaluation.speed.search import interleaved
from isohash.evaluation.speed.search_peers import load_faiss
from isohash.hashing.adaptive_hasher import make_hasher
from isohash.hashing.cosine import CosineHash
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee import LeeHash
from isohash.hashing.lee_hasher import LeeHasher
from isohash.index.flat import FlatIndex
from isohash.kernels.radial import RadialKernel
from isohash.progress import Progress, tell

Float = NDArray[np.float32]

SEED = 20260101
N_CODED = 4096  # vectors per timed call
N_BITS = 4096
DIMENSIONS = (64, 128, 500)
CODE_BITS = (128, 1024)
GEMM_ROWS = 256  # per product, which is as fast as the product gets
K = 10


def run_encode_bench(
    out_dir: str | Path, quick: bool = False, progress: Progress | None = None
) -> list[Row]:
    """Encoding against the matrix product that it contains; writes encode.csv and encode.json."""
    rows: list[Row] = []
    with one_thread():
        for done, dim in enumerate(DIMENSIONS):
            tell(progress, done, len(DIMENSIONS), f"{dim} dimensions")
            rows += encode_rates(dim, rounds=5 if quick else 15)
    about = {"seed": SEED, "n_bits": N_BITS}
    write_results(out_dir, "encode", rows, about)
    return rows


def encode_rates(dim: int, rounds: int) -> list[Row]:
    """Vectors per second of the product alone and of the encoders that begin with it."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((N_CODED, dim)).astype(np.float32)
    kernel = RadialKernel([1.0 / dim])
    weights = rng.standard_normal((dim, N_BITS)).astype(np.float32)
    bits = CosineHash.draw(kernel, dim, N_BITS, SEED, dither=False)
    symbols = LeeHash.draw(dim, N_BITS, 16, 4.0 / np.sqrt(dim), SEED)
    methods: dict[str, Callable[[], Any]] = {
        "matrix product alone": lambda: _products(X, weights),
        f"{N_BITS} bits": lambda: bits.encode(X),
        f"{N_BITS} symbols, q = 16": lambda: symbols.encode(X),
    }
    times = interleaved(list(methods.values()), rounds)
    return [
        {
            "dim": dim,
            "method": name,
            "vectors_per_second": round(N_CODED / float(np.median(taken))),
            "of_product": round(float(np.median(times[0] / taken)), 3),
        }
        for name, taken in zip(methods, times, strict=True)
    ]


def _products(X: Float, weights: Float) -> None:
    for start in range(0, len(X), GEMM_ROWS):
        X[start : start + GEMM_ROWS] @ weights


@dataclass(frozen=True, eq=False)
class Codec:
    """Who makes codes: `fit(X)` returns the encoder; `nearest(encoder, queries)` searches X."""

    name: str
    fit: Callable[[Float], Any]
    encode: Callable[[Any, Float], Any]
    nearest: Callable[[Any, Float, Float], NDArray[Any]]


def run_hash_bench(
    out_dir: str | Path, quick: bool = False, progress: Progress | None = None
) -> list[Row]:
    """Fitting, encoding and ranking of hashes and of FAISS's codecs; writes hash.csv and .json."""
    faiss = load_faiss()
    faiss.omp_set_num_threads(1)
    base, queries = clustered(4_000 if quick else 20_000, 128)
    rows: list[Row] = []
    with one_thread():
        for done, bits in enumerate(CODE_BITS):
            tell(progress, done, len(CODE_BITS), f"{bits} bits")
            codecs = [*ours(bits), *peers(faiss, bits, base.shape[1])]
            rows += hash_rates(codecs, bits, base, queries, rounds=5 if quick else 15)
    about = {"seed": SEED, "n": len(base), "dim": base.shape[1], "k": K}
    write_results(out_dir, "hash", rows, about)
    return rows


def ours(bits: int) -> Iterator[Codec]:
    """Our hashes of so many stored bits."""
    hashers = {
        "KernelHasher, t = 0": KernelHasher(bits, dither=False),
        "LeeHasher, q = 16, squared": LeeHasher(bits // 4, 16, metric="squared_lee"),
        "make_hasher": make_hasher(bits),
    }
    for name, hasher in hashers.items():
        yield Codec(name, hasher.fit, lambda fitted, X: fitted.transform(X), _by_codes)


def _by_codes(fitted: Any, base: Float, queries: Float) -> NDArray[Any]:
    return FlatIndex.of(fitted.transform(base)).search(fitted.transform(queries), K).ids


def peers(faiss: Any, bits: int, dim: int) -> Iterator[Codec]:
    """FAISS's codecs of so many bits; their own indexes search the codes."""
    makers = {"FAISS LSH": lambda: faiss.IndexLSH(dim, bits, True, True)}
    if bits <= dim:
        makers["FAISS ITQ"] = lambda: faiss.index_factory(dim, f"ITQ{bits},LSH")
    for name, make in makers.items():

        def fit(X: Float, make: Callable[[], Any] = make) -> Any:
            index = make()
            index.train(X)
            return index

        yield Codec(name, fit, lambda index, X: index.sa_encode(X), _by_faiss)


def _by_faiss(index: Any, base: Float, queries: Float) -> NDArray[Any]:
    index.reset()
    index.add(base)
    return np.asarray(index.search(queries, K)[1])


def hash_rates(
    codecs: list[Codec], bits: int, base: Float, queries: Float, rounds: int
) -> list[Row]:
    """One row per codec; ratios are to the first peer's encoding rate."""
    fitted, seconds = [], []
    for codec in codecs:
        start = time.perf_counter()
        fitted.append(codec.fit(base))
        seconds.append(time.perf_counter() - start)
    X = base[:N_CODED]
    calls = [partial(c.encode, f, X) for c, f in zip(codecs, fitted, strict=True)]
    times = interleaved(calls, rounds)
    peer = times[[codec.name.startswith("FAISS") for codec in codecs].index(True)]
    truth = nearest(base, queries, K)
    return [
        {
            "bits": bits,
            "codec": codec.name,
            "fit_seconds": round(spent, 3),
            "vectors_per_second": round(len(X) / float(np.median(taken))),
            "of_faiss_lsh": round(float(np.median(peer / taken)), 3),
            "overlap_at_10": round(_overlap(codec.nearest(encoder, base, queries), truth), 4),
        }
        for codec, encoder, spent, taken in zip(codecs, fitted, seconds, times, strict=True)
    ]


def _overlap(found: NDArray[Any], truth: NDArray[Any]) -> float:
    pairs = zip(found, truth, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in pairs]))


def clustered(n: int, dim: int, n_queries: int = 200) -> tuple[Float, Float]:
    """Vectors in clusters of about 50 on axes of falling width, and queries like them."""
    rng = np.random.default_rng(SEED)
    width = np.exp(-np.arange(dim) / (dim / 4))
    centres = rng.standard_normal((n // 50, dim))
    rows = centres[rng.integers(0, len(centres), n + n_queries)]
    rows = (rows + 0.5 * rng.standard_normal(rows.shape)) * width
    return rows[:n].astype(np.float32), rows[n:].astype(np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """One core for everything inside, where the system can promise it."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if cores is not None:
        os.sched_setaffinity(0, {min(cores)})
    try:
        with threadpool_limits(1):
            yield
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)
