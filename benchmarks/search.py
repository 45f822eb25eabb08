"""Search speed against FAISS and other peers: python benchmarks/search.py OUT [--quick]."""

import argparse

from isohash.index.bench import run_search_bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="folder for search.csv, search.json and search.png")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    options = parser.parse_args()
    rows = run_search_bench(
        options.out,
        options.quick,
        lambda done, total, message: print(f"{done}/{total} {message}", flush=True),
    )
    for row in rows:
        print(
            f"{row.kind:7} {row.length:5} x {row.n:9,} batch {row.batch:3} threads {row.threads} "
            f"{row.method:24} {row.queries_per_second:12,.1f} q/s {row.ratio:7.2f}x "
            f"recall {row.recall:.3f}"
        )


if __name__ == "__main__":
    main()
