"""The data sets of the classification experiment, each with its one preprocessing.

Everything that is fitted (medians for missing values, means, standard deviations, the categories
of the one-hot code) is fitted on the training part only. After that every column has mean 0 and
standard deviation 1 on the training part and is clipped to +-8 deviations, which tames counts with
heavy tails.

    adult     the published training and test files; 6 numbers standardised, 8 texts one-hot
              ("?" is a category of its own, categories unseen in training are all zeros)
    news      a random fifth of Online News Popularity, 58 numbers; positive: 1400 shares or more
    buzz      Tom's Hardware, relative labelling, sigma 500; 96 counts, log(1 + max(x, 0))
    seizure   178 samples of EEG; class 1 against the rest. Split by recording: the 23 rows of one
              recording are neighbours in time and would leak
    seizure5  the same with all five classes
    kather    84 texture features of colorectal tissue, 8 classes; missing values get the median
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.whole_files import digest

CLIP = 8.0
ADULT_TEXT = (1, 3, 5, 6, 7, 8, 9, 13)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows as they are read: numbers (n, d, nan where missing), texts (n, t), classes (n,).

    `groups` (n,) are kept whole by a split. `is_test` (n,) is a published split, or None.
    """

    numbers: NDArray[np.float64]
    texts: NDArray[np.str_]
    classes: NDArray[np.int64]
    groups: NDArray[np.int64]
    is_test: NDArray[np.bool_] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the contents."""
        return digest(self.numbers, self.texts, self.classes, self.groups)


@dataclass(frozen=True, eq=False)
class Split:
    """One random training and test part, ready for a classifier.

    `groups_train` are the recordings of the training rows, for parts held out of them; None where
    rows are independent.
    """

    X_train: NDArray[np.float64]
    y_train: NDArray[np.int64]
    groups_train: NDArray[np.int64] | None
    X_test: NDArray[np.float64]
    y_test: NDArray[np.int64]


def _adult(folder: Path) -> Table:
    parts = [_adult_rows(folder / f"uci_adult/adult_{part}.csv.gz") for part in ("train", "test")]
    rows = np.array(parts[0] + parts[1])
    numeric = [c for c in range(14) if c not in ADULT_TEXT]
    classes = (rows[:, 14] == ">50K").astype(np.int64)
    is_test = np.arange(len(rows)) >= len(parts[0])
    numbers = rows[:, numeric].astype(np.float64)
    return Table(numbers, rows[:, ADULT_TEXT], classes, np.arange(len(rows)), is_test)


def _adult_rows(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    return [row for row in rows[1:] if len(row) == 15]


def _numeric(
    numbers: NDArray[Any], classes: NDArray[Any], groups: NDArray[Any] | None = None
) -> Table:
    n = len(numbers)
    kept = np.arange(n) if groups is None else groups.astype(np.int64)
    values = numbers.astype(np.float64)
    return Table(values, np.empty((n, 0), np.str_), classes.astype(np.int64), kept)


def _news(folder: Path) -> Table:
    file = _arrays(folder, "uci_online_news_popularity/online_news_popularity_partial.npz")
    return _numeric(file["X_random20"], file["shares_random20"] >= 1400)


def _buzz(folder: Path) -> Table:
    file = _arrays(folder, "uci_buzz_tomshardware/buzz_tomshardware_relative_sigma500.npz")
    logs = np.log1p(np.maximum(file["X"].astype(np.float64), 0.0))
    # the last bits of a logarithm differ between processors, and would change the data's digest
    return _numeric(logs.astype(np.float32), file["y"])


def _seizure(folder: Path) -> Table:
    file = _arrays(folder, "uci_epileptic_seizure/epileptic_seizure_recognition.npz")
    return _numeric(file["X"], file["y"] == 1, file["recording"])


def _seizure5(folder: Path) -> Table:
    file = _arrays(folder, "uci_epileptic_seizure/epileptic_seizure_recognition.npz")
    return _numeric(file["X"], file["y"], file["recording"])


def _kather(folder: Path) -> Table:
    file = _arrays(folder, "kather_crc_texture_features/kather_crc_texture_features.npz")
    return _numeric(file["X"], file["y"])


def _arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    with np.load(folder / name, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


READERS: dict[str, Callable[[Path], Table]] = {
    "adult": _adult,
    "news": _news,
    "buzz": _buzz,
    "seizure": _seizure,
    "seizure5": _seizure5,
    "kather": _kather,
}


def read_table(name: str, data_dir: str | Path) -> Table:
    """One data set below `data_dir`."""
    if name not in READERS:
        raise InputError(f"data set must be one of {', '.join(READERS)}, got {name!r}")
    try:
        return READERS[name](Path(data_dir))
    except OSError as error:
        raise InputError(f"data set {name} cannot be read: {error}") from error


def split_table(table: Table, n_train: int, n_test: int, rng: np.random.Generator) -> Split:
    """A random split by groups, at most so many rows on either side, preprocessed.

    A published split is respected: rows are then only drawn from either side.
    """
    test = table.is_test if table.is_test is not None else _group_split(table.groups, n_test, rng)
    train_rows = _some(np.flatnonzero(~test), n_train, rng)
    test_rows = _some(np.flatnonzero(test), n_test, rng)
    X_train, X_test = _prepared(table, train_rows, test_rows)
    groups = table.groups[train_rows]
    grouped = len(np.unique(table.groups)) < len(table.groups)
    return Split(
        X_train, table.classes[train_rows], groups if grouped else None,
        X_test, table.classes[test_rows],
    )  # fmt: skip


def _group_split(
    groups: NDArray[np.int64], n_test: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whole groups until the test part has n_test rows, but at most 40 % of all."""
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    before = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    chosen = np.zeros(len(names), bool)
    chosen[order[before < min(n_test, 0.4 * len(groups))]] = True
    return chosen[inverse]


def _some(rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.choice(rows, min(n, len(rows)), replace=False))


def _prepared(
    table: Table, train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    medians = np.nanmedian(table.numbers[train], axis=0)
    parts = []
    for rows in (train, test):
        numbers = table.numbers[rows]
        filled = np.where(np.isnan(numbers), medians, numbers)
        parts.append(np.hstack([filled, _one_hot(table.texts, train, rows)]))
    mean, deviation = parts[0].mean(axis=0), parts[0].std(axis=0)
    keep = deviation > 0  # a column that is constant in training says nothing
    first, second = (
        np.clip((p[:, keep] - mean[keep]) / deviation[keep], -CLIP, CLIP) for p in parts
    )
    return first, second


def _one_hot(
    texts: NDArray[np.str_], train: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    columns = [
        (texts[rows, c][:, None] == np.unique(texts[train, c])).astype(np.float64)
        for c in range(texts.shape[1])
    ]
    return np.hstack(columns) if columns else np.zeros((len(rows), 0))
