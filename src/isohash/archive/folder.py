"""The archive's folder: what lies in it, its recipe, its locks, how it is created.

recipe.json         format version and recipe, with a digest: what makes a folder an archive
catalogue.sqlite    the state; catalogue.seal its SHA-256 while no writer is at work
segments/           the truth: immutable files, NNNNNNNNNNNN.seg
quarantine/         damaged segments that repair has moved away
writer.lock         held by the one writer
readers.lock        shared by readers, so that compaction leaves them their segments
load.lock           shared while the catalogue is read, exclusive while its log is folded in
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from isohash import whole_files
from isohash.archive import files
from isohash.archive.files import DamagedArchive
from isohash.errors import InputError

KIND = "isohash archive"
FORMAT = 1
RECIPE = "recipe.json"
CREATING = "creating"
BACKUP = "backup.json"  # in a copy that `backup` keeps up to date
MOST_SAID = 1 << 10  # bytes of it
SEGMENTS = "segments"
QUARANTINE = "quarantine"
MOST_RECIPE = 1 << 26  # bytes
MOST_COPIED = 1 << 20  # characters
WRITER, READERS, LOAD = LOCKS = ("writer.lock", "readers.lock", "load.lock")


def encode_recipe(recipe: Any) -> bytes:
    """The content of recipe.json: readable, and every byte under a digest."""
    fields = {"kind": KIND, "format": FORMAT, "recipe": recipe}
    return _render({**fields, "sha256": _digest(fields)})


def _render(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_render(fields)).hexdigest()


def read_recipe(archive: Path) -> dict[str, Any]:
    """The recipe of an archive; InputError if the folder is none, or of a newer format."""
    path = archive / RECIPE
    if not archive.is_dir():
        raise InputError(
            f"there is no archive at {archive}; check the path, or make one with isohash index"
        )
    if not files.check_regular(path):
        if (archive / SEGMENTS).is_dir() and not (archive / CREATING).exists():
            raise DamagedArchive(path, "it is missing")
        raise InputError(
            f"{archive} is not an isohash archive: it has no {RECIPE}; give an archive's folder"
        )
    text = files.content(path, MOST_RECIPE)
    try:
        return parse_recipe(text, archive)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise DamagedArchive(path, str(error)) from None


def is_unfinished_backup(archive: Path) -> bool:
    """Whether a backup into this folder was begun and has not come to its end."""
    try:
        said = json.loads(files.content(archive / BACKUP, MOST_SAID))
    except (DamagedArchive, OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("unfinished") is True


def check_places(archive: Path) -> None:
    """DamagedArchive if a link, pipe or device stands in the place of a folder or a lock."""
    for name in (SEGMENTS, QUARANTINE):
        files.check_folder(archive / name)
    for name in LOCKS:
        files.check_regular(archive / name)


def parse_recipe(text: bytes, archive: Path) -> dict[str, Any]:
    """The recipe in the bytes of a recipe.json; ValueError unless they are as written."""
    fields = json.loads(text)
    if not isinstance(fields, dict) or not isinstance(fields.get("recipe"), dict):
        raise ValueError("it is not the recipe of an archive")
    digest = fields.pop("sha256", None)
    if digest != _digest(fields) or fields["kind"] != KIND:
        raise ValueError("it does not match its digest")
    if fields["format"] != FORMAT:
        raise InputError(
            f"archive {archive} has format {fields['format']}, this isohash reads format "
            f"{FORMAT}: upgrade isohash (pip install --upgrade isohash)"
        )
    if _render({**fields, "sha256": digest}) != text:
        raise ValueError("it is not as it was written")
    recipe: dict[str, Any] = fields["recipe"]
    return recipe


def dump(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def copy_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as the header of each segment carries it, so that the segments alone suffice.

    Nothing where it is so large that headers would be too.
    """
    return {"recipe": recipe} if len(dump(recipe)) <= MOST_COPIED else {}


def parse_copy(text: str) -> dict[str, Any]:
    """The recipe in the copy that the catalogue keeps; ValueError if it is none."""
    recipe = json.loads(text)
    if not isinstance(recipe, dict):
        raise ValueError("its copy of the recipe is no JSON object")
    return recipe


