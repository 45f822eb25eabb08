"""Cases in NIfTI: a folder for each patient.

    patient-7/ct.nii.gz              HU
    patient-7/dose.nii.gz            Gy, on any grid that is not turned; brought onto the CT's
    patient-7/masks/Parotid_L.nii.gz 0 and 1, on the grid of the CT (or the dose, without CT)

`.nii` serves as well, and masks may lie beside CT and dose. NIfTI counts millimetres to the right,
the front and the head of the patient by its sform (or qform); here they become LPS as in DICOM, and
axes are permuted and flipped to (z, y, x), never interpolated. Files without either, or with other
units of length than mm, are refused, for where their voxels lie is not known.

A mask is called what its file is. The prescription is the highest dose in the name of a target
(PTV70). Free text of the headers is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.resample import parallel_axes, resample
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.arrays import MAX_BYTES
from isohash.sources.dicom.geometry import canonical
from isohash.sources.doses import checked_dose
from isohash.sources.extras import ask_for
from isohash.visible import as_text

SUFFIXES = (".nii", ".nii.gz")
MASKS = "masks"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # of NIfTI's right, front, head
MOST_MASKS = 256
SAME_MM = 1e-2  # positions in headers are float32
HU_RANGE = (-32768, 32767)
TEXTS = ("descrip", "aux_file", "db_name", "intent_name")
NOT_HU = "the CT has no value below 0: isohash takes its values for HU"


def is_nifti(file: Path) -> bool:
    """Whether a file is NIfTI, by its name."""
    return file.name.lower().endswith(SUFFIXES)


def folder_of(file: Path) -> Path:
    """The folder of the case that a file belongs to."""
    return file.parent.parent if file.parent.name.lower() == MASKS else file.parent


def is_case(files: Iterable[Path]) -> bool:
    """Whether the files of a folder are a case."""
    return bool({"ct", "dose"} & {stem(file) for file in files})


def is_mask(file: Path) -> bool:
    """Whether a file is the mask of a structure."""
    return stem(file) not in ("ct", "dose")


def texts_of(file: Path) -> dict[str, str]:
    """The free texts of a header, by their names; for who searches for what identifies."""
    ask_for(".nii")
    import nibabel

    with _explained(file):
        header = nibabel.Nifti1Image.from_filename(file, mmap=False).header
    found = {name: bytes(header[name].tobytes()).rstrip(b"\0") for name in TEXTS}
    return {name: text.decode("utf-8", "replace") for name, text in found.items() if text}


def stem(file: Path) -> str:
    """The name of a file without its suffix; of CT and dose in lower case."""
    name = re.sub(r"\.nii(\.gz)?$", "", as_text(file.name), flags=re.IGNORECASE)
    return name.lower() if name.lower() in ("ct", "dose") else name


def read_nifti_case(folder: Path, files: Iterable[Path]) -> Case:
    """The case of these files of a folder; InputError names the file that cannot be used."""
    ask_for(".nii")
    named = _named(folder, files)
    ct = _ct(named.pop("ct")) if "ct" in named else None
    dose = _dose(named.pop("dose"), ct) if "dose" in named else None
    grid = ct or dose
    assert grid is not None
    masks = {name: _mask(file, grid) for name, file in named.items()}
    structures = {name: mask for name, mask in masks.items() if mask.array.any()}
    empty = sorted(masks.keys() - structures.keys())
    parts = (("CT", ct), ("dose", dose), ("structures", structures or None))
    warnings = [f"the case has no {part}" for part, value in parts if value is None]
    if empty:
        warnings.append(f"{len(empty)} masks are empty")
    if ct is not None and ct.array.min() >= 0:
        warnings.append(NOT_HU)
    return Case(
        id=as_text(folder.name),
        ct=ct,
        dose=dose,
        structures=structures,
        prescription_gy=_prescription(structures),
        warnings=tuple(warnings),
    )


def _named(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in sorted(files):
        if (other := named.setdefault(stem(file), file)) != file:
            raise InputError(f"{file}: has the name of {other}; keep one of them")
    if len(named) > MOST_MASKS:
        raise InputError(f"{folder}: {len(named)} files, above the {MOST_MASKS} that are read")
    return named


def _prescription(structures: Mapping[str, Volume]) -> float | None:
    found = [re.fullmatch(r"PTV[ _]?(\d{1,3})", name, re.IGNORECASE) for name in structures]
    levels = [int(one[1]) for one in found if one is not None]
    return float(max(levels)) if levels else None


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turn the many ways in which a file can be damaged into one clear line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        why = type(error).__name__
        raise InputError(
            f"{file}: damaged or not NIfTI ({why}); copy or export it again"
        ) from error


def _volume(file: Path) -> Volume:
    """Values and place of one file, axes (z, y, x), in LPS."""
    import nibabel

    with _explained(file):
        image = nibabel.Nifti1Image.from_filename(file, mmap=False)
        shape = tuple(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        affine = _affine(file, image)
        if len(shape) != 3 or 0 in shape:
            raise InputError(f"{file}: a volume has 3 axes, this has shape {image.shape}")
        if 8 * int(np.prod(shape, dtype=object)) > MAX_BYTES:
            raise InputError(f"{file}: declares shape {shape}, above the size limit")
        array = np.asarray(image.dataobj).reshape(shape)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{file}: values must be real numbers, got {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(f"{file}: holds values that are not finite; export it again")
    return canonical(
        np.ascontiguousarray(array.transpose(2, 1, 0)), (LPS @ affine)[:, [2, 1, 0, 3]]
    )


def _affine(file: Path, image: Any) -> NDArray[np.float64]:
    header = image.header
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        raise InputError(
            f"{file}: says not how it lies in the patient (sform and qform are 0); export it with "
            "its orientation"
        )
    unit = header.get_xyzt_units()[0]
    if unit not in ("mm", "unknown"):
        raise InputError(f"{file}: lengths are in {unit}, not mm; export it in mm")
    return np.asarray(image.affine, dtype=np.float64)


def _ct(file: Path) -> Volume:
    volume = _volume(file)
    low, high = float(volume.array.min()), float(volume.array.max())
    if low < HU_RANGE[0] or high > HU_RANGE[1]:
        raise InputError(f"{file}: HU from {low:g} to {high:g} are no CT; check its scale")
    return Volume(np.rint(volume.array).astype(np.int16), volume.affine)


def _dose(file: Path, ct: Volume | None) -> Volume:
    volume = _volume(file)
    dose = Volume(checked_dose(volume.array, file), volume.affine)
    if ct is None:
        return dose
    if parallel_axes(np.linalg.inv(dose.affine)[:3, :3] @ ct.affine[:3, :3]) is None:
        raise InputError(f"{file}: its grid is turned against the CT's; resample it to the CT")
    z, y, x = ct.array.shape
    on_ct = resample(dose, ct.affine, (z, y, x))
    if dose.array.any() and not on_ct.any():
        raise InputError(f"{file}: lies wholly outside the CT; check that both are one patient's")
    return Volume(on_ct, ct.affine)


def _mask(file: Path, grid: Volume) -> Volume:
    mask = _volume(file)
    if mask.array.shape != grid.array.shape or not np.allclose(
        mask.affine, grid.affine, rtol=1e-5, atol=SAME_MM
    ):
        raise InputError(
            f"{file}: lies on another grid {mask.array.shape} than the CT {grid.array.shape}; "
            "resample it to the CT"
        )
    if not np.isin(mask.array, (0, 1)).all():
        values = len(np.unique(mask.array))
        raise InputError(
            f"{file}: a mask holds 0 and 1, this has {values} values; save each structure as a "
            "file of its own"
        )
    return Volume(mask.array.astype(bool), grid.affine)
