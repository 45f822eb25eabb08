"""Matplotlib, loaded only when a figure is drawn, and without a screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isohash.errors import MissingExtra


@contextmanager
def figure(
    path: str | Path,
    width: float = 6.4,
    height: float = 4.0,
    colours: int | None = None,
    **axes: Any,
) -> Iterator[Any]:
    """Yield (figure, axes) as `Figure.subplots(**axes)` makes them; saved to `path` at the end.

    With `colours`, the PNG keeps only that many: pictures of scans become a third as large.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("figures", "drawing figures") from error
    drawing = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    yield drawing, drawing.subplots(**axes)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=150)
    if colours is not None:
        _with_palette(Path(path), colours)


def _with_palette(path: Path, colours: int) -> None:
    from PIL import Image

    with Image.open(path) as image:
        fewer = image.convert("RGB").quantize(colours, kmeans=1, dither=Image.Dither.NONE)
    fewer.save(path, optimize=True)
