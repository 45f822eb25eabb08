"""How many cases an archive needs before its own principal components match a ready encoder.

Archives of n unseen patients are drawn again and again; the remaining patients put queries to
them. Neither the shipped encoders nor the components have seen the queries, and the shipped
encoders have not seen the archive either. What counts as near is judged by neither encoder: the
overlap of the structures outlined on the two slices, and the difference of their doses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.kit.plotting import check_drawing
from isohash.evaluation.kit.results import write_results
from isohash.evaluation.kit.slice_sets import as_float
from isohash.features.cases.slices import (
    CaseSlices,
    ImageKind,
    SliceSettings,
    case_slices,
    encoder_input,
)
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.pca import PcaEncoder, fit_pca
from isohash.features.encoders.reconstruction import reconstruction_errors
from isohash.features.encoders.shipped import shipped_encoder
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.index.flat import FlatIndex
from isohash.progress import Progress, tell
from isohash.records import Case
from isohash.sources.reading import find
from isohash.whole_files import digest

METRIC = (
    "mse: mean squared error of the queries' reconstruction; structures: Dice of all structures "
    "outlined on the query slice or on its nearest slice by code, averaged over queries; dose_gy: "
    "mean absolute difference of the two slices' doses where either exceeds 5 Gy; means over draws "
    "with twice their standard error"
)
MASKS = 16  # structures of a slice are kept as the bits of one number per pixel


@dataclass(frozen=True)
class SmallSettings:
    """Sizes of the archives, and how often each is drawn; every `every`th slice asks."""

    n_cases: tuple[int, ...] = (3, 5, 10, 20, 28)
    n_query_cases: int = 5
    draws: int = 6
    every: int = 3
    bits: int = 1024
    dim: int = 128
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Outlined:
    """Dosed slices of many patients with their structures: bit b of `masks` is structure b."""

    images: dict[str, NDArray[np.uint8]]
    masks: NDArray[np.uint16]
    patient: NDArray[np.str_]


def run_small(
    source: str | Path,
    out: str | Path,
    settings: SmallSettings | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Draw archives of the source's patients and ask them; writes small-archives.csv/.json/.png."""
    check_drawing()
    settings = settings or SmallSettings()
    slices = read_outlined(source, progress)
    n_patients = len(np.unique(slices.patient))
    if n_patients < max(settings.n_cases) + settings.n_query_cases:
        raise InputError(
            f"{source} has {n_patients} patients with CT and dose; archives of "
            f"{max(settings.n_cases)} and {settings.n_query_cases} queries need more"
        )
    ready = _ready(slices)
    rows: list[dict[str, Any]] = []
    for n in settings.n_cases:
        draws: dict[tuple[str, str], list[dict[str, float]]] = {}
        for draw in range(settings.draws):
            tell(progress, len(rows), 6 * len(settings.n_cases), f"archives of {n} cases")
            for key, scores in _draw(n, draw, slices, ready, settings).items():
                draws.setdefault(key, []).append(scores)
        rows += [
            {"cases": n, "view": view, "encoder": encoder, **_summary(found)}
            for (view, encoder), found in draws.items()
        ]
    about = {
        "metric": METRIC,
        "settings": asdict(settings),
        "data_digest": digest(*slices.images.values(), slices.masks),
    }
    write_results(out, "small-archives", rows, about)
    _plot(rows, Path(out) / "small-archives.png")
    return rows


def read_outlined(source: str | Path, progress: Progress | None = None) -> Outlined:
    """The dosed slices of all cases with CT and dose, and what is outlined on them."""
    found = find(source).found
    images: dict[str, list[NDArray[np.uint8]]] = {"ct": [], "dose": []}
    masks: list[NDArray[np.uint16]] = []
    patient: list[str] = []
    names: list[str] = []
    for done, one in enumerate(found):
        tell(progress, done, len(found), f"reading {one.key}")
        case = one.read()
        if not isinstance(case, Case) or case.ct is None or case.dose is None:
            continue
        view = case_slices(case)
        for kind, parts in images.items():
            values = encoder_input(view, cast(ImageKind, kind))[view.has_dose]
            parts.append(np.rint(255 * values).astype(np.uint8))
        masks.append(_masks(case, view, names))
        patient += [case.patient] * int(view.has_dose.sum())
    if not patient:
        raise InputError(f"{source}: no case there has both CT and dose")
    joined = {kind: np.concatenate(parts) for kind, parts in images.items()}
    return Outlined(joined, np.concatenate(masks), np.array(patient))


def _masks(case: Case, view: CaseSlices, names: list[str]) -> NDArray[np.uint16]:
    """The dosed slices' structures; `names` says which bit is which, and grows."""
    packed = np.zeros((len(view), view.settings.size, view.settings.size), dtype=np.uint16)
    for name, structure in case.structures.items():
        if name not in names:
            names.append(name)
        bit = names.index(name)
        if bit >= MASKS:
            raise InputError(f"more than {MASKS} structures: {', '.join(names)}")
        packed |= (view.resample(structure) > 0.5).astype(np.uint16) << np.uint16(bit)
    return packed[view.has_dose]


