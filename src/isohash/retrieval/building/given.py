"""What an archive is made from: a path, or cases or vectors that are already in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.progress import Progress
from isohash.records import Case, Vectors
from isohash.sources.found import Findings, Found, Origin
from isohash.sources.identity.naming import Naming
from isohash.sources.reading import find

Source = str | Path | NDArray[Any] | Iterable[Case]


def findings_of(source: Source, progress: Progress | None = None) -> Findings:
    """What there is to be indexed; InputError if it is nothing that an archive can hold."""
    if isinstance(source, str | Path):
        return find(source, progress=progress)
    if isinstance(source, np.ndarray):
        return _of_array(source)
    cases = list(source) if isinstance(source, Iterable) else [source]
    if not cases or not all(isinstance(case, Case) for case in cases):
        kinds = sorted({type(case).__name__ for case in cases}) or ["nothing"]
        raise InputError(f"a source is a path, cases or an array (n, d), got {', '.join(kinds)}")
    return Findings("memory", tuple(map(_of_case, cases)))


def _of_case(case: Case) -> Found:
    """What tells it from others of its name is its patient."""
    digest = _digest_of(case)
    origin = Origin(case.id, f"patient {case.patient}", lambda: digest)
    return Found(case.id, digest, case.id, partial(_let_out, case), origin=origin)


def _of_array(array: NDArray[Any]) -> Findings:
    rows = np.ascontiguousarray(array, dtype=np.float32) if array.dtype.kind in "iuf" else array
    if rows.ndim != 2 or not len(rows) or rows.dtype != np.float32 or not np.isfinite(rows).all():
        raise InputError(
            f"vectors are finite numbers of shape (n, d), got {array.dtype} of shape {array.shape}"
        )
    stamp = hashlib.blake2b(rows.tobytes(), digest_size=16).hexdigest()
    origin = Origin("array", stamp, lambda: stamp)  # other numbers are another array
    found = Found("array", stamp, "array", partial(_vectors, rows), origin=origin)
    return Findings("memory", (found,), holds="vectors")


def _digest_of(case: Case) -> str:
    """Another digest for another content."""
    digest = hashlib.blake2b(digest_size=16)
    plain = (case.patient, case.label, case.prescription_gy, case.warnings, dict(case.facts))
    digest.update(repr(plain).encode())
    volumes = {"ct": case.ct, "dose": case.dose, **case.structures}
    for name, volume in volumes.items():
        if volume is not None:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(volume.array).tobytes())
            digest.update(np.ascontiguousarray(volume.affine).tobytes())
    return digest.hexdigest()


def _vectors(rows: NDArray[np.float32], naming: Naming) -> Vectors:
    return Vectors(rows)


def _let_out(case: Case, naming: Naming) -> Case:
    """Names of structures leave by the same door as those of files."""
    return naming.let_out(case)
