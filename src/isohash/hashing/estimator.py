"""What the scikit-learn estimators of all hash families share: checks in, codes out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from isohash.errors import InputError
from isohash.hashing.drawn import DrawnHash, load_hash
from isohash.kernels.radial import RadialKernel
from isohash.records import Codes


class HasherEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the hashers: `fit` draws `hash_` from the data, `transform` encodes with it.

    After `set_output(transform="pandas")` codes are a table of symbols, with the columns that
    `get_feature_names_out` names: for other estimators, not for an index.
    """

    families: ClassVar[tuple[str, ...]]
    random_state: Any
    hash_: DrawnHash
    n_features_in_: int

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Measure X (n, d) and draw the hash. `y` is ignored."""
        rows = _validated(self, X, reset=True)
        self.hash_ = self._draw(rows, _seed(self.random_state))
        return self

    def transform(self, X: ArrayLike) -> Codes:
        """Codes of the rows of X (n, d)."""
        check_is_fitted(self, "hash_")
        return self.hash_.encode(_validated(self, X, reset=False))

    def save(self, path: str | Path) -> None:
        """Write the fitted hash to one file; `load` and `load_hash` read it."""
        check_is_fitted(self, "hash_")
        self.hash_.save(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A fitted hasher from what `save` wrote, or the `hash_` of one; codes are the same bits.

        InputError if the file holds a hash of another family.
        """
        hash_ = load_hash(path)
        if hash_.family not in cls.families:
            raise InputError(
                f"{path} holds a hash of family {hash_.family}, {cls.__name__} makes "
                f"{' or '.join(cls.families)}"
            )
        loaded = cls(**cls._parameters(hash_))
        loaded.hash_, loaded.n_features_in_ = hash_, hash_.dim
        return loaded

    @property
    def _n_features_out(self) -> int:
        """Symbols of a code, as scikit-learn asks for it."""
        return self.hash_.encode(np.empty((0, self.hash_.dim), np.float32)).length

    @classmethod
    def _parameters(cls, hash_: Any) -> dict[str, Any]:
        """The arguments that the hash tells of."""
        raise NotImplementedError

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


def named_kernel(
    kernel: RadialKernel | str | None, gamma: float | str | None, X: NDArray[np.float32]
) -> RadialKernel | None:
    """What `kernel` and `gamma` stand for; None where the bandwidth is to be chosen.

    `kernel="rbf"` is exp(-gamma r^2), with gamma as scikit-learn has it: a number, "scale" for
    1 / (d var(X)) or "auto" for 1 / d.
    """
    if isinstance(kernel, RadialKernel) or kernel is None:
        if gamma is not None:
            raise InputError(f'gamma = {gamma!r} is for kernel="rbf"; a RadialKernel has its own')
        return kernel
    if kernel != "rbf":
        raise InputError(
            f'kernel must be "rbf", a RadialKernel (a mixture: RadialKernel([gamma, ...])) or '
            f"None, got {kernel!r}"
        )
    if gamma is None:
        return None
    spread = {"scale": float(X.var()) or 1.0, "auto": 1.0}
    value = 1.0 / (X.shape[1] * spread[gamma]) if gamma in spread else gamma
    if isinstance(value, str) or not (value > 0 and np.isfinite(value)):
        raise InputError(f'gamma must be positive, "scale" or "auto", got {gamma!r}')
    return RadialKernel([float(value)])
