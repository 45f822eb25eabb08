"""What the scikit-learn estimators of all hash families share: checks in, codes out."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from isohash.errors import InputError
from isohash.hashing.drawn import DrawnHash
from isohash.records import Codes


class HasherEstimator(TransformerMixin, BaseEstimator):
    """Base of the hashers: `fit` draws `hash_` from the data, `transform` encodes with it."""

    random_state: Any
    hash_: DrawnHash

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Measure X (n, d) and draw the hash. `y` is ignored."""
        rows = _validated(self, X, reset=True)
        self.hash_ = self._draw(rows, _seed(self.random_state))
        return self

    def transform(self, X: ArrayLike) -> Codes:
        """Codes of the rows of X (n, d)."""
        check_is_fitted(self, "hash_")
        return self.hash_.encode(_validated(self, X, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are codes, whatever came in
        return tags

    def _draw(self, X: NDArray[np.float32], seed: int) -> DrawnHash:
        raise NotImplementedError


def _validated(estimator: BaseEstimator, X: ArrayLike, reset: bool) -> NDArray[np.float32]:
    """scikit-learn's own checks, with the first line of its message as an InputError."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            rows: NDArray[np.float32] = validate_data(estimator, X, reset=reset, dtype=np.float32)
    except (ValueError, OverflowError) as error:
        message = str(error).strip().splitlines()[0]
        if "Reshape your data" in str(error):
            message += " Reshape your data to (n, d)."
        raise InputError(message) from error
    return rows


def _seed(random_state: Any) -> int:
    """The integer that the hash records: an integer random_state itself, otherwise drawn."""
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def check_memory(name: str, value: int, n_bytes: float) -> None:
    """Refuse a hash whose parameters cannot fit into this machine's memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > 0.5 * total:
        raise InputError(
            f"{name} = {value} needs {n_bytes / 1e9:.3g} GB for its random directions, this "
            f"machine has {total / 1e9:.3g} GB: ask for fewer"
        )


def check_count(name: str, value: Any, least: int) -> int:
    """An integer argument that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)
