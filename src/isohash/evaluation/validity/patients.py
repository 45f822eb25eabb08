"""What the validity study keeps of a patient: geometry, dose, scored voxels, slice embeddings.

Every patient is read once and kept as one small file, so an interrupted study goes on, and no more
than the cropped doses of all patients (about 2 MB each) are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.names import canonical_name, is_target, structures_by_name
from isohash.dosimetry.rigid import TARGETS
from isohash.errors import InputError
from isohash.features.cases.geometry_settings import GeometrySettings
from isohash.features.cases.measures import Measured, measure
from isohash.features.cases.slices import case_slices, encoder_input
from isohash.features.encoders.downsampled import DownsampledEncoder
from isohash.features.encoders.encoders import Encoder
from isohash.records import Case, Volume
from isohash.whole_files import whole_file

VIEWS = ("ct", "dose")
COARSE_SIDE = 16  # the down-sampled volume has so many rows, columns and heights
MOST_STRUCTURES = 32  # bits of a voxel's word
FORMAT = 1  # of the files; another number makes them anew


@dataclass(frozen=True, eq=False)
class Patient:
    """One case, cropped to what is scored.

    `dose` in Gy; `scored` marks its voxels that can receive dose, `bits` which structures
    (`names`) each voxel lies in. `centres` in mm; `slices[view]` (n, d) with heights `z_mm[view]`;
    `coarse[view]` is the case as one down-sampled volume.
    """

    id: str
    measured: Measured
    dose: Volume
    scored: NDArray[np.bool_]
    bits: NDArray[np.uint32]
    names: tuple[str, ...]
    centres: dict[str, NDArray[np.float64]]
    slices: dict[str, NDArray[np.float32]]
    z_mm: dict[str, NDArray[np.float64]]
    coarse: dict[str, NDArray[np.float32]]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """The n voxels that are scored or inside a structure; what follows is (n, ...) in order."""
        voxels: NDArray[np.bool_] = self.scored | (self.bits > 0)
        return voxels

    @property
    def points_mm(self) -> NDArray[np.float64]:
        """Where these voxels are, in patient mm, (n, 3). Not kept: 7 MB of every patient."""
        return np.argwhere(self.kept) @ self.dose.affine[:3, :3].T + self.dose.affine[:3, 3]

    @property
    def scored_there(self) -> NDArray[np.bool_]:
        """Which of them can receive dose."""
        return self.scored[self.kept]

    def inside(self, name: str) -> NDArray[np.bool_]:
        """Which of them lie in a structure."""
        bit = np.uint32(1 << self.names.index(name))
        return (self.bits[self.kept] & bit) > 0

    @property
    def planned(self) -> NDArray[np.float32]:
        """The patient's own dose there, in Gy."""
        return np.asarray(self.dose.array[self.kept], dtype=np.float32)


def prepare(case: Case, path: str | Path, encoders: Mapping[str, Encoder]) -> Patient:
    """Measure and encode a case with CT, dose and structures; InputError names what it lacks."""
    lacking = [
        name
        for name, part in (("CT", case.ct), ("dose", case.dose), ("structures", case.structures))
        if not part
    ]
    if case.ct is None or case.dose is None or lacking:
        raise InputError(f"{case.id} has no {' and no '.join(lacking)}")
    masks = {
        name: volume.array.astype(bool)
        for name, volume in sorted(structures_by_name(case).items())
        if canonical_name(name) is not None and name != "BODY"
    }
    if not any(map(is_target, masks)) or len(masks) > MOST_STRUCTURES:
        raise InputError(f"{case.id} has no target, or more than {MOST_STRUCTURES} structures")
    if case.possible is not None:
        scored = case.possible.array
    else:
        scored = case.dose.array > 0.05 * case.dose.array.max()
    bits = np.zeros(scored.shape, np.uint32)
    for at, mask in enumerate(masks.values()):
        bits |= mask.astype(np.uint32) << np.uint32(at)
    cut, affine = _crop(scored | (bits > 0), case.dose.affine)
    view = case_slices(case)
    dosed = np.flatnonzero(view.has_dose)
    rows = {"ct": np.arange(len(view)), "dose": dosed}
    images = {"ct": encoder_input(view, "ct"), "dose": encoder_input(view, "dose")}
    return Patient(
        id=case.id,
        measured=measure(case),
        dose=Volume(np.asarray(case.dose.array, np.float32)[cut], affine),
        scored=scored[cut],
        bits=bits[cut],
        names=tuple(masks),
        centres=_centres(masks, case.dose.affine),
        slices={kind: encoders[kind].encode(images[kind][rows[kind]]) for kind in VIEWS},
        z_mm={kind: np.asarray(view.z_mm, np.float64)[rows[kind]] for kind in VIEWS},
        coarse={kind: _coarse(images[kind][dosed]) for kind in VIEWS},
    )


