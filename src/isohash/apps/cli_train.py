"""`isohash train ...`: autoencoders and kernels, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli_evaluate import Json, print_rows
from isohash.apps.progress import progress_bar

train = typer.Typer(help="Train an autoencoder or a kernel; resumable.", no_args_is_help=True)


@train.callback()
def _group() -> None:
    """Keep `train` a group of commands however few there are."""


@train.command()
def autoencoder(
    source: Annotated[Path, typer.Argument(help="Cases with CT and dose.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for ct.safetensors and dose.safetensors.")],
    variant: Annotated[str, typer.Option(help="shallow or deep.")] = "shallow",
    latent: Annotated[int, typer.Option(help="Length of an embedding.")] = 128,
    epochs: Annotated[int, typer.Option(help="At most this many; stops early.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the weights and the batches.")] = 0,
    as_json: Json = False,
) -> None:
    """Train one autoencoder for CT and one for dose on all slices with dose below SOURCE.

    Patients are held out for validation. Run it again after an interruption to go on.

    Example: isohash train autoencoder plans/ --out encoders
    """
    from isohash.evaluation.encoders import train_both

    with progress_bar(as_json) as progress:
        rows = train_both(source, out, variant, latent, epochs, seed, progress)
    print_rows(f"Encoders in {out}", rows, as_json)


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
    from isohash.apps.rehashing import train_kernel

    with progress_bar(as_json) as progress:
        rows = train_kernel(archive, objective, particles, seed, progress)
    print_rows(f"Kernels kept in {archive}; hash with isohash index --reuse", rows, as_json)
