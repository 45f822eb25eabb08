"""The kernel-learning experiment of docs/kernel-learning.md, resumable.

python benchmarks/kernel_learning.py DATA OUT [--quick]
"""

from __future__ import annotations

import argparse

from isohash.evaluation.kernel_learning import run, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder with mnist and openkbp")
    parser.add_argument("out", help="folder for the kernel*.csv, .json, .png and finished parts")
    parser.add_argument("--quick", action="store_true", help="a small part of MNIST, seconds")
    asked = parser.parse_args()
    rows = run(asked.out, asked.data, asked.quick, lambda *told: print(*told))
    for line in summary(rows):
        print("{dataset:6} {bits:5} bits  {method:16} Dice {dice:.4f} +- {half_width:.4f}"
              .format(**line))  # fmt: skip


if __name__ == "__main__":
    main()
