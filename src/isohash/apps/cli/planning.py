"""`isohash propose` and `check`: the dose that a patient would get, and a finished plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json, answer_one, print_facts

CasePath = Annotated[str, typer.Argument(help="A path, or the id of an indexed case.")]
Prescription = Annotated[
    float | None,
    typer.Option("--prescription", help="Highest prescribed dose in Gy, where CASE does not say."),
]


def propose(
    archive: ArchivePath,
    case: CasePath,
    out: Annotated[Path, typer.Option(help="Folder for the files.", show_default=False)],
    prescription: Prescription = None,
    pseudonyms: Annotated[
        bool,
        typer.Option("--pseudonyms", help="Keep the patient of the CT out of the DICOM files."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the files of an earlier proposal.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Foretell the dose that CASE would get, as the plans of ARCHIVE teach. Not for treatment.

    CASE needs CT and structures with a target, no dose. Writes dose.dcm and half_width.dcm (RTDOSE
    on the CT's grid; 68 % of planned doses lie within the half width), plan.dcm (without beams),
    objectives.csv, bands.csv (68 and 90 %), proposal.json and proposal.html. DICOM files belong to
    the patient, study and frame of reference of a DICOM CT, so they hold its identity; with
    --pseudonyms they do not. The other files never do.

    Example: isohash propose my-archive new-patient/ --out proposal
    """
    answer_one()
    from isohash.apps.cli.plan_tables import proposal_table
    from isohash.apps.proposal_files import check_folder, write_proposal
    from isohash.retrieval.engine import Archive

    check_folder(out, replace)
    with Archive.open(archive) as opened:
        proposal = opened.propose(case, prescription, pictures=True)
        write_proposal(proposal, out, None if pseudonyms else _belonging(opened, case), replace)
    print_facts(proposal.to_json(), lambda: proposal_table(proposal, out), as_json)


def check(
    archive: ArchivePath,
    case: CasePath,
    prescription: Prescription = None,
    as_json: Json = False,
) -> None:
    """Compare the finished plan of CASE with what its anatomy would get. Not for treatment.

    Tells which objectives lie outside the band at 90 % and which similar past patients got better.
    The alarm looks at all objectives at once: it is raised for the worst 5 % of plans like those of
    ARCHIVE. The exit status is 1 if it is raised.

    Example: isohash check my-archive finished-plan/
    """
    answer_one()
    from isohash.apps.cli.plan_tables import check_table
    from isohash.retrieval.engine import Archive

    with Archive.open(archive) as opened:
        found = opened.check(case, prescription)
    print_facts(found.to_json(), lambda: check_table(found), as_json)
    if found.alarm:
        raise typer.Exit(1)


def _belonging(archive: Any, case: str) -> Any:
    """Whom the files at a path belong to; None for a stored case and for other formats."""
    from isohash.sources.reading import find

    return None if case in archive else find(case).found[0].belonging()
