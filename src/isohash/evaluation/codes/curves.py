"""Precision against recall of bits and symbols by length: untrained, tuned and trained kernels.

Of one embedding, the principal components. By label an item is relevant
if it is the query's digit, by distance if it is one of the Euclidean nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.distances import nearest
from isohash.evaluation.codes import scatter
from isohash.evaluation.codes.digits import Digits
from isohash.evaluation.codes.study import KERNEL_SETTINGS, Row, Study
from isohash.evaluation.kit.curves import (
    EUCLIDEAN_LEVELS,
    Curve,
    code_blocks,
    code_levels,
    euclidean_blocks,
    label_curve,
    truth_curve,
)
from isohash.evaluation.kit.plotting import BLACK, BLUE, PAGE_WIDTH, VERMILION, figure
from isohash.evaluation.kit.views import Embedded
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher

NAME = "mnist-precision-recall"
METRIC = (
    "mean over queries of each one's precision within the least code distance at which it has the "
    "recall, so that tied items enter together; average_precision: sum of a query's precision "
    "times its gain in recall, mean over queries"
)
ALPHABETS = {"binary": BLUE, "q-ary": VERMILION}
RULES = {"label": "the query's digit", "Euclidean": "the Euclidean {k} nearest"}
EXACT = "embeddings themselves"


@dataclass(frozen=True, eq=False)
class ByLabel:
    """A view whose database is sorted by label, as `label_curve` wants it."""

    view: Embedded
    digits: Digits
    n_queries: int
    n_neighbours: int

    @cached_property
    def query(self) -> NDArray[np.float32]:
        """The first so many queries, and below their labels."""
        return self.view.query[: self.n_queries]

    @cached_property
    def query_labels(self) -> NDArray[np.int64]:
        """Their digits."""
        return self.digits.query_labels[: self.n_queries]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Rows of the database, by label."""
        return np.argsort(self.digits.base_labels, kind="stable")

    @cached_property
    def base(self) -> NDArray[np.float32]:
        """The database in that order."""
        return self.view.base[self.order]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The digits of `base`, ascending."""
        return self.digits.base_labels[self.order]

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The Euclidean nearest of each query, as rows of `base`."""
        return nearest(self.base, self.query, self.n_neighbours)


def precision_recall_figure(study: Study, view: Embedded, digits: Digits) -> dict[str, list[Row]]:
    """Measure or read the curves of a view; write picture, table and JSON."""
    settings = study.settings
    used = ("curve_queries", "curve_q", "symbol_bits", "curve_features", "n_neighbours")
    parts, data = (
        study.parts(*used, *KERNEL_SETTINGS),
        ByLabel(view, digits, settings.curve_queries, settings.n_neighbours),
    )
    panels = parts.get("curves-exact", partial(_exact, data))
    names = curve_names(settings)
    for done, (alphabet, kernel, bits) in enumerate(names):
        study.tell(done, len(names), f"curves of {view.name}: {alphabet}, {kernel}, {bits} bits")
        measure = partial(_measure, study, data, alphabet, kernel, bits)
        panels = panels + parts.get(f"curves-{alphabet}-{kernel}-{bits}", measure)
    draw_curves(panels, settings.n_neighbours, study.out / f"{NAME}.png")
    study.write(NAME, panels, ("alphabet", "kernel", "bits", "relevant"), METRIC)
    return {NAME: panels}


def curve_names(settings: Any) -> list[tuple[str, str, int]]:
    """Alphabet, kernel and stored bits of every code."""
    return [
        (alphabet, kernel, bits)
        for alphabet in ALPHABETS
        for kernel in scatter.KERNELS
        for bits in settings.curve_bits
    ]


def _exact(data: ByLabel) -> list[Row]:
    blocks = euclidean_blocks(data.base, data.query)
    curve = label_curve(blocks, EUCLIDEAN_LEVELS, data.labels, data.query_labels)
    return [_panel(data, "none", "none", 0, "label", curve)]


