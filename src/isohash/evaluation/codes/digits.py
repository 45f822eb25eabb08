"""MNIST digits and three embeddings of them: raw pixels, principal components, an autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.evaluation.kit.views import Embedded, files_digest, load_views, save_views
from isohash.progress import Progress
from isohash.whole_files import digest, private_folder

if TYPE_CHECKING:
    from isohash.features.encoders.onnx_encoder import OnnxEncoder

SIDE = 32  # digits are padded to a side that the strided convolutions halve
GROUPS = 100  # digits have no patients: every hundredth belongs together, some are held out
FITTED = 8192  # digits that principal components are fitted to
ENCODED = 4096  # digits turned to floats at a time


@dataclass(frozen=True)
class DigitSettings:
    """How many digits, and their embeddings; the literature's autoencoder has 500 latents."""

    n_database: int = 60_000
    n_queries: int = 10_000
    components: int = 64
    latent: int = 500
    epochs: int = 8
    threads: int = 1  # two wait for each other where a core is busy
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Digits:
    """Images uint8 (n, 28, 28) and labels (n,) of the database and of the queries."""

    base: NDArray[np.uint8]
    base_labels: NDArray[np.int64]
    query: NDArray[np.uint8]
    query_labels: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """How many there are, and their digests."""
        return {
            "database": {"n": len(self.base), "digest": digest(self.base)},
            "queries": {"n": len(self.query), "digest": digest(self.query)},
        }


def load_digits(path: str | Path, settings: DigitSettings) -> Digits:
    """Read mnist.npz (x_train, y_train, x_test, y_test); a seeded subset where less is asked."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is not mnist.npz with x_train, y_train, x_test, y_test: {error}"
        ) from error
    rng = np.random.default_rng(settings.seed)
    base = _drawn("x_train", len(arrays["x_train"]), settings.n_database, rng)
    query = _drawn("x_test", len(arrays["x_test"]), settings.n_queries, rng)
    return Digits(
        arrays["x_train"][base],
        arrays["y_train"][base].astype(np.int64),
        arrays["x_test"][query],
        arrays["y_test"][query].astype(np.int64),
    )


def _drawn(name: str, n: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if wanted > n:
        raise InputError(f"{wanted} digits are wanted, {name} has {n}")
    return np.sort(rng.permutation(n)[:wanted])


def digit_views(
    path: str | Path,
    work: Path,
    settings: DigitSettings | None = None,
    progress: Progress | None = None,
) -> tuple[list[Embedded], Digits]:
    """The three embeddings of mnist.npz; made once and kept in the folder `work`."""
    settings = settings or DigitSettings()
    digits = load_digits(path, settings)
    key = digest(settings={"settings": asdict(settings), "file": files_digest(path)})
    kept = load_views(work / "digits.npz", key)
    if kept is not None:
        return kept[0], digits
    views = list(_embedded(digits, work, settings, progress))
    save_views(work / "digits.npz", key, views, {})
    return views, digits


def _embedded(
    digits: Digits, work: Path, settings: DigitSettings, progress: Progress | None
) -> Iterator[Embedded]:
    from isohash.features.encoders.pca import fit_pca

    alone = np.arange(len(digits.query))  # every digit is another writer's, as far as we know
    yield Embedded("raw pixels", _flat(digits.base), _flat(digits.query), alone)
    base, query = (np.pad(part, ((0, 0), (2, 2), (2, 2))) for part in (digits.base, digits.query))
    sample = _as_float(base[:: max(1, len(base) // FITTED)])
    n = min(settings.components, len(sample) // 2)
    pca = fit_pca(sample, n, settings.seed, pool=1, name="pca-mnist")
    yield Embedded(f"PCA {n}", _encoded(pca, base), _encoded(pca, query), alone)
    trained = _autoencoder(base, work, settings, progress)
    name = f"autoencoder {settings.latent}"
    yield Embedded(name, _encoded(trained, base), _encoded(trained, query), alone)


def _autoencoder(
    base: NDArray[np.uint8], work: Path, settings: DigitSettings, progress: Progress | None
) -> OnnxEncoder:
    from isohash.features.encoders.networks import AutoencoderSettings
    from isohash.features.training.settings import TrainingSettings
    from isohash.features.training.training import train_autoencoder

    private_folder(work)
    plan = TrainingSettings(
        random_state=settings.seed,
        max_epochs=settings.epochs,
        batch_size=128,
        threads=settings.threads,
    )
    return train_autoencoder(
        base,
        np.arange(len(base)) % GROUPS,
        AutoencoderSettings(size=SIDE, latent=settings.latent),
        plan,
        name="autoencoder-mnist",
        checkpoint=work / "digits.checkpoint",
        progress=progress,
    ).encoder


class _Encoder(Protocol):
    def encode(self, images: NDArray[np.float32]) -> NDArray[np.float32]: ...


def _encoded(encoder: _Encoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = (images[i : i + ENCODED] for i in range(0, len(images), ENCODED))
    return np.concatenate([encoder.encode(_as_float(part)) for part in parts])


def _as_float(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _as_float(images.reshape(len(images), -1))
