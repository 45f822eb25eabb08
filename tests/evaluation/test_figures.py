"""The literature's figures on small data: files appear, and the numbers say what theory says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.evaluation.benchmark import DiceSettings
from isohash.evaluation.mnist import MnistSettings, load_digits, run_mnist
from isohash.evaluation.results import bootstrap_interval
from isohash.evaluation.slices import SliceFigures, run_slices
from small_cases import phantom, write_openkbp

pytest.importorskip("matplotlib")

SMALL = MnistSettings(
    n_database=300,
    n_queries=12,
    n_pairs=200,
    scatter_bits=(64, 1024),
    curve_bits=(32, 512),
    histogram_q=(2, 20),
    n_neighbours=5,
    collage=20,
    latent=16,
    epochs=1,
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten blurred shapes with noise, in the form of mnist.npz."""
    rng = np.random.default_rng(5)
    shapes = rng.random((10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)

    def some(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 10, n)
        images = 180 * shapes[labels] + rng.normal(0, 25, (n, 28, 28))
        return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.uint8)

    (x, y), (a, b) = some(400), some(40)
    path = tmp_path_factory.mktemp("digits") / "mnist.npz"
    np.savez(path, x_train=x, y_train=y, x_test=a, y_test=b)
    return path


@pytest.fixture(scope="module")
def mnist(digits: Path, tmp_path_factory: pytest.TempPathFactory):
    pytest.importorskip("torch")
    out = tmp_path_factory.mktemp("out")
    return out, run_mnist(digits, out, SMALL)


def test_every_figure_has_its_picture_table_and_digest(mnist) -> None:
    out, results = mnist
    for name, rows in results.items():
        assert (out / f"{name}.png").stat().st_size > 10_000
        assert (out / f"{name}.csv").is_file()
        told = json.loads((out / f"{name}.json").read_text())
        assert len(told["rows"]) == len(rows) > 0
        assert len(told["database"]["digest"]) == 64
        assert told["machine"]["cores"] >= 1


def test_an_untrained_bandwidth_sees_nothing_and_a_tuned_one_does(mnist) -> None:
    rows = [row for row in mnist[1]["mnist-scatter"] if row["embedding"] == "raw pixels"]
    blind = [row for row in rows if row["kernel"] == "gamma = 1"]
    tuned = [row for row in rows if row["kernel"] == "tuned" and row["bits"] == 1024]
    assert min(row["saturated_share"] for row in blind) > 0.9
    assert tuned[0]["saturated_share"] < 0.8  # half of the pairs lie in different clusters
    assert tuned[0]["spearman"] > 0.7 > 0.5 > max(row["spearman"] for row in blind)


def test_tuned_codes_retrieve_better_than_untrained_ones(mnist) -> None:
    def precision(codes: str) -> float:
        rows = mnist[1]["mnist-precision-recall"]
        wanted = ("raw pixels", codes, "label")
        return next(r["ap"] for r in rows if (r["embedding"], r["codes"], r["relevant"]) == wanted)

    assert precision("512 bits, tuned") > precision("512 bits, gamma = 1") + 0.3


def test_a_file_that_is_not_mnist_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", y=np.zeros(3))
    with pytest.raises(InputError, match=r"is not mnist\.npz"):
        load_digits(tmp_path / "x.npz", SMALL)


def test_slice_figures_are_drawn_and_more_bits_keep_more_neighbours(tmp_path: Path) -> None:
    for part, numbers in (("train", range(3)), ("validation", range(3, 5))):
        (tmp_path / part).mkdir()
        for number in numbers:
            write_openkbp(phantom(number % 2, number), tmp_path / part / f"pt_{number + 1}.npz")
    settings = SliceFigures(
        DiceSettings(encoder="pca", n_database=40, n_queries=10, k=5),
        violin_bits=(1, 32, 2048),
        scatter_bits=(64,),
        ks=(1, 5, 20),
        n_pairs=100,
    )
    parts = (tmp_path / "train", tmp_path / "validation")
    results = run_slices(*parts, tmp_path / "out", settings)
    assert {f.suffix for f in (tmp_path / "out").iterdir()} == {".png", ".csv", ".json"}
    for view in ("ct", "dose"):
        means = [
            row["mean"]
            for row in results["slices-violin"]
            if (row["view"], row["score"]) == (view, "Dice")
        ]
        assert means[0] < means[2]
        assert means[2] > 0.6
    with pytest.raises(InputError, match="is in the database and among the queries"):
        run_slices(parts[0], parts[0], tmp_path / "out", settings)


def test_the_bootstrap_covers_the_mean_as_often_as_it_says(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(60), 5)
    hits = 0
    for _ in range(300):
        scores = rng.normal(0, 1, 60)[groups] + rng.normal(0, 1, 300)
        low, high = bootstrap_interval(scores, groups, rng, 300)
        hits += low <= 0 <= high
    # nominal 95 %; with 60 groups the percentile bootstrap is a little narrow; 4 sd of 300 trials
    assert hits / 300 > 0.90 - 4 * np.sqrt(0.9 * 0.1 / 300)
    assert hits / 300 < 0.995
