"""Gamma against closed forms, against dense sampling of the same field, and against pymedphys."""

import doctest
from itertools import permutations

import numpy as np
import pytest

from isohash.dosimetry import gamma as module
from isohash.dosimetry.dose import PlacedDose
from isohash.dosimetry.gamma import MOST, GammaCriteria, gamma_index
from isohash.errors import InputError
from isohash.records import Volume

# (z, y, x) -> patient mm: anisotropic, and no two axes alike
AFFINE = np.array([[0, 0, 2.0, -7.0], [0, 1.5, 0, 4.0], [3.0, 0, 0, 11.0], [0, 0, 0, 1.0]])


def smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma: float = 1.5) -> np.ndarray:
    from scipy import ndimage

    field = ndimage.gaussian_filter(rng.random(shape), sigma)
    return 60.0 * (field - field.min()) / np.ptp(field) + 5.0


def ramp(slope: tuple[float, float, float], more: float = 0.0, shape=(8, 9, 10)) -> Volume:
    """A dose linear in patient z, y, x (Gy a mm), well above 0."""
    points = np.indices(shape).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    gy = 50.0 + points @ np.array(slope[::-1]) + more
    return Volume(gy.reshape(shape), AFFINE)


@pytest.mark.parametrize("slope", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.3, -0.7, 1.1)])
def test_between_two_ramps_gamma_is_the_distance_of_two_planes(slope) -> None:
    criteria = GammaCriteria(3.0, 2.0, 0.0, normalisation_gy=50.0)
    found = gamma_index(ramp(slope, 1.2), ramp(slope), criteria).values.array
    expected = 1.2 / np.sqrt(1.5**2 + 2.0**2 * np.square(slope).sum())
    inner = found[2:-2, 2:-2, 2:-2]  # the foot of the perpendicular lies on the grid
    assert inner == pytest.approx(np.full(inner.shape, expected), abs=1e-6)
    assert (found >= expected - 1e-6).all()


def sampled(dose: Volume, points: np.ndarray, wanted: np.ndarray, criteria, level, n: int):
    """The least over many points of every tetrahedron, each corner by corner: slow and plain."""
    steps = np.array([(a, b, c) for a in range(n + 1) for b in range(n + 1 - a)
                      for c in range(n + 1 - a - b)]) / n  # fmt: skip
    weights = np.column_stack([1.0 - steps.sum(axis=1), steps])
    best = np.full(len(points), np.inf)
    shape = dose.array.shape
    for base in np.ndindex(*(size - 1 for size in shape)):
        for order in permutations(range(3)):
            corners = [np.array(base)]
            for axis in order:
                corners.append(corners[-1] + np.eye(3, dtype=int)[axis])
            place = weights @ np.array(corners) @ dose.affine[:3, :3].T + dose.affine[:3, 3]
            gy = weights @ np.array([dose.array[tuple(corner)] for corner in corners])
            far = ((place[None] - points[:, None]) ** 2).sum(axis=2) / criteria.mm**2
            off = ((gy[None] - wanted[:, None]) / (criteria.percent / 100.0 * level)) ** 2
            best = np.minimum(best, (far + off).min(axis=1))
    return np.minimum(np.sqrt(best), MOST)


@pytest.mark.parametrize("local", [False, True])
def test_gamma_is_the_least_of_dense_samples_and_never_above_it(rng, local) -> None:
    shape, criteria = (4, 5, 4), GammaCriteria(3.0, 2.0, 10.0, local)
    reference = Volume(smooth(rng, shape), AFFINE)
    dose = Volume(smooth(rng, shape) * 0.2 + reference.array * 0.8, AFFINE)
    found = gamma_index(dose, reference, criteria).values.array
    used = ~np.isnan(found)
    points = np.argwhere(used) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    wanted = reference.array[used]
    level = wanted if local else reference.array.max()
    unit = level[:, None] if local else level
    coarse = sampled(dose, points, wanted, criteria, unit, n=6)
    assert used.sum() > 60
    assert np.ptp(found[used]) > 0.5
    assert (found[used] <= coarse + 1e-6).all()
    # the foot of the perpendicular has a sample of its face within a sixth of the longest edge
    diagonal = (np.square((3.0, 1.5, 2.0)) / criteria.mm**2).sum()
    steepest = max(np.abs(np.diff(dose.array, axis=axis)).max() for axis in range(3))
    edge = diagonal + (3.0 * steepest / (criteria.percent / 100.0 * np.min(level))) ** 2
    told = coarse < MOST
    assert (coarse[told] ** 2 - found[used][told] ** 2 <= edge / 6**2).all()


