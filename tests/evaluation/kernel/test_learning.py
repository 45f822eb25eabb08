"""The kernel-learning experiment: what it measures, writes and resumes, on synthetic digits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.evaluation.kernel import costs as kernel_costs
from isohash.evaluation.kernel import learning as kernel_learning
from isohash.evaluation.kernel import mixture as kernel_mixture
from isohash.evaluation.kernel.data import QUICK, read_vectors, two_scales
from isohash.evaluation.kernel.learning import run
from isohash.evaluation.kernel.mean_field import MeanFieldSettings, compare
from isohash.evaluation.kernel.mixture import bits_needed
from isohash.evaluation.kernel.retrieval import BEST, summary
from isohash.kernels.target_alignment import Pairs

TINY = replace(
    QUICK, n_database=400, n_queries=20, k=10, n_particles=20, n_steps=40, bits=(64, 256),
    cost_particles=(10,), cost_pairs=(500,),
    mixture=replace(QUICK.mixture, n_points=400, factors=(1.0, 100.0)),
)  # fmt: skip


@pytest.fixture
def data_dir(tmp_path, rng):
    """Images of ten blurred blobs in the layout of the MNIST file."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    centres = rng.integers(0, 256, (10, 28, 28))
    parts = {}
    for part, n in (("train", 600), ("test", 60)):
        noise = rng.integers(-60, 60, (n, 28, 28))
        parts[f"x_{part}"] = np.clip(centres[np.arange(n) % 10] + noise, 0, 255).astype(np.uint8)
    np.savez(folder / "mnist.npz", **parts)
    return tmp_path / "data"


def test_every_kernel_is_scored_and_everything_is_written(
    data_dir, tmp_path, monkeypatch, draw_no_more
):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(kernel_costs, "SGD_CHUNKS", 2)
    calls, out = [], tmp_path / "out"
    rows = run(out, data_dir, settings=TINY, progress=lambda *c: calls.append(c))
    assert calls[-1] == (6, 6, "done")
    lines = {(r["method"], r["bits"]): r["dice"] for r in summary(rows)}
    for bits in (64, 256):
        grid = [v for (m, b), v in lines.items() if b == bits and m.startswith("grid")]
        assert lines[BEST, bits] == max(grid)
        # An untuned bandwidth is far off: distances here are several units.
        assert lines["rule", bits] > lines["gamma = 1", bits] + 0.1
        assert lines["isometry", bits] > lines["gamma = 1", bits] + 0.1
    names = {p.name for p in out.iterdir()}
    tables = ("", "-scatter-mnist", "-precision-recall", "-ranges", "-widths", "-mean-field",
              "-cost", "-objective")  # fmt: skip
    assert {f"kernel{name}{end}" for name in tables for end in (".csv", ".json")} <= names
    pictures = ("dice", "evolution", "mean-field", "objective", "scatter-mnist", "ranges", "widths",
                "precision-recall")  # fmt: skip
    assert {f"kernel-{name}.png" for name in pictures} <= names
    told = json.loads((out / "kernel-mean-field.json").read_text())
    assert told["largest_mass_error"] < 1e-10

    def measured_again(*_):
        raise AssertionError("a finished part is measured again")

    for module, name in (
        (kernel_learning, "retrieval"), (kernel_learning, "views"),
        (kernel_costs, "costs"), (kernel_mixture, "two_widths"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, measured_again)
    draw_no_more()
    assert run(out, data_dir, settings=TINY) == rows


def test_differences_to_the_best_are_paired_by_seed():
    rows = [
        {"dataset": "d", "bits": 8, "method": method, "seed": seed, "dice": 0.1 * seed + extra}
        for method, extra in (("grid 1", 0.0), ("grid 2", -0.2), ("isometry", 0.05))
        for seed in (2, 0, 1)
    ]
    lines = {row["method"]: row for row in summary(rows)}
    assert lines[BEST]["dice"] == lines["grid 1"]["dice"] == pytest.approx(0.1)
    assert lines["isometry"]["minus_best"] == pytest.approx(0.05)
    assert lines["isometry"]["minus_best_half_width"] == 0.0
    # Student's t with 2 degrees of freedom: 4.303 times 0.1 / sqrt(3).
    assert lines["isometry"]["half_width"] == pytest.approx(4.303 * 0.1 / 3**0.5, abs=1e-3)


def test_a_mixture_saves_bits_over_a_wide_range_only():
    mixture = replace(QUICK.mixture, ranges=((10.0, 20.0), (0.02, 20.0)), n_steps=1000)
    panels = bits_needed(mixture)
    worst = {(row["near"], row["kernel"]): row["worst"] for row in panels if row["dither"]}
    single, mixed = "best single bandwidth", "learned mixture"
    assert worst[0.02, mixed] < 0.5 * worst[0.02, single]
    assert worst[10.0, mixed] == pytest.approx(worst[10.0, single], rel=0.05)
    assert worst[0.02, "gamma = 1"] is None  # no code reads r = 20 with it


def test_the_two_scales_are_as_far_apart_as_asked():
    vectors = two_scales(50.0, 2000, 10, seed=1)
    own = np.sort(np.linalg.norm(vectors.base[:200, None] - vectors.base[None], axis=2), axis=1)
    fine, coarse = np.quantile(own[:, 20], [0.1, 0.9])
    assert 35 < coarse / fine < 70


def test_particles_come_closer_to_the_density_with_their_number():
    rng = np.random.default_rng(0)
    pairs = Pairs(rng.gamma(4.0, 0.25, 20), np.repeat([-1.0, 1.0], 10))
    settings = MeanFieldSettings(
        times=(0.0, 2.0), compared_at=2.0, n_particles=(50, 800), n_repeats=16, n_shown=100
    )
    found = compare(pairs, settings, seed=0)
    assert abs(found.slope + 0.5) <= 3 * found.slope_half_width
    assert found.slope_half_width < 0.16


def test_unknown_and_missing_data_are_named(tmp_path):
    with pytest.raises(InputError, match="must be mnist or ct"):
        read_vectors("cifar", tmp_path)
    with pytest.raises(InputError, match="MNIST cannot be read"):
        read_vectors("mnist", tmp_path)
