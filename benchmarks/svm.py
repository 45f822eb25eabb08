"""The classification experiment of docs/svm.md, resumable.

python benchmarks/svm.py DATA OUT [--quick]
"""

from __future__ import annotations

import argparse

from isohash.evaluation.svm import run, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder with uci_adult, uci_buzz_tomshardware, ...")
    parser.add_argument("out", help="folder for svm.csv, svm.json, svm.png and finished parts")
    parser.add_argument("--quick", action="store_true", help="two small data sets, seconds")
    asked = parser.parse_args()
    rows = run(asked.out, asked.data, asked.quick, lambda *told: print(*told))
    for line in summary(rows):
        print("{dataset:9} {method:16} D = {n_features:4}  test error {test_error:.4f} "
              "+- {test_error_half_width:.4f}".format(**line))  # fmt: skip


if __name__ == "__main__":
    main()
