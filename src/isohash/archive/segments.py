"""Segment files: written at once, opened with their header checked, their rows at first touch."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive.files import DamagedArchive, publish, reading
from isohash.archive.segment_format import (
    CHUNK,
    DIGEST,
    HEADER_START,
    PREAMBLE,
    Draft,
    Pieces,
    encode,
    parse_header,
)

SMALL = 1 << 20  # files up to this size are read, larger ones mapped


def write_segment(path: Path, draft: Draft, sources: Sequence[Pieces]) -> tuple[int, bytes]:
    """Publish a segment; `sources[i]` yields the bytes of block i. Returns (size, digest).

    Memory stays bounded by one chunk and one piece. Raises OSError.
    """
    size, tail = 0, b""

    def measured() -> Iterator[bytes | bytearray]:
        nonlocal size, tail
        for piece in encode(draft, sources):
            size += len(piece)
            tail = bytes(piece[-DIGEST:])
            yield piece

    publish(path, measured())
    return size, tail


def array_bytes(array: NDArray[Any]) -> memoryview | bytes:
    """The bytes of a contiguous array without a copy."""
    return array.reshape(-1).view(np.uint8).data if array.size else b""


class Segment:
    """One segment file, open for reading: header and footer checked, rows checked on first touch.

    Raises DamagedArchive for anything that is not exactly what was written. Header and footer are
    read, not mapped, and the size is known to be right before the file is mapped, so that neither
    a short file nor an unreadable one ends the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path) as file:
            self.size = len(file)
            self._source: bytes | _File = file[:] if self.size <= SMALL else file
            try:
                self.header = parse_header(self._source)
            except ValueError as error:
                raise DamagedArchive(path, str(error)) from None
            self.digest, self._crcs = self._read_footer()
            self._buffer = file.map() if isinstance(self._source, _File) else self._source
        self._checked = bytearray(self.header.n_chunks)

    def _read_footer(self) -> tuple[bytes, NDArray[np.uint32]]:
        footer = self._source[self.header.body_start + self.header.body_size :]
        table, digest = footer[:-DIGEST], footer[-DIGEST:]
        header_digest = self._source[PREAMBLE.size : HEADER_START]
        if hashlib.sha256(header_digest + table).digest() != digest:
            raise DamagedArchive(self.path, "its footer does not match its checksum")
        return digest, np.frombuffer(table, dtype="<u4")

    def content(self) -> bytes:
        """The bytes of block 0, checked."""
        return self.block(0).tobytes()

    def block(self, index: int) -> NDArray[Any]:
        """A whole block, read-only, checked."""
        return self.rows(index, 0, self.header.blocks[index].shape[0])

    def rows(self, index: int, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop of a block, read-only and not copied; their chunks are checked."""
        if not 0 <= index < len(self.header.blocks):
            raise DamagedArchive(self.path, f"it has no block {index}")
        block = self.header.blocks[index]
        if not 0 <= start <= stop <= block.shape[0]:
            raise DamagedArchive(self.path, f"block {block.name!r} has no rows {start}..{stop}")
        row = block.dtype.itemsize * math.prod(block.shape[1:])
        first, last = block.offset + start * row, block.offset + stop * row
        self._check(first, last)
        count = (last - first) // block.dtype.itemsize
        flat = np.frombuffer(self._buffer, block.dtype, count, self.header.body_start + first)
        return flat.reshape((stop - start, *block.shape[1:]))

    def _check(self, first: int, last: int) -> None:
        """Compare the chunks that bytes first..last of the body touch with their checksums."""
        for i in range(first // CHUNK, -(-last // CHUNK)):
            if not self._checked[i]:
                start, stop = self._chunk(i)
                with memoryview(self._buffer) as view:
                    self._compare(i, zlib.crc32(view[start:stop]))
                self._checked[i] = 1

    def check_all(self, seen: Callable[[int], None] | None = None) -> None:
        """Read the whole body from the file and compare it with its checksums."""
        with _reading(self.path) as file:
            for i in range(self.header.n_chunks):
                start, stop = self._chunk(i)
                self._compare(i, zlib.crc32(file[start:stop]))
                if seen is not None:
                    seen(stop - start)

    def _chunk(self, i: int) -> tuple[int, int]:
        """Where chunk i lies in the file."""
        start = self.header.body_start + i * CHUNK
        return start, min(start + CHUNK, self.header.body_start + self.header.body_size)

    def _compare(self, i: int, crc: int) -> None:
        if crc != int(self._crcs[i]):
            raise DamagedArchive(self.path, f"its data chunk {i} does not match its checksum")


class _File:
    """The bytes of an open file, by slices, read when asked for."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        data = os.pread(self._fd, max(0, stop - start), start)
        if len(data) != max(0, stop - start):
            raise OSError(0, "the file became shorter")
        return data

    def map(self) -> mmap.mmap:
        return mmap.mmap(self._fd, self._size, access=mmap.ACCESS_READ)


@contextmanager
def _reading(path: Path) -> Iterator[_File]:
    """Open a file to read slices of it."""
    with reading(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield _File(fd)
        finally:
            os.close(fd)
