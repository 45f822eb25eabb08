"""`isohash query`: the cases of an archive that are most like a new one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json, answer_one, outside, print_facts
from isohash.apps.cli.progress import progress_bar


def query(
    archive: ArchivePath,
    case: Annotated[str, typer.Argument(help="A path, or the id of an indexed case.")],
    k: Annotated[int, typer.Option("-k", help="How many results.")] = 10,
    by: Annotated[
        str | None,
        typer.Option(help="plan, map, ct, dose or joint [plan if structures allow, else joint]."),
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
            help="The query's slice for --level slice [middle]; the row of a file [all].",
        ),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Filter, such as 'prescription_gy >= 60'.")
    ] = None,
    absent: Annotated[
        str | None,
        typer.Option(
            help="How a structure that a case lacks counts by plan: mean (of the others) or "
            "ignored [mean]."
        ),
    ] = None,
    covered: Annotated[
        float | None,
        typer.Option(help="Leave out cases that cover less than this share of CASE's length."),
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
    span: Annotated[
        tuple[int, int] | None,
        typer.Option(help="First and last slice of CASE that count, by images or dose map."),
    ] = None,
    box: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="x y and x y of two corners in mm: by dose map only what is inside."),
    ] = None,
    structure: Annotated[
        list[str] | None,
        typer.Option(help="NAME=WEIGHT of a structure by plan, 0 leaves it out; repeatable."),
    ] = None,
    good: Annotated[
        list[str] | None,
        typer.Option(help="Id of a case that is what is wanted: moves weights; repeatable."),
    ] = None,
    bad: Annotated[
        list[str] | None, typer.Option(help="Id of a case that is not wanted; repeatable.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page that shows query and results.", callback=outside),
    ] = None,
    collage: Annotated[
        Path | None, typer.Option(help="Write a PNG of the nearest slices.", callback=outside)
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the cases (or slices) of ARCHIVE nearest to CASE.

    --by plan needs CT structures, not a dose: cases are ranked by how far their dose-volume
    histograms lie from those that the anatomy of CASE would get. --by map compares whole doses.
    By dose or joint, a case without a dose is asked with the one that it would get. A file of
    several vectors is answered row by row (with --json as a list, "answers").

    --span, --box, --structure, --good and --bad refine a query: what of CASE counts, and how much
    (docs/workbench.md). The answer says what they did.

    Example: isohash query my-archive new-patient/ -k 5 --by joint --alpha 0.3 --report like.html
    """
    answer_one()
    from isohash.apps.cli.answers import query_table
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.refined import named_weights
    from isohash.retrieval.request import Request

    request = Request(
        k, by, alpha, level, query_slice, where, same_patient, rerank, None, absent, covered,
        span, box, named_weights(structure or []), tuple(good or ()), tuple(bad or ()),
    )  # fmt: skip
    with Archive.open(archive) as opened:
        session = opened.session(case, pictures=report is not None or collage is not None)
        with progress_bar(as_json) as progress:
            answers = list(session.each(request, progress))
        _write_pages(session, answers[0], report, collage)
    print_facts(_facts(answers), lambda: query_table(answers, case), as_json)


def _facts(answers: Sequence[Any]) -> dict[str, Any]:
    """The answer, or where several rows were asked with all of them."""
    told = [answer.to_json() for answer in answers]
    return told[0] if len(told) == 1 else {"answers": told}


def _write_pages(session: Any, answer: Any, report: Path | None, collage: Path | None) -> None:
    if report is not None:
        from isohash.apps.page.report import write_report

        write_report(session, answer, report)
    if collage is not None:
        from isohash.apps.page.collage import write_collage

        write_collage(session, answer, collage)
