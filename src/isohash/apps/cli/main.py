"""The command line: every command has an example in its help, `--json`, and clear errors.

Exit status 0 is success, 1 an error told in one line (or a check that failed), 2 wrong usage.
Heavy parts are imported inside the commands, so that a query from a cold start stays quick.
"""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from isohash.apps.cli import archives
from isohash.apps.cli.bench import bench
from isohash.apps.cli.evaluate import evaluate
from isohash.apps.cli.index import index
from isohash.apps.cli.names import names
from isohash.apps.cli.options import ArchivePath, Json, print_facts
from isohash.apps.cli.plan_bits import plan_bits
from isohash.apps.cli.planning import check, propose
from isohash.apps.cli.progress import log, progress_bar
from isohash.apps.cli.query import query
from isohash.apps.cli.train import train
from isohash.apps.cli.whole import whole_program
from isohash.errors import InputError, error_json
from isohash.visible import visible

app = typer.Typer(
    help="Find the past cases most like a new one, by CT, by dose or by both.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(whole_program)

app.command()(index)
app.command()(query)
app.command()(propose)
app.command()(check)
app.command()(names)
app.add_typer(evaluate, name="evaluate")
app.add_typer(train, name="train")
app.add_typer(bench, name="bench")
app.command(name="plan-bits")(plan_bits)
app.command(name="list")(archives.list_)
for command in (
    archives.show, archives.facts, archives.remove, archives.merge, archives.export,
    archives.resolve, archives.backup,
):  # fmt: skip
    app.command()(command)

INTERRUPTED = 130  # the exit status of what Ctrl-C ends

# What typer's parser raises for wrong usage; the newer typers carry a parser of their own.
USAGE_ERROR: Any = typer.BadParameter.__base__


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
    print_facts(result.to_json(), demo_table(result), as_json)
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def verify(
    archive: ArchivePath,
    repair: Annotated[
        bool, typer.Option("--repair", help="First set damaged files aside; keep what is intact.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every byte of ARCHIVE, and that it can be asked; if not, the exit status is 1.

    --repair moves damaged files to ARCHIVE/quarantine, puts back encoders that come with isohash,
    and names the cases that are lost; index their source again to get them back.

    Example: isohash verify my-archive
    """
    from isohash.apps.cli.tables import verify_table
    from isohash.retrieval.soundness import repair as mend
    from isohash.retrieval.soundness import verify as check

    with progress_bar(as_json) as progress:
        mended = mend(archive) if repair else None
        found = check(archive, progress)
    facts = asdict(found) if mended is None else {**asdict(found), "repair": asdict(mended)}
    print_facts(facts, verify_table(found, mended, archive), as_json)
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
    print_facts(facts, info_table(facts, archive), as_json)


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
    print_facts(asdict(found), scan_table(found, archive), as_json)
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
    print_facts(facts, doctor_table(facts), as_json)
    if missing(facts):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors become one line on stderr or, with --json, JSON on stdout."""
    try:
        sys.exit(_run())
    except InputError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail(
            "interrupted; finished cases are kept, run the same command again to go on", INTERRUPTED
        )
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


def _run() -> int:
    """Wrong usage, too, is told as JSON where that is asked for."""
    try:
        status = app(standalone_mode=False)
    except typer.Abort:  # what the parser makes of Ctrl-C
        raise KeyboardInterrupt from None
    except USAGE_ERROR as error:
        if not _for_machines():
            told = io.StringIO()
            error.show(told)
            typer.echo(visible(told.getvalue(), keep="\n"), err=True, nl=False)
            return int(error.exit_code)
        where = getattr(error.ctx, "command_path", "isohash")
        _fail(f"{error.format_message().rstrip('.')}; see {where} --help", error.exit_code)
    if status == INTERRUPTED:  # the newer typers make an exit of it
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int = 1) -> NoReturn:
    log(f"error: {message}")
    if _for_machines():
        typer.echo(json.dumps(error_json(message)))
    else:
        typer.echo(f"error: {visible(' '.join(message.split()))}", err=True)
    sys.exit(status)
