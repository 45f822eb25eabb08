"""`isohash propose`, `check` and `compare`: a foreseen dose, a finished plan, two plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json, answer_one, outside, print_facts

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
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a page: both doses, histograms, gamma, conformity.", callback=outside
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the finished plan of CASE with what its anatomy would get. Not for treatment.

    Tells which objectives lie outside the band at 90 % and which similar past patients got better.
    The alarm looks at all objectives at once: it is raised for the worst 5 % of plans like those of
    ARCHIVE. The exit status is 1 if it is raised.

    Example: isohash check my-archive finished-plan/ --report check.html
    """
    answer_one()
    from isohash.apps.cli.plan_tables import check_table
    from isohash.retrieval.engine import Archive

    with Archive.open(archive) as opened:
        found = opened.check(case, prescription, pictures=report is not None)
        if report is not None:
            from isohash.apps.page.check import write_page

            write_page(found, report)
    print_facts(found.to_json(), lambda: check_table(found), as_json)
    if found.alarm:
        raise typer.Exit(1)


def compare(
    archive: ArchivePath,
    case: CasePath,
    other: Annotated[
        str | None,
        typer.Argument(help="A second plan [the dose that the anatomy of CASE would get]."),
    ] = None,
    percent: Annotated[float, typer.Option(help="Of gamma: percent of the dose.")] = 3.0,
    mm: Annotated[float, typer.Option(help="Of gamma: distance.")] = 2.0,
    threshold: Annotated[
        float, typer.Option(help="Of gamma: percent of the dose below which no point counts.")
    ] = 10.0,
    local: Annotated[
        bool, typer.Option("--local", help="Of gamma: percent of each point's own dose.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the plan of CASE with OTHER: gamma, dose difference, D and V, conformity.

    Without OTHER, with the dose that its anatomy would get. Plans on one CT are compared where they
    are; else the dose of OTHER is laid rigidly on CASE. Gamma: points of OTHER, percent of its
    highest dose; TG-218 asks for 95 % of them at 3 %/2 mm. Not for treatment.

    Example: isohash compare my-archive plan-a/ plan-b/ --percent 2 --mm 2
    """
    answer_one()
    from isohash.apps.cli.plan_tables import comparison_table
    from isohash.dosimetry.gamma import GammaCriteria
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.planning.proposal import USE

    criteria = (GammaCriteria(percent, mm, threshold, local),)
    with Archive.open(archive) as opened:
        found = opened.compare(case, other, criteria)
    print_facts({"use": USE, **found.to_json()}, lambda: comparison_table(found), as_json)


def _belonging(archive: Any, case: str) -> Any:
    """Whom the files at a path belong to; None for a stored case and for other formats."""
    from isohash.sources.reading import find

    return None if case in archive else find(case).found[0].belonging()
