"""Learning a kernel end to end: what it finds, records, resumes and refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.base import clone

from isohash import KernelLearner
from isohash.errors import InputError
from isohash.kernels.learning.diagnostics import effective_sample_size, settled
from isohash.kernels.learning.isometry import Isometry, NeighbourPairs
from isohash.kernels.learning.multiplier import smallest_feasible
from isohash.kernels.learning.pseudo_labels import cluster_labels
from isohash.kernels.target_alignment import LabelledPairs
from kernel_oracles import mean_alignment

QUICK = {"n_particles": 40, "n_steps": 200, "batch_size": 50, "record_every": 20}


def test_alignment_finds_the_best_single_bandwidth(two_classes, rng):
    points, labels = two_classes
    learner = KernelLearner(n_particles=60, n_steps=1500).fit(points, labels)
    judge = LabelledPairs(points, labels).draw(200_000, rng)
    best = -minimize_scalar(
        lambda u: -mean_alignment(np.array([math.exp(u)]), judge), (-6.0, 0.0)
    ).fun
    reached = mean_alignment(learner.kernel.particles, judge)
    # K is in [0, 1] and the learner saw 150 000 pairs: two Hoeffding bands of its own optimum.
    assert reached >= best - 2 * math.sqrt(2 * math.log(2 / 1e-9) / 150_000)
    assert reached > mean_alignment(np.array([1.0]), judge) + 0.02
    assert learner.converged


def test_isometry_serves_the_distance_of_the_kth_neighbour(rng):
    points = 3.0 * rng.standard_normal((800, 20))
    dithered = KernelLearner("isometry", n_neighbours=30, **QUICK).fit(points)
    plain = KernelLearner("isometry", n_neighbours=30, dither=False, **QUICK).fit(points)
    for learner, best in ((dithered, 0.65), (plain, 0.9)):
        # In 20 dimensions all ranks lie within a factor 2 of each other, so the known optimum at
        # one distance, xi r^2 = 0.65 (0.9 without threshold), must come out within that factor.
        scaled = learner.kernel.particles * learner.reference_distance_**2
        assert best / 2 < np.median(scaled) < best * 1.5
        assert np.ptp(np.log(scaled)) < 0.5
        assert learner.converged


def two_scales(n, rng, factor):
    """Two coarse and two fine clusters in 8 dimensions, `factor` apart in width."""
    centres, member = 12.0 * rng.standard_normal((4, 8)), rng.integers(0, 4, n)
    width = np.where(np.arange(4) < 2, 1.0, 1.0 / factor)
    return centres[member] + width[member, None] * rng.standard_normal((n, 8))


def test_data_of_two_scales_get_a_mixture_that_no_single_bandwidth_equals(rng):
    points = two_scales(1500, rng, factor=100.0)
    settings = {"n_particles": 60, "n_steps": 1000, "n_neighbours": 20}
    learner = KernelLearner("isometry", **settings).fit(points)
    judge, objective = NeighbourPairs(points, 20, rng).draw(20_000, rng), Isometry()
    grid = np.geomspace(1e-3, 1e4, 120)
    single = min(objective.value(np.array([xi]), judge) for xi in grid)
    assert objective.value(learner.kernel.particles, judge) < single - 0.1
    fine = np.log10(learner.kernel.particles) > 2.0
    assert 0.1 < fine.mean() < 0.9
    # In each cluster distances are 100 times those of the other: squared, four decades.
    gap = np.median(np.log10(learner.kernel.particles[fine]))
    gap -= np.median(np.log10(learner.kernel.particles[~fine]))
    assert 3.5 < gap < 4.5


def test_bounds_cover_what_the_distances_can_use(rng):
    points = two_scales(600, rng, factor=100.0)
    wide = KernelLearner("isometry", n_neighbours=20, **QUICK).fit(points).bounds_
    assert wide[1] / wide[0] > 1e4
    given = KernelLearner("isometry", n_neighbours=20, bounds=(0.1, 2.0), **QUICK).fit(points)
    assert given.bounds_ == (0.1, 2.0)
    assert (np.abs(given.history.particles - np.log(0.2) / 2) <= np.log(20.0) / 2 + 1e-9).all()


def test_the_kernel_scales_with_the_data(two_classes):
    points, labels = two_classes
    near = KernelLearner(**QUICK).fit(points, labels).kernel.particles
    far = KernelLearner(**QUICK).fit(8.0 * points, labels).kernel.particles
    np.testing.assert_allclose(64.0 * far, near, rtol=1e-9)


def test_the_same_seed_gives_the_same_bytes(two_classes):
    points, _ = two_classes
    settings = {"beta": 100.0, "n_clusters": 4, **QUICK}
    first, second = (KernelLearner(**settings).fit(points) for _ in range(2))
    other = KernelLearner(random_state=1, **settings).fit(points)
    assert first.kernel.particles.tobytes() == second.kernel.particles.tobytes()
    assert first.kernel.particles.tobytes() != other.kernel.particles.tobytes()


def test_a_step_means_the_same_for_any_number_of_particles(two_classes):
    points, labels = two_classes
    means = [
        KernelLearner(n_particles=n, initial=np.full(n, 1.5), n_steps=50, power=0.0)
        .fit(points, labels).kernel.particles.mean()
        for n in (10, 1000)
    ]  # fmt: skip
    # Equal particles stay equal; only the random pairs differ, by draws of `initial` (none here).
    assert means[0] == pytest.approx(means[1], rel=1e-9)


@pytest.mark.parametrize(
    ("beta", "share", "epsilon", "boundary"),
    [
        (math.inf, 0.3, 0.0, "project"),
        (20.0, 0.5, 0.0, "reflect"),
        (20.0, 0.9, 0.0, "project"),
        (math.inf, 0.3, 0.05, "project"),
        (20.0, 0.5, 0.05, "reflect"),
    ],
)
def test_no_run_ends_outside_the_ball(two_classes, beta, share, epsilon, boundary):
    """Sorting judges: the entropic distance exceeds the exact one, so both must hold."""
    settings = QUICK | {"n_steps": 60, "beta": beta, "boundary": boundary}
    far = KernelLearner(**settings).fit(*two_classes).diagnostics_.wasserstein
    radius = max(share * far, 0.35)  # epsilon alone keeps 0.3 between equal particles
    held = KernelLearner(radius=radius, epsilon=epsilon, **settings).fit(*two_classes)
    first, last = np.sort(held.history.particles[[0, -1]], axis=1)
    exact = math.sqrt(np.mean((last - first) ** 2))
    assert exact <= held.diagnostics_.wasserstein + 1e-9 <= radius + 1e-9


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_the_ball_is_nearly_filled(two_classes, epsilon):
    points, labels = two_classes
    settings = QUICK | {"n_steps": 80}
    free = KernelLearner(**settings).fit(points, labels).diagnostics_
    radius = 0.5 * free.wasserstein
    held = (
        KernelLearner(radius=radius, epsilon=epsilon, **settings).fit(points, labels).diagnostics_
    )
    assert free.multiplier == 0.0
    assert held.multiplier > 0.0
    # The multiplier is the smallest feasible one to 10 per cent, so the ball is nearly filled.
    assert 0.8 * radius < held.wasserstein <= radius
    assert free.objective < held.objective < held.start


def test_a_ball_that_cannot_hold_is_refused(two_classes):
    points, labels = two_classes
    learner = KernelLearner(radius=1e-3, epsilon=1.0, **(QUICK | {"n_steps": 20}))
    with pytest.raises(InputError, match="raise radius or lower epsilon"):
        learner.fit(points, labels)


@pytest.mark.parametrize("beta", [math.inf, 50.0])
@pytest.mark.parametrize("radius", [None, 0.7])
def test_an_interrupted_run_ends_with_the_same_bytes(two_classes, tmp_path, beta, radius):
    points, labels = two_classes
    settings = QUICK | {"beta": beta, "radius": radius, "epsilon": 0.2, "n_steps": 80}

    class StopError(Exception):
        pass

    def stop(done, total, message):
        stop.calls += 1
        if stop.calls == 4:
            raise StopError

    stop.calls = 0
    with pytest.raises(StopError):
        KernelLearner(**settings).fit(points, labels, checkpoint=tmp_path / "run", progress=stop)
    resumed = KernelLearner(**settings).fit(points, labels, checkpoint=tmp_path / "run")
    whole = KernelLearner(**settings).fit(points, labels)
    assert resumed.kernel.particles.tobytes() == whole.kernel.particles.tobytes()
    assert resumed.diagnostics_ == whole.diagnostics_
    for name, column in whole.history.arrays().items():
        np.testing.assert_array_equal(getattr(resumed.history, name), column)


def test_a_checkpoint_of_other_data_or_settings_is_refused(two_classes, tmp_path):
    points, labels = two_classes
    KernelLearner(**QUICK).fit(points, labels, checkpoint=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        KernelLearner(**QUICK).fit(points + 1.0, labels, checkpoint=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        KernelLearner(**QUICK, gamma=2.0).fit(points, labels, checkpoint=tmp_path)


def test_a_damaged_checkpoint_is_named(two_classes, tmp_path):
    points, labels = two_classes
    KernelLearner(**QUICK).fit(points, labels, checkpoint=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        KernelLearner(**QUICK).fit(points, labels, checkpoint=tmp_path)


def test_progress_ends_at_its_total(two_classes):
    calls = []
    KernelLearner(**QUICK).fit(*two_classes, progress=lambda *call: calls.append(call))
    assert calls[-1][:2] == (200, 200)
    assert [c[0] for c in calls] == sorted({c[0] for c in calls})


def test_the_history_has_a_row_for_every_record(two_classes):
    learner = KernelLearner(**QUICK).fit(*two_classes)
    history = learner.history
    np.testing.assert_array_equal(history.steps, np.arange(0, 201, 20))
    assert history.particles.shape == (11, 40)
    assert history.wasserstein[0] == 0.0
    assert history.objective[-1] == learner.diagnostics_.objective
    np.testing.assert_array_equal(
        learner.bandwidths(history.particles[-1]), learner.kernel.particles
    )


def test_it_can_be_cloned_like_any_estimator():
    learner = KernelLearner("isometry", 7, 3, dither=False)
    assert clone(learner).get_params() == learner.get_params()


def test_clusters_are_ranked_by_size(rng):
    sizes = [60, 30, 10]
    points = np.concatenate([
        rng.standard_normal((n, 2)) * 0.1 + 10.0 * k for k, n in enumerate(sizes)
    ])  # fmt: skip
    for rank, size in enumerate(sizes):
        assert cluster_labels(points, 3, rank, seed=0).sum() == size
    assert sorted(np.bincount(cluster_labels(points, 3, "all", seed=0))) == [10, 30, 60]


def test_default_pseudo_labels_do_as_well_as_the_true_ones(rng):
    """Ten blobs: k-means' one cluster against the rest leads where their labels would."""
    labels = rng.integers(0, 10, 2500)
    points = 3.0 * rng.standard_normal((10, 12))[labels] + rng.standard_normal((2500, 12))
    learner = KernelLearner(n_particles=30, n_steps=800)
    assert (learner.n_clusters, learner.cluster, learner.label_subset) == (10, 0, 2000)
    judge = LabelledPairs(points, labels).draw(50_000, rng)
    without = mean_alignment(learner.fit(points).kernel.particles, judge)
    given = mean_alignment(learner.fit(points, labels).kernel.particles, judge)
    best = max(mean_alignment(np.array([xi]), judge) for xi in np.geomspace(1e-4, 1.0, 60))
    assert given > best - 0.01
    assert without > best - 0.03  # 0.5 is between no kernel (0) and a perfect one (1)
    assert best > 0.3