def structure_overlap(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> float:
    """Mean Dice over the structures on either of two slices; nan where both have none."""
    both = _areas(a & b)
    total = _areas(a) + _areas(b)
    some = total > 0
    return float((2.0 * both[some] / total[some]).mean()) if some.any() else float("nan")


def _areas(mask: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Pixels of every structure (16,)."""
    return np.array([np.count_nonzero(mask & (1 << bit)) for bit in range(MASKS)])


@dataclass(frozen=True, eq=False)
class _Embedded:
    """What an encoder makes of all slices: embeddings and squared errors of reconstruction."""

    embeddings: NDArray[np.float32]
    mse: NDArray[np.float64]


def _embed(
    encoder: OnnxEncoder | PcaEncoder | DownsampledEncoder, view: str, images: NDArray[np.uint8]
) -> _Embedded:
    values, kind = as_float(images), cast(ImageKind, view)
    mse, _ = reconstruction_errors(encoder, values, kind, SliceSettings(size=images.shape[-1]))
    return _Embedded(encoder.encode(values), mse)


def _ready(slices: Outlined) -> dict[tuple[str, str], _Embedded]:
    """The encoders that need no fitting: they embed every slice once."""
    found = {}
    for view, images in slices.images.items():
        shipped = shipped_encoder(f"{view}-deep")
        assert isinstance(shipped, OnnxEncoder)  # that is what ships
        found[view, "deep"] = _embed(shipped, view, images)
        found[view, "downsampled"] = _embed(DownsampledEncoder(), view, images)
    return found


def _draw(
    n: int,
    draw: int,
    slices: Outlined,
    ready: dict[tuple[str, str], _Embedded],
    settings: SmallSettings,
) -> dict[tuple[str, str], dict[str, float]]:
    """One archive of n patients, asked by others: scores by (view, encoder)."""
    rng = np.random.default_rng([settings.seed, n, draw])
    names = rng.permutation(np.unique(slices.patient))
    stored = np.flatnonzero(np.isin(slices.patient, names[:n]))
    asked = np.flatnonzero(np.isin(slices.patient, names[-settings.n_query_cases :]))
    asked = asked[:: settings.every]
    used = np.concatenate([stored, asked])
    scores = {}
    for view, images in slices.images.items():
        pca = fit_pca(as_float(images[stored]), min(settings.dim, len(stored) // 2))
        own = _embed(pca, view, images[used])
        made = {name: part for (of, name), part in ready.items() if of == view}
        made = {name: _Embedded(p.embeddings[used], p.mse[used]) for name, p in made.items()}
        for name, part in {"pca": own, **made}.items():
            nearest = _nearest(part.embeddings, len(stored), settings)
            scores[view, name] = _judged(slices, asked, stored[nearest]) | {
                "mse": float(part.mse[len(stored) :].mean())
            }
    return scores


def _nearest(
    embeddings: NDArray[np.float32], n_stored: int, settings: SmallSettings
) -> NDArray[np.int64]:
    """For each query (the rows after the stored ones) the nearest stored row by code."""
    base, query = embeddings[:n_stored], embeddings[n_stored:]
    hasher = KernelHasher(settings.bits, dither=False, random_state=settings.seed).fit(base)
    return FlatIndex.of(hasher.transform(base)).search(hasher.transform(query), 1).ids[:, 0]


def _judged(
    slices: Outlined, asked: NDArray[np.int64], found: NDArray[np.int64]
) -> dict[str, float]:
    overlaps = [
        structure_overlap(slices.masks[a], slices.masks[b])
        for a, b in zip(asked, found, strict=True)
    ]
    gy = SliceSettings().dose_scale_gy / 255.0
    differences = []
    for a, b in zip(asked, found, strict=True):
        one, other = (gy * slices.images["dose"][row] for row in (a, b))
        dosed = np.maximum(one, other) > SliceSettings().min_dose_gy
        differences.append(float(np.abs(one - other)[dosed].mean()) if dosed.any() else 0.0)
    return {"structures": float(np.nanmean(overlaps)), "dose_gy": float(np.mean(differences))}


def _summary(found: Sequence[dict[str, float]]) -> dict[str, float]:
    told = {}
    for name, digits in (("mse", 6), ("structures", 4), ("dose_gy", 3)):
        values = np.array([scores[name] for scores in found])
        told[name] = round(float(values.mean()), digits)
        error = 2.0 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        told[f"{name}_error"] = round(float(error), digits)
    return told


def _plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    from isohash.evaluation.kit.plotting import figure

    shown = (
        ("ct", "mse", "CT: error of reconstruction"),
        ("ct", "structures", "CT: structures in common"),
        ("dose", "mse", "dose: error of reconstruction"),
        ("dose", "dose_gy", "dose: difference to the nearest, Gy"),
    )
    with figure(path, 7.2, 5.2, nrows=2, ncols=2) as (_, grid):
        for axes, (view, score, title) in zip(grid.flat, shown, strict=True):
            for encoder, marker in (("deep", "o"), ("pca", "s"), ("downsampled", "^")):
                line = [r for r in rows if (r["view"], r["encoder"]) == (view, encoder)]
                values, errors = ([r[name] for r in line] for name in (score, f"{score}_error"))
                cases = [r["cases"] for r in line]
                label = "deep (shipped)" if encoder == "deep" else encoder
                axes.errorbar(cases, values, errors, marker=marker, label=label)
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("cases in the archive")
            axes.grid(alpha=0.3)
        grid[0, 0].legend(fontsize=8)
