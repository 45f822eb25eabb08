"""The nearest digits of three queries as pictures: exact search, 4096 bits, 1024 q-ary symbols.

The bits are those of an untrained, a tuned and a trained kernel. A query stands framed at the head
of each sheet, and digits of another class are grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import nearest
from isohash.evaluation.codes.digits import Digits
from isohash.evaluation.codes.scatter import Kernels
from isohash.evaluation.kit.plotting import PAGE_WIDTH, VERMILION, figure
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher
from isohash.index.flat import FlatIndex

N_BITS, N_SYMBOLS = 4096, 1024  # the literature's lengths
N_QUERIES = 3
CANDIDATES = 100  # queries among which the hardest are looked for
WIDTH = 17  # tiles in a row: the query and 100 others fill six rows
SIDE = 28  # pixels of a digit
WRONG = 0.72  # brightness of the paper under a digit of another class
EXACT = "exact search"

Row = dict[str, Any]


def chosen_queries(view: Embedded, digits: Digits, k: int) -> list[int]:
    """Of the first queries, the hardest of three different digits, hardest first.

    Hard is a query whose Euclidean nearest hold many other digits: of easy ones every code finds
    all, and a picture shows nothing.
    """
    labels = digits.query_labels[:CANDIDATES]
    found = digits.base_labels[nearest(view.base, view.query[:CANDIDATES], k)]
    right = (found == labels[:, None]).sum(axis=1)
    order = np.argsort(right, kind="stable")
    _, first = np.unique(labels[order], return_index=True)
    return [int(order[i]) for i in sorted(first.tolist())[:N_QUERIES]]


def collage_codes(kernels: Kernels, q: int, seed: int) -> dict[str, Any]:
    """The hashers of the sheets, by name."""
    bits = {
        f"{N_BITS} bits, {name}": KernelHasher(N_BITS, kernel, random_state=seed)
        for name, kernel in kernels.items()
    }
    return {**bits, f"{N_SYMBOLS} symbols, q = {q}": LeeHasher(N_SYMBOLS, q, random_state=seed)}


def collage_panels(
    view: Embedded, digits: Digits, codes: Mapping[str, Any], n_shown: int
) -> list[Row]:
    """The `n_shown` nearest of each query by each kind of distance, with how many are right."""
    k = min(n_shown, len(view.base))
    rows = chosen_queries(view, digits, k)
    asked = view.query[rows]
    found = {EXACT: nearest(view.base, asked, k)}
    for name, hasher in codes.items():
        index = FlatIndex.of(hasher.fit(view.base).transform(view.base))
        found[name] = index.search(hasher.transform(asked), k).ids
    return [
        _panel(view, digits, row, name, ids[i], found[EXACT][i])
        for i, row in enumerate(rows)
        for name, ids in found.items()
    ]


def _panel(
    view: Embedded,
    digits: Digits,
    row: int,
    name: str,
    ids: NDArray[np.int64],
    exact: NDArray[Any],
) -> Row:
    labels, digit = digits.base_labels[ids], int(digits.query_labels[row])
    return {
        "view": view.name,
        "query": row,
        "digit": digit,
        "codes": name,
        "right": int((labels == digit).sum()),
        "of": len(ids),
        "shared_with_euclidean": int(np.isin(ids, exact).sum()),
        "id": ids.tolist(),
        "label": labels.tolist(),
    }


def draw_collage(panels: list[Row], digits: Digits, path: Path) -> None:
    """A row per kind of distance, a sheet per query."""
    queries = list(dict.fromkeys(panel["query"] for panel in panels))
    kinds = list(dict.fromkeys(panel["codes"] for panel in panels))
    shape: dict[str, Any] = {"nrows": len(kinds), "ncols": len(queries), "squeeze": False}
    with figure(path, PAGE_WIDTH, 1.17 * len(kinds), colours=14, **shape) as (_, grid):
        for kind, line in zip(kinds, grid, strict=True):
            for query, axes in zip(queries, line, strict=True):
                (panel,) = (p for p in panels if (p["query"], p["codes"]) == (query, kind))
                axes.imshow(_sheet(digits, panel), interpolation="antialiased")
                axes.set_title(f"{kind}: {panel['right']} of {panel['of']} right", fontsize=8)
                axes.add_patch(_frame())
                axes.axis("off")


def _frame() -> Any:
    """Around the query, the first tile of a sheet."""
    from matplotlib.patches import Rectangle

    return Rectangle((0, 0), SIDE - 1, SIDE - 1, fill=False, edgecolor=VERMILION, linewidth=1.6)


def _sheet(digits: Digits, panel: Row) -> NDArray[np.float64]:
    """The query and its nearest in rows of tiles; those of another class lie on grey paper."""
    tiles = [_tile(digits.query[panel["query"]], right=True)]
    tiles += [
        _tile(digits.base[i], label == panel["digit"])
        for i, label in zip(panel["id"], panel["label"], strict=True)
    ]
    tiles += [np.ones((SIDE, SIDE))] * (-len(tiles) % WIDTH)
    rows = [np.concatenate(tiles[i : i + WIDTH], axis=1) for i in range(0, len(tiles), WIDTH)]
    sheet = np.concatenate(rows, axis=0)
    return np.repeat(sheet[..., None], 3, axis=2)


def _tile(image: NDArray[np.uint8], right: bool) -> NDArray[np.float64]:
    return (1.0 - image / 255.0) * (1.0 if right else WRONG)
