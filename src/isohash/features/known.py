"""The kinds of items that this version knows, and encoders made for one kind's views alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.kind import CASES
from isohash.features.images.kind import IMAGES, LOOK
from isohash.features.kinds import Kind

if TYPE_CHECKING:
    from isohash.features.encoders.encoders import Encoder

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CASES, IMAGES)}


def has_own_encoder(view: str) -> bool:
    """Whether a view is described by numbers of its own, and not by pictures of one size."""
    return view == LOOK.name


def own_encoder(numbers: NDArray[np.float32], seed: int) -> Encoder:
    """The encoder of such a view, fitted to a sample (n, numbers)."""
    from isohash.features.encoders.appearance import fit_appearance

    return fit_appearance(numbers, seed)
