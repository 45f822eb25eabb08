"""Files that are whole or absent: every call that changes the disk, each one a failpoint.

A file is published in one order only: written under a temporary name, fsynced, renamed, and the
folder fsynced. What has returned is on disk; what has not is either whole or absent. Tests put a
hook before each call (`failpoints`) to make it fail or to kill the process.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from isohash.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Hook = Callable[[str, Path], None]
Piece = bytes | bytearray | memoryview

OWNER_ONLY = 0o600  # for what may name a patient, or shows one; whatever the umask
OWNER_FOLDER = 0o700
BY_UMASK = 0o666  # for what is learned and passed on, such as kernels and hashes
ARCHIVE = ("recipe.json", "segments")  # what makes a folder an archive, which only its store writes

_hook: Hook | None = None
_tell_replaced: Callable[[Path], None] | None = None
_written: set[Path] = set()  # since `telling_replaced` was called: no news when written again


@contextmanager
def failpoints(hook: Hook) -> Iterator[None]:
    """Call `hook(operation, path)` before every operation on the disk; for tests."""
    global _hook
    _hook = hook
    try:
        yield
    finally:
        _hook = None


def telling_replaced(tell: Callable[[Path], None] | None) -> None:
    """Have `tell` called with each file of before that `whole_file` replaces, once for each."""
    global _tell_replaced
    _tell_replaced = tell
    _written.clear()


def reach(operation: str, path: Path) -> None:
    """Mark a point where the disk can fail."""
    if _hook is not None:
        _hook(operation, path)


def write_whole(
    path: str | Path,
    pieces: bytes | Iterable[Piece],
    mode: int = OWNER_ONLY,
    temporary: str | None = None,
    kept_up: bool = False,
) -> None:
    """Make `path` hold the joined pieces, durably and all at once, or not at all.

    As `whole_file`, which says what happens when the disk refuses.
    """
    with whole_file(path, mode, temporary, kept_up) as file:
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            reach("write", Path(file.name))
            file.write(piece)


@contextmanager
def whole_file(
    path: str | Path, mode: int = OWNER_ONLY, temporary: str | None = None, kept_up: bool = False
) -> Iterator[BinaryIO]:
    """A file to write, which gets the name `path` when the block ends well.

    Until then it has a name of its own beside `path`, or the name `temporary`. A new file has the
    `mode`; one that is replaced keeps its own, and a link is followed. That one is replaced is told
    (`telling_replaced`), unless it is `kept_up`, as checkpoints are. Only the store, which names
    its temporary files, writes inside an archive: InputError for others.
    Raises OSError; then no temporary file is left, and `path` is as before (where even taking back
    the rename fails, the next reader finds the file whole).
    """
    target = Path(os.path.realpath(path))
    if temporary is None:
        refuse_in_archive(target)
    beside = target.with_name(temporary or f".{target.name[:64]}.{secrets.token_hex(8)}.tmp")
    before = target.stat().st_mode if target.exists() else None
    if temporary is None and not kept_up:
        _note(target, before is not None)
    try:
        reach("create", beside)
        with open(beside, "wb", opener=partial(os.open, mode=mode)) as file:
            if before is not None or mode != BY_UMASK:
                beside.chmod(mode if before is None else stat.S_IMODE(before))
            yield file
            reach("fsync", beside)
            file.flush()
            os.fsync(file.fileno())
        rename(beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    try:
        sync_folder(target.parent)
    except OSError:
        if before is None:
            unlink(target)
        raise


def append_line(descriptor: int, path: Path, end: int, line: bytes) -> None:
    """Add a line to an open file that ends at `end`, durably and whole.

    Raises OSError; then the file ends where it did.
    """
    try:
        reach("write", path)
        if os.pwrite(descriptor, line, end) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reach("fsync", path)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _note(target: Path, replaced: bool) -> None:
    if replaced and target not in _written and _tell_replaced is not None:
        _tell_replaced(target)
    _written.add(target)


def private_folder(path: str | Path) -> Path:
    """Make a folder and what leads to it for their owner alone; what is there stays as it is."""
    folder = Path(path)
    for one in reversed([folder, *folder.parents]):
        if not one.exists():
            one.mkdir(OWNER_FOLDER, exist_ok=True)
    return folder


def workbench_of(archive: str | Path) -> Path:
    """The folder beside an archive for what people keep of it; it need not be there."""
    path = Path(os.path.realpath(archive))
    return path.with_name(f"{path.name}.workbench")


def refuse_in_archive(path: str | Path) -> None:
    """InputError if a file or folder to write would lie inside an archive, or be one."""
    target = Path(os.path.realpath(path))
    for folder in (target, *target.parents):
        if all((folder / name).exists() for name in ARCHIVE):
            raise InputError(
                f"{path} lies in the archive {folder}, where only isohash index writes; "
                "choose a place outside"
            )


def rename(source: Path, target: Path) -> None:
    """Give a file its name, replacing what had it."""
    reach("rename", target)
    source.replace(target)


def unlink(path: Path) -> None:
    """Remove a file that may already be gone."""
    reach("unlink", path)
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create one folder inside an existing one, open to those to whom that one is."""
    reach("mkdir", path)
    path.mkdir(exist_ok=True)
    path.chmod(stat.S_IMODE(path.parent.stat().st_mode))


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the system opens folders."""
    reach("fsync", path)
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def digest(*arrays: NDArray[Any] | None, settings: Mapping[str, Any] | None = None) -> str:
    """SHA-256 of settings and of the arrays' types, shapes and bytes: what a file was made from.

    Arrays that are None are left out.
    """
    import numpy as np  # not before it is needed: commands set up its threads

    sha = hashlib.sha256()
    if settings is not None:
        sha.update(json.dumps(settings, sort_keys=True, default=repr).encode())
    for array in arrays:
        if array is not None:
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
