"""PNG, JPEG and TIFF to pixels in sRGB, the right way up, large ones reduced.

Sizes are checked before anything is decoded. Runs in a child process (`worker`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms, ImageOps

from isohash.errors import InputError

FORMATS = ("PNG", "JPEG", "TIFF")
SIDE = 256  # pixels that the longer side keeps at most
MOST_PIXELS = 100_000_000  # of one image: 300 MB as RGB
MOST_PAGES = 10_000
# Of a 16-bit or real-valued image the range from the least to the largest value is shown, for
# instruments fill 10, 12 or 14 of 16 bits and files rarely say which.
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
ORIENTATION = 0x0112  # in EXIF
PAPER = (255, 255, 255)  # under what is transparent
PROFILE_LOST = "its colour profile cannot be used: colours are taken as sRGB"
PIL.Image.MAX_IMAGE_PIXELS = None  # `check_size` is stricter, and has one sentence for it


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixels uint8 (rows, columns, 3), width and height of the original, what was odd about it."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    warnings: tuple[str, ...] = ()


def n_pages(file: Path) -> int:
    """How many pages a TIFF has; InputError if there are too many."""
    with PIL.Image.open(file, formats=("TIFF",)) as picture:
        pages = 1
        while pages <= MOST_PAGES and _has_page(picture, pages):
            pages += 1
    if pages > MOST_PAGES:
        raise InputError(f"has more than {MOST_PAGES} pages; split it")
    return pages


def _has_page(picture: PIL.Image.Image, page: int) -> bool:
    try:
        picture.seek(page)
    except EOFError:
        return False
    return True


def read_raster(file: Path, page: int = 0) -> Raster:
    """One image or page; InputError for one that is too large, and Pillow's errors for damage."""
    with PIL.Image.open(file, formats=FORMATS) as picture:
        if page:
            picture.seek(page)
        check_size(*picture.size)
        size, profile = picture.size, picture.info.get("icc_profile")
        turned = picture.getexif().get(ORIENTATION, 1) >= 5  # the sides change places
        if picture.format == "JPEG":
            picture.draft(None, (2 * SIDE, 2 * SIDE))
        picture.load()
        small = reduced(_plain(picture))
        upright = _upright(small, picture.getexif().get(ORIENTATION, 1))
    width, height = size[::-1] if turned else size
    seen, warnings = _in_srgb(upright, profile)
    return Raster(np.asarray(seen), width, height, warnings)


def check_size(width: int, height: int) -> None:
    """InputError for more pixels than one image may have."""
    if width * height > MOST_PIXELS:
        raise InputError(
            f"declares {width} x {height} pixels, more than {MOST_PIXELS:,}; reduce or tile it"
        )


def reduced(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The image with a longer side of at most `SIDE`, averaged; never enlarged."""
    if max(picture.size) <= SIDE:
        return picture
    scale = SIDE / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)  # type: ignore[arg-type]


def stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Real values to 0 ... 255, from the least to the largest; all 0 where they are all alike."""
    real = np.asarray(values, dtype=np.float64)
    if not np.isfinite(real).all():
        raise InputError("holds NaN or infinite values")
    low, high = float(real.min()), float(real.max())
    return np.round((real - low) * (255.0 / (high - low or 1.0))).astype(np.uint8)


def _plain(picture: PIL.Image.Image) -> PIL.Image.Image:
    """One of L, RGB, CMYK and their likes, which can be averaged; deep values become L."""
    if picture.mode in DEEP:
        return PIL.Image.fromarray(stretched(np.asarray(reduced(picture.convert("F")))))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        seen = picture.convert("RGBA")
        paper = PIL.Image.new("RGBA", seen.size, (*PAPER, 255))
        return PIL.Image.alpha_composite(paper, seen).convert("RGB")
    if picture.mode in ("P", "YCbCr", "HSV"):
        return picture.convert("RGB")
    return picture.convert("L") if picture.mode == "1" else picture


def _upright(small: PIL.Image.Image, orientation: int) -> PIL.Image.Image:
    """The reduced image turned as the camera says; nothing else that it told is kept."""
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    plain = small.copy()
    plain.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(plain)


def _in_srgb(
    picture: PIL.Image.Image, profile: bytes | None
) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """As a screen would show it, and what was wrong with its profile."""
    if profile:
        try:
            transform = _transform(profile, picture.mode)
            seen = ImageCms.applyTransform(picture, transform)
        except (ImageCms.PyCMSError, OSError, ValueError):
            return picture.convert("RGB"), (PROFILE_LOST,)
        if seen is not None:
            return seen, ()
    return picture.convert("RGB"), ()


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
