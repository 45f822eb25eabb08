"""The nearest digits of three queries as pictures: Euclidean, 4096 bits, 1024 q-ary symbols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import nearest
from isohash.evaluation.codes.digits import Digits
from isohash.evaluation.kit.plotting import figure
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher
from isohash.index.flat import FlatIndex

N_BITS, N_SYMBOLS = 4096, 1024  # the literature's lengths
N_QUERIES = 3
CANDIDATES = 100  # queries among which the hardest are looked for
WIDTH = 10  # tiles in a row
WIDTH_INCHES = 5.7  # less than a page: pictures of pictures take many bytes
WRONG = np.array([246, 178, 107]) / 255  # orange paper under a digit of another class

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


def collage_panels(view: Embedded, digits: Digits, q: int, n_shown: int, seed: int) -> list[Row]:
    """The `n_shown` nearest of each query by each kind of distance, with how many are right."""
    k = min(n_shown, len(view.base))
    rows = chosen_queries(view, digits, k)
    asked = view.query[rows]
    found = {"Euclidean distance": nearest(view.base, asked, k)}
    hashers: dict[str, Any] = {
        f"{N_BITS} bits": KernelHasher(N_BITS, random_state=seed),
        f"{N_SYMBOLS} symbols, q = {q}": LeeHasher(N_SYMBOLS, q, random_state=seed),
    }
    for name, hasher in hashers.items():
        index = FlatIndex.of(hasher.fit(view.base).transform(view.base))
        found[name] = index.search(hasher.transform(asked), k).ids
    return [_panel(view, digits, row, name, ids[i], found["Euclidean distance"][i])
            for i, row in enumerate(rows) for name, ids in found.items()]  # fmt: skip


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
    """A sheet per query and kind of distance, the query itself beside them."""
    queries = list(dict.fromkeys(panel["query"] for panel in panels))
    kinds = list(dict.fromkeys(panel["codes"] for panel in panels))
    ratios = [1.0] + [4.0] * len(kinds)
    shape: dict[str, Any] = {"nrows": len(queries), "ncols": 1 + len(kinds), "squeeze": False}
    with figure(
        path, WIDTH_INCHES, 2.0 * len(queries), colours=8, width_ratios=ratios, **shape
    ) as (_, grid):
        for axes in grid.ravel():
            axes.axis("off")
        for query, (own, *others) in zip(queries, grid, strict=True):
            own.imshow(255 - digits.query[query], cmap="gray", vmin=0, vmax=255)
            own.set_title("query")
            for panel, axes in zip(_of(panels, query), others, strict=True):
                axes.imshow(_sheet(digits, panel), interpolation="antialiased")
                axes.set_title(f"{panel['codes']}\n{panel['right']} of {panel['of']} right")


def _of(panels: list[Row], query: int) -> list[Row]:
    return [panel for panel in panels if panel["query"] == query]


def _sheet(digits: Digits, panel: Row) -> NDArray[np.float64]:
    """RGB tiles row by row, nearest first; digits of another class lie on coloured paper."""
    tiles = [
        _tile(digits.base[i], label == panel["digit"])
        for i, label in zip(panel["id"], panel["label"], strict=True)
    ]
    tiles += [np.ones((28, 28, 3))] * (-len(tiles) % WIDTH)
    rows = [np.concatenate(tiles[i : i + WIDTH], axis=1) for i in range(0, len(tiles), WIDTH)]
    return np.concatenate(rows, axis=0)


def _tile(image: NDArray[np.uint8], right: bool) -> NDArray[np.float64]:
    paper = np.ones(3) if right else WRONG
    return (1.0 - image[..., None] / 255.0) * paper
