"""Write the tables of docs/hashing.md from docs/numbers: none is typed by hand.

python benchmarks/hashing_tables.py

The page marks each by its name, `<!-- name -->...<!-- /name -->`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "hashing.md"
NUMBERS = ROOT / "docs" / "numbers"
NAMES = {"make_hasher, codes": "make_hasher", "make_hasher, vectors": "make_hasher, vectors"}


def told(name: str) -> dict[str, Any]:
    """What a measurement's JSON says."""
    return read_results(NUMBERS, name)


def table(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table on lines of its own."""
    rule = "|---" * len(header) + "|"
    body = ["| " + " | ".join(line) + " |" for line in (header, *lines)]
    return "\n".join(["", body[0], rule, *body[1:], ""])


def origin(about: dict[str, Any]) -> str:
    """Where the numbers come from."""
    command = "`python benchmarks/hashing_numbers.py DATA`"
    machine = about["machine"]["processor"]
    return f"\nCommand: {command}; seed {about['seed']}; data {about['data']}; {machine}.\n"


def two_stage() -> str:
    """Recall by number of candidates, a row per kind, family and length."""
    about = told("two_stage")
    columns = [name for name in about["rows"][0] if name.startswith("N=")]
    lines = [
        [r["kind"], r["family"], str(r["bits"]), *(f"{r[name]:.3f}" for name in columns)]
        for r in about["rows"]
    ]
    return table(["", "codes", "bits", *columns], lines) + origin(about)


def default_codes() -> str:
    """Dice by length, a row per kind and family."""
    about = told("default_codes")
    rows = about["rows"]
    lengths = sorted({r["bits"] for r in rows})
    scores = {(r["kind"], r["family"], r["bits"]): r["dice"] for r in rows}
    kinds = list(dict.fromkeys((r["kind"], r["family"]) for r in rows))
    lines = [
        [kind, NAMES.get(family, family)]
        + [
            f"{scores[kind, family, n]:.3f}" if (kind, family, n) in scores else "-"
            for n in lengths
        ]
        for kind, family in kinds
    ]
    return table(["", "family", *map(str, lengths)], lines) + origin(about)


def coverage() -> str:
    """How often intervals hold, a row per data set and length, a column per rank."""
    about = told("coverage")
    shares = [name for name in about["rows"][0] if name.startswith("top ") or name == "all"]
    lines = [
        [
            r["data"],
            str(r["bits"]),
            *(f"{100 * r[name]:.1f}" for name in shares),
            f"{100 * r['half width']:.2g} %",
        ]
        for r in about["rows"]
    ]
    header = ["held, % of pairs among", "bits", *shares, "half width"]
    machine = about["machine"]["processor"]
    source = (
        "\nCommand: `python benchmarks/coverage.py DATA --of lattice heavy`; "
        f"{about['queries']} queries, so that a share of 95 among the first is uncertain by "
        f"2.1; seed {about['seed']}; {machine}.\n"
    )
    return table(header, lines) + source


def filled(page: str) -> str:
    """The page with its tables written anew."""
    for make in (two_stage, default_codes, coverage):
        name = make.__name__
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(pattern.findall(page)) != 1:
            raise SystemExit(f"docs/hashing.md has no place for {name}")
        body = make()
        page = pattern.sub(lambda found, body=body: f"{found[1]}{body}{found[2]}", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
