"""Whole patients held out, so that no image of one is on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError


def held_out_groups(
    groups: Sequence[str] | NDArray[Any], share: float, random_state: int
) -> NDArray[np.bool_]:
    """Marks the items (n,) of the groups (patients) kept for validation: at least one group."""
    names = np.unique(np.asarray(groups))
    if len(names) < 2:
        raise InputError(f"training needs slices of at least 2 patients, got {len(names)}")
    n_out = min(len(names) - 1, max(1, round(share * len(names))))
    chosen = np.random.default_rng([random_state, 1]).permutation(names)[:n_out]
    return np.isin(np.asarray(groups), chosen)
