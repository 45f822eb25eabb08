"""`isohash evaluate ...`: the figures and tables, each as PNG, CSV and JSON in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.options import (
    DataSets,
    Json,
    Out,
    Quick,
    Work,
    group,
    print_facts,
    print_rows,
    tell_all,
)
from isohash.apps.cli.pieces import rows_table
from isohash.apps.cli.progress import progress_bar

evaluate = group("Figures and tables with seeds, versions and data digests.")


@evaluate.command()
def dice(
    database: Annotated[Path, typer.Argument(help="Cases to search.", show_default=False)],
    queries: Annotated[Path, typer.Argument(help="Cases of other patients.", show_default=False)],
    out: Out = Path("out/dice"),
    work: Work = None,
    encoder: Annotated[
        str, typer.Option(help="autoencoder (trained first), deep, pca, or a folder of encoders.")
    ] = "autoencoder",
    bits: Annotated[
        list[int] | None, typer.Option(help="Code lengths [128 512 1024 4096].")
    ] = None,
    n_database: Annotated[int, typer.Option(help="Slices searched.")] = 7000,
    n_queries: Annotated[int, typer.Option(help="Query slices.")] = 400,
    k: Annotated[int, typer.Option("-k", help="Neighbours compared.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the draws and the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Dice and Jaccard of the nearest slices by code against the nearest by Euclidean distance.

    Example: isohash evaluate dice openkbp/train openkbp/validation --out out/dice
    """
    from isohash.evaluation.kit.benchmark import DiceSettings, run_dice

    lengths = tuple(bits) if bits else DiceSettings.bits
    settings = DiceSettings(encoder, lengths, n_database, n_queries, k, seed)
    with progress_bar(as_json) as progress:
        rows = run_dice(database, queries, out, settings, progress, work)
    print_rows(f"Dice of the top {k} against Euclidean; see {out}", rows, as_json)


