"""Every call that changes the disk: write, fsync, rename, unlink, mkdir, each one a failpoint.

A file is published in one order only: written under a temporary name, fsynced, renamed, and the
folder fsynced. What `publish` has returned from is on disk; what it has not is either whole or
absent. Tests put a hook before each call (`failpoints`) to make it fail or to kill the process.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from isohash.errors import InputError

Hook = Callable[[str, Path], None]
TEMPORARY = "tmp-"

_hook: Hook | None = None


class DamagedArchive(InputError):
    """Bytes of an archive that are not what was written: `what` is wrong with the file `path`."""

    def __init__(self, path: Path, what: str) -> None:
        what = " ".join(what.split())  # SQLite's messages can have lines
        super().__init__(
            f"{path} is damaged: {what}; run isohash verify to see what is affected, "
            "then restore the file from a backup or repair the archive"
        )
        self.path = path
        self.what = what


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to read into one line."""
    try:
        yield
    except FileNotFoundError:
        raise DamagedArchive(path, "it is missing") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: give yourself read permission") from None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise InputError(
                f"{path} cannot be opened: too many open files; raise ulimit -n or compact the "
                "archive"
            ) from error
        raise DamagedArchive(path, f"it cannot be read ({error.strerror})") from None


@contextmanager
def failpoints(hook: Hook) -> Iterator[None]:
    """Call `hook(operation, path)` before every operation on the disk; for tests."""
    global _hook
    _hook = hook
    try:
        yield
    finally:
        _hook = None


def reach(operation: str, path: Path) -> None:
    """Mark a point where the disk can fail."""
    if _hook is not None:
        _hook(operation, path)


@contextmanager
def writing(archive: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into one line with the next step."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            step = "free some space and run the command again; finished cases are kept"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            step = "give yourself write permission, or copy the archive to a folder you can write"
        else:
            step = "check the disk and run the command again; finished cases are kept"
        raise InputError(f"cannot write to archive {archive}: {reason}; {step}") from error


def publish(path: Path, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
    """Make `path` hold the joined pieces, durably and all at once, or not at all.

    Raises OSError; then no temporary file is left, and `path` is as before (where even taking
    back the rename fails, the next writer finds the file whole).
    """
    temporary = path.with_name(TEMPORARY + path.name)
    existed = path.exists()
    try:
        _write(temporary, pieces)
        rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    try:
        sync_folder(path.parent)
    except OSError:
        if not existed:
            unlink(path)
        raise


def _write(path: Path, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write and fsync one new file."""
    reach("create", path)
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                reach("write", path)
                view = view[os.write(fd, view) :]
        reach("fsync", path)
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(source: Path, target: Path) -> None:
    """Give a file its name, replacing what had it."""
    reach("rename", target)
    source.replace(target)


def unlink(path: Path) -> None:
    """Remove a file that may already be gone."""
    reach("unlink", path)
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create one folder inside an existing one."""
    reach("mkdir", path)
    path.mkdir(exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    reach("fsync", path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
