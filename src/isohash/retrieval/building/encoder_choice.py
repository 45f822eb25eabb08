"""Which encoder each view of a new archive gets, decided by name and by what the slices look like.

`auto`, the default, takes the encoder that comes with the package, unless principal components
fitted to half of the archive's patients reconstruct the other half better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.recipe import IndexSettings
from isohash.errors import InputError
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.encoders.domain import FAR, contest, relative_error
from isohash.features.encoders.encoders import Encoder, load_encoder
from isohash.features.encoders.onnx_encoder import OnnxEncoder, onnx_encoder
from isohash.features.encoders.shipped import shipped_encoder, shipped_names

READY = "deep"  # what `auto` takes of the shipped encoders
FITTED = ("pca", "autoencoder")
FIELD_MM = 512.0  # what an encoder of one's own sees, whatever the number of its pixels
PIN = "#sha256="
"""`mine.onnx#sha256=...` pins the file, as in the links of package indexes."""


@dataclass(frozen=True)
class Choice:
    """The encoder to use without fitting, or None to fit principal components; and why."""

    encoder: Encoder | None
    note: str | None = None


def named_encoders(name: str, views: Sequence[str]) -> dict[str, Encoder]:
    """The encoders of some views by that name; none for `pca` and `autoencoder`, which are fitted.

    A name is `auto`, one that is shipped (`deep`), a file of an encoder for both views, or a
    folder with one for each. Raises InputError for any other.
    """
    if name in FITTED:
        return {}
    shipped = READY if name == "auto" else name
    found = {v: f"{v}-{shipped}" for v in views if f"{v}-{shipped}" in shipped_names()}
    if found:
        return {view: shipped_encoder(full) for view, full in found.items()}
    if name == "auto":  # nothing is shipped for these views
        return {}
    path, _, sha256 = name.partition(PIN)
    given = Path(path)
    if given.is_dir() and not sha256:
        return _from_folder(given, views)
    if given.is_file() or given.suffix in (".onnx", ".safetensors"):
        encoder = _from_file(given, sha256 or None)
        return dict.fromkeys(views, encoder)
    raise InputError(
        f"--encoder {name!r} is unknown: use auto, pca, autoencoder, one that is shipped "
        f"({', '.join(shipped_names())}), a folder that isohash train autoencoder wrote, "
        "or an ONNX file"
    )


def slices_for(encoders: Mapping[str, Encoder], default: SliceSettings) -> SliceSettings:
    """The slices that the encoders take; all of them must take the same."""
    wanted = {view: _slices(encoder, default) for view, encoder in encoders.items()}
    different = set(wanted.values())
    if len(different) > 1:
        told = ", ".join(f"{view} {grid.to_json()}" for view, grid in wanted.items())
        raise InputError(f"the encoders take different slices: {told}")
    return different.pop() if different else default


def choose(
    view: str,
    encoders: Mapping[str, Encoder],
    settings: IndexSettings,
    images: NDArray[np.float32],
    patient: NDArray[Any],
) -> Choice:
    """What a sample of the archive's own slices makes of the encoders that the name stands for."""
    if not encoders:
        return Choice(None)
    name = settings.encoder
    if view not in encoders:
        raise InputError(f"--encoder {name}: there is no encoder for {view}, which the cases have")
    encoder = encoders[view]
    if name == "auto":
        found = contest(encoder, images, patient, settings.dim, settings.seed)
        if found is not None and not found.ready_wins:
            times = found.ready / max(found.fitted, 1e-12)
            return Choice(None, f"{view}: {_fitted_note(encoder, times)}")
    error = relative_error(encoder, images)
    if error is None or error <= FAR:
        return Choice(encoder)
    told = f"{view}: encoder {encoder.name} errs {error:.1f} times as much as on its own patients"
    return Choice(encoder, f"{told}: these slices are unlike them; try --encoder pca")


def _fitted_note(encoder: Encoder, times: float) -> str:
    return (
        f"principal components were fitted to these slices, as the shipped {encoder.name} errs "
        f"{times:.1f} times as much on such patients"
    )


def _from_folder(folder: Path, views: Sequence[str]) -> dict[str, Encoder]:
    found: dict[str, Encoder] = {}
    for view in views:
        for path in (folder / f"{view}.safetensors", folder / f"{view}.onnx"):
            if path.is_file() and view not in found:
                found[view] = _from_file(path, None)
    if not found:
        raise InputError(
            f"{folder} holds no encoder: it needs {views[0]}.safetensors or {views[0]}.onnx, "
            f"and the same for {' and '.join(views[1:])}"
        )
    return found


def _from_file(path: Path, sha256: str | None) -> Encoder:
    if path.suffix == ".onnx":
        return onnx_encoder(path, sha256=sha256)
    if sha256 is not None:
        raise InputError(f"{path}: only .onnx files are pinned; other encoders carry their digest")
    return load_encoder(path)


def _slices(encoder: Encoder, default: SliceSettings) -> SliceSettings:
    """Those of the encoder's training, or the default field of view in the encoder's pixels."""
    if isinstance(encoder, OnnxEncoder) and "slices" in encoder.settings:
        return SliceSettings.from_json(encoder.settings["slices"])
    if encoder.size == default.size:
        return default
    return replace(default, size=encoder.size, pixel_mm=FIELD_MM / encoder.size)
