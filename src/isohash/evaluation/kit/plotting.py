"""The look of every figure: Matplotlib, loaded only when one is drawn, and without a screen.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart. Pictures
are written with few colours, so that a repository can hold them.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isohash.errors import MissingExtra
from isohash.whole_files import private_folder, write_whole

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY, BLACK = "#56B4E9", "#CC79A7", "#7A7A7A", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, GREY, BLACK)

PAGE_WIDTH = 7.6  # inches; with DPI a little sharper than a page of documentation is wide
DPI = 150

STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
}


def check_drawing() -> None:
    """Refuse before the work where nothing can be drawn after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("figures", "drawing figures")


@contextmanager
def figure(
    path: str | Path,
    width: float = 6.4,
    height: float = 4.0,
    colours: int = 256,
    **axes: Any,
) -> Iterator[Any]:
    """Yield (figure, axes) as `Figure.subplots(**axes)` makes them; saved to `path` at the end.

    The PNG keeps only so many `colours`: fewer make pictures of scans smaller.
    """
    try:
        import matplotlib as mpl
        from cycler import cycler
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("figures", "drawing figures") from error
    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler(color=PALETTE)}):
        drawing = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawing)
        yield drawing, drawing.subplots(**axes)
        _save(drawing, Path(path), colours)


def _save(drawing: Any, path: Path, colours: int) -> None:
    """Write the drawing with a palette of its own; the same drawing gives the same bytes."""
    from PIL import Image

    whole = io.BytesIO()
    drawing.savefig(whole, format="png", dpi=DPI, metadata={"Software": None})
    picture = Image.open(whole).convert("RGB")
    private_folder(path.parent)
    fewer = picture.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small = io.BytesIO()
    fewer.save(small, "PNG", optimize=True)
    write_whole(path, small.getvalue())


def legend_below(drawing: Any, axes: Any, n_columns: int) -> None:
    """One legend for the whole figure, under it, from the labelled artists of one panel."""
    handles, labels = axes.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=n_columns)
