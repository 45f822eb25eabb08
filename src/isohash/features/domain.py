"""Whether images are like those that an autoencoder has learned: its error on them tells.

An encoder embeds whatever it is given. What it cannot reconstruct it has not seen, and its
embedding says little about it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isohash.features.encoders import Encoder
from isohash.features.onnx_encoder import OnnxEncoder
from isohash.features.reconstruction import reconstruction_errors
from isohash.features.slices import SliceSettings

# Unseen head-and-neck patients lie at 0.8 (CT) and 0.7 (dose) times the held-out error of the
# shipped encoders, a thorax and a water phantom at 2 or more (docs/encoders.md).
FAR = 1.5
MOST_IMAGES = 256  # their mean error is known to a few per cent, in less than a second


def relative_error(encoder: Encoder, images: NDArray[np.float32]) -> float | None:
    """Mean squared error on images over that on the patients held out in training.

    None where the encoder cannot reconstruct or does not tell its own error.
    """
    if not isinstance(encoder, OnnxEncoder) or encoder.decoder is None or not len(images):
        return None
    own = encoder.settings.get("training", {}).get("validation_loss")
    if not own:
        return None
    some = images[np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).astype(int)]
    mse, _ = reconstruction_errors(encoder, some, "ct", SliceSettings(size=encoder.size))
    return float(mse.mean()) / float(own)
