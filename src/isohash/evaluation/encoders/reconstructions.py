"""What autoencoders remember, to look at: slices in and out, and a whole dose as isodose surfaces.

The slices belong to patients that no encoder has seen: one slice each, from the head to the
shoulders. The dose is that of the patient whose error is the median under the deep encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.isodose import isodose_lines
from isohash.errors import InputError
from isohash.evaluation.encoders.encoder_table import UNITS, VARIANTS, autoencoder_file
from isohash.evaluation.encoders.surfaces import (
    IsodoseLevel,
    Scene,
    draw_scenes,
    surfaces_of,
    write_page,
)
from isohash.evaluation.kit.plotting import check_drawing, figure
from isohash.evaluation.kit.results import write_results
from isohash.evaluation.kit.slice_sets import SliceSet, as_float, read_slices
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import ImageKind, case_slices, encoder_input
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.reconstruction import (
    Reconstruction,
    reconstruct,
    reconstruction_errors,
)
from isohash.progress import Progress
from isohash.records import Case
from isohash.sources.reading import find
from isohash.whole_files import digest, private_folder

Encoders = Mapping[str, OnnxEncoder]

ISODOSES = (
    IsodoseLevel(20.0, "20 Gy", "#56B4E9", 0.10),
    IsodoseLevel(40.0, "40 Gy", "#009E73", 0.14),
    IsodoseLevel(56.0, "56 Gy", "#E69F00", 0.30),
    IsodoseLevel(66.0, "66 Gy", "#D55E00", 1.0),
)
METRIC = (
    "error: mean absolute error inside the body (HU) or the dose (Gy); volume_ml and dice: volume "
    "within an isodose before and after, and the overlap of the two"
)


@dataclass(frozen=True)
class ReconstructionSettings:
    """How many slices are shown; `every`th slices decide which patient is the median one."""

    n_slices: int = 6
    every: int = 4
    seed: int = 0


def run_reconstructions(
    source: str | Path,
    weights: str | Path,
    out: str | Path,
    settings: ReconstructionSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Draw slices and surfaces of unseen patients; writes PNG, HTML, CSV and JSON to `out`."""
    check_drawing()
    settings, folder = settings or ReconstructionSettings(), Path(out)
    private_folder(folder)
    slices = read_slices(source, progress)
    rows = chosen_rows(slices.patient, settings)
    results: dict[str, list[dict[str, Any]]] = {"reconstructions": []}
    encoders = {view: _encoders(weights, view) for view in slices.images}
    for view, images in slices.images.items():
        path = folder / f"reconstructions-{view}.png"
        results["reconstructions"] += draw_slices(view, images[rows], encoders[view], path)
    patient = median_patient(encoders["dose"]["deep"], slices, settings)
    results["surfaces"] = draw_dose(_case(source, patient), encoders["dose"], folder)
    about = {
        "metric": METRIC,
        "settings": asdict(settings),
        "data_digest": digest(*slices.images.values()),
        "encoders": {e.name: e.digest for some in encoders.values() for e in some.values()},
    }
    for name, found in results.items():
        write_results(folder, name, found, about)
    return results


def chosen_rows(patient: NDArray[np.str_], settings: ReconstructionSettings) -> NDArray[np.int64]:
    """One slice of each of `n_slices` random patients, the first near the head, the last below."""
    names = np.unique(patient)
    if len(names) < settings.n_slices:
        raise InputError(f"{settings.n_slices} patients are wanted, there are {len(names)}")
    names = np.random.default_rng(settings.seed).permutation(names)[: settings.n_slices]
    height = np.linspace(0.3, 0.85, settings.n_slices)
    own = [np.flatnonzero(patient == name) for name in names]
    return np.array([r[int(h * len(r))] for r, h in zip(own, height, strict=True)])


def draw_slices(
    view: str, images: NDArray[np.uint8], encoders: Encoders, path: Path
) -> list[dict[str, Any]]:
    """Inputs in the first row, each encoder's outputs below, with their errors."""
    kind, grid = cast(ImageKind, view), SliceSettings(size=images.shape[-1])
    found = {n: reconstruct(e, as_float(images), kind, grid) for n, e in encoders.items()}
    shape = {"nrows": 1 + len(found), "ncols": len(images), "squeeze": False}
    frames = [framed(image[None]) for image in images]  # a head would be small among shoulders
    width, height = 1.15 * len(images), 1.25 * (1 + len(found))
    with figure(path, width, height, colours=160, **shape) as (_, cells):
        for column, image in enumerate(as_float(images)):
            show_slice(cells[0, column], *_as(view, image), frames[column])
        cells[0, 0].set_ylabel("input", fontsize=8)
        for row, (name, result) in enumerate(found.items(), start=1):
            cells[row, 0].set_ylabel(name, fontsize=8)
            for column in range(len(images)):
                show_slice(cells[row, column], *_as(view, result.outputs[column]), frames[column])
                told = f"{result.body_error[column]:.3g} {UNITS[view]}"
                cells[row, column].set_title(told, fontsize=7, pad=2)
    return [row for name, result in found.items() for row in _slice_rows(view, name, result)]


