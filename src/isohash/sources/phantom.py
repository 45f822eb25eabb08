"""Synthetic head-and-neck cases in families with known neighbours: CT, structures and dose.

A family fixes a target layout (subsite, side, dose levels, size), a beam arrangement and a build
of the body. Its members vary by size, position in the scanner, a smooth deformation, small moves of
every organ and target, and noise, so that finding a member's family is a real retrieval problem.
Member i of family f depends on (seed, f, i) alone: any part of a collection can be made again.

Every shape is a quadratic form in warped patient coordinates (mm, LPS; z = 0 at the hyoid), which
keeps a case of 64 slices of 128 x 128 near a tenth of a second. Slices run from the feet to the
head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.records import Case, Volume

AIR, FAT, SOFT, BRAIN, BONE, MARROW = -1000.0, -95.0, 45.0, 35.0, 950.0, 420.0  # HU

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes (x, y, z) in mm, in the frame of the standard patient."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def moved(self, rng: np.random.Generator, shift_mm: float, stretch: float) -> Ellipsoid:
        """The same shape with normal shifts and relative changes of its half axes."""
        x, y, z = np.add(self.centre, rng.normal(0.0, shift_mm, 3)).tolist()
        rx, ry, rz = np.multiply(self.radii, np.exp(rng.normal(0.0, stretch, 3))).tolist()
        return Ellipsoid((x, y, z), (rx, ry, rz))


@dataclass(frozen=True)
class Target:
    """One PTV: its dose level in Gy and the ellipsoids whose union it is."""

    level_gy: int
    parts: tuple[Ellipsoid, ...]


@dataclass(frozen=True)
class Family:
    """What the members of a family share."""

    targets: tuple[Target, ...]
    head_scale: float
    neck_scale: float
    shoulder_scale: float
    flexion_mm: float
    n_beams: int
    beam_phase: float
    sparing: float
    spacing_mm: tuple[float, float, float]


ORGANS = {
    "Brainstem": Ellipsoid((0, 12, 62), (14, 12, 24)),
    "SpinalCord": Ellipsoid((0, 33, -35), (6, 6, 85)),
    "RightParotid": Ellipsoid((-52, 6, 38), (12, 17, 24)),
    "LeftParotid": Ellipsoid((52, 6, 38), (12, 17, 24)),
    "Larynx": Ellipsoid((0, -14, -28), (17, 16, 20)),
    "Esophagus": Ellipsoid((0, 12, -85), (9, 8, 34)),
}
SUBSITES = (  # primary tumours: centre beside the midline, half axes
    ("oropharynx", Ellipsoid((16, -8, 22), (19, 18, 20))),
    ("larynx", Ellipsoid((6, -14, -28), (21, 19, 22))),
    ("nasopharynx", Ellipsoid((7, -6, 56), (24, 17, 15))),
    ("oral cavity", Ellipsoid((14, -42, 16), (21, 19, 16))),
)
SIDES = ((1.0,), (-1.0,), (1.0, -1.0))  # necks treated: left, right, both
LEVELS = ((70, 56), (70, 63, 56), (66, 54), (60, 54), (70, 59))  # primary, (high neck,) neck


def phantom_case(
    family: int, member: int, seed: int = 0, shape: tuple[int, int, int] = (64, 128, 128)
) -> Case:
    """Member `member` of family `family`, a patient of its own, on a grid of `shape` (z, y, x)."""
    if min(shape) < 8:
        raise InputError(f"a phantom needs at least 8 voxels along each axis, got {shape}")
    shared = draw_family(family, seed)
    rng = np.random.default_rng([seed, family, member + 1])
    frame = _Frame(shared, shape, rng)
    organs = {name: organ.moved(rng, 1.8, 0.06) for name, organ in ORGANS.items()}
    targets = [
        Target(target.level_gy, tuple(part.moved(rng, 3.0, 0.07) for part in target.parts))
        for target in shared.targets
    ]
    body = frame.body()
    structures = {name: frame.inside(organ) & body for name, organ in organs.items()}
    structures["Mandible"] = frame.mandible() & body
    for target in targets:
        structures[f"PTV{target.level_gy}"] = frame.union(target.parts) & body
    return Case(
        id=f"phantom-{family:02d}-{member:02d}",
        ct=Volume(_ct(frame, body, structures, rng), frame.affine),
        dose=Volume(_dose(frame, body, targets, organs, shared, rng), frame.affine),
        structures={n: Volume(m, frame.affine) for n, m in structures.items() if m.any()},
        prescription_gy=float(max(target.level_gy for target in targets)),
        label=f"family-{family:02d}",
    )


def draw_family(family: int, seed: int = 0) -> Family:
    """The shared part of a family: subsite and side go round, the rest is drawn."""
    rng = np.random.default_rng([seed, family, 0])
    _, primary = SUBSITES[family % len(SUBSITES)]
    sides = SIDES[(family + family // len(SUBSITES)) % len(SIDES)]
    levels = LEVELS[(family + family // len(SIDES)) % len(LEVELS)]
    size = float(rng.uniform(0.85, 1.25))
    pixel = float(rng.choice([2.9, 3.2]))
    return Family(
        targets=_layout(primary, sides, levels, size, rng),
        head_scale=float(rng.uniform(0.94, 1.06)),
        neck_scale=float(rng.uniform(0.85, 1.2)),
        shoulder_scale=float(rng.uniform(0.9, 1.1)),
        flexion_mm=float(rng.uniform(-14.0, 14.0)),
        n_beams=int(rng.choice([5, 7, 9])),
        beam_phase=float(rng.uniform(0.0, 2.0 * np.pi)),
        sparing=float(rng.uniform(0.35, 0.6)),
        spacing_mm=(float(rng.choice([2.5, 3.0, 3.5])), pixel, pixel),
    )


def _layout(
    primary: Ellipsoid,
    sides: tuple[float, ...],
    levels: tuple[int, ...],
    size: float,
    rng: np.random.Generator,
) -> tuple[Target, ...]:
    x, y, z = primary.centre
    rx, ry, rz = primary.radii
    main = Ellipsoid((x * sides[0], y, z), (size * rx, size * ry, size * rz))
    bottom = float(rng.uniform(-80.0, -50.0))
    lengths = (0.5 * (40.0 - bottom), 0.5 * (40.0 + bottom))
    necks = tuple(Ellipsoid((side * 37, 10, lengths[1]), (14, 20, lengths[0])) for side in sides)
    high = (Ellipsoid((sides[0] * 36, 4, z - 22), (15, 18, 20)),)
    nodes = (necks,) if len(levels) == 2 else (high, necks)
    return tuple(
        Target(level, parts) for level, parts in zip(levels, ((main,), *nodes), strict=True)
    )


class _Frame:
    """The voxel grid in the coordinates of the standard patient.

    A smooth warp sends voxel centres to standard coordinates: x and y are shifted by smooth
    functions of the other two axes and scaled, z is scaled. Shapes are then quadratic forms of the
    warped coordinates, evaluated only in the box where they can lie.
    """

    def __init__(
        self, family: Family, shape: tuple[int, int, int], rng: np.random.Generator
    ) -> None:
        dz, dy, dx = family.spacing_mm
        self.shape, self.family = shape, family
        setup = rng.normal(0.0, (5.0, 5.0, 4.0))  # where the patient lies in the scanner
        origin = np.array([-dx * shape[2] / 2, -dy * shape[1] / 2, -0.58 * dz * shape[0]]) + setup
        self.affine = np.zeros((4, 4))
        self.affine[[2, 1, 0], [0, 1, 2]] = dz, dy, dx
        self.affine[:3, 3], self.affine[3, 3] = origin, 1.0
        size = np.exp(rng.normal(0.0, 0.025, 3))
        z = ((origin[2] + dz * np.arange(shape[0])) / size[2])[:, None, None]
        y = ((origin[1] + dy * np.arange(shape[1])) / size[1])[None, :, None]
        x = ((origin[0] + dx * np.arange(shape[2])) / size[0])[None, None, :]
        flexion = family.flexion_mm * np.tanh((z - 10.0) / 60.0)
        self.z = z.astype(np.float32)
        self.x = (x - _wave(rng, z, y)).astype(np.float32)
        self.y = (y - flexion - _wave(rng, z, x)).astype(np.float32)
        self.polar = np.arctan2(y, x).astype(np.float32)  # (1, y, x), around the patient's axis

    def form(self, ellipsoid: Ellipsoid) -> Field:
        """Quadratic form of an ellipsoid on the whole grid: below 1 inside."""
        (cx, cy, cz), (rx, ry, rz) = ellipsoid.centre, ellipsoid.radii
        terms: Field = np.square((self.x - cx) / rx) + np.square((self.y - cy) / ry)
        terms += np.square((self.z - cz) / rz)
        return terms

    def inside(self, ellipsoid: Ellipsoid) -> Mask:
        """Voxels whose centres lie in the ellipsoid."""
        mask = np.zeros(self.shape, dtype=bool)
        near = np.abs(self.z.ravel() - ellipsoid.centre[2]) <= ellipsoid.radii[2]
        (cx, cy, cz), (rx, ry, rz) = ellipsoid.centre, ellipsoid.radii
        terms = np.square((self.x[near] - cx) / rx) + np.square((self.y[near] - cy) / ry)
        mask[near] = terms + np.square((self.z[near] - cz) / rz) < 1.0
        return mask

    def union(self, parts: tuple[Ellipsoid, ...]) -> Mask:
        """Voxels in any of the ellipsoids."""
        mask = self.inside(parts[0])
        for part in parts[1:]:
            mask |= self.inside(part)
        return mask

    def radial(self, rx: Field, ry: Field, cy: float | Field = 0.0) -> Field:
        """Form of a tube along z whose half widths (z, 1, 1) change from slice to slice."""
        form: Field = np.square(self.x / rx) + np.square((self.y - cy) / ry)
        return form

    def outline(self) -> tuple[Field, Field]:
        """Half widths of the body (x, y) per slice: shoulders, neck, head."""
        family, z = self.family, self.z
        head = 1.0 / (1.0 + np.exp(-(z - 14.0) / 9.0))
        shoulders = 1.0 / (1.0 + np.exp((z + 72.0) / 11.0))
        rx = family.neck_scale * 58.0 + head * (family.head_scale * 76.0 - family.neck_scale * 58.0)
        ry = family.neck_scale * 62.0 + head * (family.head_scale * 94.0 - family.neck_scale * 62.0)
        crown = np.sqrt(np.clip(1.0 - np.square(np.maximum(z - 70.0, 0.0) / 75.0), 0.01, 1.0))
        return (rx * crown + shoulders * family.shoulder_scale * 115.0), (
            ry + shoulders * 22
        ) * crown

    def body(self) -> Mask:
        """Inside of the skin."""
        mask: Mask = self.radial(*self.outline()) < 1.0
        return mask

    def mandible(self) -> Mask:
        """A horseshoe open to the back."""
        arch = np.square(self.x / 46.0) + np.square((self.y + 12.0) / 52.0)
        mask: Mask = (arch > 0.72) & (arch < 1.0) & (self.y < 8.0) & (np.abs(self.z - 20.0) < 11.0)
        return mask


def _wave(rng: np.random.Generator, a: NDArray[np.float64], b: NDArray[np.float64]) -> Field:
    """A smooth random displacement in mm: three long waves over two coordinates."""
    total = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for _ in range(3):
        ka, kb = rng.normal(0.0, 1.0 / 45.0, 2)
        total += rng.normal(0.0, 1.4) * np.sin(ka * a + kb * b + rng.uniform(0.0, 2.0 * np.pi))
    return total.astype(np.float32)


def _ct(
    frame: _Frame, body: Mask, structures: dict[str, Mask], rng: np.random.Generator
) -> NDArray[np.int16]:
    """HU of body, fat, muscle, bones, airways and organs, with noise."""
    rx, ry = frame.outline()
    hu = np.where(body, np.float32(FAT), np.float32(AIR))
    hu[frame.radial(rx - 7.0, ry - 7.0) < 1.0] = SOFT
    skull = (frame.z > 34.0) & body
    shell = frame.radial(rx - 9.0, ry - 11.0)
    hu[skull & (shell < 1.0) & (frame.radial(rx - 16.0, ry - 18.0) > 1.0)] = BONE
    hu[skull & (frame.radial(rx - 16.0, ry - 18.0) < 1.0) & (frame.z > 48.0)] = BRAIN
    spine = Ellipsoid((0, 33, -45), (19, 18, 92))
    hu[frame.inside(spine)] = MARROW
    hu[structures["SpinalCord"]] = BRAIN
    hu[structures["Mandible"]] = BONE
    hu[structures["RightParotid"] | structures["LeftParotid"]] = -15.0
    hu[structures["Larynx"]] = 70.0
    airway = (Ellipsoid((0, -12, -62), (9, 8, 62)), Ellipsoid((0, -22, 32), (14, 24, 9)))
    hu[frame.union((*airway, Ellipsoid((0, -38, 58), (12, 30, 14)))) & body] = AIR
    for name, mask in structures.items():
        if name.startswith("PTV"):
            hu[mask & (hu == SOFT)] += 12.0
    hu += 14.0 * rng.standard_normal(frame.shape, dtype=np.float32)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def _dose(
    frame: _Frame,
    body: Mask,
    targets: list[Target],
    organs: dict[str, Ellipsoid],
    family: Family,
    rng: np.random.Generator,
) -> Field:
    """Gy: full level inside each target, falling off outside it, a bath from beams, organs spared.

    Outside an ellipsoid of mean half axis r the depth below its surface is near (sqrt(form) - 1) r.
    """
    dose = np.zeros(frame.shape, dtype=np.float32)
    covered = np.zeros(frame.shape, dtype=bool)
    falloff = float(rng.normal(15.0, 1.0))
    for target in targets:
        for part in target.parts:
            depth = np.sqrt(frame.form(part))
            depth -= 1.0
            depth *= np.float32(np.prod(part.radii) ** (1 / 3))
            covered |= depth < 0.0
            np.maximum(depth, 0.0, out=depth)
            depth *= np.float32(-1.0 / falloff)
            np.maximum(dose, target.level_gy * np.exp(depth), out=dose)
    bath = max(target.level_gy for target in targets) * 0.16
    beams = 1.0 + 0.3 * np.cos(family.n_beams * frame.polar + family.beam_phase)
    parts = [part for target in targets for part in target.parts]
    top = max(part.centre[2] + part.radii[2] for part in parts)
    bottom = min(part.centre[2] - part.radii[2] for part in parts)
    beyond = np.maximum(np.maximum(bottom - frame.z, frame.z - top), 0.0)
    spread = bath * beams.astype(np.float32) * np.exp(-beyond / 8.0)
    dose = np.sqrt(np.hypot(np.square(dose), np.square(spread)))  # a smooth maximum
    for name in ("SpinalCord", "RightParotid", "LeftParotid", "Brainstem"):
        near = np.exp(-0.5 * frame.form(organs[name]))
        dose *= 1.0 - family.sparing * near * (~covered)
    dose *= 1.0 + 0.012 * rng.standard_normal(frame.shape, dtype=np.float32)
    dose *= body
    return np.maximum(dose, 0.0)
