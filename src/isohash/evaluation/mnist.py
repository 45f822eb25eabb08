"""The literature's experiments on MNIST: scatter, precision-recall, collages, Lee histograms.

Database: the 60 000 training digits; queries: test digits. Three embeddings: raw pixels, PCA and a
500-latent autoencoder (the length used in the literature). Codes: the Raginsky-Lazebnik hash with
the literature's gamma = 1 ("untrained") and with the bandwidth chosen from the data ("tuned"), and
the q-ary Lee hash. Scores by label use the digit; by ground truth the Euclidean 50 nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation import curves
from isohash.evaluation.plotting import figure
from isohash.evaluation.results import digest, write_results
from isohash.hashing.kernel_hasher import KernelHasher
from isohash.hashing.lee_hasher import LeeHasher
from isohash.kernels.radial import RadialKernel
from isohash.records import Codes

Progress = Callable[[int, int, str], None]
UNTRAINED = RadialKernel([1.0])  # the literature's Gaussian, bandwidth parameter 1
SIDE = 32  # digits padded to a side that three strided convolutions halve


@dataclass(frozen=True)
class MnistSettings:
    """Sizes of the experiment; the smaller ones keep it within minutes on two cores."""

    n_database: int = 60_000
    n_queries: int = 200
    n_pairs: int = 3000
    scatter_bits: tuple[int, ...] = (128, 512, 4096)
    curve_bits: tuple[int, ...] = (64, 256, 1024, 4096)
    curve_q: int = 10
    histogram_q: tuple[int, ...] = (2, 20, 50)
    n_neighbours: int = 50
    collage: int = 100
    latent: int = 500
    epochs: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Digits:
    """Images uint8 (n, 28, 28) and labels (n,) of the database and of the queries."""

    base: NDArray[np.uint8]
    base_labels: NDArray[np.int64]
    query: NDArray[np.uint8]
    query_labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Embedded:
    """One embedding of the digits."""

    name: str
    base: NDArray[np.float32]
    query: NDArray[np.float32]


def run_mnist(
    data: str | Path,
    out: str | Path,
    settings: MnistSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Run all experiments on mnist.npz and write their PNG, CSV and JSON to `out`."""
    settings = settings or MnistSettings()
    digits = load_digits(data, settings)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "settings": asdict(settings),
        "database": {"n": len(digits.base), "digest": digest([digits.base])},
        "queries": {"n": len(digits.query), "digest": digest([digits.query])},
        "ties": "items at equal code distance enter together",
    }
    steps: Mapping[str, Callable[..., list[dict[str, Any]]]] = {
        "mnist-scatter": scatter_figure,
        "mnist-precision-recall": curve_figure,
        "mnist-collage": collage_figure,
        "mnist-lee-histograms": histogram_figure,
    }
    embedded = embed(digits, settings, folder, progress)
    results = {}
    for done, (name, step) in enumerate(steps.items()):
        _tell(progress, done, len(steps), f"drawing {name}")
        results[name] = step(embedded, digits, settings, folder / f"{name}.png")
        write_results(folder, name, results[name], about)
    return results


