"""A case from the browser: its files lie in a folder of their own until they are read, no longer.

Names of uploaded files are never used as paths: a file is called by its number, and keeps of its
name only an ending that says what it is. Zip files are opened by the same reader as on the command
line, with its limits on number, size and ratio.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from isohash.errors import InputError
from isohash.sources import private_folder

MOST_BYTES = 2 << 30
MOST_FILES = 10_000
MOST_AT_ONCE = 8
ENDING = re.compile(r"(\.nii\.gz|\.tar\.gz|\.[A-Za-z0-9]{1,8})\Z")


@dataclass(eq=False)
class Upload:
    """The files of one case on their way; `folder` is for the owner's eyes only."""

    folder: Path
    n_files: int = 0
    n_bytes: int = 0

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write one file; InputError beyond the limits."""
        self.n_files += 1
        if self.n_files > MOST_FILES:
            raise InputError(f"an upload has at most {MOST_FILES} files; send a zip of one case")
        ending = ENDING.search(name)
        target = self.folder / f"{self.n_files:05d}{ending.group().lower() if ending else ''}"
        with target.open("xb") as file:
            async for chunk in chunks:
                self.n_bytes += len(chunk)
                if self.n_bytes > MOST_BYTES:
                    raise InputError(f"an upload has at most {MOST_BYTES >> 30} GB; send one case")
                file.write(chunk)

    @property
    def source(self) -> Path:
        """What is read: the one file, or the folder of all."""
        files = list(self.folder.iterdir())
        if not files:
            raise InputError("nothing was uploaded; choose a folder or a zip of one case")
        return files[0] if len(files) == 1 else self.folder

    def nameless(self, text: str) -> str:
        """A message without the places of this machine."""
        inside = re.compile(re.escape(str(self.folder)) + r"(/\d{5}(\.\w+)*)?")
        return inside.sub("the upload", text)


@dataclass(eq=False)
class Uploads:
    """The uploads that are not read yet; the oldest gives way to a ninth."""

    place: Path = field(default_factory=private_folder.make)
    at_hand: dict[str, Upload] = field(default_factory=dict)

    def begin(self) -> str:
        """A new, empty upload; gives its name."""
        while len(self.at_hand) >= MOST_AT_ONCE:
            self.drop(next(iter(self.at_hand)))
        name = secrets.token_hex(8)
        folder = self.place / name
        folder.mkdir(mode=0o700)
        self.at_hand[name] = Upload(folder)
        return name

    def find(self, name: str) -> Upload:
        """An upload by its name; InputError if it is not (or no longer) there."""
        if name not in self.at_hand:
            raise InputError(f"there is no upload {name}; begin one")
        return self.at_hand[name]

    def drop(self, name: str) -> None:
        """Remove an upload and its files."""
        if (gone := self.at_hand.pop(name, None)) is not None:
            shutil.rmtree(gone.folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        self.at_hand.clear()
        private_folder.remove(self.place)
