"""`isohash bench ...`: speed beside the peers that are installed, interleaved, as ratios."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from isohash.apps.cli.options import Json, Out, Quick, group, print_rows
from isohash.apps.cli.progress import progress_bar

bench = group("Speed beside the peers that are installed.")


@bench.command()
def search(out: Out = Path("out/bench"), quick: Quick = False, as_json: Json = False) -> None:
    """Exact top-k against FAISS and other peers: ratios from one interleaved run.

    Example: isohash bench search --out out/bench
    """
    from isohash.evaluation.speed.search import run_search_bench

    with progress_bar(as_json) as progress:
        rows = [asdict(row) for row in run_search_bench(out, quick, progress)]
    print_rows(f"Search; see {out}", rows, as_json)


@bench.command(name="hash")
def hash_(out: Out = Path("out/bench"), quick: Quick = False, as_json: Json = False) -> None:
    """Fitting, encoding and ranking of our hashes and of FAISS's codecs, at equal bits.

    Example: isohash bench hash --out out/bench
    """
    from isohash.evaluation.speed.encoding import run_hash_bench

    with progress_bar(as_json) as progress:
        rows = run_hash_bench(out, quick, progress)
    print_rows(f"Hashes; see {out}", rows, as_json)


@bench.command()
def encode(out: Out = Path("out/bench"), quick: Quick = False, as_json: Json = False) -> None:
    """Encoding beside the matrix product that it contains, on one thread.

    Example: isohash bench encode --out out/bench
    """
    from isohash.evaluation.speed.encoding import run_encode_bench

    with progress_bar(as_json) as progress:
        rows = run_encode_bench(out, quick, progress)
    print_rows(f"Encoding; see {out}", rows, as_json)
