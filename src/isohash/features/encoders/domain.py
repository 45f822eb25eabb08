"""Whether a ready encoder or principal components of one's own know a set of images better.

An encoder embeds whatever it is given; what it cannot reconstruct it has not seen, and its
embedding says little about it. So both are judged by their squared error on patients that neither
was fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.groups import held_out_groups
from isohash.features.cases.slice_settings import SliceSettings
from isohash.features.encoders.encoders import Encoder
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.encoders.pca import PcaEncoder, fit_pca
from isohash.features.encoders.reconstruction import reconstruction_errors

# Single unseen head-and-neck patients lie at 0.2 to 2.0 times the held-out error of the shipped
# encoders, archives of them at 0.6 to 0.8 (docs/encoders.md).
FAR = 1.5
MOST_IMAGES = 256  # their mean error is known to a few per cent, in less than a second


@dataclass(frozen=True)
class Contest:
    """Mean squared errors on the same unseen patients: of the encoder, and of components.

    The components are fitted to half of the patients, and judged on the other half.
    """

    ready: float
    fitted: float

    @property
    def ready_wins(self) -> bool:
        """Whether the ready encoder errs no more."""
        return self.ready <= self.fitted


def contest(
    encoder: Encoder, images: NDArray[np.float32], patient: NDArray[np.str_], dim: int, seed: int
) -> Contest | None:
    """Both errors on images (n, size, size); None for one patient or an encoder without decoder."""
    if not _reconstructs(encoder) or len(np.unique(patient)) < 2:
        return None
    unseen = held_out_groups(patient, 0.5, seed)
    own = fit_pca(images[~unseen], max(1, min(dim, int((~unseen).sum()) // 2)), seed)
    return Contest(_error(encoder, images[unseen]), _error(own, images[unseen]))


def relative_error(encoder: Encoder, images: NDArray[np.float32]) -> float | None:
    """Mean squared error on images over that on the patients held out in the encoder's training.

    None where the encoder cannot reconstruct or does not tell its own error.
    """
    if not _reconstructs(encoder) or not len(images):
        return None
    assert isinstance(encoder, OnnxEncoder)  # as _reconstructs has found
    own = encoder.settings.get("training", {}).get("validation_loss")
    return _error(encoder, images) / float(own) if own else None


def _reconstructs(encoder: Encoder) -> bool:
    return isinstance(encoder, OnnxEncoder) and encoder.decoder is not None


def _error(encoder: Encoder, images: NDArray[np.float32]) -> float:
    assert isinstance(encoder, OnnxEncoder | PcaEncoder)  # that is what reconstructs here
    some = images[np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).astype(int)]
    mse, _ = reconstruction_errors(encoder, some, "ct", SliceSettings(size=encoder.size))
    return float(mse.mean())