def _measure(study: Study, data: ByLabel, alphabet: str, kernel: str, bits: int) -> list[Row]:
    """By label and by distance."""
    chosen = study.kernels(data.view)[kernel]
    hasher = _hasher(alphabet, chosen, bits, study.settings).fit(data.base)
    stored, asked = hasher.transform(data.base), hasher.transform(data.query)
    n_levels, blocks = code_levels(stored), partial(code_blocks, stored, asked)
    curves = {
        "label": label_curve(blocks(), n_levels, data.labels, data.query_labels),
        "Euclidean": truth_curve(blocks(), n_levels, data.truth),
    }
    return [_panel(data, alphabet, kernel, bits, rule, one) for rule, one in curves.items()]


def _panel(data: ByLabel, alphabet: str, kernel: str, bits: int, rule: str, curve: Curve) -> Row:
    return {
        "view": data.view.name,
        "alphabet": alphabet,
        "kernel": kernel,
        "bits": bits,
        "relevant": rule,
        "average_precision": round(curve.average_precision, 4),
        **curve.to_json(),
    }


def _hasher(alphabet: str, kernel: Any, bits: int, settings: Any) -> Any:
    """Tuned symbols quantise the embedding, those of a kernel its random features."""
    if alphabet == "binary":
        return KernelHasher(bits, kernel, random_state=settings.seed)
    n_features = None if kernel is None else settings.curve_features
    return LeeHasher(
        max(1, bits // settings.symbol_bits),
        settings.curve_q,
        kernel,
        n_features=n_features,
        random_state=settings.seed,
    )


def draw_curves(panels: Sequence[Row], n_neighbours: int, path: Path) -> None:
    """A column per kernel, a row per alphabet and rule; the darker, the more bits."""
    lines = [(alphabet, rule) for rule in RULES for alphabet in ALPHABETS]
    lengths = sorted({panel["bits"] for panel in panels} - {0})
    shape: dict[str, Any] = {"nrows": len(lines), "ncols": len(scatter.KERNELS)}
    with figure(path, PAGE_WIDTH, 1.9 * len(lines) + 0.4, sharex=True, sharey=True, **shape) as (
        _,
        grid,
    ):
        for axes, (alphabet, rule) in zip(grid, lines, strict=True):
            for axis, kernel in zip(axes, scatter.KERNELS, strict=True):
                _draw_panel(axis, _of(panels, alphabet, kernel, rule), lengths)
                if rule == "label":
                    _draw_exact(axis, panels)
            axes[0].set_ylabel(f"{alphabet}, by\n{RULES[rule].format(k=n_neighbours)}\nprecision")
        for axis, kernel in zip(grid[0], scatter.KERNELS, strict=True):
            axis.set_title(scatter.LABELS[kernel])
        for axis in grid[-1]:
            axis.set(xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        for row in (0, 1):
            grid[row, 0].legend(loc="upper right")


def _of(panels: Sequence[Row], alphabet: str, kernel: str, rule: str) -> list[Row]:
    wanted = (alphabet, kernel, rule)
    return [p for p in panels if (p["alphabet"], p["kernel"], p["relevant"]) == wanted]


def _draw_panel(axis: Any, panels: Sequence[Row], lengths: Sequence[int]) -> None:
    for panel in panels:
        strength = (lengths.index(panel["bits"]) + 1) / len(lengths)
        axis.plot(
            panel["recall"],
            panel["precision"],
            color=ALPHABETS[panel["alphabet"]],
            alpha=0.25 + 0.75 * strength,
            linewidth=0.8 + strength,
            label=f"{panel['bits']:,} stored bits",
        )


def _draw_exact(axis: Any, panels: Sequence[Row]) -> None:
    (exact,) = (panel for panel in panels if not panel["bits"])
    axis.plot(exact["recall"], exact["precision"], ":", color=BLACK, label=EXACT)
