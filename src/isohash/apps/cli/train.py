"""`isohash train ...`: autoencoders and kernels, resumable; dose models as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from isohash.apps.cli.options import Json, group, outside, print_rows
from isohash.apps.cli.progress import progress_bar
from isohash.errors import InputError
from isohash.progress import Progress

if TYPE_CHECKING:
    from isohash.features.encoders.networks import Variant

train = group("Train an autoencoder, a kernel or a dose model.")


@train.command()
def autoencoder(
    source: Annotated[Path, typer.Argument(help="Cases with CT and dose.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="Folder for ct.safetensors and dose.safetensors.", callback=outside)
    ],
    variant: Annotated[str, typer.Option(help="shallow or deep.")] = "shallow",
    latent: Annotated[int, typer.Option(help="Length of an embedding.")] = 128,
    epochs: Annotated[
        int | None, typer.Option(help="At most this many [8; volumes 10]; stops early.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights and the batches.")] = 0,
    dims: Annotated[int, typer.Option(help="2 for slices; 3 for volumes, one vector a case.")] = 2,
    loss: Annotated[
        str, typer.Option(help="autoencoder; of volumes also variational or siamese.")
    ] = "autoencoder",
    as_json: Json = False,
) -> None:
    """Train one autoencoder for CT and one for dose on all slices with dose below SOURCE.

    With --dims 3, one of whole volumes (CT and structures) instead. Patients are held out for
    validation. Run it again after an interruption to go on.

    Example: isohash train autoencoder plans/ --out encoders
    """
    if dims not in (2, 3) or (dims == 2 and loss != "autoencoder"):
        raise InputError(f"--dims is 2 or 3, and --loss {loss} needs --dims 3, got --dims {dims}")
    with progress_bar(as_json) as progress:
        if dims == 3:
            rows = _volumes(source, out, variant, latent, epochs, seed, loss, progress)
        else:
            from isohash.evaluation.kit.slice_sets import train_both

            rows = train_both(source, out, variant, latent, epochs or 8, seed, progress)
    print_rows(f"Encoders in {out}", rows, as_json)


def _volumes(
    source: Path,
    out: Path,
    variant: str,
    latent: int,
    epochs: int | None,
    seed: int,
    loss: str,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    from isohash.evaluation.encoders.volumes import VOLUME_TRAINING, train_from, volume_network

    network = volume_network(cast("Variant", variant), latent)
    plan = replace(
        VOLUME_TRAINING, max_epochs=epochs or VOLUME_TRAINING.max_epochs, random_state=seed
    )
    return train_from(source, out, loss, network, plan, progress)


@train.command()
def kernel(
    archive: Annotated[Path, typer.Argument(help="The archive folder.", show_default=False)],
    objective: Annotated[
        str, typer.Option(help="isometry (for retrieval) or alignment (the literature).")
    ] = "isometry",
    particles: Annotated[int, typer.Option(help="Bandwidths in the learned kernel.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
    as_json: Json = False,
) -> None:
    """Learn a radial kernel per view from the embeddings of ARCHIVE, and keep it there.

    Then `isohash index SOURCE ARCHIVE --reuse` hashes the archive with it.

    Example: isohash train kernel my-archive
    """
    from isohash.retrieval.building.rehashing import train_kernel

    with progress_bar(as_json) as progress:
        rows = train_kernel(archive, objective, particles, seed, progress)
    print_rows(f"Kernels kept in {archive}; hash with isohash index --reuse", rows, as_json)


@train.command()
def dose(
    archive: Annotated[Path, typer.Argument(help="The archive folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the two files.", callback=outside)],
    as_json: Json = False,
) -> None:
    """Write the dose model that the plans of ARCHIVE taught, and its bands, as two files.

    So the model was made that comes with isohash for archives of few plans (make shipped-dose).

    Example: isohash train dose my-archive --out models
    """
    from isohash.retrieval.building.dose_sharing import share_dose_model

    print_rows(f"Dose model in {out}", share_dose_model(archive, out), as_json)
