"""Images below a folder: their ids are paths within it, and the folder they lie in is their label.

All decoding happens in child processes with limits (see sandbox). A multi-page TIFF is one image a
page; a DICOM file is one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

from isohash.errors import InputError
from isohash.progress import Progress, tell
from isohash.records import Image
from isohash.sandbox import MAX_CHILDREN, ChildFailed, Pool
from isohash.sources.dicom.sniff import looks_like_dicom
from isohash.sources.found import Found, Origin, Skipped, content_of, state_of
from isohash.sources.identity.naming import Naming
from isohash.sources.identity.pseudonyms import load_key
from isohash.visible import as_text

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SECONDS = 20.0  # processor time for one image, see sandbox
MEMORY_BYTES = 3 << 30  # address space of a child


def is_image(file: Path) -> bool:
    """Whether a file may hold an image, by its name."""
    return file.suffix.lower() in SUFFIXES


def find_images(
    root: Path,
    files: Sequence[Path],
    skipped: list[Skipped],
    progress: Progress | None = None,
    naming: Naming | None = None,
) -> list[Found]:
    """One `Found` per image or page, called by its path below `root`."""
    naming, found = naming or Naming(), []
    counts = _pages(files)
    for done, (file, pages) in enumerate(zip(files, counts, strict=True)):
        if isinstance(pages, str):
            skipped.append(Skipped(str(file), pages))
            continue
        found += [_of(root, file, page if pages > 1 else None, naming) for page in range(pages)]
        tell(progress, done + 1, len(files), "files")
    return found


def _pages(files: Sequence[Path]) -> list[int | str]:
    """How many images each file holds, or why it cannot be told; only TIFFs are opened."""
    with ThreadPoolExecutor(MAX_CHILDREN) as threads:
        return list(threads.map(_n_pages, files))


def _n_pages(file: Path) -> int | str:
    if file.suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        answer, _ = _pool().call({"task": "pages", "path": str(file)}, SECONDS)
    except (ChildFailed, InputError) as error:
        return str(error)
    return int(answer["pages"])


def _of(root: Path, file: Path, page: int | None, naming: Naming) -> Found:
    """One image; its pixels are read when they are wanted."""
    behind = "" if page is None else f"#{page + 1}"
    key = as_text(file.relative_to(root).as_posix()) + behind
    origin = Origin(key, f"{file.resolve()}{behind}", partial(_content, file, behind))
    reader = partial(_read, root, file, page or 0, key)
    return Found(
        key, state_of([file]) + behind, str(file) + behind, reader, naming, origin, files=(file,)
    )


def _content(file: Path, behind: str) -> str:
    return content_of([file]) + behind


def _read(root: Path, file: Path, page: int, key: str, naming: Naming) -> Image:
    """The image as a child decodes it, with its folder as a fact and as its label."""
    of_dicom = looks_like_dicom(file)
    request = {"task": "frame" if of_dicom else "raster", "path": str(file), "page": page}
    if of_dicom:
        request["key"] = load_key().hex()
    try:
        answer, (pixels,) = _pool().call(request, SECONDS)
    except ChildFailed as error:
        raise InputError(f"{file}: this image {error}; leave it out or save it anew") from error
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    folder = file.parent.relative_to(root)
    return Image(
        id=key,
        pixels=np.frombuffer(pixels, np.uint8).reshape(answer["shape"]),
        label=as_text(folder.name) or None,
        patient=answer.get("patient", ""),
        warnings=tuple(answer["warnings"]),
        facts={"folder": "" if folder == Path() else as_text(folder.as_posix()), **answer["facts"]},
    )


@cache
def _pool() -> Pool:
    return Pool("isohash.sources.images.worker", MEMORY_BYTES)
