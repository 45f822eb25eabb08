"""An archive's files: damaged ones named, the system's refusals in one line, new ones whole."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from isohash.errors import InputError
from isohash.whole_files import OWNER_ONLY, Piece, write_whole

TEMPORARY = "tmp-"


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


def check_regular(path: Path) -> bool:
    """Whether a file is there; DamagedArchive if a link, pipe, device or folder is."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise DamagedArchive(path, f"it is a {_kind(mode)}; an archive's files are plain files")
    return True


def check_folder(path: Path) -> None:
    """DamagedArchive if something else than a folder has its name, as a link to one."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        raise DamagedArchive(path, f"it is a {_kind(mode)}, not a folder")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "link", stat.S_IFIFO: "pipe", stat.S_IFDIR: "folder"}
    kinds |= {stat.S_IFSOCK: "socket", stat.S_IFREG: "file"}
    return kinds.get(stat.S_IFMT(mode), "device")


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0) -> int:
    """Open a file of an archive without following a link or waiting for a pipe. Raises OSError."""
    check_regular(path)
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):  # put there this moment
        os.close(fd)
        raise DamagedArchive(path, "it is not a plain file")
    return fd


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A file of an archive, open for reading."""
    with reading(path), open(open_regular(path), "rb") as file:
        yield file


def content(path: Path, most: int) -> bytes:
    """All bytes of a small file of an archive; DamagedArchive if it has more than `most`."""
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise DamagedArchive(path, f"it has more than {most} bytes")
    return data


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


def publish(path: Path, pieces: Iterable[Piece]) -> None:
    """Write a file of an archive whole; what a killed writer leaves, the next one removes."""
    write_whole(path, pieces, mode_in(path.parent), TEMPORARY + path.name)


def mode_in(folder: Path) -> int:
    """The mode of a file in a folder of an archive: for those to whom the folder is open.

    So a group shares an archive whose folder it shares, and the umask decides nothing.
    """
    return stat.S_IMODE(folder.stat().st_mode) & 0o666


def touch(path: Path) -> None:
    """Make an empty file of an archive, if there is none."""
    if not check_regular(path):
        os.close(open_regular(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY))
        path.chmod(mode_in(path.parent))
