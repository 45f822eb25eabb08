"""Tables of vectors: CSV with or without a line of names, and Parquet.

One row is one vector. A column called `id` (or `ids`) names the rows, one called `y` (or `label`,
`labels`) holds whole numbers, all others are the vector, in their order. CSV without names is
numbers alone, or a first column of names and numbers. No error repeats what a cell holds, for that
may be a patient's name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.sources.arrays import MAX_BYTES
from isohash.sources.extras import ask_for

IDS, LABELS = ("id", "ids"), ("y", "label", "labels")
DELIMITERS = "\t;,"
NUMERIC = str.maketrans("", "", "0123456789+-.eE ")
Columns = dict[str, NDArray[Any]]


def read_csv(path: Path) -> Columns:
    """The arrays `X` (n, d), and `ids` and `y` where the file has them."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 30} GiB; save it as .npy")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _columns(path, _rows(path, stream))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8; export it again as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: not CSV ({error}); export it again") from error


def read_parquet(path: Path) -> Columns:
    """The arrays `X` (n, d), and `ids` and `y` where the file has them.

    The vector is all columns of numbers, or one column of lists of one length.
    """
    ask_for(".parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about = file.metadata
            if 8 * about.num_rows * about.num_columns > MAX_BYTES:
                raise InputError(
                    f"{path}: {about.num_rows} rows of {about.num_columns} values, above the size "
                    "limit; divide it"
                )
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: damaged or not Parquet ({why}); copy or export it again"
        ) from error
    names = [str(name) for name in table.column_names]
    if empty := [name for name in names if table[name].null_count]:
        raise InputError(f"{path}: column {empty[0]!r} has empty cells; fill or remove those rows")
    parts = {name: table[name].combine_chunks() for name in names}
    return _of_columns(path, {name: _array(path, name, part) for name, part in parts.items()})


def _array(path: Path, name: str, column: Any) -> NDArray[Any]:
    """One column: (n,), or (n, d) where its cells are lists."""
    import pyarrow as pa

    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = np.unique(np.asarray(column.value_lengths()))
        if len(lengths) != 1 or not lengths[0]:
            raise InputError(
                f"{path}: the lists of column {name!r} have {len(lengths)} lengths; vectors have "
                "one length"
            )
        return np.asarray(column.flatten()).reshape(len(column), -1)
    if pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.flatten()).reshape(len(column), -1)
    array = np.asarray(column)
    return array.astype(str) if array.dtype == object else array


def _of_columns(path: Path, columns: Columns) -> Columns:
    found = {}
    for key, spellings in (("ids", IDS), ("y", LABELS)):
        for name in [n for n in columns if n.strip().lower() in spellings]:
            if key in found:
                raise InputError(f"{path}: two columns are {key}; keep one of them")
            found[key] = columns.pop(name)
    if not columns:
        raise InputError(f"{path}: has no column of numbers")
    for name, array in columns.items():
        if array.dtype.kind not in "fiub":
            raise InputError(
                f"{path}: column {name!r} is no number; name it 'id' if it names the rows, or "
                "remove it"
            )
    wide = [name for name, array in columns.items() if array.ndim == 2]
    if wide and len(columns) > 1:
        raise InputError(f"{path}: column {wide[0]!r} holds lists, others numbers; keep one kind")
    return {"X": np.column_stack(list(columns.values())), **found}


def _rows(path: Path, stream: Any) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not empty; all of one length."""
    first = stream.readline()
    stream.seek(0)
    delimiter = next((one for one in DELIMITERS if one in first), ",")
    reader, n = csv.reader(stream, delimiter=delimiter, strict=True), 0
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        n = n or len(cells)
        if len(cells) != n:
            raise InputError(
                f"{path}: line {reader.line_num} has {len(cells)} values, the first has {n}; "
                "give every row as many"
            )
        yield reader.line_num, cells


def _columns(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Columns:
    line, first = next(rows, (0, []))
    if not first:
        raise InputError(f"{path}: empty; a table has one vector a line")
    names = _names(path, first)
    ids_at, labels_at = _special(path, names, first)
    at = [i for i in range(len(first)) if i not in (ids_at, labels_at)]
    if not at:
        raise InputError(f"{path}: has no column of numbers")
    values, ids, labels = [], [], []
    for number, cells in rows if names else _with(line, first, rows):
        values.append(_numbers(path, number, cells, at))
        if ids_at is not None:
            ids.append(cells[ids_at].strip())
        if labels_at is not None:
            labels.append(_numbers(path, number, cells, [labels_at])[0])
    found: Columns = {"X": np.array(values, dtype=np.float64).reshape(len(values), len(at))}
    if ids_at is not None:
        found["ids"] = np.array(ids, dtype=str)
    if labels_at is not None:
        found["y"] = _whole(path, np.array(labels))
    return found


def _with(line: int, first: list[str], rows: Iterator[tuple[int, list[str]]]) -> Any:
    yield line, first
    yield from rows


def _names(path: Path, first: Sequence[str]) -> list[str]:
    """The names of the columns, in lower case; empty where the first line is a vector."""
    cells = [cell.strip().removeprefix("#").strip().lower() for cell in first]
    numbers = [cell for cell in cells[1:] or cells if _is_number(cell)]
    if not numbers and not _is_number(cells[-1]):
        return cells
    if not cells[0] or (len(cells) > 2 and cells == [str(i) for i in range(len(cells))]):
        raise InputError(
            f"{path}: the first line may be names of columns or a vector: it counts 0, 1, 2, ...; "
            "remove it, or name the columns (and that of the ids 'id')"
        )
    return []


def _special(
    path: Path, names: Sequence[str], first: Sequence[str]
) -> tuple[int | None, int | None]:
    """Where the names of the rows and their labels are."""
    if not names:
        return (None if _is_number(first[0].strip()) else 0), None
    found = []
    for spellings in (IDS, LABELS):
        at = [i for i, name in enumerate(names) if name in spellings]
        if len(at) > 1:
            raise InputError(f"{path}: two columns are called {' or '.join(spellings)}; keep one")
        found.append(at[0] if at else None)
    if found[0] is None and not names[0]:
        found[0] = 0  # the index of a table that pandas wrote
    return found[0], found[1]


def _is_number(cell: str) -> bool:
    if cell.translate(NUMERIC):
        return cell.lower().lstrip("+-") in ("nan", "inf")
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(path: Path, line: int, cells: Sequence[str], at: Sequence[int]) -> list[float]:
    """The numbers of a line; InputError names line and column of what is none."""
    wanted = [cells[i] for i in at]
    if not "".join(wanted).translate(NUMERIC):
        try:
            return [float(cell) for cell in wanted]
        except ValueError:
            pass  # told below
    wrong = next(i for i in at if not _is_finite(cells[i].strip()))
    what = "is empty" if not cells[wrong].strip() else "is not a number"
    raise InputError(
        f"{path}: line {line}, column {wrong + 1} {what}; correct it, or remove the row (names of "
        "rows belong in a column called 'id')"
    )


def _is_finite(cell: str) -> bool:
    return not cell.translate(NUMERIC) and _is_number(cell)


def _whole(path: Path, labels: NDArray[np.float64]) -> NDArray[np.int64]:
    whole = labels.astype(np.int64)
    if (whole != labels).any():
        raise InputError(f"{path}: labels y must be integers; number the classes from 0")
    return whole
