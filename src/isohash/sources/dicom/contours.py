"""The contours of an RTSTRUCT, ROI by ROI, and the grid that they are drawn on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from isohash.dosimetry.drawing import Drawing, draw, in_frame
from isohash.dosimetry.slabs import Ruler, usual_step
from isohash.dosimetry.structures import Structure, share_outside
from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.dicom.elements import numbers, text, value, whole_number
from isohash.sources.dicom.geometry import Ladder

CLOSED, EVEN_ODD = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
OPEN = ("OPEN_PLANAR", "OPEN_NONPLANAR")
OFF_SLICE = 0.05  # slices: contours further from a slice than this were drawn on another CT
MAX_POINTS = 1 << 24
OWN_MM = 1.0  # pixels of a grid that is made for contours alone
FINE_MM = 2.0  # pixels of a dose grid that also serves as such
MOST_VOXELS = 1 << 26  # of such a grid: beyond it pixels and slices are coarser
BEYOND = 0.01  # share of a structure outside a grid from which it is worth a warning

Contours = list[NDArray[np.float64]]  # each (n, 3) in mm


@dataclass
class Drawn:
    """What one ROI holds: closed contours, and how many others beside them, by their type."""

    contours: Contours = field(default_factory=list)
    even_odd: bool = False
    n_points: int = 0
    n_open: int = 0
    n_unknown: int = 0

    @property
    def nothing(self) -> str:
        """Why there is nothing to draw; empty if there is something."""
        if any(len(points) >= 3 for points in self.contours):
            return ""
        if self.aside:
            return f"its {self.aside}"
        if self.n_points or self.contours:
            return "it consists of points only"
        return "it is empty: it has no contours"

    @property
    def aside(self) -> str:
        """What is no closed contour, in words; points are no shape, and no loss."""
        parts = []
        if self.n_open:
            parts.append(f"{self.n_open} contour(s) are not closed")
        if self.n_unknown:
            parts.append(f"{self.n_unknown} contour(s) do not say of what type they are")
        return ", ".join(parts)


def drawn_by_name(dataset: Dataset, names: dict[int, str], warnings: list[str]) -> dict[str, Drawn]:
    """What each named ROI holds; several items of one ROI are one."""
    found = {name: Drawn() for name in names.values()}
    for item in value(dataset, "ROIContourSequence") or ():
        number = whole_number(item, "ReferencedROINumber")
        if number is None or number not in names or names[number] not in found:
            continue
        name = names[number]
        try:
            _add(found[name], item)
        except InputError as error:
            warnings.append(f"structure {name} left out: {error}")
            del found[name]
    return found


def _add(drawn: Drawn, item: Dataset) -> None:
    for contour in value(item, "ContourSequence") or ():
        kind = text(contour, "ContourGeometricType").upper()
        if kind in (CLOSED, EVEN_ODD):
            drawn.contours.append(_points(contour))
            drawn.even_odd = drawn.even_odd or kind == EVEN_ODD
        elif kind == "POINT":
            drawn.n_points += 1
        elif kind in OPEN:
            drawn.n_open += 1
        else:
            drawn.n_unknown += 1


def _points(contour: Dataset) -> NDArray[np.float64]:
    data = numbers(contour, "ContourData")
    points = np.array(data)
    if len(data) % 3 or len(data) > 3 * MAX_POINTS or not np.isfinite(points).all():
        raise InputError("ContourData is not a list of finite points in three dimensions")
    return points.reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class Canvas:
    """The grid that structures are drawn on: the CT's, or without a CT one of their own.

    `step_mm` is the distance of the planes that most contours lie in; `ruler` says where the slices
    of the CT lie.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    step_mm: float | None = None
    ruler: Ruler | None = None
    of_ct: bool = True

    @classmethod
    def on_ct(cls, ct: Volume, ladder: Ladder | None, drawn: Iterable[Drawn]) -> Canvas:
        """The voxels of a CT."""
        z, y, x = ct.array.shape
        step = usual_step(list(_levels(drawn, ct.affine)), ct.spacing_mm[0])
        return cls(ct.affine, (z, y, x), step, _ruler(ladder, ct.affine))

    @classmethod
    def without_ct(cls, dose: Volume, drawn: Sequence[Drawn]) -> Canvas:
        """The voxels of the dose if they are fine and hold all contours, else others."""
        every = [points for one in drawn for points in one.contours]
        z, y, x = dose.array.shape
        own = cls(dose.affine, (z, y, x), dose.spacing_mm[0], of_ct=False)
        step = usual_step(list(_levels(drawn, dose.affine))) or dose.spacing_mm[0]
        even = abs(step - dose.spacing_mm[0]) < OFF_SLICE * step
        if max(dose.spacing_mm[1:]) <= FINE_MM and even and own.holds(every):
            return own
        return cls._about(dose, every, max((one.contours for one in drawn), key=len)[0], step)

    @classmethod
    def _about(
        cls, frame: Volume, every: Contours, plane: NDArray[np.float64], step_mm: float
    ) -> Canvas:
        """Voxels about all contours, axes those of `frame`, one slice in the plane of `plane`."""
        unit = np.eye(4)
        unit[:3, :3] = frame.affine[:3, :3] / frame.spacing_mm
        unit[:3, 3] = plane[0]
        at = in_frame(np.concatenate(every), unit)
        low, high = at.min(axis=0), at.max(axis=0)
        spacing = np.array([step_mm, OWN_MM, OWN_MM])
        crowd = math.prod(((high - low) / spacing + 3.0).tolist()) / MOST_VOXELS
        spacing = spacing * max(1.0, crowd ** (1 / 3))
        first = np.floor(low / spacing) - 1.0
        z, y, x = (np.ceil(high / spacing) - first + 2.0).astype(int).tolist()
        affine = unit.copy()
        affine[:3, :3] = unit[:3, :3] * spacing
        affine[:3, 3] = unit[:3, :3] @ (first * spacing) + unit[:3, 3]
        return cls(affine, (z, y, x), step_mm, of_ct=False)

    def structure(self, name: str, drawn: Drawn, warnings: list[str]) -> Structure | None:
        """One structure; None with a warning that says why, if nothing of it can be seen."""
        try:
            drawing = self._drawing(drawn)
        except InputError as error:
            warnings.append(f"structure {name} left out: {error}")
            return None
        warnings += [f"structure {name}: {note}" for note in drawing.notes]
        if drawn.aside:
            warnings.append(f"structure {name}: {drawn.aside}, left out")
        if (outside := share_outside(drawing, self.affine, self.shape)) > BEYOND:
            warnings.append(
                f"{100 * outside:.0f} % of {name} lies outside the CT: in no voxel of its mask, "
                f"but counted in its volume ({drawing.volume_cc:.1f} cc) and histogram"
            )
        return Structure.of(drawing, self.affine, self.shape)

    def _drawing(self, drawn: Drawn) -> Drawing:
        """The planes of a structure; InputError says why there are none to be seen."""
        if drawn.nothing:
            raise InputError(drawn.nothing)
        drawing = self._drawn(drawn, drawn.even_odd)
        if not drawing.volume_cc > 0:
            if drawn.even_odd and self._drawn(drawn, even_odd=False).volume_cc > 0:
                raise InputError("its contours cancel each other out")
            raise InputError("it is too small: its contours enclose no area")
        if share_outside(drawing, self.affine, self.shape) > 1.0 - 1e-6:
            raise InputError("it lies wholly outside the CT")
        return drawing

    def _drawn(self, drawn: Drawn, even_odd: bool) -> Drawing:
        step, ruler = self.step_mm, self.ruler
        return draw(drawn.contours, self.affine, step, ruler=ruler, even_odd=even_odd)

    def holds(self, contours: Contours) -> bool:
        """Whether every contour lies in a slice and within its borders."""
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        for points in contours:
            at = in_frame(points, self.affine)
            level = self.ruler.slices(at[:, 0]) if self.ruler else at[:, 0] / spacing[0]
            if np.abs(level - np.rint(level)).max() > OFF_SLICE:
                return False
            index = at / spacing
            if (index < -0.5).any() or (index > np.array(self.shape) - 0.5).any():
                return False
        return True


def _levels(drawn: Iterable[Drawn], affine: NDArray[np.float64]) -> Iterable[NDArray[np.float64]]:
    """Where the contours of each ROI lie along the slices, in mm."""
    for one in drawn:
        if one.contours:
            yield in_frame(np.array([points[0] for points in one.contours]), affine)[:, 0]


def _ruler(ladder: Ladder | None, affine: NDArray[np.float64]) -> Ruler:
    """The slices of a CT along the first axis of the grid: of an uneven one, those it came in."""
    even = Ruler.even(float(np.linalg.norm(affine[:3, 0])))
    if ladder is None or ladder.levels is None:
        return even
    normal = ladder.first.normal
    planes = np.array(ladder.first.position) + np.outer(ladder.levels, normal)
    along = affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    if abs(float(normal @ along)) < 0.99:
        return even
    return Ruler(np.sort(in_frame(planes, affine)[:, 0]))