def test_labels_come_from_the_stated_subset_only(rng, monkeypatch):
    seen = []

    def spy(points, *settings):
        seen.append(len(points))
        return cluster_labels(points, *settings)

    monkeypatch.setattr("isohash.kernels.learning.learner.cluster_labels", spy)
    points = rng.standard_normal((500, 3))
    KernelLearner(n_clusters=3, label_subset=120, **QUICK).fit(points)
    assert seen == [120]


def test_the_multiplier_is_the_smallest_that_holds():
    tried = []

    def run(h):
        tried.append(h)
        return 10.0 / (1.0 + h)

    h, outcome = smallest_feasible(run, lambda w: w, radius=1.3)
    exact = 10.0 / 1.3 - 1.0
    assert exact <= h <= exact * 1.12
    assert outcome == run(h)
    assert tried[:5] == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert smallest_feasible(run, lambda w: w, radius=10.0)[0] == 0.0


def test_a_trace_settles_when_it_stops_falling():
    falling = np.exp(-np.arange(40) / 3.0)
    assert settled(falling)
    assert not settled(-np.arange(40.0))
    assert not settled(falling[:6])


def test_effective_sample_size_follows_the_autocorrelation(rng):
    """An AR(1) trace with coefficient a holds n (1 - a) / (1 + a) independent values."""
    n, a = 20_000, 0.8
    noise, trace = rng.standard_normal(n), np.zeros(n)
    for t in range(1, n):
        trace[t] = a * trace[t - 1] + noise[t]
    assert effective_sample_size(trace) == pytest.approx(n * (1 - a) / (1 + a), rel=0.2)
    assert effective_sample_size(noise) == pytest.approx(n, rel=0.1)
    assert effective_sample_size(np.ones(50)) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "nearest"}, "objective must be"),
        ({"n_particles": 0}, "n_particles"),
        ({"n_steps": 0}, "n_steps"),
        ({"bounds": (2.0, 1.0)}, "xi_l < xi_u"),
        ({"bounds": (-1.0, 1.0)}, "lower bound"),
        ({"coordinate": "log", "bounds": (0.0, 1.0)}, "lower bound"),
        ({"coordinate": "polar"}, "coordinate"),
        ({"radius": 0.0}, "radius"),
        ({"gamma": 0.0}, "gamma"),
        ({"beta": -1.0}, "beta"),
        ({"step_size": -1.0}, "step_size"),
        ({"initial": "normal"}, "initial"),
        ({"initial": [9.0] * 40}, "within bounds"),
        ({"epsilon": -1.0, "radius": 1.0}, "epsilon"),
    ],
)
def test_bad_settings_are_named(two_classes, settings, message):
    with pytest.raises(InputError, match=message):
        KernelLearner(**(QUICK | settings)).fit(*two_classes)


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.zeros((10, 2)), None, "clusters empty"),
        (np.zeros((10, 2)), np.arange(10) % 2, "duplicates"),
        (np.full((10, 2), np.nan), None, "contains NaN"),
        (np.eye(10), np.zeros(10), "all labels are equal"),
        (np.eye(10), np.zeros(9), "one label for each"),
        (np.eye(10), np.where(np.arange(10) % 2, np.nan, 1.0), "None or NaN"),
        (np.eye(10), ["a", None] * 5, "None or NaN"),
        (np.eye(10) + 1j, None, "Complex"),
        (np.zeros(10), None, "shape"),
        (np.eye(4), None, "n_clusters"),
    ],
)
def test_data_that_teach_nothing_are_named(points, labels, message):
    with pytest.raises(InputError, match=message):
        KernelLearner(**QUICK).fit(points, labels)


@pytest.mark.parametrize("n", [2, 30, 50])
def test_few_points_serve_their_nearest_tenth(rng, n):
    points = rng.standard_normal((n, 6))
    settings = {**QUICK, "n_steps": 5}
    tenth = KernelLearner("isometry", n_neighbours=max(1, math.ceil(n / 10)), **settings)
    usual = KernelLearner("isometry", **settings).fit(points)
    assert usual.kernel_.particles.tolist() == tenth.fit(points).kernel_.particles.tolist()