def _crop(
    kept: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """The box around what is kept, and the affine of that box."""
    ends = [np.flatnonzero(kept.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [at[0] for at in ends]
    return tuple(slice(int(at[0]), int(at[-1]) + 1) for at in ends), moved


def _centres(
    masks: Mapping[str, NDArray[np.bool_]], affine: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Centres in mm of the organs, and of the union of the targets."""
    targets = np.logical_or.reduce([mask for name, mask in masks.items() if is_target(name)])
    organs = {name: mask for name, mask in masks.items() if not is_target(name)}
    return {
        name: affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]
        for name, mask in {**organs, TARGETS: targets}.items()
    }


def _coarse(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slices (n, size, size) as one vector: means over squares and over parts of the height."""
    squares = DownsampledEncoder(size=images.shape[-1], side=COARSE_SIDE).encode(images)
    edges = np.linspace(0, len(squares), COARSE_SIDE + 1)
    parts = [squares[int(a) : max(int(a) + 1, int(b))].mean(axis=0) for a, b in pairwise(edges)]
    return np.concatenate(parts)


def save(patient: Patient, path: Path) -> None:
    """Write a patient to one NPZ file, without pickle, through a temporary name."""
    measured = patient.measured
    arrays: dict[str, NDArray[Any]] = {
        "dose_cgy": np.rint(100 * patient.dose.array).astype(np.uint16),
        "affine": patient.dose.affine,
        "scored": np.packbits(patient.scored),
        "bits": patient.bits,
        "histograms": measured.histograms,
    }
    groups: dict[str, Mapping[str, NDArray[Any]]] = {
        "part": measured.parts,
        "centre": patient.centres,
        "slices": patient.slices,
        "z_mm": patient.z_mm,
        "coarse": patient.coarse,
    }
    for group, members in groups.items():
        arrays |= {f"{group}:{name}": array for name, array in members.items()}
    header = {
        "format": FORMAT,
        "id": patient.id,
        "own": measured.own.to_json(),
        "names": patient.names,
    }
    with whole_file(path, kept_up=True) as file:
        np.savez_compressed(file, allow_pickle=False, header=json.dumps(header), **arrays)


def load(path: Path) -> Patient | None:
    """What `save` wrote; None for a file that is missing, damaged or of another format."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    if header.get("format") != FORMAT:
        return None

    def group(prefix: str) -> dict[str, NDArray[Any]]:
        start = prefix + ":"
        return {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}

    shape = arrays["dose_cgy"].shape
    scored = np.unpackbits(arrays["scored"], count=int(np.prod(shape))).reshape(shape)
    dose = arrays["dose_cgy"].astype(np.float32) / np.float32(100)
    own = GeometrySettings.from_json(header["own"])
    return Patient(
        id=header["id"],
        measured=Measured(own, group("part"), arrays["histograms"], True, True),
        dose=Volume(dose, arrays["affine"]),
        scored=scored.astype(bool),
        bits=arrays["bits"],
        names=tuple(header["names"]),
        centres=group("centre"),
        slices=group("slices"),
        z_mm=group("z_mm"),
        coarse=group("coarse"),
    )
