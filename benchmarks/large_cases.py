"""What large cases cost `isohash index`: peak memory and time, by the size of CT and structures.

    python benchmarks/large_cases.py --folder /tmp/large --out docs/numbers

Writes synthetic patients below the folder (once: what is there is used again): a CT of 512 x 512
x 200 voxels, 30 structures from a nerve to the body, a plan and a dose at 2.5 mm. Then indexes them
all and watches the physical memory of the command with its children. Writes large_cases.json and
the paragraph of docs/dosimetry.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from ingest import index

from isohash.evaluation.kit.results import machine
from isohash.records import Case, Volume
from isohash.sources.dicom.writer import WriteOptions, write_dicom

SHAPE, SPACING_MM = (200, 512, 512), (2.5, 0.98, 0.98)  # z, y, x
DOSE_MM = 2.5
PATIENTS, STRUCTURES, SEED = 4, 30, 0
TARGET_GY = 70.0
PAGE = Path(__file__).resolve().parents[1] / "docs" / "dosimetry.md"
NAMES = (
    "BODY", "PTV70", "Brainstem", "SpinalCord", "LeftParotid", "RightParotid", "Mandible", "Larynx",
    "Esophagus", "Heart", "Lung_L", "Lung_R", "Liver", "Kidney_L", "Kidney_R", "Eye_L", "Eye_R",
    "Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "OpticChiasm", "Cochlea_L", "Cochlea_R",
    "Trachea", "Stomach", "Spleen", "Bladder", "Rectum", "Thyroid",
)  # fmt: skip


class Ellipsoids(Mapping[str, Volume]):
    """The structures of a patient, made one at a time: all together they take 1.6 GB."""

    def __init__(self, rng: np.random.Generator, affine: np.ndarray) -> None:
        self.affine = affine
        half = 0.5 * np.array(SHAPE) * SPACING_MM
        self.shapes = {"BODY": (half, 0.9 * half), "PTV70": (half, np.array([40.0, 35, 35]))}
        for name in NAMES[2:]:
            radius = np.exp(rng.uniform(np.log(4.0), np.log(70.0)))
            centre = half + rng.uniform(-0.5, 0.5, 3) * half
            self.shapes[name] = (centre, radius * np.array([1.4, 1.0, 0.8]))

    def __getitem__(self, name: str) -> Volume:
        centre, radii = self.shapes[name]
        axes = [
            ((np.arange(n) * mm - c) / r) ** 2
            for n, mm, c, r in zip(SHAPE, SPACING_MM, centre, radii, strict=True)
        ]
        z, y, x = (axis.astype(np.float32) for axis in axes)
        return Volume(z[:, None, None] + y[:, None] + x < 1.0, self.affine)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def patient(number: int) -> Case:
    """CT with noise, 30 ellipsoids, and a dose that falls off around the target."""
    rng = np.random.default_rng([SEED, number])
    structures = Ellipsoids(rng, _affine(SPACING_MM))
    hu = rng.integers(-20, 60, SHAPE, dtype=np.int16)
    hu[~structures["BODY"].array] = -1000
    name = f"large-{number}"
    return Case(
        id=name,
        ct=Volume(hu, structures.affine),
        dose=_dose(structures.shapes["PTV70"][0] + rng.normal(0.0, 3.0, 3)),
        structures=structures,
        prescription_gy=TARGET_GY,
        patient=name,
    )


def _affine(spacing: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing)[::-1]
    return affine


def _dose(centre: np.ndarray) -> Volume:
    shape = [int(n * mm / DOSE_MM) for n, mm in zip(SHAPE, SPACING_MM, strict=True)]
    z, y, x = (DOSE_MM * np.arange(n, dtype=np.float32) for n in shape)
    away = np.sqrt(
        (z[:, None, None] - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 + (x - centre[2]) ** 2
    )
    gy = TARGET_GY * 1.03 / (1.0 + np.exp((away - 42.0) / 12.0))
    return Volume(gy.astype(np.float32), _affine((DOSE_MM, DOSE_MM, DOSE_MM)))


def prepare(folder: Path) -> None:
    """Write the patients unless a complete set is there."""
    done = folder / f"{PATIENTS}x{STRUCTURES}.complete"
    if done.exists():
        return
    for number in range(PATIENTS):
        options = WriteOptions(identity=f"Large^{number}", dose_bits=16)
        write_dicom(patient(number), folder / "dicom" / str(number), options)
    done.write_text("")


def digest(files: list[Path]) -> str:
    """Of the names and bytes of all files."""
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def measure(folder: Path) -> dict:
    source = folder / "dicom"
    files = sorted(file for file in source.rglob("*") if file.is_file())
    with tempfile.TemporaryDirectory() as archive:
        times, peak_mb = index(source, Path(archive, "archive"))
    return {
        "command": "python benchmarks/large_cases.py --folder /tmp/large --out docs/numbers",
        "cases": PATIENTS,
        "shape": SHAPE,
        "structures": STRUCTURES,
        "files": len(files),
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
        "data": digest(files),
        "seed": SEED,
        "times": times,
        "index_peak_mb": peak_mb,
        "load": os.getloadavg()[0],
        "machine": machine(),
    }


def paragraph(found: dict) -> str:
    """The paragraph of docs/dosimetry.md."""
    z, y, x = found["shape"]
    took = found["times"]
    return (
        f"{found['cases']} synthetic cases of {y} x {x} x {z} voxels with {found['structures']} "
        f"structures each ({found['megabytes']:,.0f} MB): `isohash index` takes "
        f"{took['wall_s']:.0f} s ({took['processor_s']:.0f} s of processor time) and at most "
        f"**{found['index_peak_mb']:,.0f} MB** of memory with its children. Seed {found['seed']}, "
        f"data {found['data']}, {found['machine']['processor']}, {found['machine']['cores']} "
        f"cores, load average {found['load']:.0f}. Made by `{found['command']}`."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "large"))
    parser.add_argument("--out", type=Path, default=Path("docs/numbers"))
    options = parser.parse_args()
    prepare(options.folder)
    found = measure(options.folder)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "large_cases.json").write_text(json.dumps(found, indent=2) + "\n")
    body = f"<!-- large -->\n{paragraph(found)}\n<!-- /large -->"
    pattern = r"<!-- large -->.*?<!-- /large -->"
    PAGE.write_text(re.sub(pattern, lambda _: body, PAGE.read_text(), flags=re.DOTALL))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
