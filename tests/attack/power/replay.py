"""What a disk may hold after a power failure, from a record of what was done to it.

The model is that of a disk which promises no more than POSIX: bytes are safe after an fsync of
their file, names after an fsync of their folder; what came later may be there, in any part and
order.
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HEAD = struct.Struct("<cQQII")
SECTOR = 512  # bytes that are written as one
KINDS = ("nothing more", "all", "in order", "in any order", "in any order")


class Done(NamedTuple):
    """One record of `recorder.c`: C create, W write, T truncate, S fsync, R rename and so on."""

    kind: str
    inode: int
    at: int
    a: bytes
    b: bytes


def recorded(log: Path) -> list[Done]:
    data, at, found = log.read_bytes(), 0, []
    while at < len(data):
        kind, inode, where, n_a, n_b = HEAD.unpack_from(data, at)
        at += HEAD.size
        found.append(Done(kind.decode(), inode, where, data[at : at + n_a],
                          data[at + n_a : at + n_a + n_b]))  # fmt: skip
        at += n_a + n_b
    return found


@dataclass(eq=False)
class File:
    """A file's bytes now, those that are safe, and the writes since: (offset, bytes or None)."""

    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)


Names = dict[str, File | None]  # None: a folder


@dataclass(frozen=True)
class Naming:
    """A change of names in a folder: `gone` loses its name, `name` gets a file (None: a folder)."""

    folder: str
    gone: str | None = None
    name: str | None = None
    file: File | None = None

    def apply(self, names: Names) -> None:
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.name is not None:
            names[self.name] = self.file


class Disk:
    """A disk below `root`, record after record; `told` are the acknowledgements so far."""

    def __init__(self, root: Path) -> None:
        self.acknowledgements = str(root / "ACK")
        self.now: Names = {}
        self.safe: Names = {}
        self.since: list[Naming] = []
        self.told: list[tuple[str, Any]] = []
        self._files: dict[int, File] = {}

    def do(self, done: Done) -> None:
        path = os.fsdecode(done.a) if done.kind in "CRUMD" else ""
        file = self._files.get(done.inode)
        if done.kind == "C":
            self._files[done.inode] = new = File()
            self._name(Naming(os.path.dirname(path), name=path, file=new))
        elif done.kind == "M":
            self._name(Naming(os.path.dirname(path), name=path))
        elif done.kind == "U":
            self._name(Naming(os.path.dirname(path), gone=path))
        elif done.kind == "R":
            target = os.fsdecode(done.b)
            self._name(Naming(os.path.dirname(target), path, target, self.now[path]))
        elif done.kind == "D":
            self._sync_names(path)
        elif file is not None:
            self._bytes(file, done)

    def _name(self, naming: Naming) -> None:
        naming.apply(self.now)
        self.since.append(naming)

    def _sync_names(self, folder: str) -> None:
        for naming in self.since:
            if naming.folder == folder:
                naming.apply(self.safe)
        self.since = [naming for naming in self.since if naming.folder != folder]

    def _bytes(self, file: File, done: Done) -> None:
        if done.kind == "S":
            file.safe, file.since = bytes(file.now), []
            return
        content = done.a if done.kind == "W" else None
        _change(file.now, done.at, content)
        file.since.append((done.at, content))
        if file is self.now.get(self.acknowledgements):
            archive, holds = json.loads(done.a)
            self.told.append((archive, holds))

    def after_failure(self, chance: random.Random) -> dict[str, bytes | None]:
        """Names and bytes that a power failure may leave now (None: a folder)."""
        kind, share = chance.choice(KINDS), chance.choice([0.1, 0.5, 0.9])
        names = dict(self.safe)
        for naming in _kept(self.since, kind, share, chance):
            naming.apply(names)
        names.pop(self.acknowledgements, None)
        return {
            path: None if file is None else _left(path, file, kind, share, chance)
            for path, file in names.items()
        }


def _kept(items: list[Any], kind: str, share: float, chance: random.Random) -> Iterator[Any]:
    """Those of what is under way that reach the disk."""
    last = {"nothing more": 0, "in order": chance.randint(0, len(items))}.get(kind, len(items))
    for item in items[:last]:
        if kind != "in any order" or chance.random() < share:
            yield item


def _left(path: str, file: File, kind: str, share: float, chance: random.Random) -> bytes:
    if path.endswith("-shm"):  # memory of the catalogue's users, made anew
        return b""
    left = bytearray(file.safe)
    for at, content in _kept(file.since, kind, share, chance):
        if content is None or kind != "in any order":
            _change(left, at, content)
        else:
            _in_sectors(left, at, content, chance)
    return bytes(left)


def _in_sectors(left: bytearray, at: int, content: bytes, chance: random.Random) -> None:
    """Write what reaches the disk of a write: a file may have grown though its bytes are lost."""
    for first in range(0, len(content), SECTOR):
        sector = content[first : first + SECTOR]
        end = at + first + len(sector)
        if chance.random() < 0.8:
            _change(left, at + first, sector)
        elif chance.random() < 0.5 and len(left) < end:
            _change(left, end, None)


def _change(data: bytearray, at: int, content: bytes | None) -> None:
    """Write bytes, or (None) cut or lengthen to `at`; what lies between is zeros."""
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    if content is None:
        del data[at:]
    else:
        data[at : at + len(content)] = content


def written(files: dict[str, bytes | None], root: Path, target: Path) -> None:
    """Make a folder hold these files; what lies in no folder is lost with it."""
    target.mkdir()
    for path in sorted(files):
        place, content = target / os.path.relpath(path, root), files[path]
        if place.parent.is_dir():
            if content is None:
                place.mkdir(mode=0o700)
            else:
                place.write_bytes(content)
