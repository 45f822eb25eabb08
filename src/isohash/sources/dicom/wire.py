"""What is known of DICOM files and cases as JSON and raw bytes, for the way between processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.records import Case, Volume
from isohash.sources.dicom.geometry import Plane
from isohash.sources.dicom.link import CaseFiles
from isohash.sources.dicom.packed import PackedMask
from isohash.sources.dicom.scan import Instance

_SETS = ("refers_to", "images", "beams")


def instance_to_json(instance: Instance) -> dict[str, Any]:
    """All fields; sets become sorted lists."""
    fields = {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}
    fields["path"] = str(instance.path)
    fields["planes"] = [
        (plane.position, plane.orientation, plane.spacing, plane.rows, plane.columns)
        for plane in instance.planes
    ]
    return {**fields, **{name: sorted(fields[name]) for name in _SETS}}


def instance_from_json(fields: dict[str, Any]) -> Instance:
    """The inverse of `instance_to_json`."""
    planes = tuple(
        Plane(tuple(position), tuple(orientation), tuple(spacing), rows, columns)
        for position, orientation, spacing, rows, columns in fields["planes"]
    )
    sets = {name: frozenset(fields[name]) for name in _SETS}
    return Instance(**{**fields, **sets, "path": Path(fields["path"]), "planes": planes})


def files_to_json(files: CaseFiles) -> dict[str, Any]:
    """The files of a case."""
    one = {
        name: None if (file := getattr(files, name)) is None else instance_to_json(file)
        for name in ("structures", "plan")
    }
    return {
        "patient": files.patient,
        "frame_uid": files.frame_uid,
        "ct": [instance_to_json(instance) for instance in files.ct],
        "doses": [instance_to_json(instance) for instance in files.doses],
        "warnings": list(files.warnings),
        **one,
    }


def files_from_json(fields: dict[str, Any]) -> CaseFiles:
    """The inverse of `files_to_json`."""
    one = {
        name: None if fields[name] is None else instance_from_json(fields[name])
        for name in ("structures", "plan")
    }
    return CaseFiles(
        patient=fields["patient"],
        frame_uid=fields["frame_uid"],
        ct=tuple(instance_from_json(item) for item in fields["ct"]),
        doses=tuple(instance_from_json(item) for item in fields["doses"]),
        warnings=tuple(fields["warnings"]),
        **one,
    )


def case_to_message(case: Case) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Header and blobs: CT and dose as they are, masks as bits."""
    blobs: list[NDArray[Any]] = []
    header: dict[str, Any] = {
        "id": case.id,
        "patient": case.patient,
        "prescription_gy": case.prescription_gy,
        "warnings": list(case.warnings),
        "facts": dict(case.facts),
        "ct": _volume_to(case.ct, blobs),
        "dose": _volume_to(case.dose, blobs),
    }
    header["structures"] = {name: _volume_to(mask, blobs) for name, mask in case.structures.items()}
    return header, blobs


def case_from_message(header: dict[str, Any], blobs: list[bytearray]) -> Case:
    """The inverse of `case_to_message`."""
    return Case(
        id=header["id"],
        ct=_volume_from(header["ct"], blobs),
        dose=_volume_from(header["dose"], blobs),
        structures={
            name: mask
            for name, item in header["structures"].items()
            if (mask := _volume_from(item, blobs)) is not None
        },
        prescription_gy=header["prescription_gy"],
        warnings=tuple(header["warnings"]),
        facts=header["facts"],
        patient=header["patient"],
    )


def _volume_to(volume: Volume | None, blobs: list[NDArray[Any]]) -> dict[str, Any] | None:
    if volume is None:
        return None
    about = {"blob": len(blobs), "affine": volume.affine.tolist()}
    if isinstance(volume, PackedMask):
        blobs.append(volume.bits)
        return {**about, "shape": list(volume.shape), "dtype": "bits"}
    array = np.ascontiguousarray(volume.array)
    blobs.append(array)
    return {**about, "shape": list(array.shape), "dtype": array.dtype.str}


def _volume_from(item: dict[str, Any] | None, blobs: list[bytearray]) -> Volume | None:
    if item is None:
        return None
    shape, affine, blob = tuple(item["shape"]), np.array(item["affine"]), blobs[item["blob"]]
    if item["dtype"] == "bits":
        return PackedMask(np.frombuffer(blob, np.uint8), shape, affine)
    array: NDArray[Any] = np.frombuffer(blob, np.dtype(item["dtype"]))
    return Volume(array.reshape(shape), affine)