def load_digits(path: str | Path, settings: MnistSettings) -> Digits:
    """Read mnist.npz (x_train, y_train, x_test, y_test); a seeded subset where less is asked."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is not mnist.npz with x_train, y_train, x_test: {error}"
        ) from error
    rng = np.random.default_rng(settings.seed)
    base = np.sort(rng.permutation(len(arrays["x_train"]))[: settings.n_database])
    query = np.sort(rng.permutation(len(arrays["x_test"]))[: settings.n_queries])
    return Digits(
        arrays["x_train"][base],
        arrays["y_train"][base].astype(np.int64),
        arrays["x_test"][query],
        arrays["y_test"][query].astype(np.int64),
    )


def embed(
    digits: Digits, settings: MnistSettings, folder: Path, progress: Progress | None
) -> list[Embedded]:
    """Raw pixels in [0, 1], PCA, and a shallow autoencoder trained on the database."""
    from isohash.features.networks import AutoencoderSettings
    from isohash.features.pca import fit_pca
    from isohash.features.training import TrainingSettings, train_autoencoder

    base, query = _padded(digits.base), _padded(digits.query)
    sample = base[:: max(1, len(base) // 4000)].astype(np.float32) / np.float32(255)
    dim = min(64, len(sample) // 2)
    pca = fit_pca(sample, dim, settings.seed, pool=1, name="pca-mnist")
    trained = train_autoencoder(
        base,
        np.arange(len(base)) % 100,  # digits have no patients: every hundredth is held out
        AutoencoderSettings(size=SIDE, latent=settings.latent),
        TrainingSettings(random_state=settings.seed, max_epochs=settings.epochs, batch_size=128),
        name="autoencoder-mnist",
        checkpoint=folder / "mnist.checkpoint",
        progress=progress,
    ).encoder
    found = [Embedded("raw pixels", _flat(digits.base), _flat(digits.query))]
    for name, encoder in ((f"PCA {dim}", pca), (f"autoencoder {settings.latent}", trained)):
        parts = (
            encoder.encode(part.astype(np.float32) / np.float32(255)) for part in (base, query)
        )
        found.append(Embedded(name, *parts))
    return found


def scatter_figure(
    embedded: list[Embedded], digits: Digits, settings: MnistSettings, path: Path
) -> list[dict[str, Any]]:
    """Normalised Hamming against Euclidean distance, untrained and tuned, with the closed form."""
    rows = []
    shape = {"nrows": 2 * len(embedded), "ncols": len(settings.scatter_bits)}
    with figure(path, 3.2 * shape["ncols"], 2.3 * shape["nrows"], squeeze=False, **shape) as (
        _,
        grid,
    ):
        for at, one in enumerate(embedded):
            rng = np.random.default_rng(settings.seed)
            pairs = curves.sample_pairs(one.base, settings.n_pairs, rng)
            for tuned in (False, True):
                for column, bits in enumerate(settings.scatter_bits):
                    axes = grid[2 * at + tuned, column]
                    rows.append(_scatter(axes, one, pairs, bits, tuned, settings.seed))
    return rows


def _scatter(
    axes: Any, one: Embedded, pairs: Any, bits: int, tuned: bool, seed: int
) -> dict[str, Any]:
    hasher = KernelHasher(bits, kernel=None if tuned else UNTRAINED, random_state=seed)
    name = "tuned" if tuned else "gamma = 1"
    title = f"{one.name}, {name}, {bits} bits"
    row = curves.draw_scatter(axes, title, one.base, hasher.fit(one.base).hash_, pairs)
    return {"embedding": one.name, "kernel": name, "bits": bits, **row}


def curve_figure(
    embedded: list[Embedded], digits: Digits, settings: MnistSettings, path: Path
) -> list[dict[str, Any]]:
    """Precision against recall, by label and by Euclidean ground truth, for several codes."""
    rows = []
    with figure(path, 9.6, 3.1 * len(embedded), squeeze=False, nrows=len(embedded), ncols=2) as (
        _,
        grid,
    ):
        for at, one in enumerate(embedded):
            ranked = np.argsort(curves.euclidean(one.query, one.base), axis=1, kind="stable")
            truth = ranked[:, : settings.n_neighbours]
            for name, base, query in _families(one, settings):
                by_label = curves.curve_by_label(
                    base, query, digits.base_labels, digits.query_labels
                )
                by_truth = curves.curve_by_truth(base, query, truth)
                for axes, rule, curve in zip(
                    grid[at], ("label", "Euclidean"), (by_label, by_truth), strict=True
                ):
                    axes.plot(curve.recall, curve.precision, label=name, linewidth=1)
                    axes.set_title(f"{one.name}, relevant by {rule}", fontsize=8)
                    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1))
                    average = round(curve.average_precision, 4)
                    rows.append(
                        {"embedding": one.name, "codes": name, "relevant": rule, "ap": average}
                    )
            grid[at, 0].legend(fontsize=6)
    return rows


def _families(one: Embedded, settings: MnistSettings) -> list[tuple[str, Codes, Codes]]:
    """Names with the codes of database and queries: untrained, tuned, and q-ary."""
    found = []
    most = max(settings.curve_bits)
    hashers: list[tuple[str, Any]] = [
        (f"{most} bits, gamma = 1", KernelHasher(most, UNTRAINED, random_state=settings.seed))
    ]
    for bits in settings.curve_bits:
        hashers.append((f"{bits} bits, tuned", KernelHasher(bits, random_state=settings.seed)))
        q = settings.curve_q
        lee = LeeHasher(max(1, bits // 4), q=q, random_state=settings.seed)
        hashers.append((f"{max(1, bits // 4)} symbols, q = {q}", lee))
    for name, hasher in hashers:
        hasher.fit(one.base)
        found.append((name, hasher.transform(one.base), hasher.transform(one.query)))
    return found


def collage_figure(
    embedded: list[Embedded], digits: Digits, settings: MnistSettings, path: Path
) -> list[dict[str, Any]]:
    """The nearest digits of three queries: Euclidean, 4096 bits, 1024 symbols with q = 10.

    The query is framed; digits of another class are shaded.
    """
    one = embedded[-1]
    binary = KernelHasher(4096, random_state=settings.seed).fit(one.base)
    lee = LeeHasher(1024, q=settings.curve_q, random_state=settings.seed).fit(one.base)
    three = one.query[:3]
    found = {
        "Euclidean": np.argsort(curves.euclidean(three, one.base), axis=1, kind="stable"),
        "4096 bits": curves.top(
            binary.transform(one.base), binary.transform(three), settings.collage
        ),
        f"1024 symbols, q = {settings.curve_q}": curves.top(
            lee.transform(one.base), lee.transform(three), settings.collage
        ),
    }
    rows = []
    with figure(path, 9.0, 9.6, squeeze=False, nrows=3, ncols=len(found)) as (_, grid):
        for query in range(3):
            for column, (name, ids) in enumerate(found.items()):
                chosen = ids[query, : settings.collage]
                right = digits.base_labels[chosen] == digits.query_labels[query]
                grid[query, column].imshow(_sheet(digits, query, chosen, right))
                grid[query, column].set_title(f"{name}: {right.sum()} of {len(right)}", fontsize=8)
                grid[query, column].axis("off")
                rows.append(
                    {
                        "query": query,
                        "codes": name,
                        "same_digit": int(right.sum()),
                        "of": len(right),
                    }
                )
    return rows


def _sheet(
    digits: Digits, query: int, chosen: NDArray[np.int64], right: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """An RGB sheet: the query framed at the top left, then its neighbours row by row."""
    tiles = [_tile(digits.query[query], (213, 94, 0), framed=True)]
    tiles += [
        _tile(image, (255, 255, 255) if ok else (255, 150, 150))
        for image, ok in zip(digits.base[chosen], right, strict=True)
    ]
    width = 10
    tiles += [np.full((30, 30, 3), 255, np.uint8)] * (-len(tiles) % width)
    rows = [np.concatenate(tiles[i : i + width], axis=1) for i in range(0, len(tiles), width)]
    return np.concatenate(rows, axis=0)


def _tile(image: NDArray[np.uint8], paper: tuple[int, int, int], framed: bool = False) -> Any:
    ink = 1.0 - image.astype(np.float64)[..., None] / 255.0
    sheet = np.full((30, 30, 3), paper if framed else (235, 235, 235), np.uint8)
    sheet[1:29, 1:29] = (ink * ((255, 255, 255) if framed else paper)).astype(np.uint8)
    return sheet


def histogram_figure(
    embedded: list[Embedded], digits: Digits, settings: MnistSettings, path: Path
) -> list[dict[str, Any]]:
    """Lee distances rescaled to the Euclidean distance's range, against it, for several q."""
    one = embedded[-1]
    pairs = curves.sample_pairs(one.base, settings.n_pairs, np.random.default_rng(settings.seed))
    rows = []
    with figure(path, 9.6, 3.0, squeeze=False, ncols=len(settings.histogram_q)) as (_, grid):
        for axes, q in zip(grid[0], settings.histogram_q, strict=True):
            hasher = LeeHasher(1024, q=q, random_state=settings.seed).fit(one.base)
            found = curves.scatter(one.base, hasher.transform, pairs)
            slope = float((found.r @ found.share) / (found.share @ found.share))
            axes.hist(found.r, bins=60, alpha=0.55, density=True, label="Euclidean")
            axes.hist(slope * found.share, bins=60, alpha=0.55, density=True, label="Lee, rescaled")
            axes.set_title(f"{one.name}, 1024 symbols, q = {q}", fontsize=8)
            axes.legend(fontsize=7)
            off = slope * found.share - found.r
            error = float(np.sqrt(np.mean(off**2)) / found.r.mean())
            spearman = round(curves.spearman(found.r, found.share), 4)
            rows.append({"q": q, "relative_rms": round(error, 4), "spearman": spearman})
    return rows


def _padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(images, ((0, 0), (2, 2), (2, 2)))


def _flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _tell(progress: Progress | None, done: int, total: int, message: str) -> None:
    if progress is not None:
        progress(done, total, message)