def normalised(value: Any, what: str) -> Any:
    """`value` as JSON gives it back; InputError if it is not JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{what} must be JSON with finite numbers ({error}); convert arrays to lists"
        ) from None
    return json.loads(text)


def write_recipe(archive: Path, recipe: dict[str, Any]) -> None:
    """Replace recipe.json, durably and at once."""
    files.publish(archive / RECIPE, [encode_recipe(recipe)])


class Lock:
    """An advisory lock on a file, held until released or until the process ends."""

    def __init__(self, path: Path, exclusive: bool, wait: bool = True) -> None:
        """Take the lock; BlockingIOError if another holds it and `wait` is False."""
        if not files.check_regular(path):
            files.touch(path)
        self._fd = files.open_regular(path, os.O_RDWR if exclusive else os.O_RDONLY)
        mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(self._fd, mode | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; again does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def lock_writer(archive: Path) -> Lock:
    """The lock of the one writer; InputError if another holds it or the folder is read-only."""
    with files.writing(archive):
        try:
            return Lock(archive / WRITER, exclusive=True, wait=False)
        except BlockingIOError:
            raise InputError(
                f"archive {archive} is locked: another process is writing to it; "
                "wait until it has finished, reading goes on meanwhile"
            ) from None


def lock_shared(path: Path) -> Lock | None:
    """A reader's lock, or None where there is none to take (a copy on read-only media)."""
    try:
        return Lock(path, exclusive=False)
    except OSError:
        return None


@contextmanager
def loading(archive: Path) -> Iterator[None]:
    """Keep the catalogue's main file as it is while it is read."""
    lock = lock_shared(archive / LOAD)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def folding(archive: Path, wait: bool) -> Iterator[None]:
    """Keep readers from loading while the catalogue's main file changes."""
    lock = Lock(archive / LOAD, exclusive=True, wait=wait)
    try:
        yield
    finally:
        lock.release()


def begin(archive: Path) -> Lock:
    """Start creating an archive: an empty folder with locks, the writer's lock taken.

    A killed creation left the file `creating`; its leftovers are removed. Anything else in the
    folder is refused.
    """
    if archive.exists() and not archive.is_dir():
        raise InputError(f"{archive} is a file: an archive is a folder; choose another path")
    if (archive / RECIPE).exists():
        raise InputError(f"{archive} is already an archive; open it, or choose another folder")
    whole_files.refuse_in_archive(archive.parent)
    begun = (archive / CREATING).exists()
    ours = {files.TEMPORARY + CREATING, CREATING}
    if archive.is_dir() and not begun and {path.name for path in archive.iterdir()} - ours:
        raise InputError(
            f"{archive} is not empty and not an isohash archive; choose a new or empty folder"
        )
    with files.writing(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            archive.mkdir(0o700)  # a folder that is there keeps its mode: a group may share it
        if not begun:
            files.publish(archive / CREATING, [b"isohash is creating an archive here\n"])
        lock = lock_writer(archive)
        try:
            _clear(archive)
            whole_files.make_folder(archive / SEGMENTS)
            for name in LOCKS:
                files.touch(archive / name)
        except BaseException:
            lock.release()
            raise
    return lock


def _clear(archive: Path) -> None:
    """Remove what a killed creation left."""
    for path in archive.iterdir():
        if path.name not in (CREATING, *LOCKS):
            whole_files.reach("unlink", path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def finish(archive: Path, recipe: dict[str, Any]) -> None:
    """Make the folder an archive."""
    write_recipe(archive, recipe)
    whole_files.unlink(archive / CREATING)
    whole_files.sync_folder(archive)
    whole_files.sync_folder(archive.parent)


def sweep(archive: Path) -> None:
    """Remove temporary files that a killed writer left; only the writer may."""
    for folder in (archive, archive / SEGMENTS):
        for path in folder.glob(files.TEMPORARY + "*"):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else whole_files.unlink(path)
    with suppress(OSError):
        whole_files.unlink(archive / CREATING)
