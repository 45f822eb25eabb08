"""What fields give to cells: the same in parts as all at once, and in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from isohash.features.cases import fields as module
from isohash.features.cases.anatomy import Anatomy, Level
from isohash.features.cases.fields import fields_of
from isohash.features.cases.voxels import VoxelSettings, voxels_of

# Of features and the crude plan together, most of it the rays to half of the cells. A matrix of all
# of them with its transpose took 800.
BYTES_A_CELL = 500


def off_centre(shape: tuple[int, int, int]) -> Anatomy:
    """A box of water of uneven sides with a target and an organ away from its middle."""
    body = np.ones(shape, bool)
    target, organ = np.zeros(shape, bool), np.zeros(shape, bool)
    target[3:12, 4:14, 9:22] = True
    organ[3:9, 4:12, 2:6] = True
    affine = np.diag([3.0, 4.0, -2.5, 1.0])[[2, 1, 0, 3]].T
    organs = {"Parotid_L": organ}
    return Anatomy("box", affine, body, body.astype("f4"), (Level(60.0, target),), organs, body)


def test_doses_of_some_cells_at_a_time_are_those_of_all_at_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = fields_of(off_centre((14, 17, 29)))
    fluences = [rng.random(fields.n_bixels).astype(np.float32) for _ in range(2)]
    whole = [fields.dose(fluence) for fluence in fluences]
    monkeypatch.setattr(module, "BLOCK", 1000)
    for own, together in zip(fields.doses(fluences), whole, strict=True):
        np.testing.assert_array_equal(own, together)


def test_some_of_the_cells_see_the_same_fields(rng: np.random.Generator) -> None:
    fields = fields_of(off_centre((14, 17, 29)))
    fluence = rng.random(fields.n_bixels).astype(np.float32)
    rows = np.flatnonzero(rng.random(len(fields.cells[0])) < 0.3)
    np.testing.assert_array_equal(fields.on(rows).dose(fluence), fields.dose(fluence)[rows])


def test_features_take_little_more_memory_than_the_rays_to_half_of_the_cells() -> None:
    anatomy = off_centre((40, 70, 70))
    settings = VoxelSettings((1.0, 0.8), ("Parotid_L",))
    _ = anatomy.target, anatomy.prescribed
    tracemalloc.start()
    try:
        voxels = voxels_of(anatomy, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    n_cells = len(voxels.values)
    assert peak < BYTES_A_CELL * n_cells, peak / n_cells
