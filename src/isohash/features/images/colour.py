"""Colours of sRGB pixels: CIE L*a*b* (D65), and the stains of histology."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_VALUE = np.arange(256) / 255.0
# IEC 61966-2-1.
LINEAR = np.where(_VALUE <= 0.04045, _VALUE / 12.92, ((_VALUE + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
D65 = np.array([0.95047, 1.0, 1.08883])
RELATIVE = (TO_XYZ / D65[:, None]).T.astype(np.float32)
# Optical densities of red, green and blue by haematoxylin, eosin and DAB (Ruifrok and Johnston).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
UNMIXED = np.linalg.inv(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)).astype(np.float32)
DENSITY = -np.log(np.maximum(np.arange(256), 1) / 255.0).astype(np.float32)


def lab_of(image: Pixels) -> NDArray[np.float32]:
    """L* 0 ... 100, a* and b* of pixels uint8 (..., 3)."""
    xyz = LINEAR[image] @ RELATIVE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def stains_of(image: Pixels) -> NDArray[np.float32]:
    """Optical density of haematoxylin, eosin and DAB (..., 3), none below 0."""
    return np.maximum(DENSITY[image] @ UNMIXED, 0.0)
