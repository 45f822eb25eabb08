"""Small drawings for the report: a slice with its isodose lines, and curves, as inline SVG.

Everything is text inside one page, so that a report opens offline and can be filed.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from isohash.dosimetry.isodose import isodose_lines
from isohash.dosimetry.names import is_target
from isohash.visible import visible

# Paul Tol's muted colours, told apart by the colour-blind. None is near an isodose line's colour
# (`dosimetry.isodose.PALETTE`): on one page a colour means one thing.
SERIES_COLOURS = ("#332288", "#117733", "#882255", "#999933", "#AA4499", "#661100", "#44AA99")
OUTLINE = "#ffffff"  # structures: white, targets whole lines, others dashed
DASHES = ' stroke-dasharray="1.5 1.2"'
SCALE_MM = 50.0


@dataclass(frozen=True, eq=False)
class Pane:
    """One slice as the encoder saw it: `grey` uint8 (y, x) CT, `dose_gy` (y, x) or None.

    Of an image that is no slice `grey` is its colours (y, x, 3).

    `outlines` are closed lines of (x, y) in pixels by structure; the patient's right is left.
    """

    title: str
    grey: NDArray[np.uint8]
    dose_gy: NDArray[np.float32] | None
    pixel_mm: float | None = None
    outlines: Mapping[str, Sequence[NDArray[np.float64]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Curve:
    """A line of a chart: points x, y; `series` None draws the query's (thick, dark)."""

    name: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    series: int | None
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Band:
    """A shaded area between `low` and `high` (n,) along x, at the heights y."""

    low: NDArray[np.floating]
    high: NDArray[np.floating]
    y: NDArray[np.floating]
    shade: str


