"""`isohash verify`, `info`, `phi-scan`, `doctor` and `demo`: whether all is well."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.options import ArchivePath, Json, print_facts
from isohash.apps.cli.progress import progress_bar


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
    print_facts(result.to_json(), lambda: demo_table(result), as_json)
    if not result.passed:
        raise typer.Exit(1)


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
    print_facts(facts, lambda: verify_table(found, mended, archive), as_json)
    if found.problems:
        raise typer.Exit(1)


def info(archive: ArchivePath, as_json: Json = False) -> None:
    """Say what is inside ARCHIVE: cases, sizes, encoder, codes, seeds and versions.

    Example: isohash info my-archive
    """
    from isohash.apps.cli.tables import info_table
    from isohash.retrieval.describe import describe

    facts = describe(archive)
    print_facts(facts, lambda: info_table(facts, archive), as_json)


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
    print_facts(asdict(found), lambda: scan_table(found, archive), as_json)
    if found.leaks:
        raise typer.Exit(1)


def doctor(as_json: Json = False) -> None:
    """Say what this machine and installation offer: search engine, threads, optional parts.

    Example: isohash doctor
    """
    from isohash.apps.cli.tables import doctor_table
    from isohash.apps.doctor import examine, missing

    facts = examine()
    print_facts(facts, lambda: doctor_table(facts), as_json)
    if missing(facts):
        raise typer.Exit(1)
