"""The search problems that are timed, and who searches them: our index and its peers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.alphabets import Alphabets
from isohash.errors import MissingExtra
from isohash.index.dispatch import engine_info
from isohash.index.flat import FlatIndex
from isohash.index.layout import thermometer
from isohash.index.multi_index import MultiIndex
from isohash.records import Codes

Search = Callable[[], Any]

K = 10

# Symbols of the wide codes: as fine as a hash fitted to 128 dimensions makes them.
WIDE_TOP = 2633


@dataclass(frozen=True)
class Cell:
    """One measurement: `n` codes, `batch` queries at a time, `threads` threads.

    `kind` is `flat` (bit codes), `lee` (q-ary codes of `length` symbols), `wide` (squared
    differences of symbols of two bytes), `tables` (multi-index hashing) or `graphs` (approximate
    peers on clustered codes, for context).
    """

    kind: str
    length: int
    n: int
    batch: int
    threads: int
    q: int = 2


def problem(cell: Cell, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Uniform codes, whose scan costs what any codes cost; clustered ones for the graphs."""
    if cell.kind == "wide":
        codes = _wide_codes(cell, rng)
        return codes[: cell.n], codes[cell.n :]
    if cell.kind == "lee":
        draw = [rng.integers(0, cell.q, (n, cell.length), np.uint8) for n in (cell.n, cell.batch)]
        return Codes.from_symbols(draw[0], cell.q), Codes.from_symbols(draw[1], cell.q)
    n_bytes = cell.length // 8
    if cell.kind != "graphs":
        draw8 = [rng.integers(0, 256, (n, n_bytes), np.uint8) for n in (cell.n, cell.batch)]
        return Codes(draw8[0], cell.length), Codes(draw8[1], cell.length)
    centres = rng.integers(0, 256, (max(1, cell.n // 50), n_bytes), np.uint8)
    members = centres[rng.integers(0, len(centres), cell.n + cell.batch)]
    # And-ing three random bytes flips an eighth of the bits.
    flips = [rng.integers(0, 256, members.shape, np.uint8) for _ in range(3)]
    codes = Codes(members ^ (flips[0] & flips[1] & flips[2]), cell.length)
    return codes[: cell.n], codes[cell.n :]


def _wide_codes(cell: Cell, rng: np.random.Generator) -> Codes:
    """Codes of 256 symbols per position out of many, as `make_hasher` fits them."""
    values = np.sort(rng.integers(0, WIDE_TOP + 1, (cell.length, 256)), axis=1)
    alphabets = Alphabets(np.full(cell.length, 8, np.uint8), values.ravel().astype(np.uint16))
    packed = rng.integers(0, 256, (cell.n + cell.batch, cell.length), np.uint8)
    return Codes(packed, cell.length, 2 * WIDE_TOP + 1, "squared_lee", alphabets)


def methods_of(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """Who searches a cell; the first is the peer that ratios refer to."""
    methods = {"tables": table_methods, "graphs": graph_methods}
    return methods.get(cell.kind, flat_methods)(cell, database, queries, faiss)


def flat_methods(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """FAISS's flat scan, ours, and the other exact scans that are installed.

    FAISS knows neither Lee nor squared distances. For Lee it gets the same thermometer bits, for
    wide symbols the same stored bytes as bits: another distance, the same memory.
    """
    rows, wanted = database.packed, queries.packed
    if cell.kind == "lee":
        rows, wanted = (_thermometer_rows(codes) for codes in (database, queries))
    peer = faiss.IndexBinaryFlat(8 * rows.shape[1])
    peer.add(rows)
    index = FlatIndex.of(database, cell.threads)
    searches: dict[str, Search] = {
        "faiss IndexBinaryFlat": lambda: peer.search(wanted, K)[0],
        f"isohash {engine_info().level}": lambda: index.search(queries, K).distances,
    }
    if cell.kind == "flat":
        searches |= _usearch(database, queries, cell.threads)
    return searches


def table_methods(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """Multi-index hashing against both flat scans."""
    searches = flat_methods(cell, database, queries, faiss)
    tables = MultiIndex.of(database, cell.threads)
    searches["isohash multi-index"] = lambda: tables.search(queries, K).distances
    return searches


def graph_methods(cell: Cell, database: Codes, queries: Codes, faiss: Any) -> dict[str, Search]:
    """FAISS's approximate indexes, with their recall."""
    searches = flat_methods(cell, database, queries, faiss)
    graph = faiss.IndexBinaryHNSW(cell.length, 16)
    graph.add(database.packed)
    graph.hnsw.efSearch = 64
    searches["faiss HNSW16 ef 64"] = lambda: graph.search(queries.packed, K)[0]
    quantizer = faiss.IndexBinaryFlat(cell.length)
    lists = faiss.IndexBinaryIVF(quantizer, cell.length, int(cell.n**0.5))
    lists.train(database.packed)
    lists.add(database.packed)
    lists.nprobe = 16
    searches["faiss IVF nprobe 16"] = lambda: lists.search(queries.packed, K)[0]
    buckets = faiss.IndexBinaryMultiHash(cell.length, 8, 14)
    buckets.add(database.packed)
    searches["faiss MultiHash 8x14"] = lambda: buckets.search(queries.packed, K)[0]
    return searches


def load_faiss() -> Any:
    """FAISS, at the level that is forced on us; its threads wait without spinning."""
    # Its threads spin by default and would slow down whoever runs in between.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import faiss
    except ImportError:
        raise MissingExtra("bench", "comparing search speed with FAISS") from None
    peer_level = {"scalar": "NONE", "avx2": "AVX2"}.get(os.environ.get("ISOHASH_ISA", ""))
    if peer_level and hasattr(faiss, "SIMDConfig"):
        faiss.SIMDConfig.set_level(getattr(faiss, f"SIMDLevel_{peer_level}"))
    return faiss


def _usearch(database: Codes, queries: Codes, threads: int) -> dict[str, Search]:
    try:
        from usearch.index import MetricKind, search
    except ImportError:
        return {}

    def exact() -> NDArray[Any]:
        found = search(
            database.packed, queries.packed, K, MetricKind.Hamming, exact=True, threads=threads
        )
        return np.atleast_2d(found.distances)

    return {"usearch exact": exact}


def _thermometer_rows(codes: Codes) -> NDArray[np.uint8]:
    """Thermometer bits, in parts: the unpacked symbols are large."""
    step = 4096
    parts = [
        thermometer(codes[start : start + step].symbols(), codes.q)
        for start in range(0, len(codes), step)
    ]
    return np.concatenate(parts)
