"""The literature's MNIST figures on small data: files appear, and numbers say what theory says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isohash.errors import InputError
from isohash.evaluation.codes.collage import WIDTH, _sheet
from isohash.evaluation.codes.digits import DigitSettings, load_digits
from isohash.evaluation.codes.mnist import MnistSettings, run_mnist

pytest.importorskip("matplotlib")

SMALL = MnistSettings(
    DigitSettings(n_database=300, n_queries=24, latent=16, epochs=1, components=16),
    n_pairs=200,
    range_pairs=1000,
    kernel_particles=20,
    kernel_steps=60,
    range_bits=256,
    scatter_bits=(1024,),
    curve_bits=(32, 512),
    histogram_q=(2, 20),
    histogram_pairs=500,
    n_neighbours=5,
    n_shown=20,
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten blurred shapes with noise, in the form of mnist.npz."""
    rng = np.random.default_rng(5)
    shapes = rng.random((10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)

    def some(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 10, n)
        images = 180 * shapes[labels] + rng.normal(0, 70, (n, 28, 28))
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


def test_every_figure_has_its_picture_table_metric_and_digests(mnist) -> None:
    out, results = mnist
    assert len(results) == 7
    for name, panels in results.items():
        assert (out / f"{name}.png").stat().st_size > 5_000
        assert (out / f"{name}.csv").read_text().count("\n") > len(panels)
        told = json.loads((out / f"{name}.json").read_text())
        assert len(told["panels"]) == len(panels) > 0
        assert len(told["database"]["digest"]) == len(told["queries"]["digest"]) == 64
        assert told["settings"]["seed"] == 0
        assert told["metric"]
        assert told["machine"]["processor"]


def test_a_second_run_measures_nothing_and_writes_the_same(
    mnist, digits: Path, draw_no_more
) -> None:
    out, results = mnist
    files = {f.name: f.read_bytes() for f in out.glob("*.csv")}
    assert len(files) == len(results)
    said: list[str] = []
    draw_no_more()
    run_mnist(digits, out, SMALL, lambda done, total, message: said.append(message))
    assert {f.name: f.read_bytes() for f in out.glob("*.csv")} == files
    assert not [message for message in said if "epoch" in message]


def test_an_untrained_bandwidth_sees_nothing_and_a_tuned_one_does(mnist) -> None:
    panels = mnist[1]["mnist-scatter-raw"]
    blind = [p for p in panels if p["kernel"] == "untrained"]
    tuned = [p for p in panels if p["kernel"] == "tuned" and p["bits"] == 1024]
    assert min(p["beyond_range"] for p in blind) > 0.9
    assert tuned[0]["spearman"] > 0.7 > 0.5 > max(p["spearman"] for p in blind)


def test_the_code_distances_follow_the_closed_form(mnist) -> None:
    for panel in mnist[1]["mnist-scatter-raw"]:
        line = np.interp(panel["euclidean"], panel["line_euclidean"], panel["line_hamming"])
        off = np.array(panel["hamming"]) - line
        # bits of orthogonal blocks are no less concentrated than independent ones (Hoeffding)
        assert np.abs(off).max() < np.sqrt(np.log(2 * len(off) / 1e-9) / (2 * panel["bits"]))


def test_tuned_codes_retrieve_better_than_untrained_ones(mnist) -> None:
    def precision(alphabet: str, kernel: str) -> float:
        wanted = ("PCA 16", alphabet, kernel, 512, "label")
        panels = mnist[1]["mnist-precision-recall"]
        names = ("view", "alphabet", "kernel", "bits", "relevant")
        return next(p["average_precision"] for p in panels if tuple(p[n] for n in names) == wanted)

    for alphabet in ("binary", "q-ary"):
        assert precision(alphabet, "tuned") > precision(alphabet, "untrained") + 0.3
        assert precision(alphabet, "trained") > precision(alphabet, "untrained") + 0.3


def test_collages_show_every_kernel_with_the_query_first(mnist, digits: Path) -> None:
    panels = mnist[1]["mnist-collage"]
    kinds = list(dict.fromkeys(panel["codes"] for panel in panels))
    assert kinds[0] == "exact search"
    assert [kind.split(", ")[1] for kind in kinds[1:4]] == ["untrained", "tuned", "trained"]
    loaded = load_digits(digits, SMALL.digits)
    sheet = _sheet(loaded, panels[0])
    first = 1 - loaded.query[panels[0]["query"]] / 255
    np.testing.assert_array_equal(sheet[:28, :28], np.repeat(first[..., None], 3, axis=2))
    wrong = [i for i, label in enumerate(panels[0]["label"], 1) if label != panels[0]["digit"]]
    rows, columns = np.divmod(wrong, WIDTH)
    papers = [sheet[28 * r : 28 * r + 28, 28 * c : 28 * c + 28].max()
              for r, c in zip(rows, columns, strict=True)]  # fmt: skip
    assert max(papers, default=0.0) <= 0.72


def test_larger_alphabets_follow_the_euclidean_distance_more_closely_per_symbol(mnist) -> None:
    panels = [p for p in mnist[1]["mnist-lee"] if p["budget"] == "equal symbols"]
    assert panels[0]["relative_rms"] > panels[1]["relative_rms"]


def test_a_file_that_is_not_mnist_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", y=np.zeros(3))
    for name in ("x.npz", "missing.npz"):
        with pytest.raises(InputError, match=r"is not mnist\.npz"):
            load_digits(tmp_path / name, DigitSettings())


def test_more_digits_than_there_are_is_refused(digits: Path) -> None:
    with pytest.raises(InputError, match="60000 digits are wanted, x_train has 400"):
        load_digits(digits, DigitSettings())
