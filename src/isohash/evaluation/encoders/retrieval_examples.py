"""Retrieval as the literature shows it: the same queries by CT alone and by CT and isodose lines.

A query slice and the nearest slices of other patients, at most one of each, by the default hash on
the embeddings of the shallow and of the deep autoencoders; CT and dose codes are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.encoders.encoder_table import VARIANTS, autoencoder_file
from isohash.evaluation.encoders.reconstructions import (
    ReconstructionSettings,
    chosen_rows,
    framed,
    show_slice,
)
from isohash.evaluation.kit.plotting import check_drawing, figure
from isohash.evaluation.kit.results import write_results
from isohash.evaluation.kit.slice_sets import SliceSet, as_float, read_slices
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import distances
from isohash.progress import Progress, tell
from isohash.whole_files import digest

VIEWS = {"CT": ("ct",), "CT + isodose": ("ct", "dose")}
Shares = dict[tuple[str, str], NDArray[np.float64]]  # by view and variant
Found = Mapping[tuple[str, str], list[tuple[int, float]]]  # by views and variant
METRIC = (
    "distance: mean over the views of the share of differing bits; dose_difference_gy: mean "
    "absolute difference of the two slices' doses where either exceeds 5 Gy, pixel by pixel"
)


@dataclass(frozen=True)
class ExampleSettings:
    """How many queries, and how many results of each."""

    n_queries: int = 3
    n_results: int = 5
    bits: int = 1024
    seed: int = 0


def run_examples(
    database: str | Path,
    queries: str | Path,
    weights: str | Path,
    out: str | Path,
    settings: ExampleSettings | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Draw one figure per query; writes retrieval-N.png and retrieval.csv/.json to `out`."""
    check_drawing()
    settings, folder = settings or ExampleSettings(), Path(out)
    stored, unseen = read_slices(database, progress), read_slices(queries, progress)
    if set(stored.patient) & set(unseen.patient):
        raise InputError("a patient is in the database and among the queries")
    asked = _rows(unseen, chosen_rows(unseen.patient, _slice_choice(settings)))
    shares: Shares = {}
    for view in stored.images:
        for variant in VARIANTS:
            tell(progress, len(shares), 4, f"encoding {view}-{variant}")
            encoder = autoencoder_file(weights, view, variant)
            shares[view, variant] = _shares(view, encoder, stored, asked, settings)
    rows = []
    for query in range(settings.n_queries):
        found: Found = {
            (by, variant): nearest_patients(
                _joint(shares, variant, views)[query], stored.patient, settings.n_results
            )
            for by, views in VIEWS.items()
            for variant in VARIANTS
        }
        rows += _table(query, asked, stored, found)
        _draw(query, asked, stored, found, folder / f"retrieval-{query + 1}.png")
    about = {
        "metric": METRIC,
        "settings": asdict(settings),
        "database_digest": digest(*stored.images.values()),
        "query_digest": digest(*asked.images.values()),
    }
    write_results(folder, "retrieval", rows, about)
    return rows


def nearest_patients(
    shares: NDArray[np.float64], patient: NDArray[np.str_], k: int
) -> list[tuple[int, float]]:
    """The k nearest slices of different patients: (row, distance), ties by row."""
    found: dict[str, tuple[int, float]] = {}
    for row in np.argsort(shares, kind="stable"):
        found.setdefault(str(patient[row]), (int(row), float(shares[row])))
        if len(found) == k:
            break
    return list(found.values())


def _slice_choice(settings: ExampleSettings) -> ReconstructionSettings:
    return ReconstructionSettings(n_slices=settings.n_queries, seed=settings.seed)


def _rows(slices: SliceSet, rows: NDArray[np.int64]) -> SliceSet:
    return SliceSet({v: a[rows] for v, a in slices.images.items()}, slices.patient[rows])


def _shares(
    view: str, encoder: OnnxEncoder, stored: SliceSet, asked: SliceSet, settings: ExampleSettings
) -> NDArray[np.float64]:
    """Share of differing bits (queries, stored slices) of one view."""
    base, query = (encoder.encode(as_float(part.images[view])) for part in (stored, asked))
    hasher = KernelHasher(settings.bits, dither=False, random_state=settings.seed).fit(base)
    return distances(hasher.transform(query), hasher.transform(base)) / settings.bits


def _joint(shares: Shares, variant: str, views: Sequence[str]) -> NDArray[np.float64]:
    """Equal weights: distances of the views are added."""
    return np.mean([shares[view, variant] for view in views], axis=0)


def _table(query: int, asked: SliceSet, stored: SliceSet, found: Found) -> list[dict[str, Any]]:
    scale = SliceSettings().dose_scale_gy / 255.0
    wanted = asked.images["dose"][query] * scale
    rows = []
    for (by, variant), hits in found.items():
        for rank, (row, distance) in enumerate(hits, start=1):
            dose = stored.images["dose"][row] * scale
            dosed = np.maximum(wanted, dose) > SliceSettings().min_dose_gy
            rows.append(
                {
                    "query": query + 1,
                    "by": by,
                    "encoder": variant,
                    "rank": rank,
                    "distance": round(distance, 4),
                    "dose_difference_gy": round(float(np.abs(wanted - dose)[dosed].mean()), 2),
                }
            )
    return rows


def _draw(query: int, asked: SliceSet, stored: SliceSet, found: Found, path: Path) -> None:
    n_results = max(len(hits) for hits in found.values())
    rows = [row for hits in found.values() for row, _ in hits]
    frame = framed(np.concatenate([asked.images["ct"][[query]], stored.images["ct"][rows]]))

    def show(axes: Any, slices: SliceSet, row: int, title: str) -> None:
        ct, dose = (as_float(slices.images[view][row]) for view in ("ct", "dose"))
        show_slice(axes, ct, dose, frame)
        axes.set_title(title, fontsize=7, pad=2)

    shape = {"nrows": len(found), "ncols": 1 + n_results, "squeeze": False}
    with figure(path, 1.15 * (1 + n_results), 1.22 * len(found), colours=160, **shape) as (_, grid):
        for axes in grid.flat:
            axes.set_axis_off()
        for cells, ((by, variant), hits) in zip(grid, found.items(), strict=True):
            show(cells[0], asked, query, f"{by}, {variant}")
            for cell, (row, distance) in zip(cells[1:], hits, strict=False):
                show(cell, stored, row, f"{distance:.3f}")
