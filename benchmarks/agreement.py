"""How far volumes and doses of read structures agree with plain sampling of the same polygons.

    python benchmarks/agreement.py --out docs/numbers

Writes small studies as DICOM files, with structures from a nerve to a liver on grids of CT and
dose drawn between 1 and 4 mm, reads them with and without their CT, and compares volumes with the
shoelace formula and doses with dense sampling of the polygons (tests/polygon_oracle.py, which
shares no code with isohash). Writes agreement.csv and .json and the table of docs/dosimetry.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from isohash import dvh, read_case
from isohash.evaluation.kit.results import machine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import polygon_oracle as oracle  # noqa: E402
import rt_studies as rt  # noqa: E402

SEED, STUDIES = 20261130, 12
GRID_MM = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
PLANES_MM = (1.0, 2.0, 3.0)
PRESCRIBED_GY, BRACHY_GY = 60.0, 7.0
PAGE = ROOT / "docs" / "dosimetry.md"
KINDS = {
    "OpticNrv_L": "nerves of 1 to 4 mm",
    "Cochlea_L": "organs of 0.1 to 1 cc",
    "Lens_L": "contours in one plane only",
    "Bladder": "shells of 1 to 3 mm",
    "Liver": "organs of 50 to 500 cc",
}


@dataclass
class Worst:
    """The largest differences of a row: cc of small volumes, else percent; percent of doses."""

    n: int = 0
    small_cc: float = 0.0
    large_percent: float = 0.0
    doses: dict[str, float] = field(default_factory=dict)

    def add(self, cc: float, true_cc: float, doses: dict[str, float]) -> None:
        """Count one structure."""
        self.n += 1
        if true_cc < 1.0:
            self.small_cc = max(self.small_cc, abs(cc - true_cc))
        else:
            self.large_percent = max(self.large_percent, 100 * abs(cc / true_cc - 1))
        for name, percent in doses.items():
            self.doses[name] = max(self.doses.get(name, 0.0), abs(percent))


def circle(r: float, cx: float, cy: float, n: int = 96) -> np.ndarray:
    t = 2 * np.pi * np.arange(n) / n
    return np.column_stack([cx + r * np.cos(t), cy + r * np.sin(t)])


def structures(rng: np.random.Generator, step: float) -> dict[str, list]:
    """Planes (z, rings) by name, drawn about the fall-off of the dose."""

    def at() -> tuple[float, float]:
        return tuple(rng.uniform(-15, 15, 2))

    def tube(r: float, n: int) -> list:
        (x, y), lean = at(), rng.uniform(-0.5, 0.5, 2) * step
        return [(step * k, [circle(r, x + lean[0] * k, y + lean[1] * k)]) for k in range(n)]

    cc, n = rng.uniform(0.1, 1.0), int(rng.integers(2, 8))
    r, wall = rng.uniform(8, 18), rng.uniform(1, 3)
    large = rng.uniform(20, 35)
    n_large = max(4, round(rng.uniform(50, 500) * 1000 / (np.pi * large**2 * step)))
    return {
        "OpticNrv_L": tube(rng.uniform(0.5, 2.0), 8),
        "Cochlea_L": tube(float(np.sqrt(1000 * cc / (np.pi * n * step))), n),
        "Lens_L": tube(rng.uniform(1.0, 5.0), 1),
        "Bladder": [(step * k, [circle(r, 0, 0), circle(r - wall, 0, 0)]) for k in range(-2, 3)],
        "Liver": [(step * k, [circle(large, 10, 0)]) for k in range(-n_large // 2, n_large // 2)],
    }


def external(x, y, z):
    return PRESCRIBED_GY / (1 + np.exp((np.hypot(x, y) - 12) / 2.0)) * (1 + 0.001 * z)


def sources(x, y, z):
    """Seven sources on a line, as of an afterloader: 7 Gy at 20 mm, up to 500 Gy beside them."""
    total = sum(1 / np.maximum(x**2 + y**2 + (z - at) ** 2, 4.0) for at in range(-15, 16, 5))
    there = sum(1 / (20.0**2 + at**2) for at in range(-15, 16, 5))
    return BRACHY_GY * total / there


def write(folder: Path, planes: dict[str, list], ct_mm, dose_mm, gy, brachy: bool) -> None:
    """CT, structures, plan and dose; every grid begins off the others' voxels."""
    flat = [ring for drawn in planes.values() for _, rings in drawn for ring in rings]
    reach = float(np.abs(np.vstack(flat)).max()) + 8
    heights = [z for drawn in planes.values() for z, _ in drawn]
    low, high = min(heights) - 8, max(heights) + 8
    n, rows = int((high - low) / ct_mm[0]) + 1, int(2 * reach / ct_mm[1]) + 1
    for k in range(n):
        one = rt.base(f"ct{k}", "CT", "ctseries")
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        rt.image(one, (-reach, -reach, low + ct_mm[0] * k), ct_mm[1], (rows, rows))
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 1
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        one.PixelData = np.zeros((rows, rows), "<i2").tobytes()
        rt.save(one, folder / f"CT{k:03d}.dcm")
    contours = {
        name: [
            ("CLOSED_PLANAR", np.column_stack([ring, np.full(len(ring), z)]))
            for z, rings in drawn
            for ring in rings
        ]
        for name, drawn in planes.items()
    }
    rt.save(rt.structure_set(contours, [rt.uid(f"ct{k}") for k in range(n)]), folder / "RS.dcm")
    rt.save(rt.plan(BRACHY_GY if brachy else PRESCRIBED_GY, 1), folder / "RP.dcm")
    size = (int((high - low) / dose_mm[0]) + 3, int(2 * reach / dose_mm[1]) + 3)
    start = (-reach - 0.3, -reach - 0.3, low - 0.2)
    grid = (*start, dose_mm[1], dose_mm[0], size[1], size[1], size[0])
    rt.save(rt.dose(gy=gy, grid=grid), folder / "RD.dcm")


