"""A case as one small volume, and the encoder of volumes: one vector per case.

The volume has `size` voxels along every axis, about the middle of the treated region; its channels
are the CT, the dose, and the structures as one map of labels (organs, other targets, the target of
the highest dose level), as in Huang et al., Physics in Medicine and Biology 68 (2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import is_target, structures_by_name
from isohash.errors import InputError
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.cases.slices import CaseSlices, case_slices
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.records import Case, Volume

Channel = Literal["ct", "dose", "structures"]
ORGAN, TARGET, PRIMARY = 1.0 / 3.0, 2.0 / 3.0, 1.0  # values of the map of labels
SIDE_MM = 10.0  # a target whose centre is farther from the midline than this has a side
LARGE_ML = 120.0  # about the median primary target of OpenKBP's training patients


@dataclass(frozen=True)
class VolumeSettings:
    """The grid of a volume, in voxels and mm, and its channels."""

    size: int = 64
    pixel_mm: float = 4.5
    slice_mm: float = 4.0
    channels: tuple[Channel, ...] = ("ct", "structures")

    def __post_init__(self) -> None:
        unknown = sorted(set(self.channels) - set(get_args(Channel)))
        if unknown or not self.channels:
            raise InputError(f"channels must be some of {get_args(Channel)}, got {self.channels}")
        if not self.slice_mm > 0:
            raise InputError(f"slice_mm must be positive, got {self.slice_mm}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> VolumeSettings:
        """The settings that `to_json` wrote."""
        return cls(**{**values, "channels": tuple(values["channels"])})


def case_volume(case: Case, settings: VolumeSettings | None = None) -> NDArray[np.float32]:
    """Float32 (channels, size, size, size) in [0, 1]: z from the head, rows to the back.

    The middle is that of the slices with targets, else with dose, else of all with a body.
    """
    settings = settings or VolumeSettings()
    view = case_slices(case, SliceSettings(size=settings.size, pixel_mm=settings.pixel_mm))
    labels = label_map(case, view)
    z_mm = _heights(view, labels, settings)
    made = {"ct": view.ct, "dose": view.dose, "structures": labels}
    channels = []
    for name in settings.channels:
        values = made[name]
        if values is None:
            raise InputError(f"case {case.id} has no {name}, which the encoder of volumes takes")
        channels.append(_along_z(values, view.z_mm, z_mm))
    return np.clip(np.stack(channels), 0.0, 1.0)


def label_map(case: Case, view: CaseSlices) -> NDArray[np.float32]:
    """Structures on the view's slices: the share of each pixel inside, times the label's value."""
    labels = np.zeros((len(view), view.settings.size, view.settings.size), dtype=np.float32)
    primary = primary_target(case)
    for name, structure in structures_by_name(case).items():
        if name == "BODY":
            continue
        value = PRIMARY if name == primary else TARGET if is_target(name) else ORGAN
        np.maximum(labels, np.float32(value) * view.resample(structure), out=labels)
    return labels


def primary_target(case: Case) -> str | None:
    """The target of the highest dose level in its name; ties and no levels by name."""
    targets = sorted(name for name in structures_by_name(case) if is_target(name))
    return max(targets, key=_level, default=None)


def target_kind(case: Case) -> int:
    """One of 16 kinds by targets: one or several, small or large, and on which side.

    The side is that of the primary target: none, right, left or both (-1 without targets).
    """
    found = structures_by_name(case)
    targets = [name for name in found if is_target(name)]
    primary = primary_target(case)
    if primary is None:
        return -1
    mask = found[primary]
    large = np.count_nonzero(mask.array) * _voxel_ml(mask) > LARGE_ML
    return 8 * (len(targets) > 1) + 4 * int(large) + _side(mask, found)


def _voxel_ml(volume: Volume) -> float:
    return float(abs(np.linalg.det(volume.affine[:3, :3]))) / 1000.0


def _side(mask: Volume, found: Mapping[str, Volume]) -> int:
    """0 central, 1 right, 2 left, 3 on both sides of the midline.

    The midline lies half-way between paired organs, or in the middle of the volume.
    """
    x = _x_mm(mask)
    away = x - _midline(mask, found)
    right, left = float(np.mean(away < -SIDE_MM)), float(np.mean(away > SIDE_MM))
    if min(right, left) > 0.25:
        return 3
    return 1 if right > 0.5 else 2 if left > 0.5 else 0


def _midline(mask: Volume, found: Mapping[str, Volume]) -> float:
    for left in (name for name in found if name.endswith("_L")):
        right = f"{left[:-2]}_R"
        if right in found:
            return 0.5 * float(_x_mm(found[left]).mean() + _x_mm(found[right]).mean())
    middle = (np.array(mask.array.shape) - 1) / 2.0
    return float((mask.affine[:3, :3] @ middle + mask.affine[:3, 3])[0])


def _x_mm(mask: Volume) -> NDArray[np.floating[Any]]:
    at = np.argwhere(mask.array)
    return np.asarray(at @ mask.affine[0, :3] + mask.affine[0, 3])


def _level(name: str) -> float:
    numbers = re.findall(r"\d+(?:\.\d+)?", name)
    return float(numbers[-1]) if numbers else 0.0


def _heights(
    view: CaseSlices, labels: NDArray[np.float32], settings: VolumeSettings
) -> NDArray[np.float64]:
    """Patient z of the volume's slices, from the head down."""
    treated = (labels > ORGAN).any(axis=(1, 2))
    used = treated if treated.any() else view.has_dose if view.has_dose.any() else slice(None)
    z = view.z_mm[used]
    middle = 0.5 * float(z.max() + z.min())
    steps = np.arange(settings.size, dtype=np.float64) - (settings.size - 1) / 2.0
    heights: NDArray[np.float64] = middle - settings.slice_mm * steps
    return heights


def _along_z(
    values: NDArray[np.float32], z_mm: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Slices at other heights: linear between neighbours, nothing beyond the ends."""
    order = np.argsort(z_mm)
    at = np.interp(wanted, z_mm[order], order.astype(np.float64), left=-1, right=-1)
    out = np.zeros((len(wanted), *values.shape[1:]), dtype=np.float32)
    for i, position in enumerate(at):
        if position < 0:
            continue
        low = int(position)
        share = np.float32(position - low)
        out[i] = (1 - share) * values[low]
        if share:
            out[i] += share * values[low + 1]
    return out


@dataclass(frozen=True, eq=False)
class VolumeEncoder:
    """Case to one vector by a network of volumes; `settings` say which volume."""

    network: OnnxEncoder

    @cached_property
    def settings(self) -> VolumeSettings:
        """The volumes that the network was trained on."""
        return VolumeSettings.from_json(self.network.settings["volume"])

    @property
    def name(self) -> str:
        """What people call it."""
        return self.network.name

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.network.dim

    @property
    def digest(self) -> str:
        """SHA-256 that names this encoder."""
        return self.network.digest

    def encode_case(self, case: Case) -> NDArray[np.float32]:
        """Float32 (dim,)."""
        return self.network.encode(case_volume(case, self.settings)[None])[0]

    def to_bytes(self) -> bytes:
        """The content of its file."""
        return self.network.to_bytes()

    def save(self, path: str | Path) -> None:
        """Write the encoder to one file, which `load_encoder(path, VolumeEncoder)` reads."""
        self.network.save(path)

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "this file") -> VolumeEncoder:
        """The encoder of such bytes; InputError unless it is one of volumes."""
        network = OnnxEncoder.from_bytes(data, source)
        if "volume" not in network.settings:
            raise InputError(f"{source} holds an encoder of images, not of volumes")
        return cls(network)