def test_gamma_agrees_with_pymedphys(rng) -> None:
    """Which samples at a tenth of the distance and interpolates cube by cube (trilinearly)."""
    pymedphys = pytest.importorskip("pymedphys")
    shape = (7, 8, 9)
    reference = smooth(rng, shape, 3.0)  # so that both interpolations agree
    dose = 0.85 * reference + 0.15 * smooth(rng, shape, 3.0)
    axes = tuple(np.arange(n) * mm for n, mm in zip(shape, (3.0, 1.5, 2.0), strict=True))
    theirs = pymedphys.gamma(
        axes, reference, axes, dose, 3, 2, lower_percent_dose_cutoff=20, max_gamma=MOST,
        interp_algo="scipy",
    )  # fmt: skip
    criteria = GammaCriteria(3.0, 2.0, 20.0)
    ours = gamma_index(Volume(dose, AFFINE), Volume(reference, AFFINE), criteria).values.array
    assert (np.isnan(ours) == np.isnan(theirs)).all()
    apart = (ours - theirs)[~np.isnan(ours)]
    assert np.ptp(ours[~np.isnan(ours)]) > 0.8
    assert np.abs(apart).max() < 0.1  # their step
    assert -0.05 < apart.mean() <= 0.0  # sampling can only miss the least


def test_a_dose_agrees_with_itself_and_gamma_is_kept_by_turns(rng) -> None:
    reference, dose = (Volume(smooth(rng, (6, 7, 8)), AFFINE) for _ in range(2))
    assert np.nanmax(gamma_index(reference, reference).values.array) < 1e-9
    angle = 0.4
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = (3.0, -8.0, 100.0)
    plain = gamma_index(dose, reference).values.array
    moved = (Volume(one.array, turn @ AFFINE) for one in (dose, reference))
    turned = gamma_index(*moved).values.array
    assert turned == pytest.approx(plain, abs=1e-6, nan_ok=True)


def test_grids_may_differ_and_what_lies_outside_is_counted() -> None:
    fine = np.diag([1.0, 0.5, 0.5, 1.0])  # finer, and shorter by half along z
    own = AFFINE @ fine
    points = np.indices((8, 17, 19)).reshape(3, -1).T @ own[:3, :3].T + own[:3, 3]
    gy = 50.0 + points @ np.array([1.1, -0.7, 0.3]) + 1.2
    dose = Volume(gy.reshape(8, 17, 19)[:4], own)
    criteria = GammaCriteria(3.0, 2.0, 0.0, normalisation_gy=50.0)
    found = gamma_index(dose, ramp((0.3, -0.7, 1.1)), criteria)
    assert found.outside == 4 * 9 * 10
    assert found.points == 4 * 9 * 10
    expected = 1.2 / np.sqrt(1.5**2 + 4.0 * (0.3**2 + 0.7**2 + 1.1**2))
    inner = found.values.array[1:3, 2:-2, 2:-2]
    assert inner == pytest.approx(np.full(inner.shape, expected), abs=1e-6)


def test_the_threshold_the_norm_and_the_cap_are_as_told() -> None:
    reference = Volume(np.linspace(0.0, 80.0, 720).reshape(8, 9, 10), AFFINE)
    found = gamma_index(Volume(reference.array + 40.0, AFFINE), reference)
    judged = ~np.isnan(found.values.array)
    assert (judged == (reference.array >= 8.0)).all()
    assert found.values.array[judged].max() == MOST
    assert found.passing_percent < 50.0
    assert found.normalisation_gy == 80.0


def test_of_a_placed_dose_the_points_are_those_of_its_own_grid() -> None:
    own = ramp((0.3, -0.7, 1.1))
    placed = PlacedDose([own], np.diag([1.0, 1.0, 1.0, 1.0]), (30, 30, 30))
    assert gamma_index(placed, placed).points == own.array.size


@pytest.mark.parametrize(
    ("criteria", "told"),
    [
        ({"percent": 0.0}, "percent must be positive, got 0.0"),
        ({"mm": float("nan")}, "mm must be positive, got nan"),
        ({"threshold_percent": 100.0}, "threshold_percent must be in 0..100, got 100.0"),
        ({"normalisation_gy": -1.0}, "normalisation_gy must be positive: -1.0"),
    ],
)
def test_senseless_criteria_are_refused(criteria, told) -> None:
    with pytest.raises(InputError, match=told):
        GammaCriteria(**criteria)


def test_no_dose_and_sheared_grids_are_refused() -> None:
    nothing = Volume(np.zeros((3, 3, 3)), AFFINE)
    with pytest.raises(InputError, match="the reference has no dose"):
        gamma_index(nothing, nothing)
    sheared = AFFINE.copy()
    sheared[0, 0] = 1.0
    with pytest.raises(InputError, match="not at right angles"):
        gamma_index(Volume(np.ones((3, 3, 3)), sheared), ramp((0, 0, 0)))


def test_the_example_runs() -> None:
    assert doctest.testmod(module).failed == 0
