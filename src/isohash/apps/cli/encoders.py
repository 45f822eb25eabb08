"""`isohash evaluate encoders` and its kin: what encoders remember, and what that is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.evaluate import evaluate
from isohash.apps.cli.options import Json, Out, print_rows, tell_all
from isohash.apps.cli.progress import progress_bar

Weights = Annotated[
    Path, typer.Option(help="Folder of shallow and deep encoders; made by evaluate encoders.")
]


@evaluate.command()
def encoders(
    training: Annotated[Path, typer.Argument(help="Cases to train on.", show_default=False)],
    validation: Annotated[Path, typer.Argument(help="Unseen patients.", show_default=False)],
    out: Out = Path("out/encoders"),
    weights: Weights = Path("out/weights"),
    as_json: Json = False,
) -> None:
    """Shallow against deep autoencoders at equal budget, with PCA and downsampling as baselines.

    Trains what WEIGHTS lacks; an interrupted training goes on where it stopped.

    Example: isohash evaluate encoders openkbp/train openkbp/validation --out out/encoders
    """
    from isohash.evaluation.encoders.encoder_table import run_table

    with progress_bar(as_json) as progress:
        rows = run_table(training, validation, weights, out, progress=progress)
    print_rows(f"Encoders; see {out}", rows, as_json)


@evaluate.command()
def reconstructions(
    source: Annotated[Path, typer.Argument(help="Unseen patients.", show_default=False)],
    out: Out = Path("out/encoders"),
    weights: Weights = Path("out/weights"),
    as_json: Json = False,
) -> None:
    """Slices beside their reconstructions, and isodose surfaces as a picture and a page to turn.

    Example: isohash evaluate reconstructions openkbp/validation --out out/encoders
    """
    from isohash.evaluation.encoders.reconstructions import run_reconstructions

    with progress_bar(as_json) as progress:
        tell_all(run_reconstructions(source, weights, out, progress=progress), out, as_json)


@evaluate.command()
def retrievals(
    database: Annotated[Path, typer.Argument(help="Cases to search.", show_default=False)],
    queries: Annotated[Path, typer.Argument(help="Cases of other patients.", show_default=False)],
    out: Out = Path("out/encoders"),
    weights: Weights = Path("out/weights"),
    as_json: Json = False,
) -> None:
    """The same queries by CT and by CT with isodose lines, shallow and deep, side by side.

    Example: isohash evaluate retrievals openkbp/train openkbp/validation --out out/encoders
    """
    from isohash.evaluation.encoders.retrieval_examples import run_examples

    with progress_bar(as_json) as progress:
        rows = run_examples(database, queries, weights, out, progress=progress)
    print_rows(f"Retrieved slices; see {out}", rows, as_json)


@evaluate.command()
def volumes(
    training: Annotated[Path, typer.Argument(help="Cases to train on.", show_default=False)],
    validation: Annotated[Path, typer.Argument(help="Unseen patients.", show_default=False)],
    out: Out = Path("out/encoders"),
    weights: Weights = Path("out/weights"),
    as_json: Json = False,
) -> None:
    """Encoders of whole volumes by three objectives: is a near volume a near plan?

    Trains what WEIGHTS lacks; an interrupted training goes on where it stopped.

    Example: isohash evaluate volumes openkbp/train openkbp/validation --out out/encoders
    """
    from isohash.evaluation.encoders.volumes import run_volumes

    with progress_bar(as_json) as progress:
        rows = run_volumes(training, validation, weights, out, progress=progress)
    print_rows(f"Encoders of volumes; see {out}", rows, as_json)


@evaluate.command("small-archives")
def small_archives(
    source: Annotated[Path, typer.Argument(help="Unseen patients.", show_default=False)],
    out: Out = Path("out/encoders"),
    as_json: Json = False,
) -> None:
    """How many cases PCA needs to match the shipped encoders: archives of 3 to 28 unseen patients.

    Example: isohash evaluate small-archives openkbp/validation --out out/encoders
    """
    from isohash.evaluation.encoders.small_archives import run_small

    with progress_bar(as_json) as progress:
        rows = run_small(source, out, progress=progress)
    print_rows(f"Small archives; see {out}", rows, as_json)


@evaluate.command()
def domain(
    sources: Annotated[list[Path], typer.Argument(help="Folders of cases.", show_default=False)],
    out: Out = Path("out/encoders"),
    as_json: Json = False,
) -> None:
    """How far each source's slices are from what the shipped encoders know; what auto would take.

    Example: isohash evaluate domain openkbp/validation my-thorax-cases
    """
    from isohash.evaluation.encoders.domain import run_domain

    with progress_bar(as_json) as progress:
        rows = run_domain(sources, out, progress)
    print_rows(f"Relative error of the shipped encoders; see {out}", rows, as_json)


@evaluate.command()
def networks(out: Out = Path("out/encoders"), as_json: Json = False) -> None:
    """Draw the shallow and the deep autoencoder, with the size of every layer.

    Example: isohash evaluate networks --out out/encoders
    """
    from isohash.evaluation.encoders.diagram import run_diagram

    print_rows(f"Autoencoders; see {out}", run_diagram(out), as_json)
