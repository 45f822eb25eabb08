"""What a flat index keeps of its codes: rows that grow, and the names that they have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isohash.errors import InputError

Ids = NDArray[Any]  # int64, or strings


class Growing:
    """An array (n, width) that rows are appended to; the first ones are taken over uncopied."""

    def __init__(self, empty: NDArray[Any]) -> None:
        self._array = empty
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def rows(self) -> NDArray[Any]:
        """All rows so far."""
        return self._array[: self._n]

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows at the end."""
        n = self._n + len(rows)
        if self._n == 0:
            self._array = rows
        else:
            if n > len(self._array) or not self._array.flags.writeable or self._is_borrowed:
                grown = np.empty((max(n, 2 * self._n), rows.shape[1]), dtype=rows.dtype)
                grown[: self._n] = self.rows
                self._array = grown
            self._array[self._n : n] = rows
        self._n = n

    @property
    def _is_borrowed(self) -> bool:
        return self._array.base is not None

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows where the mask is False."""
        self._array = self.rows[mask]
        self._n = len(self._array)


class Names:
    """The id of each row: its position, or an integer or a string that was given for it."""

    def __init__(self, ids: Ids | None = None) -> None:
        self._ids = ids
        self._places: dict[Any, int] | None = None

    def all(self, n: int) -> Ids:
        """The ids of the first n rows."""
        return np.arange(n) if self._ids is None else self._ids

    @property
    def given(self) -> Ids | None:
        """The ids, if they are not the positions."""
        return self._ids

    def of(self, positions: NDArray[np.int64]) -> Ids:
        """The ids of rows, in the shape of `positions`."""
        if self._ids is None:
            return positions
        found = self._ids[positions]
        if found.dtype.kind == "i":
            return found
        return np.array(found.ravel().tolist(), dtype=str).reshape(found.shape)

    def extend(self, ids: ArrayLike | None, n_old: int, n_new: int) -> None:
        """Name n_new rows more; InputError for an id that is there already, or another kind."""
        if not n_new or (ids is None and self._ids is None):
            return
        new = np.arange(n_old, n_old + n_new) if ids is None else checked_ids(ids, n_new)
        old = self.all(n_old) if n_old else new[:0]
        if (new.dtype.kind == "i") != (old.dtype.kind == "i"):
            raise InputError("ids are all integers or all strings: name every row alike")
        joined = np.concatenate([old, new])
        values, counts = np.unique(joined, return_counts=True)
        if len(values) < len(joined):
            twice = values[counts > 1][0]
            raise InputError(f"ids must be distinct, got {twice} twice: an id names one code")
        self._ids, self._places = joined, None

    def positions(self, ids: ArrayLike, n: int) -> NDArray[np.int64]:
        """Where rows are by their ids; InputError for one that is not there."""
        wanted = np.atleast_1d(np.asarray(ids))
        if self._places is None:
            self._places = {name: at for at, name in enumerate(self.all(n).tolist())}
        missing = [one for one in wanted.tolist() if one not in self._places]
        if missing:
            raise InputError(f"the index holds no id {missing[0]!r} ({len(missing)} such ids)")
        return np.array([self._places[one] for one in wanted.tolist()], dtype=np.int64)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop rows; those left keep their ids, also where these were positions."""
        self._ids, self._places = self.all(len(mask))[mask], None


def checked_ids(ids: ArrayLike, n: int) -> Ids:
    """Ids given for n rows, as int64 or as strings of any length."""
    array = np.asarray(ids)
    if array.dtype.kind in "UT" or (array.dtype.kind == "O" and _all_text(array)):
        array = array.astype(np.dtypes.StringDType())
    if array.shape != (n,) or (n and array.dtype.kind not in "iuT"):
        raise InputError(
            f"ids must be {n} integers or strings, one per code, got {array.dtype} of shape "
            f"{array.shape}"
        )
    if array.dtype.kind == "T":
        return array
    if n and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"ids must be below 2**63, got {array.max()}: number the codes otherwise")
    return array.astype(np.int64)


def _all_text(array: NDArray[Any]) -> bool:
    return all(isinstance(one, str) for one in array.ravel())
