"""The kernel-learning experiment: what it measures, writes and resumes, on synthetic digits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.evaluation import kernel_learning
from isohash.evaluation.kernel_learning import QUICK, read_vectors, run, summary
from isohash.evaluation.mean_field import MeanFieldSettings, compare
from isohash.kernels.alignment import Pairs

TINY = replace(
    QUICK, n_database=400, n_queries=20, k=10, n_particles=20, n_steps=40, bits=(64, 256),
    cost_particles=(10,), cost_pairs=(500,),
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


def test_every_kernel_is_scored_and_everything_is_written(data_dir, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    calls, out = [], tmp_path / "out"
    rows = run(out, data_dir, settings=TINY, progress=lambda *c: calls.append(c))
    assert calls[-1] == (4, 4, "done")
    lines = {(r["method"], r["bits"]): r["dice"] for r in summary(rows)}
    for bits in (64, 256):
        grid = [v for (m, b), v in lines.items() if b == bits and m.startswith("grid")]
        assert lines["best of the grid", bits] == max(grid)
        # An untuned bandwidth is far off: distances here are several units.
        assert lines["rule", bits] > lines["gamma = 1", bits] + 0.1
        assert lines["isometry", bits] > lines["gamma = 1", bits] + 0.1
    names = {p.name for p in out.iterdir()}
    assert {f"kernel{end}" for end in (".csv", ".json", "-mean-field.csv", "-cost.csv")} <= names
    pictures = ("dice", "evolution", "mean-field", "objective", "scatter", "precision-recall")
    assert {f"kernel-{name}.png" for name in pictures} <= names
    told = json.loads((out / "kernel-mean-field.json").read_text())
    assert told["largest_mass_error"] < 1e-10

    def measured_again(*_):
        raise AssertionError("a finished part is measured again")

    monkeypatch.setattr(kernel_learning, "retrieval", measured_again)
    assert run(out, data_dir, settings=TINY) == rows


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
