"""The child process that meets image files: counts pages and decodes images on request.

Started by `sandbox` as a module; not for import. Everything that goes wrong with a file is
answered as an error of one line; what a limit of the operating system ends is seen by the parent.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import PIL
import PIL.Image

from isohash.errors import InputError
from isohash.sandbox import Answer, serve
from isohash.sources.images.raster import n_pages, read_raster


def main() -> None:
    """Answer requests from standard input until it ends."""
    warnings.simplefilter("ignore")
    serve(lambda request, blobs: _answer(request))


def _answer(request: dict[str, Any]) -> Answer:
    try:
        if request["task"] == "pages":
            return {"pages": n_pages(Path(request["path"]))}, []
        if request["task"] == "frame":
            return _frame(request)
        raster = read_raster(Path(request["path"]), request["page"])
        size = {"width": raster.width, "height": raster.height}
        told = {"shape": raster.pixels.shape, "warnings": raster.warnings, "facts": size}
        return told, [raster.pixels.tobytes()]
    except InputError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": "needs more memory than a reader may use"}, []
    except PIL.UnidentifiedImageError:
        return {"error": "not an image that its name says it is, or its beginning is lost"}, []
    except OSError as error:
        cut = "truncated" in str(error) or "broken data stream" in str(error)
        return {"error": "cut short" if cut else f"cannot be read ({_told(error)})"}, []
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
        return {"error": f"damaged image ({type(error).__name__})"}, []


def _frame(request: dict[str, Any]) -> Answer:
    from isohash.sources.images.frame import read_frame

    frame = read_frame(Path(request["path"]), bytes.fromhex(request["key"]))
    raster = frame.raster
    facts: dict[str, Any] = {"width": raster.width, "height": raster.height}
    if frame.modality:
        facts |= {"modality": frame.modality}
    told = {"shape": raster.pixels.shape, "warnings": raster.warnings, "facts": facts}
    return {**told, "patient": frame.patient}, [raster.pixels.tobytes()]


def _told(error: OSError) -> str:
    """What the system says of a file; what Pillow says may quote the file."""
    return error.strerror or "damaged or of a form that is not supported"


if __name__ == "__main__":
    main()
