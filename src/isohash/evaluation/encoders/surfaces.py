"""Isodose surfaces of a dose volume: as a picture without a screen, and as a page to turn by hand.

The page is one file that works offline: the triangles travel in it, and a few lines of WebGL draw
them (`templates/surfaces.html`).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import MissingExtra
from isohash.evaluation.kit.plotting import figure
from isohash.whole_files import write_whole

TENTH_MM = 10.0  # the page stores vertices in whole tenths of a millimetre
AMBIENT = 0.45
LIGHT = np.array([0.3, -0.8, 0.52])  # from the front, above and a little to the left


@dataclass(frozen=True)
class IsodoseLevel:
    """A surface of equal value, and how it is drawn."""

    value: float
    name: str
    colour: str
    alpha: float


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one level: `vertices` (n, 3) as (x, y, z) in mm, `faces` (m, 3)."""

    level: IsodoseLevel
    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scene:
    """What one pane shows: a title and its surfaces, the outermost first."""

    title: str
    surfaces: tuple[Surface, ...]


def surfaces_of(
    volume: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    levels: Sequence[IsodoseLevel],
) -> tuple[Surface, ...]:
    """Surfaces of a volume (z from the head, y, x) about its middle; a level not reached has none.

    z points to the head in what is returned. The volume is closed by zeros where it ends.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise MissingExtra("figures", "isodose surfaces") from error
    padded = np.pad(volume, 1)
    middle = (np.array(padded.shape) - 1) / 2.0
    found = []
    for level in levels:
        if not padded.max() > level.value:
            continue
        at, faces, _, _ = marching_cubes(padded, level.value)
        mm = (at - middle) * np.array(spacing_mm)
        vertices = np.stack([mm[:, 2], mm[:, 1], -mm[:, 0]], axis=1).astype(np.float32)
        # reversed: counter-clockwise from outside in these axes
        found.append(Surface(level, vertices, faces[:, ::-1].astype(np.int64)))
    return tuple(found)


def draw_scenes(scenes: Sequence[Scene], path: Path) -> None:
    """Draw the scenes side by side, seen from the front and left, into a PNG."""
    shape = {"ncols": len(scenes), "squeeze": False, "subplot_kw": {"projection": "3d"}}
    with figure(path, 3.0 * len(scenes), 3.4, colours=224, **shape) as (drawing, grid):
        radius = max(float(np.abs(s.vertices).max()) for scene in scenes for s in scene.surfaces)
        for axes, scene in zip(grid[0], scenes, strict=True):
            _draw(axes, scene, radius)
        _legend(drawing, [s.level for s in scenes[0].surfaces])


def _draw(axes: Any, scene: Scene, radius: float) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    if scene.surfaces:
        # one collection for all surfaces: its triangles are then drawn from back to front
        triangles = np.concatenate([s.vertices[s.faces] for s in scene.surfaces])
        colours = np.concatenate([_shaded(s) for s in scene.surfaces])
        axes.add_collection3d(Poly3DCollection(triangles, facecolors=colours, linewidths=0))
    for name in ("x", "y", "z"):
        getattr(axes, f"set_{name}lim")(-0.62 * radius, 0.62 * radius)
    axes.set_box_aspect((1, 1, 1), zoom=1.1)
    axes.view_init(elev=12, azim=-60)
    axes.set_axis_off()
    axes.set_title(scene.title, fontsize=9, y=0.94)


def _shaded(surface: Surface) -> NDArray[np.float64]:
    """RGBA of every triangle (m, 4), lit from either side."""
    from matplotlib.colors import to_rgb

    a, b, c = (surface.vertices[surface.faces[:, i]].astype(np.float64) for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    light = AMBIENT + (1.0 - AMBIENT) * np.abs(normal @ LIGHT)
    colours = np.empty((len(normal), 4))
    colours[:, :3] = light[:, None] * np.array(to_rgb(surface.level.colour))
    colours[:, 3] = surface.level.alpha
    return colours


def _legend(drawing: Any, levels: Sequence[IsodoseLevel]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=level.colour, label=level.name) for level in levels]
    drawing.legend(handles=patches, loc="outside lower center", ncols=len(levels), fontsize=8)


def write_page(scenes: Sequence[Scene], title: str, path: str | Path) -> None:
    """Write the page in which the scenes are turned together; no network, no other file."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("isohash.evaluation.encoders"), autoescape=True)
    panes = [
        {"title": scene.title, "surfaces": [_packed(surface) for surface in scene.surfaces]}
        for scene in scenes
    ]
    page = environment.get_template("surfaces.html").render(title=title, panes=panes)
    write_whole(path, [page.encode()])


def _packed(surface: Surface) -> dict[str, Any]:
    """Plain values: the arrays deflated, in base64."""
    tenths = np.rint(surface.vertices * TENTH_MM).astype("<i2")
    # differences of neighbours are small numbers, which deflate well
    steps = np.diff(surface.faces.ravel(), prepend=0).astype("<i4")
    return {
        "name": surface.level.name,
        "colour": surface.level.colour,
        "alpha": surface.level.alpha,
        "vertices": _deflated(np.diff(tenths, axis=0, prepend=tenths.dtype.type(0))),
        "faces": _deflated(steps),
    }


def _deflated(array: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()
