"""Make the shipped encoders again: the OpenKBP training patients, fixed seed and settings.

python benchmarks/train_shipped.py openkbp/train --out weights

Run again on the same data and instruction set, it writes the same files; an interrupted training
goes on from its checkpoint in OUT.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from isohash.apps.cli.progress import progress_bar
from isohash.features.cases.measures import measure
from isohash.features.cases.slices import ImageKind
from isohash.features.encoders.networks import AutoencoderSettings, Variant
from isohash.features.encoders.plan import PlanEncoder, fit_plan
from isohash.features.encoders.shipped import OPENKBP_GEOMETRY, PLAN
from isohash.features.training.settings import SHIPPED_TRAINING, Training
from isohash.features.training.training import train_encoder
from isohash.progress import Progress, tell
from isohash.sources.reading import read_cases


def make_shipped(
    training_folder: str | Path,
    kind: ImageKind,
    variant: Variant,
    out: str | Path,
    progress: Progress | None = None,
) -> Training:
    """Train `{kind}-{variant}` on the OpenKBP training patients and write it into `out`.

    Goes on from its checkpoint in `out` if it was interrupted.
    """
    out = Path(out)
    name = f"{kind}-{variant}"
    trained = train_encoder(
        read_cases(training_folder),
        kind,
        AutoencoderSettings(variant),
        SHIPPED_TRAINING,
        checkpoint=out / f"{name}.checkpoint.safetensors",
        progress=progress,
    )
    trained.encoder.save(out / f"{name}.safetensors")
    return trained


def make_shipped_plan(
    training_folder: str | Path, out: str | Path, progress: Progress | None = None
) -> PlanEncoder:
    """Fit the plan encoder on the OpenKBP training patients and write it into `out`."""
    cases = []
    for case in read_cases(training_folder):
        cases.append(measure(case))
        tell(progress, len(cases), len(cases), case.id)
    encoder = fit_plan(cases, OPENKBP_GEOMETRY, name=PLAN)
    encoder.save(Path(out) / f"{PLAN}.safetensors")
    return encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("training", type=Path, help="the OpenKBP training patients")
    parser.add_argument("--out", type=Path, default=Path("out/shipped"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as progress:
        for kind in ("ct", "dose"):
            make_shipped(options.training, kind, "deep", options.out, progress)
        make_shipped_plan(options.training, options.out, progress)


if __name__ == "__main__":
    main()
