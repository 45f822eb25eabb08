"""Small synthetic cases, and files of them, for the tests of the whole chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from isohash.archive.store import CaseStore
from isohash.records import Case
from isohash.sources.found import Findings, Found
from isohash.sources.phantom import phantom_case

SHAPE = (24, 64, 64)
FAMILIES, MEMBERS = 3, 5
DOSED_FAMILIES, DOSED_MEMBERS = 2, 6  # of the archive that has a dose model
# A dose model would take longer than all the rest; `dosed` has one.
OPTIONS = {"bits": 256, "dim": 16, "fit_slices": 240, "fit_cases": 12, "dose_model": False}


def phantom(family: int, member: int) -> Case:
    return phantom_case(family, member, shape=SHAPE)


def as_findings(cases: dict[str, Callable[[], Case]], stamp: str = "1") -> Findings:
    return Findings(
        "phantom",
        tuple(Found(k, stamp, k, lambda _, read=read: read()) for k, read in cases.items()),
    )


def some_phantoms(families: int = FAMILIES, members: int = MEMBERS) -> Findings:
    return as_findings(
        {
            f"phantom-{f:02d}-{m:02d}": partial(phantom, f, m)
            for f in range(families)
            for m in range(members)
        }
    )


def index_with_bare(path: Path, families: int, members: int, options: dict[str, object]) -> Path:
    """An archive of synthetic families; its last case came later, and has no structures."""
    from isohash.retrieval.building.indexing import index_found

    index_found(some_phantoms(families, members), path, options)
    bare = replace(phantom(0, members + 3), id="bare", patient="bare", structures={})
    index_found(as_findings({"bare": lambda: bare}), path, {})
    return path


def write_openkbp(case: Case, path: Path) -> None:
    """Write a case as OpenKBP's npz form: (y, x, z) axes, CT + 1024, cGy, bit masks."""
    from isohash.sources.openkbp import MASK_BITS

    grid = np.zeros((128, 128, 128), np.int64)

    def placed(array: np.ndarray) -> np.ndarray:
        out = grid.copy()
        turned = array[::-1].transpose(1, 2, 0)  # phantoms run from the feet to the head
        out[: turned.shape[0], : turned.shape[1], : turned.shape[2]] = turned
        return out

    hu = np.rint(case.ct.array).astype(np.int64)
    masks = sum(
        placed(case.structures[name].array).astype(np.int64) << bit
        for bit, name in enumerate(MASK_BITS)
        if name in case.structures
    )
    z, y, x = case.ct.spacing_mm
    np.savez_compressed(
        path,
        ct=placed(np.where(hu > -500, hu + 1024, 0)).astype(np.int16),
        dose=placed(np.rint(100 * case.dose.array)).astype(np.uint16),
        masks=np.asarray(masks + grid, np.uint16),
        voxel=np.array([y, x, z]),
    )


def write_openkbp_csv(npz: Path, folder: Path) -> None:
    """Write a case of `write_openkbp` in the challenge's original form: sparse CSV files."""
    from isohash.sources.openkbp import MASK_BITS

    folder.mkdir(parents=True)
    with np.load(npz) as file:
        _sparse(folder / "ct.csv", file["ct"], file["ct"])
        _sparse(folder / "dose.csv", file["dose"], file["dose"] / 100.0)
        for bit, name in enumerate(MASK_BITS):
            mask = (file["masks"] >> bit) & 1
            if mask.any():
                _sparse(folder / f"{name}.csv", mask, None)
        np.savetxt(folder / "voxel_dimensions.csv", file["voxel"])


def _sparse(path: Path, where: np.ndarray, values: np.ndarray | None) -> None:
    at = np.flatnonzero(where)
    told = [""] * len(at) if values is None else values.ravel()[at].tolist()
    lines = [f"{index},{value}" for index, value in zip(at.tolist(), told, strict=True)]
    path.write_text("\n".join([",data", *lines]) + "\n")


def lose(archive: Path, name: str) -> None:
    """Damage the segment that holds a file of an archive."""
    with CaseStore.open(archive) as store:
        sequence = store._log.state.files()[name]
    segment = archive / "segments" / f"{sequence:012d}.seg"
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes()[:-50])


@contextmanager
def quick_doses() -> Iterator[None]:
    """Dose models that take little time to fit and to ask: few fields, steps, cells and trees."""
    from isohash.features.cases.beams import BeamSettings
    from isohash.features.cases.crude_plan import PlanningGoals
    from isohash.features.encoders import dose_fitting
    from isohash.retrieval.building import dose_choice, plans_seen

    def common(*seen: object) -> object:
        beams, goals = BeamSettings(angles=(0, 120, 240)), PlanningGoals(iterations=3)
        return replace(dose_fitting.common_settings(*seen), beams=beams, goals=goals)

    boosting = dose_fitting.BoostingSettings(n_trees=20, leaves=15, least_samples=20, bins=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans_seen, "common_settings", common)
        patch.setattr(dose_fitting, "BOOSTING", boosting)
        patch.setattr(dose_choice, "MANY_CELLS", 600)
        patch.setattr(dose_fitting, "FEW_FOLDS", 3)
        yield
