"""Reads the files of one case: CT, dose on its grid, structures, prescription."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydicom.dataset import Dataset

from isohash.dosimetry.dose import PlacedDose
from isohash.dosimetry.dvh import share_without_dose
from isohash.dosimetry.structures import Structure
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.dicom.case_files import BY_POSITION, CaseFiles
from isohash.sources.dicom.elements import read_dataset
from isohash.sources.dicom.judge import check_height, judge
from isohash.sources.dicom.parts import check_parts
from isohash.sources.dicom.plan import Plan, read_plan
from isohash.sources.dicom.prescription import prescribe
from isohash.sources.dicom.scan import Instance
from isohash.sources.dicom.structures import StructureSet, TypedNames, read_structures
from isohash.sources.dicom.volumes import read_ct, read_dose
from isohash.sources.identity.naming import Naming

TURN = 1e-9  # voxels per voxel: less is no turn between two grids
BEYOND = 0.01  # share outside a grid from which it is worth a warning


def read_files(name: str, files: CaseFiles, naming: Naming | None = None) -> Case:
    """The case that `files` make up, under its pseudonym `name`; `naming` names its structures."""
    warnings = list(files.warnings)
    plan = read_plan(files.plan) if files.plan is not None else None
    warnings += plan.warnings if plan is not None else ()
    ct, ladder = read_ct(files.ct, warnings) if files.ct else (None, None)
    dose = _dose(ct, plan, files.doses, warnings)
    found = StructureSet()
    if files.structures is not None:
        frame = None if BY_POSITION in warnings else files.frame_uid or None
        typed = TypedNames(naming or Naming(), name, _headers(files))
        found = read_structures(files.structures, ct, dose, frame, typed, warnings, ladder)
    prescription, told = prescribe(plan or Plan(), found.labels)
    warnings += told
    if dose is not None:
        warnings += _uncovered(found.structures, dose)
    judged = judge(dose, prescription, plan or Plan())
    warnings += judged.warnings
    return Case(
        id=name,
        ct=ct,
        dose=dose,
        structures=found.structures,
        prescription_gy=prescription,
        warnings=tuple(warnings),
        patient=files.patient,
        facts={**_facts(files, plan or Plan(), dose is not None), **judged.facts},
    )


def _headers(files: CaseFiles) -> list[Dataset]:
    """One header of each kind of file: a person may be named in any of them."""
    some = (*files.ct[:1], *files.doses[:1], *((files.plan,) if files.plan else ()))
    return [read_dataset(file.path, stop_before_pixels=True) for file in some]


def _dose(
    ct: Volume | None, plan: Plan | None, files: Sequence[Instance], warnings: list[str]
) -> Volume | None:
    """The plan's dose; one that cannot be used leaves its CT a case that says so."""
    try:
        told = check_parts(plan, files)
        dose = _dose_on(ct, plan or Plan(), files, told)
        warnings += told
        return dose
    except InputError as error:
        if ct is None:
            raise InputError(f"{files[0].path}: {error}") from error
        warnings.append(f"the dose beside this CT cannot be used: {error}")
        return None


def _facts(files: CaseFiles, plan: Plan, dosed: bool) -> dict[str, str | int | float]:
    """What is known of plan and dose; days are shifted by the patient's own secret number."""
    days = {
        "imaged_on": min((file.day for file in files.ct if file.day), default=""),
        "planned_on": "" if files.plan is None else files.plan.day,
        "dose_type": files.doses[0].dose_type if dosed else "",
        "dose_of": files.doses[0].summation if dosed else "",
    }
    return {**plan.facts, **{name: fact for name, fact in days.items() if fact}}


def _dose_on(
    ct: Volume | None, plan: Plan, files: Sequence[Instance], warnings: list[str]
) -> Volume | None:
    """The summed dose on the CT's grid, or its own."""
    if not files:
        return None
    doses = [read_dose(file, warnings) for file in files]
    check_height(doses, plan, warnings)
    if ct is None:
        return _sum_on_own_grid(doses, warnings)
    beyond = [_share_beyond(dose, ct) for dose in doses]
    if max(beyond) > 1.0 - 1e-9:
        raise InputError("the dose grid lies wholly outside the CT")
    if max(beyond) > BEYOND:
        warnings.append(f"{100 * max(beyond):.0f} % of the dose grid lies outside the CT")
    z, y, x = ct.array.shape
    return PlacedDose(doses, ct.affine, (z, y, x))


def _sum_on_own_grid(doses: Sequence[Volume], warnings: list[str]) -> Volume:
    """The sum without a CT: on the grid that all share, or on the widest if it holds all others."""
    first = doses[0]
    if all(_same_grid(first, other) for other in doses[1:]):
        return Volume(np.sum([dose.array for dose in doses], axis=0), first.affine)
    widest = max(doses, key=lambda dose: dose.voxel_cc * dose.array.size)
    if max(_share_beyond(dose, widest) for dose in doses) > BEYOND:
        raise InputError(
            "doses to be added lie on different grids, of which none holds all, and there is no CT"
        )
    warnings.append("the doses that are added lie on different grids: seen on the widest of them")
    z, y, x = widest.array.shape
    return PlacedDose(doses, widest.affine, (z, y, x))


def _same_grid(a: Volume, b: Volume) -> bool:
    return a.array.shape == b.array.shape and np.allclose(a.affine, b.affine, atol=1e-3)


def _share_beyond(dose: Volume, ct: Volume) -> float:
    """Share of the dose grid's voxels that hold dose and lie outside the CT's voxels."""
    held = dose.array > 0.01 * dose.array.max()
    to_ct = np.linalg.inv(ct.affine) @ dose.affine
    inside = np.ones(1, dtype=bool)
    z, y, x = np.ogrid[tuple(map(slice, dose.array.shape))]
    for axis in range(3):  # along each axis of the CT; on a parallel grid this is one row of voxels
        steps = [
            step * at
            for step, at in zip(to_ct[axis, :3], (z, y, x), strict=True)
            if abs(step) > TURN
        ]
        at = sum(steps, start=np.array(to_ct[axis, 3]))
        inside = inside & (at >= -0.5) & (at <= ct.array.shape[axis] - 0.5)
    n_held = np.count_nonzero(held)
    return 1.0 - np.count_nonzero(held & inside) / n_held if n_held else 0.0


def _uncovered(structures: Mapping[str, Structure], dose: Volume) -> list[str]:
    """Structures of which more than a hundredth lies outside the dose grid."""
    notes = []
    for name, structure in structures.items():
        if (share := share_without_dose(dose, structure)) > BEYOND:
            notes.append(f"{100 * share:.0f} % of {name} lies outside the dose grid (counted 0 Gy)")
    return notes
