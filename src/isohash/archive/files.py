"""An archive's files: damaged ones named, the system's refusals in one line, new ones whole."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from isohash.errors import InputError
from isohash.whole_files import ALL_READ, Piece, write_whole

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
    write_whole(path, pieces, ALL_READ, TEMPORARY + path.name)
