"""Makes archives, adds to them, removes, merges and backs up below a folder, and says what is done.

    python workload.py ROOT OTHER KIND

Whatever changes an archive is announced before and acknowledged after, with all that the archive
then holds: the oracle of what a power failure may not take. Lines of JSON in ROOT/ACK.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from isohash.archive.backup import backup
from isohash.archive.store import CaseStore
from isohash.retrieval.building.indexing import build_archive, index_found
from isohash.retrieval.building.merging import merge
from isohash.retrieval.building.removal import remove
from small_cases import OPTIONS, as_findings, phantom

CHANGES = ("put_all", "delete", "put_file", "set_recipe", "compact", "rewrite")


def held(store: CaseStore) -> list[list[str]]:
    """All that an archive says, as digests: its recipe, files and cases, in order."""
    files = [[f"file {name}", _digest(store.read_file(name))] for name in store.file_names()]
    cases = [[f"case {name}", _digest(*_of_case(store, name))] for name in store.ids()]
    return [["recipe", _digest(json.dumps(store.recipe, sort_keys=True).encode())], *files, *cases]


def _of_case(store: CaseStore, name: str) -> list[bytes]:
    told = [store.metadata(name), store.fingerprint(name)]
    arrays = store.arrays(name).items()
    shapes = [[n, array.dtype.str, array.shape] for n, array in arrays]
    return [json.dumps([told, shapes]).encode(), *(array.tobytes() for _, array in arrays)]


def _digest(*pieces: bytes) -> str:
    return hashlib.sha256(b"\0".join(pieces)).hexdigest()[:16]


class Speaker:
    """Announces and acknowledges what is done to archives."""

    def __init__(self, root: Path) -> None:
        self.root, self.depth = root, 0
        self.file = os.open(root / "ACK", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @contextmanager
    def told(self, archive: Path) -> Iterator[None]:
        """Around a change: of several within one another only the outermost is told."""
        self.depth += 1
        is_told = self.depth == 1 and archive.parent == self.root
        if is_told:
            self._say(archive.name, None)
        yield
        if is_told:
            with CaseStore.open(archive) as store:
                self._say(archive.name, held(store))
        self.depth -= 1

    def _say(self, archive: str, holds: list[list[str]] | None) -> None:
        os.write(self.file, json.dumps([archive, holds]).encode() + b"\n")

    def listen(self) -> None:
        """Tell every change of any store from now on."""
        for name in CHANGES:
            setattr(CaseStore, name, self._told(getattr(CaseStore, name)))
        CaseStore.create = self._told_creation(CaseStore.create)

    def _told(self, change: Callable[..., None]) -> Callable[..., None]:
        @wraps(change)
        def told(store: CaseStore, *given: Any, **named: Any) -> None:
            with self.told(store.path):
                change(store, *given, **named)

        return told

    def _told_creation(self, create: Callable[..., CaseStore]) -> Callable[..., CaseStore]:
        def told(path: Path, *given: Any, **named: Any) -> CaseStore:
            with self.told(Path(path)):
                return create(path, *given, **named)

        return told

    def backup(self, archive: Path, copy: Path) -> None:
        with self.told(copy):
            backup(archive, copy)


def add_cases(archive: Path, *members: int) -> None:
    found = {f"phantom-00-{m:02d}": partial(phantom, 0, m) for m in members}
    index_found(as_findings(found), archive, OPTIONS if not archive.exists() else {})


def add_vectors(archive: Path, *members: int) -> None:
    folder = archive.parent.with_name(f"{archive.parent.name}-vectors")
    folder.mkdir(exist_ok=True)
    for m in members:
        np.save(folder / f"v{m}.npy", np.random.default_rng(m).standard_normal((90, 16)))
    build_archive(folder, archive, **({"bits": 128} if not archive.exists() else {}))
    shutil.rmtree(folder)


def main(root: Path, other: Path, kind: str) -> None:
    speaker = Speaker(root)
    speaker.listen()
    archive, copy = root / "archive", root / "copy"
    add, name = {"cases": (add_cases, "phantom-00-01"), "vectors": (add_vectors, "v1")}[kind]
    add(archive, 0, 1, 2)
    shutil.copytree(archive, other)
    add(other, 3, 4)
    speaker.backup(archive, copy)
    add(archive, 5, 6)
    remove(archive, [name])
    merge(archive, other)
    speaker.backup(archive, copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
