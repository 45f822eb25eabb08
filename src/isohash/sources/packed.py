"""Zip and tar files as sources: their files are laid out in a private folder, within limits.

Only the owner may enter the folder, and it goes when this process ends (see private_folder). Names
that lead out of it, links and devices are passed over. What a packed file says of its sizes is not
believed: bytes are counted as they come.
"""

from __future__ import annotations

import atexit
import calendar
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from isohash.errors import InputError
from isohash.sources import private_folder
from isohash.sources.found import Findings, Found, Item, Skipped
from isohash.sources.identity.naming import Naming

TARS = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
MOST_FILES = 200_000
MOST_BYTES = 32 << 30
RATIO, FREELY = 200, 1 << 28  # times its own size that a file may unpack to, beyond so many bytes
CHUNK = 1 << 20
UNPACK = "unpack it where there is room and give the folder"
MAGIC = {  # the first bytes of what may be a packed file, and its name
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
}
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
DAMAGE = (*BROKEN, tarfile.TarError, OSError, ValueError)
Stamp = tuple[str, int, int]
_laid_out: dict[Stamp, tuple[Path, tuple[Skipped, ...]]] = {}


@dataclass(frozen=True)
class Packed:
    """One file within a packed one; `why_not` says why it is passed over."""

    name: str
    seconds: float
    open: Callable[[], IO[bytes] | None]
    why_not: str = ""


def is_packed(path: Path) -> bool:
    """Whether a path is a zip or tar file that `unpacked` reads (.npz is another kind of zip)."""
    if not path.is_file() or path.suffix.lower() == ".npz":
        return False
    return kind_of(path) == "zip" or _is_tar(path)


def kind_of(path: Path) -> str:
    """What a file is packed by, by its first bytes; empty if it is not."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError:
        return ""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")


def unpacked(path: Path) -> tuple[Path, tuple[Skipped, ...]]:
    """The private folder with the files of a zip or tar file, and what was passed over.

    InputError says what is wrong with it as a whole: too many files, too large, too much for its
    size, protected by a password, damaged. A file that has not changed is laid out once.
    """
    status = path.stat()
    stamp = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if stamp not in _laid_out:
        folder = private_folder.make()
        try:
            _laid_out[stamp] = folder, tuple(_lay_out(path, folder, status.st_size))
        except InputError:
            raise
        except DAMAGE as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise InputError(f"{path}: cannot be unpacked ({why}); {UNPACK}") from error
        finally:
            if stamp not in _laid_out:
                private_folder.remove(folder)
    return _laid_out[stamp]


@atexit.register
def forget() -> None:
    """Remove all that was laid out."""
    while _laid_out:
        _, (folder, _) = _laid_out.popitem()
        private_folder.remove(folder)


def as_packed(findings: Findings, folder: Path, path: object) -> Findings:
    """What was found in the folder, under the places that it has in what it came from."""

    def place(text: str) -> str:
        return text.replace(str(folder), str(path))

    def of(found: Found) -> Found:
        origin = found.origin and replace(found.origin, place=place(found.origin.place))
        reader = _telling(found.reader, place)
        return replace(found, path=place(found.path), reader=reader, origin=origin)

    skipped = tuple(Skipped(place(skip.path), place(skip.reason)) for skip in findings.skipped)
    return replace(findings, found=tuple(map(of, findings.found)), skipped=skipped)


@contextmanager
def errors_of(folder: Path, path: object) -> Iterator[None]:
    """Errors name the packed file, not the folder that it was laid out in."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(path))) from error


def _telling(
    reader: Callable[[Naming], Item], place: Callable[[str], str]
) -> Callable[[Naming], Item]:
    def read(naming: Naming) -> Item:
        try:
            return reader(naming)
        except InputError as error:
            raise InputError(place(str(error))) from error

    return read


def _is_tar(path: Path) -> bool:
    return path.name.lower().endswith(TARS) and tarfile.is_tarfile(path)


def _lay_out(path: Path, folder: Path, size: int) -> list[Skipped]:
    """Write the files below a folder; what is passed over."""
    room = min(MOST_BYTES, max(FREELY, RATIO * size), shutil.disk_usage(folder).free // 2)
    skipped = []
    with _files_of(path) as files:
        for n, packed in enumerate(files):
            if n >= MOST_FILES:
                raise InputError(f"{path}: holds more than {MOST_FILES} files; {UNPACK}")
            why_not = packed.why_not or _outside(packed.name)
            if not why_not:
                written, why_not = _write(packed, folder, room)
                room -= written
            if room < 0:
                raise InputError(
                    f"{path}: unpacks to more than {RATIO} times its size, to more than "
                    f"{MOST_BYTES >> 30} GiB or than half of the room for it; {UNPACK}"
                )
            if why_not:
                skipped.append(Skipped(f"{path}/{packed.name}", why_not))
    return skipped


@contextmanager
def _files_of(path: Path) -> Iterator[Iterator[Packed]]:
    if kind_of(path) == "zip":
        with zipfile.ZipFile(path) as file:
            yield _in_zip(path, file)
    else:
        with tarfile.open(path, "r:*") as tar:
            yield _in_tar(tar)


def _in_zip(path: Path, file: zipfile.ZipFile) -> Iterator[Packed]:
    for info in file.infolist():
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            raise InputError(f"{path}: is protected by a password; {UNPACK}")
        link = stat.S_ISLNK(info.external_attr >> 16)
        seconds = max(0, calendar.timegm((*info.date_time, 0, 0, 0)))
        yield Packed(
            info.filename,
            seconds,
            lambda info=info: file.open(info),  # type: ignore[misc]
            "a link within a packed file" if link else "",
        )


def _in_tar(tar: tarfile.TarFile) -> Iterator[Packed]:
    for member in tar:
        if not member.isdir():
            yield Packed(
                member.name,
                max(0.0, float(member.mtime)),
                lambda member=member: tar.extractfile(member),  # type: ignore[misc]
                "" if member.isreg() else "a link or device within a packed file",
            )


def _outside(name: str) -> str:
    """Why a name cannot be below a folder; empty if it can."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or not path.parts or "\0" in name:
        return "its name leads out of the packed file"
    return ""


def _write(packed: Packed, folder: Path, room: int) -> tuple[int, str]:
    """Write one file: how many bytes (more than `room` where it is too long), and why not."""
    target = folder / PurePosixPath(packed.name.replace("\\", "/"))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (FileExistsError, NotADirectoryError):
        return 0, "another file in the packed one has its name"
    written = 0
    with os.fdopen(handle, "wb") as stream:
        try:
            for chunk in _chunks(packed):
                written += len(chunk)
                if written > room:
                    break
                stream.write(chunk)
        except BROKEN as error:
            target.unlink()
            return written, f"damaged within the packed file ({type(error).__name__})"
    os.utime(target, (packed.seconds, packed.seconds))
    return written, ""


def _chunks(packed: Packed) -> Iterator[bytes]:
    source = packed.open()
    if source is not None:
        with source:
            yield from iter(lambda: source.read(CHUNK), b"")