def compared(folder: Path, planes: dict[str, list], step: float) -> Iterator[tuple]:
    """Of each structure: name, with CT or without, volumes, differences of dose in percent."""
    import pydicom

    rd = pydicom.dcmread(folder / "RD.dcm")
    array = rd.pixel_array * float(rd.DoseGridScaling)
    x, y, z = map(float, rd.ImagePositionPatient)
    spacing = (float(rd.GridFrameOffsetVector[1]), *map(float, rd.PixelSpacing))
    prescribed = float(
        pydicom.dcmread(folder / "RP.dcm").DoseReferenceSequence[0][0x300A0026].value
    )
    true = {}
    for name, drawn in planes.items():
        ring = np.vstack([ring for _, rings in drawn for ring in rings])
        side = max(0.08, min(0.6, float(np.ptp(ring, axis=0).max()) / 120))
        values = oracle.sampled(drawn, step, (array, (z, y, x), spacing), side, n_heights=5)
        true[name] = (oracle.polygon_cc(drawn, step), values)
    for with_ct in (True, False):
        if not with_ct:
            for file in folder.glob("CT*"):
                file.unlink()
        case = read_case(folder)
        for name, (cc, values) in true.items():
            curve = dvh(case.dose, case.structures[name], bin_gy=0.02)
            pairs = {"mean": (curve.mean_gy, values.mean())}
            pairs |= {f"D{p}": (curve.d(p), oracle.d(values, p)) for p in (2, 95)}
            doses = {
                key: 100 * (ours - theirs) / max(prescribed, theirs)
                for key, (ours, theirs) in pairs.items()
            }
            yield name, with_ct, curve.volume_cc, cc, doses


def measure() -> tuple[dict[tuple[str, bool], Worst], str]:
    """The rows, and a digest of all files that were read."""
    rows: dict[tuple[str, bool], Worst] = {}
    digest = hashlib.sha256()
    for number in range(STUDIES):
        rng = np.random.default_rng([SEED, number])
        step = float(rng.choice(PLANES_MM))
        planes = structures(rng, step)
        ct_mm = (step, float(rng.choice(GRID_MM)))
        for brachy in (False, True):
            dose_mm = rng.choice(GRID_MM, 2) if not brachy else np.array([1.0, 1.0])
            if brachy:
                planes = {"PTV": [(step * k, [circle(20, 0, 0)]) for k in range(-4, 5)]}
            with tempfile.TemporaryDirectory() as made:
                folder = Path(made)
                write(folder, planes, ct_mm, dose_mm, sources if brachy else external, brachy)
                for file in sorted(folder.iterdir()):
                    digest.update(file.read_bytes())
                for name, with_ct, cc, true, doses in compared(folder, planes, step):
                    label = KINDS.get(name, "target about the sources of an afterloader")
                    rows.setdefault((label, with_ct), Worst()).add(cc, true, doses)
    return rows, digest.hexdigest()[:16]


def table(rows: dict[tuple[str, bool], Worst], about: dict) -> str:
    """The table of docs/dosimetry.md."""
    lines = []
    for (label, with_ct), worst in sorted(rows.items(), key=lambda row: (row[0][0], not row[0][1])):
        volume = [f"{worst.small_cc:.4f} cc"] * bool(worst.small_cc)
        volume += [f"{worst.large_percent:.2f} %"] * bool(worst.large_percent)
        doses = " | ".join(f"{worst.doses[key]:.2f} %" for key in ("mean", "D95", "D2"))
        where = "with" if with_ct else "without"
        lines.append(f"| {label} | {where} | {worst.n} | {', '.join(volume)} | {doses} |")
    return (
        f"Largest differences from the polygons, over {STUDIES} studies each with planes of 1 to "
        f"3 mm, pixels of the CT and dose grids of 1 to 4 mm (1 mm about sources). Volumes below "
        f"1 cc in cc, others in percent; doses in percent of the prescription, or of the dose "
        f"itself where that is higher. Seed {SEED}, data "
        f"{about['data']}, {about['machine']['processor']}; made by `{about['command']}`.\n\n"
        "| structures | CT | n | volume | mean | D95 | D2 |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(lines)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    rows, data = measure()
    about = {
        "command": "python benchmarks/agreement.py --out docs/numbers",
        "seed": SEED,
        "data": data,
        "machine": machine(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "agreement.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["structures", "ct", "n", "cc", "percent", "mean", "D95", "D2"])
        for (label, with_ct), one in sorted(rows.items()):
            doses = [one.doses[key] for key in ("mean", "D95", "D2")]
            numbers = (one.small_cc, one.large_percent, *doses)
            writer.writerow([label, with_ct, one.n, *(f"{number:.5f}" for number in numbers)])
    (options.out / "agreement.json").write_text(json.dumps(about, indent=2) + "\n")
    body = f"<!-- agreement -->\n{table(rows, about)}\n<!-- /agreement -->"
    pattern = r"<!-- agreement -->.*?<!-- /agreement -->"
    PAGE.write_text(re.sub(pattern, lambda _: body, PAGE.read_text(), flags=re.DOTALL))
    print(body)


if __name__ == "__main__":
    main()
