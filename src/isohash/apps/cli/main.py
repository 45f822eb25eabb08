"""The command line: every command has an example in its help, `--json`, and clear errors.

Exit status 0 is success, 1 an error told in one line (or a check that failed), 2 wrong usage.
Heavy parts are imported inside the commands, so that a query from a cold start stays quick.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from isohash.apps.cli.bench import bench
from isohash.apps.cli.evaluate import evaluate
from isohash.apps.cli.names import names
from isohash.apps.cli.options import Json
from isohash.apps.cli.plan_bits import plan_bits
from isohash.apps.cli.progress import progress_bar
from isohash.apps.cli.train import train
from isohash.errors import InputError, error_json

app = typer.Typer(
    help="Find the past cases most like a new one, by CT, by dose or by both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(evaluate, name="evaluate")
app.add_typer(train, name="train")
app.add_typer(bench, name="bench")
app.command(name="plan-bits")(plan_bits)
app.command()(names)

# What typer's parser raises for wrong usage; the newer typers carry a parser of their own.
USAGE_ERROR: Any = typer.BadParameter.__base__

ArchivePath = Annotated[Path, typer.Argument(help="The archive folder.", show_default=False)]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the archive and the report.")] = Path(
        "isohash-demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the synthetic patients.")] = 0,
    as_json: Json = False,
) -> None:
    """Synthetic patients with known neighbours: archive, queries, self-check and a report page.

    Example: isohash demo --out isohash-demo
    """
    from isohash.apps.cli.tables import demo_table
    from isohash.apps.demo import run_demo

    with progress_bar(as_json) as progress:
        result = run_demo(out, seed, progress)
    _print(result.to_json(), demo_table(result), as_json)
    if not result.passed:
        raise typer.Exit(1)


@app.command()
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
    as_json: Json = False,
) -> None:
    """Add all cases below SOURCE to ARCHIVE; run it again to add what is new.

    SOURCE may hold DICOM (CT with RTDOSE), OpenKBP cases (pt_N.npz or the CSV folders) or vectors
    (.npy, .npz). A killed run loses at most the case in work. Structures whose names no table knows
    are kept as numbers and listed at the end; after an edit of the table of --aliases the cases are
    read anew.

    Example: isohash index plans/ my-archive --bits 1024 --aliases our-names.json
    """
    from isohash.apps.cli.tables import index_table
    from isohash.dosimetry.names import load_aliases
    from isohash.retrieval.building.indexing import build_archive

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
    _print(facts, index_table(report, archive, source, rehashed), as_json)
    if not report.n_cases:
        raise typer.Exit(1)


@app.command()
def query(
    archive: ArchivePath,
    case: Annotated[str, typer.Argument(help="A path, or the id of an indexed case.")],
    k: Annotated[int, typer.Option("-k", help="How many results.")] = 10,
    by: Annotated[
        str | None,
        typer.Option(help="plan, ct, dose or joint [plan if structures allow it, else joint]."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Weight of CT against dose in a joint query [0.25].")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="case aligns all slices; slice ranks single ones [case].")
    ] = None,
    query_slice: Annotated[
        int | None,
        typer.Option(
            "--slice",
            help="The query's slice for --level slice [middle]; the row of a file of vectors [0].",
        ),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Filter, such as 'prescription_gy >= 60'.")
    ] = None,
    same_patient: Annotated[
        bool, typer.Option("--same-patient", help="Also return the query's own patient.")
    ] = False,
    rerank: Annotated[
        int | None,
        typer.Option(
            help="Candidates by code to order by their exact distance; 0: by code only "
            "[64 cases or slices, 256 vectors]."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page that shows query and results.")
    ] = None,
    collage: Annotated[Path | None, typer.Option(help="Write a PNG of the nearest slices.")] = None,
    as_json: Json = False,
) -> None:
    """Find the cases (or slices) of ARCHIVE nearest to CASE.

    --by plan needs CT structures, not a dose: cases are ranked by how far their dose-volume
    histograms lie from those that the anatomy of CASE would get.

    Example: isohash query my-archive new-patient/ -k 5 --by joint --alpha 0.3 --report like.html
    """
    # NumPy reads it when imported; more threads take longer to start than one query needs them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from isohash.apps.cli.tables import answer_table
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.request import Request

    request = Request(k, by, alpha, level, query_slice, where, same_patient, rerank)
    with Archive.open(archive) as opened:
        session = opened.session(case, pictures=report is not None or collage is not None)
        answer = session.ask(request)
        _write_pages(session, answer, report, collage)
    _print(answer.to_json(), answer_table(answer), as_json)


@app.command()
def verify(
    archive: ArchivePath,
    repair: Annotated[
        bool, typer.Option("--repair", help="First set damaged files aside; keep what is intact.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every byte of ARCHIVE; damage is named, and the exit status is then 1.

    --repair moves damaged files to ARCHIVE/quarantine and names the cases that are lost; index
    their source again to get them back.

    Example: isohash verify my-archive
    """
    from isohash.apps.cli.tables import verify_table
    from isohash.archive.repair import repair as mend
    from isohash.archive.verify import verify as check

    with progress_bar(as_json) as progress:
        mended = mend(archive) if repair else None
        found = check(archive, progress)
    facts = asdict(found) if mended is None else {**asdict(found), "repair": asdict(mended)}
    _print(facts, verify_table(found, mended, archive), as_json)
    if found.problems:
        raise typer.Exit(1)


