"""Cases of the OpenKBP challenge: `pt_N.npz` files and the original folders of sparse CSV files.

Both hold arrays with axes (y, x, z): y from front to back, x from the patient's right to the left,
z from head to feet. A Case has (z, y, x), so the axes are permuted, and because z runs to the feet
its column in the affine is (0, 0, -dz). CT numbers are stored as HU + 1024 inside the body and 0
outside, which makes HU = stored - 1024 everywhere, air outside included.

The region called `possible_dose_mask` is where dose may lie and is scored, not a structure of the
patient: it is `Case.possible`. It holds air around the body, where some of the plans have dose.

Data: Babier et al., Medical Physics 48 (2021) 5549-5561.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.arrays import listed, npz_headers, read_npz
from isohash.sources.doses import checked_dose
from isohash.sources.walk import walk
from isohash.visible import as_text

MASK_BITS = (
    "Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible",
    "PTV56", "PTV63", "PTV70", "possible_dose_mask",
)  # fmt: skip
POSSIBLE = MASK_BITS[-1]
CSV_SHAPE = (128, 128, 128)  # the challenge stores flat indices into this shape, axes (y, x, z)
CSV_PARTS = ("ct.csv", "dose.csv", "voxel_dimensions.csv")
MAX_CSV_BYTES = 1 << 28  # four times a file that lists every voxel
MAX_CSV_ROWS = 1 << 22  # twice the voxels, for lines may end in two characters
MAX_CSV_STRUCTURES = 256  # 2 MiB each
NUMERIC = b"0123456789+-.eE, \t\r\n"  # all that such a file holds below its first line
HU_OFFSET = 1024


def is_openkbp(names: Mapping[str, Any]) -> bool:
    """Whether an .npz with these array names is meant as an OpenKBP case."""
    return "ct" in names or {"dose", "voxel"} <= set(names)


def read_npz_case(path: str | Path) -> Case:
    """Read one `pt_N.npz`: arrays ct, dose (cGy), masks (bits) and voxel (mm)."""
    path = Path(path)
    headers = npz_headers(path)
    missing = {"ct", "voxel"} - set(headers)
    if missing:
        raise InputError(
            f"{path}: has no array {' and '.join(sorted(missing))}; "
            f"an OpenKBP case has ct, dose, masks, voxel, this file has {listed(headers)}"
        )
    shapes = {name: headers[name].shape for name in ("ct", "dose", "masks") if name in headers}
    if len(set(shapes.values())) > 1 or len(shapes["ct"]) != 3:
        listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"{path}: arrays must have one shape (y, x, z), got {listing}")
    arrays = read_npz(path, ["voxel", *shapes])
    volumes = {name: _axes_zyx(arrays[name]) for name in shapes}
    dose = volumes["dose"] / np.float32(100.0) if "dose" in volumes else None
    masks = _unpack_bits(volumes["masks"], path) if "masks" in volumes else {}
    return _case(path, volumes["ct"], dose, masks, arrays["voxel"])


def is_csv_case(files: set[str]) -> bool:
    """Whether a folder with these file names is an original OpenKBP case."""
    return bool({"ct.csv", "dose.csv"} & files)


def is_mask(file_name: str) -> bool:
    """Whether a CSV file of a case lists the voxels of a structure."""
    return file_name not in (*CSV_PARTS, f"{POSSIBLE}.csv")


def csv_files(folder: Path) -> list[Path]:
    """The CSV files of a folder by the rules of every walk: no links out, regular files only."""
    return [file for file in walk(folder, []) if file.parent == folder and is_csv(file)]


def is_csv(file: Path) -> bool:
    """Whether a file is one of a case that lies in CSV files."""
    return file.suffix.lower() == ".csv"


def read_csv_case(folder: str | Path, files: Iterable[Path] | None = None) -> Case:
    """Read one original OpenKBP folder: ct.csv, dose.csv, voxel_dimensions.csv and masks.

    `files` are those that a walk let in, by default what one of the folder alone does.
    """
    folder = Path(folder)
    named = {file.name: file for file in (csv_files(folder) if files is None else files)}
    if "voxel_dimensions.csv" not in named:
        raise InputError(f"{folder}: has no voxel_dimensions.csv, so sizes in mm are unknown")
    masks = {as_text(file.stem): file for name, file in sorted(named.items()) if is_mask(name)}
    if len(masks) > MAX_CSV_STRUCTURES:
        raise InputError(
            f"{folder}: {len(masks)} structures, above the {MAX_CSV_STRUCTURES} that are read"
        )
    voxel = _read_numbers(named["voxel_dimensions.csv"], header=False).ravel()
    ct, dose = (
        _axes_zyx(_dense(named[part])) if part in named else None for part in ("ct.csv", "dose.csv")
    )
    if f"{POSSIBLE}.csv" in named:
        masks[POSSIBLE] = named[f"{POSSIBLE}.csv"]
    drawn = {name: _axes_zyx(_dense_mask(file)) for name, file in masks.items()}
    return _case(folder, ct, dose, drawn, voxel)


def _case(
    path: Path,
    ct: NDArray[Any] | None,
    dose: NDArray[Any] | None,
    masks: Mapping[str, NDArray[Any]],
    voxel: NDArray[Any],
) -> Case:
    """A case of arrays that are (z, y, x) already."""
    affine = _affine(voxel, path)
    structures = {
        name: Volume(mask, affine)
        for name, mask in masks.items()
        if name != POSSIBLE and mask.any()
    }
    possible = masks.get(POSSIBLE)
    levels = [int(found[1]) for name in structures if (found := re.fullmatch(r"PTV(\d+)", name))]
    parts = (("CT", ct), ("dose", dose), ("structures", structures or None))
    return Case(
        id=as_text(path.stem if path.suffix == ".npz" else path.name),
        ct=None if ct is None else Volume(_checked_ct(ct, path), affine),
        dose=None if dose is None else Volume(checked_dose(dose, path), affine),
        structures=structures,
        prescription_gy=float(max(levels)) if levels else None,
        warnings=tuple(f"the case has no {part}" for part, value in parts if value is None),
        possible=None if possible is None or not possible.any() else Volume(possible, affine),
    )


def _axes_zyx(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _affine(voxel: NDArray[Any], path: Path) -> NDArray[np.float64]:
    if voxel.shape != (3,) or not np.isfinite(voxel).all() or voxel.min() <= 0:
        raise InputError(f"{path}: voxel size must be three positive mm, got {voxel.tolist()}")
    dy, dx, dz = (float(step) for step in voxel)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -dz, dy, dx, 1.0
    return affine


def _checked_ct(ct: NDArray[Any], path: Path) -> NDArray[np.int16]:
    if ct.dtype.kind not in "iuf" or (ct.dtype.kind == "f" and not np.isfinite(ct).all()):
        raise InputError(f"{path}: CT must be finite numbers; export the case again")
    if ct.min() < 0 or ct.max() > np.iinfo(np.int16).max:
        raise InputError(
            f"{path}: CT is stored as HU + {HU_OFFSET}, so 0 or more, got {ct.min()}..{ct.max()}"
        )
    whole = ct if ct.dtype.kind in "iu" else np.rint(ct)
    return whole.astype(np.int16) - np.int16(HU_OFFSET)


def _unpack_bits(masks: NDArray[Any], path: Path) -> dict[str, NDArray[np.bool_]]:
    if masks.dtype.kind not in "iu":
        raise InputError(f"{path}: masks must be integers with one bit each, got {masks.dtype}")
    if masks.size and (masks.min() < 0 or int(masks.max()) >> len(MASK_BITS)):
        raise InputError(f"{path}: masks use bits beyond the {len(MASK_BITS)} known structures")
    return {name: (masks & (1 << bit)) != 0 for bit, name in enumerate(MASK_BITS)}


def _read_numbers(file: Path, header: bool = True, columns: int | None = None) -> NDArray[Any]:
    """All rows of a CSV file as float64; an empty table has no rows. No error repeats its text."""
    if file.stat().st_size > MAX_CSV_BYTES:
        raise InputError(
            f"{file}: larger than {MAX_CSV_BYTES >> 20} MiB, not a file of the OpenKBP challenge"
        )
    data = file.read_bytes()
    if data.count(b"\n") + data.count(b"\r") > MAX_CSV_ROWS:
        raise InputError(f"{file}: more rows than the grid {CSV_SHAPE} has voxels")
    lines = [line for line in data.splitlines()[int(header) :] if line.strip()]
    if b"".join(lines).translate(None, NUMERIC):
        raise InputError(f"{file}: not the CSV of an OpenKBP case (holds more than numbers)")
    if not lines:
        return np.zeros((0, columns or 1))
    usecols = None if columns is None else range(columns)
    try:
        rows = [line.decode("ascii") for line in lines]
        return np.loadtxt(rows, delimiter=",", usecols=usecols, ndmin=2, comments=None)
    except ValueError as error:
        raise InputError(
            f"{file}: not the CSV of an OpenKBP case (a row is not an index and a number)"
        ) from error


def _indices(column: NDArray[Any], file: Path) -> NDArray[np.int64]:
    size = int(np.prod(CSV_SHAPE))
    if column.size and not (np.isfinite(column).all() and 0 <= column.min() <= column.max() < size):
        raise InputError(f"{file}: indices must lie in 0..{size - 1} (a grid of {CSV_SHAPE})")
    return column.astype(np.int64)


def _dense(file: Path) -> NDArray[np.float64]:
    table = _read_numbers(file, columns=2)
    dense = np.zeros(CSV_SHAPE)
    dense.ravel()[_indices(table[:, 0], file)] = table[:, 1] if table.size else ()
    return dense


def _dense_mask(file: Path) -> NDArray[np.bool_]:
    dense = np.zeros(CSV_SHAPE, dtype=bool)
    dense.ravel()[_indices(_read_numbers(file, columns=1)[:, 0], file)] = True
    return dense
