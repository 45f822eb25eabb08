"""Embeddings of a database and of queries, as every retrieval experiment takes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.whole_files import digest, private_folder, whole_file


@dataclass(frozen=True, eq=False)
class Embedded:
    """One embedding of a database (n, d) and of queries (m, d).

    `groups` (m,) says which queries belong together (one patient's), for intervals.
    """

    name: str
    base: NDArray[np.float32]
    query: NDArray[np.float32]
    groups: NDArray[Any]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of both embeddings."""
        return digest(self.base, self.query)

    def first(self, n_base: int, n_queries: int) -> Embedded:
        """The first rows only, where there are more."""
        return Embedded(
            self.name, self.base[:n_base], self.query[:n_queries], self.groups[:n_queries]
        )


def files_digest(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and bytes of all files below a folder."""
    top = Path(path)
    if not top.exists():
        raise InputError(f"{path} does not exist: name the data to evaluate on")
    sha = hashlib.sha256()
    files = [top] if top.is_file() else sorted(f for f in top.rglob("*") if f.is_file())
    for file in files:
        sha.update(str(file.relative_to(top)).encode())
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()


def save_views(path: Path, key: str, views: Sequence[Embedded], about: Mapping[str, Any]) -> None:
    """Keep embeddings under the key of what they were made from."""
    arrays: dict[str, Any] = {"header": np.array(json.dumps({"key": key, "about": about}))}
    arrays["names"] = np.array([view.name for view in views])
    for i, view in enumerate(views):
        arrays |= {f"base{i}": view.base, f"query{i}": view.query, f"groups{i}": view.groups}
    private_folder(path.parent)
    with whole_file(path, kept_up=True) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_views(path: Path, key: str) -> tuple[list[Embedded], dict[str, Any]] | None:
    """What `save_views` kept, or None if there is nothing, or it was made from something else."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        if header["key"] != key:
            return None
        views = [
            Embedded(str(name), file[f"base{i}"], file[f"query{i}"], file[f"groups{i}"])
            for i, name in enumerate(file["names"])
        ]
    return views, header["about"]
