"""A journal: lines of JSON, each with the digest of all before it, on the disk before it counts.

    {"n": 2, "at": "2026-11-30T20:15:00Z", ..., "chain": SHA-256(chain of line 1, this line so far)}

What `append` has returned is on the disk. A line that a kill cut short was never acknowledged and
goes with the next append. Several processes may append: each does so alone, after what the others
have written. A line that was changed, removed or put in breaks the chain; a cut end does not, so
the last `chain` can be noted elsewhere.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohash.errors import InputError
from isohash.whole_files import OWNER_ONLY, append_line, private_folder, sync_folder

START = "0" * 64  # what the first line follows
TAIL = len(',"chain":""}') + len(START)

Facts = dict[str, Any]


class BrokenChain(InputError):
    """A line that does not follow from the one before it."""

    def __init__(self, path: Path, line: int) -> None:
        super().__init__(
            f"{path}: line {line} is not what was written there; set the file aside, a new one "
            "is begun"
        )
        self.line = line


@dataclass
class End:
    """Where a journal ends: bytes, lines, and the chain of the last."""

    size: int = 0
    lines: int = 0
    chain: str = START


class Journal:
    """The journal of one file; `told` hears every line once, those of other processes too."""

    def __init__(self, path: Path, told: Callable[[Facts], None] = lambda _: None) -> None:
        self.path, self._told, self._end = path, told, End()
        self._mutex = threading.Lock()

    def append(self, **facts: Any) -> Facts:
        """Write a line; InputError where the disk refuses or the chain is broken."""
        with self._mutex, self._opened() as descriptor:
            self._read(descriptor)
            line, chain = _line(self._end, facts)
            self._write(descriptor, line)
            self._take(line, chain)
        return json.loads(line)

    def refresh(self) -> None:
        """Hear what was written since; nothing where there is no file."""
        with self._mutex:
            if not self.path.exists() or self.path.stat().st_size == self._end.size:
                return
            with self.path.open("rb") as file:
                self._read(file.fileno())

    @property
    def end(self) -> End:
        """Where it ended when it was last read."""
        return self._end

    def _read(self, descriptor: int) -> None:
        """The whole lines after what is known."""
        if os.fstat(descriptor).st_size < self._end.size:
            raise BrokenChain(self.path, self._end.lines)
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(self._end.size)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # being written, or cut by a kill
                self._take(line, _chain_of(self.path, line, self._end))

    def _take(self, line: bytes, chain: str) -> None:
        self._end = End(self._end.size + len(line), self._end.lines + 1, chain)
        self._told(json.loads(line))

    def _write(self, descriptor: int, line: bytes) -> None:
        try:
            os.ftruncate(descriptor, self._end.size)  # what a kill left of a line
            append_line(descriptor, self.path, self._end.size, line)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror})") from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, open to append to by nobody else."""
        try:
            new = not self.path.exists()
            private_folder(self.path.parent)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if new:
                sync_folder(self.path.parent)
                sync_folder(self.path.parent.parent)
            yield descriptor
        finally:
            os.close(descriptor)


def _line(end: End, facts: Facts) -> tuple[bytes, str]:
    """The next line, and its chain."""
    at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"n": end.lines + 1, "at": at, **facts}
    body = json.dumps(told, separators=(",", ":"), ensure_ascii=True)[:-1].encode()
    chain = _linked(end.chain, body)
    return body + f',"chain":"{chain}"}}\n'.encode(), chain


def _chain_of(path: Path, line: bytes, end: End) -> str:
    """The chain that a line should have; BrokenChain if it has another."""
    body = line.rstrip(b"\n")[:-TAIL]
    chain = _linked(end.chain, body)
    if line != body + f',"chain":"{chain}"}}\n'.encode():
        raise BrokenChain(path, end.lines + 1)
    return chain


def _linked(chain: str, body: bytes) -> str:
    return hashlib.sha256(chain.encode() + body).hexdigest()