def _as(view: str, image: NDArray[np.float32]) -> tuple[Any, Any]:
    """The image as (ct, dose), the other absent."""
    return (image, None) if view == "ct" else (None, image)


def _slice_rows(view: str, name: str, result: Reconstruction) -> list[dict[str, Any]]:
    return [
        {"view": view, "encoder": name, "column": column + 1, "mse": round(float(mse), 6),
         "error": round(float(error), 2), "unit": UNITS[view]}
        for column, (mse, error) in enumerate(zip(result.mse, result.body_error, strict=True))
    ]  # fmt: skip


def framed(images: NDArray[Any]) -> slice:
    """The rows and columns of the smallest centred square that holds all there is to see."""
    size = images.shape[-1]
    rows, columns = (np.flatnonzero((images > 0).any(axis=(0, axis))) for axis in (2, 1))
    seen = np.concatenate([rows, columns, [size // 2]])
    margin = max(0, int(min(seen.min(), size - 1 - seen.max())) - 2)
    return slice(margin, size - margin)


def show_slice(
    axes: Any, ct: NDArray[np.float32] | None, dose: NDArray[np.float32] | None, frame: slice
) -> None:
    """CT in grey from -200 to 300 HU (dose where there is no CT), with isodose lines."""
    scale = SliceSettings().dose_scale_gy
    grey, low, high = (ct, 0.3, 0.8) if ct is not None else (dose, 0.0, 1.0)
    assert grey is not None  # one of the two is given
    axes.imshow(grey[frame, frame], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if dose is not None:
        lines = isodose_lines(dose[frame, frame] * scale, [level.value for level in ISODOSES])
        for level in ISODOSES:
            for line in lines[level.value]:
                axes.plot(line[:, 0], line[:, 1], color=level.colour, linewidth=0.8)
    axes.set_xticks([])
    axes.set_yticks([])


def median_patient(encoder: OnnxEncoder, slices: SliceSet, settings: ReconstructionSettings) -> str:
    """The patient whose mean squared error of the dose is the (lower) median."""
    images, patient = slices.images["dose"][:: settings.every], slices.patient[:: settings.every]
    mse, _ = reconstruction_errors(encoder, as_float(images), "dose", SliceSettings(encoder.size))
    names = np.unique(patient)
    means = np.array([mse[patient == name].mean() for name in names])
    return str(names[np.argsort(means, kind="stable")[(len(names) - 1) // 2]])


def draw_dose(case: Case, encoders: Encoders, folder: Path) -> list[dict[str, Any]]:
    """The case's dose and what each encoder makes of it, as surfaces: a PNG and a page."""
    view = case_slices(case, SliceSettings(size=next(iter(encoders.values())).size))
    images, z_mm = encoder_input(view, "dose")[view.has_dose], view.z_mm[view.has_dose]
    volumes = {"planned dose": images}
    for name, encoder in encoders.items():
        volumes[f"as {name} remembers it"] = np.clip(encoder.reconstruct(images), 0.0, 1.0)
    spacing = (float(np.median(-np.diff(z_mm))), view.settings.pixel_mm, view.settings.pixel_mm)
    gy = {title: view.settings.dose_scale_gy * volume for title, volume in volumes.items()}
    scenes = [
        Scene(title, surfaces_of(*_coarser(volume, spacing), ISODOSES))
        for title, volume in gy.items()
    ]
    draw_scenes(scenes, folder / "surfaces.png")
    write_page(scenes, "Isodose surfaces of one plan, before and after", folder / "surfaces.html")
    names = dict(zip(list(gy)[1:], encoders, strict=True))
    truth = gy["planned dose"]
    voxel_ml = float(np.prod(spacing)) / 1000.0
    return [
        {"encoder": name, "level": level.name, **_overlap(truth, gy[title], level.value, voxel_ml)}
        for title, name in names.items()
        for level in ISODOSES
    ]


def _coarser(
    volume: NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Means over 2 x 2 x 2 voxels: 8 mm are enough to look at, with a quarter of the triangles."""
    n, side = volume.shape[0] // 2, volume.shape[1] // 2
    pooled = volume[: 2 * n].reshape(n, 2, side, 2, side, 2).mean(axis=(1, 3, 5))
    return pooled, (2 * spacing_mm[0], 2 * spacing_mm[1], 2 * spacing_mm[2])


def _overlap(
    before: NDArray[np.float32], after: NDArray[np.float32], level: float, voxel_ml: float
) -> dict[str, float]:
    a, b = before >= level, after >= level
    total = int(a.sum()) + int(b.sum())
    return {
        "volume_ml": round(voxel_ml * int(a.sum()), 1),
        "volume_after_ml": round(voxel_ml * int(b.sum()), 1),
        "dice": round(2.0 * int((a & b).sum()) / total, 4) if total else 1.0,
    }


def _encoders(weights: str | Path, view: str) -> dict[str, OnnxEncoder]:
    return {variant: autoencoder_file(weights, view, variant) for variant in VARIANTS}


def _case(source: str | Path, patient: str) -> Case:
    for found in find(source).found:
        case = found.read()
        if isinstance(case, Case) and case.patient == patient:
            return case
    raise InputError(f"{source} has no case of patient {patient}")