@app.command()
def info(archive: ArchivePath, as_json: Json = False) -> None:
    """Say what is inside ARCHIVE: cases, sizes, encoder, codes, seeds and versions.

    Example: isohash info my-archive
    """
    from isohash.apps.cli.tables import info_table
    from isohash.retrieval.describe import describe

    facts = describe(archive)
    _print(facts, info_table(facts, archive), as_json)


@app.command("phi-scan")
def phi_scan(
    archive: ArchivePath,
    source: Annotated[
        Path, typer.Argument(help="Folder that it was made from.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Look in every file of ARCHIVE for anything that identifies a patient of SOURCE.

    Names, numbers, dates, UIDs and free text of DICOM files, names of files and ids that look like
    a person's, in the usual spellings, encodings and packings. The exit status is 1 if something is
    found; the values themselves are not printed. Says what was searched and what it cannot see.

    Example: isohash phi-scan my-archive /path/to/dicom
    """
    from isohash.apps.cli.tables import scan_table
    from isohash.sources.phi_scan import scan

    with progress_bar(as_json) as progress:
        found = scan(archive, source, progress)
    _print(asdict(found), scan_table(found, archive), as_json)
    if found.leaks:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine and installation offer: search engine, threads, optional parts.

    Example: isohash doctor
    """
    from isohash.apps.cli.tables import doctor_table
    from isohash.apps.doctor import examine, missing

    facts = examine()
    _print(facts, doctor_table(facts), as_json)
    if missing(facts):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors become one line on stderr or, with --json, JSON on stdout."""
    try:
        sys.exit(_run_for_machines() if _for_machines() else app())
    except InputError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted; finished cases are kept, run the same command again to go on", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        _fail("not enough memory; try fewer or smaller cases at once")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}")


def _for_machines() -> bool:
    return "--json" in sys.argv[1:]


def _run_for_machines() -> int:
    """Wrong usage, too, is told as JSON; the exit status is as ever."""
    try:
        status = app(standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except USAGE_ERROR as error:
        where = getattr(error.ctx, "command_path", "isohash")
        _fail(f"{error.format_message().rstrip('.')}; see {where} --help", error.exit_code)
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int = 1) -> NoReturn:
    if _for_machines():
        typer.echo(json.dumps(error_json(message)))
    else:
        typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _print(facts: Any, table: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        from isohash.apps.cli.tables import show

        show(table)


def _write_pages(session: Any, answer: Any, report: Path | None, collage: Path | None) -> None:
    if report is not None:
        from isohash.apps.page.report import write_report

        write_report(session, answer, report)
    if collage is not None:
        from isohash.apps.page.collage import write_collage

        write_collage(session, answer, collage)
