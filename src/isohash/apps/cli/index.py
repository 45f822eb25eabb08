"""`isohash index`: files become an archive, or are added to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json, print_facts
from isohash.apps.cli.progress import progress_bar


def index(
    source: Annotated[Path, typer.Argument(help="Folder or file of cases.", show_default=False)],
    archive: ArchivePath,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="auto (default), deep, pca, autoencoder, trained ones, or FILE.onnx[#sha256=...]."
        ),
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Stored bits per slice and view [1024].")] = None,
    hash_: Annotated[
        str | None,
        typer.Option(
            "--hash", help="adaptive (fitted to the data) or kernel (drawn, learnable) [adaptive]."
        ),
    ] = None,
    q: Annotated[
        int | None, typer.Option(help="Symbols of the kernel hash's alphabet [2].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw [0].")] = None,
    embeddings: Annotated[
        bool | None,
        typer.Option(
            "--embeddings/--no-embeddings",
            help="Keep embeddings, to re-rank by exact distance and to learn kernels [kept].",
        ),
    ] = None,
    dose_model: Annotated[
        bool | None,
        typer.Option(
            "--dose-model/--no-dose-model",
            help="Learn from the plans what dose an anatomy gets (1-2 s a plan) [learned].",
        ),
    ] = None,
    pictures: Annotated[
        bool | None,
        typer.Option(
            "--pictures/--no-pictures",
            help="Keep slices of 2 mm with HU and dose, to look at in the workbench (some MB a "
            "case; also for cases of an archive without) [kept].",
        ),
    ] = None,
    aliases: Annotated[
        Path | None,
        typer.Option(help='Your names of structures: a JSON file {"spelling": "TG-263 name"}.'),
    ] = None,
    pseudonymous_ids: Annotated[
        bool | None,
        typer.Option(
            "--pseudonymous-ids",
            help="Keep pseudonyms in place of names of files and rows that serve as ids.",
        ),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="First hash ARCHIVE anew with its learned kernel.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also read what took too long in earlier runs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add all cases below SOURCE to ARCHIVE; run it again to add what is new.

    SOURCE may hold DICOM (CT with RTDOSE), NIfTI (folders with ct.nii.gz, dose.nii.gz and masks/),
    OpenKBP cases (pt_N.npz or the CSV folders), images or vectors (.npy, .npz, .csv, .parquet),
    also as zip or tar. A killed run loses at most the case in work (of images at most 127).
    Structures whose names no table knows are kept as numbers and listed at the end; after an edit
    of the table of --aliases the cases are read anew. Cases that used up their processor time are
    remembered and skipped from then on.

    Example: isohash index plans/ my-archive --bits 1024 --aliases our-names.json
    """
    from isohash.apps.cli.tables import index_table
    from isohash.dosimetry.names import load_aliases
    from isohash.retrieval.building.indexing import build_archive

    if retry:
        from isohash.sources.slow import forget

        forget()
    with progress_bar(as_json) as progress:
        table = None if aliases is None else load_aliases(aliases)
        given = {
            "encoder": encoder,
            "hash": hash_,
            "bits": bits,
            "q": q,
            "seed": seed,
            "embeddings": embeddings,
            "dose_model": dose_model,
            "pictures": pictures,
            "aliases": table,
            "pseudonymous_ids": pseudonymous_ids,
        }
        options: Any = {name: value for name, value in given.items() if value is not None}
        rehashed = []
        if reuse:
            from isohash.retrieval.building.rehashing import rehash

            rehashed = rehash(archive, progress)
        report = build_archive(source, archive, progress, **options)
    facts = {**report.to_json(), "rehashed": rehashed}
    print_facts(facts, lambda: index_table(report, archive, source, rehashed), as_json)
    if not report.n_cases:
        raise typer.Exit(1)
