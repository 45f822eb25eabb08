"""Private folders among the system's temporary ones, which go with the process that made them.

A process that is killed cannot clear up: the next one that makes such a folder does. Each is locked
by its process for as long as that lives, whichever way it ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

PREFIX = "isohash-unpacked-"
YOUNG_SECONDS = 60.0  # a folder that is not older may not be locked yet
_locks: dict[Path, int] = {}


def make() -> Path:
    """A new folder that only the owner may enter; what killed processes left goes."""
    _clear()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    if (lock := _locked(folder)) is not None:
        _locks[folder] = lock
    return folder


def remove(folder: Path) -> None:
    """Remove a folder that `make` made, and all in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if (lock := _locks.pop(folder, None)) is not None:
        os.close(lock)


def _clear() -> None:
    """Remove the folders of this user whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _ours(folder) and (lock := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _ours(folder: Path) -> bool:
    """Whether it is a folder of this user, and old enough to be locked if it is in use."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    old = time.time() - status.st_ctime > YOUNG_SECONDS
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and old


def _locked(folder: Path) -> int | None:
    """The folder opened and locked; None if somebody else has it, or that cannot be told."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