@evaluate.command()
def slices(
    database: Annotated[Path, typer.Argument(help="Cases to search.", show_default=False)],
    queries: Annotated[Path, typer.Argument(help="Cases of other patients.", show_default=False)],
    out: Out = Path("out/slices"),
    work: Work = None,
    encoder: Annotated[
        str, typer.Option(help="deep (shipped), autoencoder (trained first), pca, or a folder.")
    ] = "deep",
    seed: Annotated[int, typer.Option(help="Seed of the draws and the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Violins of Dice and Jaccard, scores against the number retrieved, and scatter plots.

    An interrupted run goes on where it stopped.

    Example: isohash evaluate slices openkbp/train openkbp/validation --out out/slices
    """
    from isohash.evaluation.codes.slices import SliceFigures, run_slices
    from isohash.evaluation.kit.benchmark import DiceSettings
    from isohash.evaluation.kit.results import without_points

    settings = SliceFigures(DiceSettings(encoder=encoder, seed=seed))
    with progress_bar(as_json) as progress:
        found = run_slices(database, queries, out, settings, progress, work)
    tell_all(
        {name: [without_points(p) for p in panels] for name, panels in found.items()}, out, as_json
    )


@evaluate.command()
def mnist(
    data: Annotated[Path, typer.Argument(help="mnist.npz.", show_default=False)],
    out: Out = Path("out/mnist"),
    work: Work = None,
    n_queries: Annotated[int, typer.Option(help="Test digits that are asked for.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the draws and the training.")] = 0,
    as_json: Json = False,
) -> None:
    """The literature's MNIST experiments: scatter, precision-recall, collages, Lee histograms.

    An interrupted run goes on where it stopped.

    Example: isohash evaluate mnist mnist.npz --out out/mnist
    """
    from isohash.evaluation.codes.digits import DigitSettings
    from isohash.evaluation.codes.mnist import MnistSettings, run_mnist
    from isohash.evaluation.kit.results import without_points

    settings = MnistSettings(DigitSettings(n_queries=n_queries, seed=seed), seed=seed)
    with progress_bar(as_json) as progress:
        found = run_mnist(data, out, settings, progress, work)
    tell_all(
        {name: [without_points(p) for p in panels] for name, panels in found.items()}, out, as_json
    )


@evaluate.command()
def validity(
    past: Annotated[Path, typer.Argument(help="Cases with CT, dose and structures.")],
    queries: Annotated[
        Path | None, typer.Argument(help="Cases of other patients, asked once at the end.")
    ] = None,
    out: Out = Path("out/validity"),
    work: Work = None,
    only_queries: Annotated[
        bool, typer.Option("--only-queries", help="Ask the held-out QUERIES alone.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of samples, halves and bootstraps.")] = 0,
    as_json: Json = False,
) -> None:
    """Whether near cases have near plans: leave one patient out, then new patients.

    Correlation of retrieval distance with plan and dose distance, the nearest plan's dose as a
    prediction, and bands of dose-volume histograms. One's own folder of cases can be PAST. An
    interrupted run goes on where it stopped.

    Example: isohash evaluate validity openkbp/train openkbp/validation --out out/validity
    """
    from isohash.evaluation.validity.study import ValiditySettings, run_validity

    settings = ValiditySettings(seed=seed)
    with progress_bar(as_json) as progress:
        found = run_validity(past, queries, out, settings, progress, work, only_queries)
    tell_all(found, out, as_json)


@evaluate.command()
def planning(
    archive: Annotated[Path, typer.Argument(help="An archive with a dose model.")],
    queries: Annotated[
        Path | None, typer.Argument(help="Cases of other patients with plans, asked once.")
    ] = None,
    out: Out = Path("out/planning"),
    seed: Annotated[int, typer.Option(help="Seed of samples, halves and bootstraps.")] = 0,
    as_json: Json = False,
) -> None:
    """What proposed doses, their bands and objectives are worth, and retrieval by them.

    The archive's own patients are judged by models that had not seen their plans.

    Example: isohash evaluate planning my-archive openkbp/validation --out out/planning
    """
    from isohash.evaluation.planning.study import PlanningSettings, run_planning

    with progress_bar(as_json) as progress:
        found = run_planning(archive, queries, out, PlanningSettings(seed=seed), progress)
    tell_all(found, out, as_json)


@evaluate.command()
def images(
    archive: Annotated[Path, typer.Argument(help="An archive of images in labelled folders.")],
    out: Out = Path("out/images"),
    n_queries: Annotated[int, typer.Option(help="Images that are asked for.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of draws and hashes.")] = 0,
    as_json: Json = False,
) -> None:
    """Whether the nearest images are of the query's class: mAP, P@10, precision and recall.

    Each image is left out once, and its folder where labels lie in folders; codes of 32 to 1024
    bits against Euclidean distance, pixels and FAISS.

    Example: isohash evaluate images my-archive --out out/images
    """
    from isohash.evaluation.images.study import ImagesSettings, run_images

    with progress_bar(as_json) as progress:
        found = run_images(archive, out, ImagesSettings(n_queries=n_queries, seed=seed), progress)
    tell_all(found, out, as_json)


@evaluate.command()
def codes(
    data: DataSets,
    out: Out = Path("out/codes"),
    work: Work = None,
    bits: Annotated[
        list[int] | None,
        typer.Option(help="Code lengths [32 128 ... 4096].", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws and the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Our families of codes and others' at equal stored bits, on MNIST, CT and dose.

    DATA holds mnist/mnist.npz, openkbp/train and openkbp/validation. An interrupted run goes on
    where it stopped.

    Example: isohash evaluate codes data/ --out out/codes
    """
    from isohash.evaluation.codes.digits import DigitSettings
    from isohash.evaluation.codes.equal_bits import CodesSettings, run_codes
    from isohash.evaluation.kit.benchmark import DiceSettings

    settings = CodesSettings(
        bits=tuple(bits) if bits else CodesSettings.bits,
        digit_bits=tuple(bits) if bits else CodesSettings.digit_bits,
        digits=DigitSettings(seed=seed),
        slices=DiceSettings(encoder="deep", seed=seed),
        seed=seed,
    )
    with progress_bar(as_json) as progress:
        rows = run_codes(data, out, settings, progress, work)
    print_rows(f"Equal stored bits; see {out}", rows, as_json)


@evaluate.command()
def kernel(
    data: DataSets,
    out: Out = Path("out/kernel"),
    work: Work = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Learned against untrained and tuned kernels, on MNIST and on CT; the mean-field limit.

    An interrupted run goes on where it stopped.

    Example: isohash evaluate kernel data/ --out out/kernel
    """
    from isohash.evaluation.kernel.learning import run, summary

    with progress_bar(as_json) as progress:
        tell_all({"kernel": summary(run(out, data, quick, progress, work=work))}, out, as_json)


@evaluate.command()
def svm(
    data: DataSets,
    out: Out = Path("out/svm"),
    work: Work = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Kernel machines: learned particles, importance sampling, particle SGD and tuned Gaussians.

    An interrupted run goes on where it stopped.

    Example: isohash evaluate svm data/ --out out/svm
    """
    from isohash.evaluation.svm.experiment import error_table, run, summary

    with progress_bar(as_json) as progress:
        found = summary(run(out, data, quick, progress, work=work))
    title = f"svm, test error in %; see {out}"
    print_facts(found, lambda: [rows_table(title, error_table(found))], as_json)
