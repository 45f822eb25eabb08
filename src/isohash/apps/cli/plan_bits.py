"""`isohash plan-bits`: how long a code must be for a wanted error at a wanted distance."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from isohash.apps.cli.options import Json, print_rows

ALPHABETS = (2, 4, 8, 10, 16)  # shown unless one is asked for


def plan_bits(
    error: Annotated[
        float, typer.Option(help="Wanted relative standard error of a distance, such as 0.05.")
    ] = 0.05,
    at_distance: Annotated[
        float, typer.Option(help="Embedding distance at which it is wanted.")
    ] = 1.0,
    q: Annotated[int | None, typer.Option(help="Only this alphabet [2, 4, 8, 10, 16].")] = None,
    as_json: Json = False,
) -> None:
    """Say how many symbols, and stored bits, a wanted accuracy takes, and at which bandwidth.

    Drawn hashes only: codes fitted to data (the default of isohash index) need fewer bits, and how
    many depends on the data.

    Example: isohash plan-bits --error 0.05 --at-distance 2.5
    """
    from isohash.hashing.resolution import bits_planner

    rows = []
    for symbols in ALPHABETS if q is None else (q,):
        for dither in (True, False) if symbols == 2 else (True,):
            plan = bits_planner(error, at_distance, symbols, dither)
            rows.append({key: _short(value) for key, value in asdict(plan).items()})
    print_rows(f"Relative error {error:g} at distance {at_distance:g}", rows, as_json)


def _short(value: float | None) -> float | None:
    return float(f"{value:.4g}") if isinstance(value, float) else value
