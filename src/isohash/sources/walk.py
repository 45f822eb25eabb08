"""The one walk over a source: regular files in a fixed order, and nothing that leads out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from isohash.sources.found import Skipped

TO_A_FOLDER = "a link to a folder, not followed: give that folder as a source of its own"
OUT_OF_IT = "a link that leads out of the source: give what it leads to, or a copy (cp -rL)"


def walk(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """All files below `root` in a fixed order; links that lead out of it are not followed."""
    inside = root.resolve()

    def refuse(error: OSError) -> None:
        skipped.append(Skipped(str(error.filename), f"cannot be opened ({error.strerror})"))

    for folder, names, files in os.walk(root, onerror=refuse):
        names.sort(key=_natural)
        links = [link for name in names if (link := Path(folder, name)).is_symlink()]
        skipped += [Skipped(str(link), TO_A_FOLDER) for link in links]
        for name in sorted(files, key=_natural):
            file = Path(folder, name)
            if file.is_symlink() and not _target(file).is_relative_to(inside):
                skipped.append(Skipped(str(file), OUT_OF_IT))
            elif not file.is_file():
                skipped.append(Skipped(str(file), "not a regular file"))
            else:
                yield file


def _target(link: Path) -> Path:
    """Where a link leads; one that leads in a circle stays where it is, and is no file."""
    return Path(os.path.realpath(link))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts pt_2 before pt_10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)
    ]
