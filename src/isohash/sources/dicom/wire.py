"""What is known of DICOM files and cases as JSON and raw bytes, for the way between processes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import PlacedDose
from isohash.dosimetry.drawing import Drawing
from isohash.dosimetry.drawing import Plane as ContourPlane
from isohash.dosimetry.structures import Structure
from isohash.records import Case, Volume
from isohash.sources.dicom.case_files import CaseFiles
from isohash.sources.dicom.geometry import Plane
from isohash.sources.dicom.scan import Instance

_SETS = ("refers_to", "images", "groups", "beams", "setups")


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
    sets = {name: frozenset(map(_hashable, fields[name])) for name in _SETS}
    return Instance(**{**fields, **sets, "path": Path(fields["path"]), "planes": planes})


def _hashable(item: Any) -> Any:
    """A pair, which JSON makes a list of, as a tuple again."""
    return tuple(item) if isinstance(item, list) else item


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
    """Header and blobs: CT as it is, dose on its own grids, structures as contours and bits."""
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
    about = {"affine": volume.affine.tolist()}
    if isinstance(volume, Structure):
        return {**about, "kind": "structure", **_structure_to(volume, blobs)}
    if isinstance(volume, PlacedDose):
        parts = [_volume_to(part, blobs) for part in volume.parts]
        return {**about, "kind": "placed", "shape": volume.shape, "parts": parts}
    return {**about, "kind": "plain", "array": array_to(volume.array, blobs)}


def _volume_from(item: dict[str, Any] | None, blobs: list[bytearray]) -> Volume | None:
    if item is None:
        return None
    affine = np.array(item["affine"])
    if item["kind"] == "structure":
        return _structure_from(item, affine, blobs)
    if item["kind"] == "placed":
        parts = [part for one in item["parts"] if (part := _volume_from(one, blobs)) is not None]
        return PlacedDose(parts, affine, tuple(item["shape"]))
    return Volume(array_from(item["array"], blobs), affine)


def _structure_to(structure: Structure, blobs: list[NDArray[Any]]) -> dict[str, Any]:
    """The mask, and all rings of all planes one after another."""
    planes = structure.drawing.planes
    rings = [ring for plane in planes for ring in plane.rings]
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    arrays: dict[str, NDArray[Any]] = {
        "bits": structure.bits,
        "points": points.astype(np.float32),
        "sizes": np.array([len(ring) for ring in rings], dtype=np.int32),
        "groups": np.array([group for p in planes for group in p.groups], dtype=np.int32),
        "counts": np.array([len(plane.rings) for plane in planes], dtype=np.int32),
        "slabs": np.array([(plane.low, plane.high) for plane in planes]).reshape(-1, 2),
    }
    return {
        "shape": structure.shape,
        "box": [(side.start, side.stop) for side in structure.box],
        **{name: array_to(array, blobs) for name, array in arrays.items()},
    }


def _structure_from(
    item: dict[str, Any], affine: NDArray[np.float64], blobs: list[bytearray]
) -> Structure:
    names = ("bits", "points", "sizes", "groups", "counts", "slabs")
    bits, points, sizes, groups, counts, slabs = (array_from(item[n], blobs) for n in names)
    rings = np.split(points.astype(np.float64), np.cumsum(sizes)[:-1]) if len(sizes) else []
    ends = np.cumsum(counts)
    planes = [
        ContourPlane(low, high, tuple(rings[end - n : end]), tuple(groups[end - n : end].tolist()))
        for (low, high), n, end in zip(slabs.tolist(), counts.tolist(), ends.tolist(), strict=True)
    ]
    z, y, x = (slice(start, stop) for start, stop in item["box"])
    return Structure(bits, (z, y, x), tuple(item["shape"]), affine, Drawing(tuple(planes)))


def array_to(array: NDArray[Any], blobs: list[NDArray[Any]]) -> dict[str, Any]:
    """What an array is; its values go to the blobs, masks as bits."""
    is_mask = array.dtype.kind == "b"
    blobs.append(np.packbits(array) if is_mask else _bytes_of(np.ascontiguousarray(array)))
    return {"blob": len(blobs) - 1, "shape": array.shape, "dtype": array.dtype.str}


def array_from(item: dict[str, Any], blobs: list[bytearray]) -> NDArray[Any]:
    """The inverse of `array_to`."""
    dtype, shape = np.dtype(item["dtype"]), tuple(item["shape"])
    if dtype.kind == "b":
        bits = np.frombuffer(blobs[item["blob"]], np.uint8)
        return np.unpackbits(bits, count=math.prod(shape)).view(bool).reshape(shape)
    array: NDArray[Any] = np.frombuffer(blobs[item["blob"]], dtype)
    return array.reshape(shape)


def _bytes_of(array: NDArray[Any]) -> NDArray[Any]:
    """Texts have no buffer of their own that can be sent."""
    return array.reshape(-1).view(np.uint8) if array.dtype.kind in "US" else array
