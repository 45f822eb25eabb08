"""Segment files: written at once, opened with their header checked, their rows at first touch."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isohash.archive.files import DamagedArchive, opened, publish, reading
from isohash.archive.segment_format import (
    CHUNK,
    DIGEST,
    HEADER_START,
    PREAMBLE,
    Block,
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

    Raises DamagedArchive for anything that is not exactly what was written. A mapped file that
    loses bytes, or that a disk fails to give, would end the process when they are touched: so
    header, footer and, at first touch, every chunk are read, not mapped, and the size of a mapped
    file is looked at whenever rows of it are asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path) as file:
            self.size = len(file)
            source: bytes | _File = file[:] if self.size <= SMALL else file
            try:
                self.header = parse_header(source)
            except ValueError as error:
                raise DamagedArchive(path, str(error)) from None
            self.digest, self._crcs = self._read_footer(source)
            self.mapped = None if isinstance(source, bytes) else file.map()
        self._buffer: bytes | mmap.mmap = b""
        if isinstance(source, bytes):
            self._buffer = source
        elif self.mapped is not None:
            self._buffer = self.mapped.bytes
        self._checked = bytearray(self.header.n_chunks)

    def _read_footer(self, source: bytes | _File) -> tuple[bytes, NDArray[np.uint32]]:
        footer = source[self.header.body_start + self.header.body_size :]
        table, digest = footer[:-DIGEST], footer[-DIGEST:]
        header_digest = source[PREAMBLE.size : HEADER_START]
        if hashlib.sha256(header_digest + table).digest() != digest:
            raise DamagedArchive(self.path, "its footer does not match its checksum")
        return digest, np.frombuffer(table, dtype="<u4")

    def block_of(self, index: int) -> Block:
        """What the header says of a block."""
        if not 0 <= index < len(self.header.blocks):
            raise DamagedArchive(self.path, f"it has no block {index}")
        return self.header.blocks[index]

    def content(self) -> bytes:
        """The bytes of block 0, checked."""
        return self.block(0).tobytes()

    def block(self, index: int) -> NDArray[Any]:
        """A whole block, read-only, checked."""
        return self.rows(index, 0, self.header.blocks[index].shape[0])

    def rows(self, index: int, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop of a block, read-only and not copied; their chunks are checked."""
        block = self.block_of(index)
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
        if self.mapped is not None:
            self.mapped.check()
        for i in range(first // CHUNK, -(-last // CHUNK)):
            if not self._checked[i]:
                start, stop = self._chunk(i)
                with reading(self.path):
                    self._compare(i, zlib.crc32(self._read(start, stop)))
                self._checked[i] = 1

    def _read(self, start: int, stop: int) -> memoryview:
        """Bytes of the file by the system's read, which can fail where touching them could not."""
        if self.mapped is None:
            return memoryview(self._buffer)[start:stop]
        return self.mapped.read(start, stop)

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

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._fd = file.fileno()
        self._size = os.fstat(self._fd).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        return bytes(read_at(self._fd, start, max(start, stop)))

    def map(self) -> Mapped:
        return Mapped(self._path, os.dup(self._fd), self._size)


class Mapped:
    """A mapped file, and a descriptor to read it by; both stay while anything uses them."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self._fd = fd
        weakref.finalize(self, os.close, fd)
        self.bytes = mmap.mmap(fd, size, access=mmap.ACCESS_READ)

    def read(self, start: int, stop: int) -> memoryview:
        """Bytes start..stop, read. Raises OSError."""
        return read_at(self._fd, start, stop)

    def check(self) -> None:
        """As `check_size`."""
        check_size(self.bytes, self.path)


def check_size(mapped: mmap.mmap, path: Path) -> None:
    """DamagedArchive if a mapped file has not the size any more that it was mapped with."""
    if mapped.size() != len(mapped):
        raise DamagedArchive(path, "its size has changed while it was open")


def read_at(fd: int, start: int, stop: int) -> memoryview:
    """Bytes start..stop of an open file; OSError if there are fewer."""
    data = memoryview(bytearray(stop - start))
    done = 0
    while done < len(data):
        n = os.preadv(fd, [data[done:]], start + done)
        if not n:
            raise OSError(0, "the file became shorter")
        done += n
    return data


@contextmanager
def _reading(path: Path) -> Iterator[_File]:
    """Open a file to read slices of it."""
    with opened(path) as file:
        yield _File(path, file)