def common_crop(panes: Sequence[Pane], margin: int = 4) -> tuple[slice, slice]:
    """The square of rows and columns that shows the body of all panes: one scale for all."""
    seen = np.logical_or.reduce([pane.grey > 0 for pane in panes])
    if not seen.any():
        return slice(0, seen.shape[0]), slice(0, seen.shape[1])
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    side = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1 + 2 * margin
    return tuple(
        _window((int(used[0]) + int(used[-1]) + 1) // 2, side, length)
        for used, length in zip((rows, columns), seen.shape, strict=True)
    )  # type: ignore[return-value]


def _window(centre: int, side: int, length: int) -> slice:
    side = min(side, length)
    first = min(max(0, centre - side // 2), length - side)
    return slice(first, first + side)


def cropped(pane: Pane, crop: tuple[slice, slice]) -> Pane:
    """The part of a pane that `common_crop` chose."""
    dose = None if pane.dose_gy is None else pane.dose_gy[crop]
    corner = np.array([crop[1].start, crop[0].start], dtype=np.float64)
    moved = {name: [line - corner for line in lines] for name, lines in pane.outlines.items()}
    return replace(pane, grey=pane.grey[crop], dose_gy=dose, outlines=moved)


def pane_svg(pane: Pane, colours: Mapping[float, str]) -> Markup:
    """A slice with isodose lines, one colour per level in Gy; all panes look alike."""
    height, width = pane.grey.shape
    lines = {} if pane.dose_gy is None else isodose_lines(pane.dose_gy, list(colours))
    paths = "".join(
        f'<path d="{_path(line)}" stroke="{colours[level]}"/>'
        for level, polylines in lines.items()
        for line in polylines
    )
    unit = width / 128  # of strokes and letters, whatever is cropped
    return Markup(
        f'<svg class="pane" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(visible(pane.title))}">'
        f'<image width="{width}" height="{height}" href="{png_of(pane.grey)}"/>'
        f'<g fill="none" stroke="{OUTLINE}" stroke-width="{0.45 * unit:.2f}">{_drawn(pane)}</g>'
        f'<g fill="none" stroke-width="{0.8 * unit:.2f}">{paths}</g>{_marks(pane, unit)}</svg>'
    )


def _drawn(pane: Pane) -> str:
    """Outlines of structures, each with its name for whoever points at it."""
    return "".join(
        f'<path d="{"".join(map(_path, lines))}"{"" if is_target(name) else DASHES}>'
        f"<title>{escape(visible(name))}</title></path>"
        for name, lines in pane.outlines.items()
    )


def _marks(pane: Pane, unit: float) -> str:
    """The patient's right and left, and a scale."""
    height, width = pane.grey.shape
    size, y = 7 * unit, 9 * unit
    letters = "".join(
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" text-anchor="{anchor}">{side}</text>'
        for x, anchor, side in ((3 * unit, "start", "R"), (width - 3 * unit, "end", "L"))
    )
    scale = ""
    if pane.pixel_mm:
        long, low = SCALE_MM / pane.pixel_mm, height - 4 * unit
        scale = (
            f'<path d="M{3 * unit:.1f} {low:.1f}h{long:.1f}" stroke="#fff" '
            f'stroke-width="{unit:.2f}"/><text x="{3 * unit:.1f}" y="{low - 2 * unit:.1f}" '
            f'font-size="{0.8 * size:.1f}">{SCALE_MM / 10:.0f} cm</text>'
        )
    return f'<g class="marks" fill="#fff">{letters}{scale}</g>'


def _path(line: NDArray[np.float64]) -> str:
    # contour coordinates are pixel centres; the picture's pixel (0, 0) covers 0..1
    points = " ".join(f"{x + 0.5:.1f} {y + 0.5:.1f}" for x, y in line)
    return f"M{points}"


def png_of(grey: NDArray[np.uint8]) -> str:
    """A picture, (y, x) grey or (y, x, 3), as an address that holds it."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def chart_svg(
    curves: Sequence[Curve], x_label: str, y_label: str, x_max: float, y_max: float,
    bands: Sequence[Band] = (),
) -> Markup:  # fmt: skip
    """Curves over common axes from 0 to `x_max` and `y_max`, upon `bands`."""
    width, height, left, bottom = 300, 190, 38, 30
    sx, sy = (width - left - 8) / x_max, (height - bottom - 8) / y_max

    def at(x: float, y: float) -> tuple[float, float]:
        return left + sx * x, height - bottom - sy * y

    body = [_axis(at, x_max, y_max, x_label, y_label, width, height)]
    for band in bands:
        edge = [
            *zip(band.low, band.y, strict=True),
            *zip(band.high[::-1], band.y[::-1], strict=True),
        ]
        points = " ".join("{:.1f},{:.1f}".format(*at(min(x, x_max), y)) for x, y in edge)
        body.append(f'<polygon points="{points}" fill="{band.shade}"/>')
    for curve in sorted(curves, key=lambda c: c.series is None):  # the query on top
        points = " ".join(
            "{:.1f},{:.1f}".format(*at(x, y)) for x, y in zip(curve.x, curve.y, strict=True)
        )
        dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
        body.append(f'<polyline points="{points}" {_stroke(curve.series)}{dashes}/>')
    return Markup(f'<svg class="chart" viewBox="0 0 {width} {height}">{"".join(body)}</svg>')


def _stroke(series: int | None) -> str:
    if series is None:
        return 'stroke="#111" stroke-width="2.4"'
    return f'stroke="{series_colour(series)}" stroke-width="1.3"'


def series_colour(series: int) -> str:
    """The colour of the result with this position in the answer."""
    return SERIES_COLOURS[series % len(SERIES_COLOURS)]


def _axis(at, x_max, y_max, x_label, y_label, width, height) -> str:  # type: ignore[no-untyped-def]
    (x0, y0), (x1, y1) = at(0, 0), at(x_max, y_max)
    parts = [f'<path class="axis" d="M{x0:.1f} {y1:.1f}V{y0:.1f}H{x1:.1f}"/>']
    for tick in ticks(x_max):
        x, _ = at(tick, 0)
        parts.append(f'<text x="{x:.1f}" y="{y0 + 12:.1f}" class="tick">{tick:g}</text>')
    for tick in ticks(y_max):
        _, y = at(0, tick)
        parts.append(f'<text x="{x0 - 4:.1f}" y="{y + 3:.1f}" class="tick end">{tick:g}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 3}" class="tick">{x_label}</text>')
    parts.append(
        f'<text class="tick" transform="translate(9 {height / 2}) rotate(-90)">{y_label}</text>'
    )
    return "".join(parts)


def ticks(most: float) -> list[float]:
    """Four to nine round numbers from 0 to `most`."""
    step = 10.0 ** np.floor(np.log10(most / 4))
    step *= next(factor for factor in (5, 2, 1) if factor * step <= most / 4)
    return [float(round(step * i, 10)) for i in range(int(most / step + 1e-9) + 1)]
