"""An image in about eight hundred numbers: colour, texture and a coarse layout.

Each part is a set of shares or moments that do not depend on the size of the image. Shares enter by
their square roots, so that Euclidean distances are Hellinger's. Stains are told apart as Ruifrok
and Johnston (Anal. Quant. Cytol. Histol. 23, 2001) do, local binary patterns are those of Ojala et
al. (PAMI 24, 2002; uniform, 8 neighbours), co-occurrence measures Haralick's (1973).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.images.colour import lab_of, stains_of

Plane = NDArray[np.float32]
Numbers = NDArray[np.float64]

LEAST = 16  # pixels of a side: smaller images go on as their edges are
RADII = (1, 2, 4)  # pixels between neighbours whose brightness is compared
RGB_BINS, LAB_BINS, STAIN_BINS, EDGE_BINS = 8, 8, 16, 16
LAB_RANGE = ((0.0, 100.0), (-20.0, 60.0), (-50.0, 30.0))  # what tissue and most photographs have
STAIN_TOP = 2.0  # optical density
STILL = 1e-9  # variance of levels that is none
LEVELS = 16  # grey levels of co-occurrence: two of them are a byte
SIDE = 8  # squares of the layout along a side


def described(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """All parts of an image uint8 (rows, columns, 3) one after the other, see `PARTS`."""
    parts = parts_of(image)
    return np.concatenate([parts[name] for name in PARTS]).astype(np.float32)


def parts_of(image: NDArray[np.uint8]) -> dict[str, Numbers]:
    """The numbers of each part of an image uint8 (rows, columns, 3)."""
    image = _at_least(image)
    lab, stains = lab_of(image), stains_of(image)
    light, red, yellow = _planes(lab)
    nuclei, eosin, _ = _planes(stains)
    seen = (nuclei, eosin, light / 100, red / 100, yellow / 100)
    even = (light / 100, nuclei / STAIN_TOP, eosin / STAIN_TOP)
    return {
        "rgb": np.sqrt(np.concatenate([_shares(c / 256.0, RGB_BINS) for c in _planes(image)])),
        "lab": np.sqrt(_joint_shares(lab)),
        "stains": np.sqrt(np.concatenate([_shares(stain, STAIN_BINS) for stain in even[1:]])),
        "moments": np.concatenate([_moments(plane) for plane in seen]),
        "patterns": np.sqrt(_all_patterns([light, nuclei])),
        "colour patterns": np.sqrt(_all_patterns([eosin, red, yellow])),
        "co-occurrence": cooccurrence(np.stack(even)).ravel(),
        "edges": np.sqrt(np.concatenate([_edges(light), _edges(np.float32(20.0) * nuclei)])),
        "layout": _layout(light),
    }


SIZES: Mapping[str, int] = {
    "rgb": 3 * RGB_BINS,
    "lab": LAB_BINS**3,
    "stains": 2 * STAIN_BINS,
    "moments": 10,
    "patterns": 2 * len(RADII) * 10,
    "colour patterns": 3 * len(RADII) * 10,
    "co-occurrence": 3 * len(RADII) * 6,
    "edges": 2 * EDGE_BINS,
    "layout": SIDE**2,
}
_ends = np.cumsum(list(SIZES.values())).tolist()
# Where the numbers of each part stand.
PARTS: Mapping[str, slice] = {
    name: slice(end - n, end) for (name, n), end in zip(SIZES.items(), _ends, strict=True)
}
SIZE = _ends[-1]


def _at_least(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    more = [(0, max(0, LEAST - side)) for side in image.shape[:2]]
    return np.pad(image, (*more, (0, 0)), mode="edge") if any(after for _, after in more) else image


def _planes(image: NDArray[Any]) -> list[NDArray[Any]]:
    return [np.ascontiguousarray(image[..., i]) for i in range(3)]


def _shares(plane: NDArray[np.generic], bins: int) -> Numbers:
    """Share of the pixels in each of `bins` equal parts of 0 ... 1, the ends open."""
    at = np.clip((plane * bins).astype(np.int64), 0, bins - 1)
    return np.bincount(at.ravel(), minlength=bins) / at.size


def _joint_shares(lab: NDArray[np.float32]) -> Numbers:
    at = np.zeros(lab.shape[:2], dtype=np.int64)
    for i, (low, high) in enumerate(LAB_RANGE):
        inside = ((lab[..., i] - low) * (LAB_BINS / (high - low))).astype(np.int64)
        at = at * LAB_BINS + np.clip(inside, 0, LAB_BINS - 1)
    return np.bincount(at.ravel(), minlength=LAB_BINS**3) / at.size


def _moments(plane: NDArray[Any]) -> Numbers:
    return np.array([plane.mean(), plane.std()])


def _all_patterns(planes: Sequence[Plane]) -> Numbers:
    stack = np.stack(planes)
    return np.stack([patterns(stack, radius) for radius in RADII], axis=1).ravel()


# Neighbours in the order of going round, as (row, column).
AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def _uniform() -> Numbers:
    """(256, 10): a pattern of 8 bits counts as how many are set, or 9 if it is not uniform."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.eye(10)[np.where(changes <= 2, bits.sum(axis=1), 9)]


UNIFORM = _uniform()


def patterns(planes: NDArray[np.float32], radius: int) -> Numbers:
    """(n, 10): shares of uniform local binary patterns of planes (n, rows, columns).

    The neighbours of a pixel lie on the square of that radius about it.
    """
    _, rows, columns = planes.shape
    inner = planes[:, radius : rows - radius, radius : columns - radius]
    code = np.zeros(inner.shape, dtype=np.uint8)
    for bit, (down, right) in enumerate(AROUND):
        first, left = radius * (1 + down), radius * (1 + right)
        other = planes[:, first : first + inner.shape[1], left : left + inner.shape[2]]
        code |= (other >= inner).view(np.uint8) << np.uint8(bit)
    return _counted(code) @ UNIFORM


def _counted(bytes_of: NDArray[np.uint8]) -> Numbers:
    """(n, 256): the share of each value in arrays (n, rows, columns)."""
    flat = bytes_of.reshape(len(bytes_of), -1)
    return np.stack([np.bincount(row, minlength=256) for row in flat]) / flat.shape[1]


_I, _J = np.mgrid[:LEVELS, :LEVELS]
_APART = (_I - _J).ravel().astype(np.float64)
_ROW, _COLUMN = _I.ravel().astype(np.float64), _J.ravel().astype(np.float64)
_MEASURED = np.stack(
    [_APART**2, np.abs(_APART), 1.0 / (1.0 + _APART**2), _ROW, _ROW**2, _ROW * _COLUMN]
)


def cooccurrence(planes: NDArray[np.float32]) -> Numbers:
    """(n, radii, 6): measures of how levels meet, of planes (n, rows, columns) of 0 ... 1.

    Contrast, dissimilarity, homogeneity, root of energy, correlation, entropy; at each radius of
    the mean of four directions.
    """
    level = np.clip((planes * LEVELS).astype(np.int16), 0, LEVELS - 1).astype(np.uint8)
    return np.stack([_measures(_together(level, radius)) for radius in RADII], axis=1)


def _together(level: NDArray[np.uint8], radius: int) -> Numbers:
    """(n, LEVELS^2): how often two levels meet at a distance, in whatever order."""
    _, rows, columns = level.shape
    found = np.zeros((len(level), LEVELS**2))
    for down, right in ((0, radius), (radius, 0), (radius, radius), (radius, -radius)):
        a = level[:, : rows - down, max(0, -right) : columns - max(0, right)]
        b = level[:, down:, max(0, right) : columns + min(0, right)]
        found += _counted((a << np.uint8(4)) | b)
    square = found.reshape(-1, LEVELS, LEVELS)
    return ((square + square.transpose(0, 2, 1)) / 8.0).reshape(len(level), -1)


def _measures(together: Numbers) -> Numbers:
    contrast, apart, alike, mean, square, product = _MEASURED @ together.T
    variance = square - mean**2
    varies = variance > STILL
    correlation = np.where(varies, (product - mean**2) / np.where(varies, variance, 1.0), 1.0)
    entropy = -(together * np.log(np.where(together > 0, together, 1.0))).sum(axis=1)
    energy = np.sqrt((together**2).sum(axis=1))
    return np.stack([contrast, apart, alike, energy, correlation, entropy], axis=1)


def _edges(plane: Plane) -> Numbers:
    """Shares of steepness, on a logarithmic scale."""
    down, right = np.gradient(plane)
    return _shares(np.log1p(np.hypot(down, right)) / 4.0, EDGE_BINS)


def _layout(light: Plane) -> Numbers:
    """Mean brightness (0 ... 100) of 8 x 8 squares."""
    sums = light.astype(np.float64)
    for axis in (0, 1):
        ends = np.linspace(0, sums.shape[axis], SIDE + 1).round().astype(int)
        totals = np.add.reduceat(sums, ends[:-1], axis=axis)
        widths = np.diff(ends).reshape((-1, 1) if axis == 0 else (1, -1))
        sums = totals / widths
    return sums.ravel()
