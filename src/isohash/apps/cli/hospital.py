"""`isohash pull`: patients from a PACS."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json, outside, print_facts
from isohash.apps.cli.progress import progress_bar

Credentials = Annotated[
    Path | None,
    typer.Option(
        help='JSON for you alone: {"user": ..., "password": ...} or {"token": ...}; for TLS also '
        "ca, certificate, key [ISOHASH_PACS_USER, ISOHASH_PACS_PASSWORD, ...]."
    ),
]
Aet = Annotated[str, typer.Option(help="Our title, which a DIMSE node knows us by.")]
ReceivePort = Annotated[
    int | None,
    typer.Option(help="Have a DIMSE node send to this port of ours (C-MOVE) [C-GET]."),
]


def _day(text: str) -> dt.date:
    """A day of an option; wrong usage otherwise."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"a day is YYYY-MM-DD, got {text}") from None


def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="dicomweb:URL or dimse:AET@host:port; with #UID one study.", show_default=False
        ),
    ],
    archive: ArchivePath,
    since: Annotated[
        dt.date | None, typer.Option(parser=_day, metavar="DAY", help="Studies from this day on.")
    ] = None,
    until: Annotated[
        dt.date | None, typer.Option(parser=_day, metavar="DAY", help="Studies up to this day.")
    ] = None,
    modality: Annotated[
        str, typer.Option(help="Studies with such an object: RTDOSE, RTSTRUCT, RTPLAN or CT.")
    ] = "RTDOSE",
    body_part: Annotated[
        str, typer.Option(help="Studies with a series of this BodyPartExamined.")
    ] = "",
    plan_label: Annotated[str, typer.Option(help="Studies with a plan of this RTPlanLabel.")] = "",
    credentials: Credentials = None,
    aet: Aet = "ISOHASH",
    receive_port: ReceivePort = None,
    keep_links: Annotated[
        Path | None,
        typer.Option(
            help="Keep which case came from which study in this file, for isohash resolve.",
            callback=outside,
        ),
    ] = None,
    aliases: Annotated[
        Path | None,
        typer.Option(help='Your names of structures: a JSON file {"spelling": "TG-263 name"}.'),
    ] = None,
    dose_model: Annotated[
        bool | None,
        typer.Option("--dose-model/--no-dose-model", help="As of isohash index [learned]."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also bring what earlier runs brought.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring what is new in a PACS to ARCHIVE; run it again for what came since.

    Asked for are plans, structures and doses, and of the images only those that they refer to.
    Files lie in a private folder until they are indexed. What was brought is remembered, without
    UIDs, beside the key of pseudonyms. An archive that is made here learns from the first 32
    studies; for other options make it with isohash index.

    Example: isohash pull dicomweb:https://pacs/dicom-web my-archive --since 2026-01-01
    """
    from isohash.apps.cli.hospital_tables import pull_table
    from isohash.dosimetry.names import load_aliases
    from isohash.retrieval.building.pulling import PullOptions
    from isohash.retrieval.building.pulling import pull as bring
    from isohash.sources.pacs.credentials import credentials_of
    from isohash.sources.pacs.node import Local, Wanted

    options = PullOptions(
        Wanted(modality.upper(), since, until, body_part, plan_label),
        Local(aet, receive_port),
        credentials_of(credentials),
        keep_links,
        again,
    )
    index: Any = {} if aliases is None else {"aliases": load_aliases(aliases)}
    if dose_model is not None:
        index["dose_model"] = dose_model
    with progress_bar(as_json) as progress:
        report = bring(source, archive, progress, options, **index)
    print_facts(report.to_json(), lambda: pull_table(report, archive), as_json)
    if report.failed or not report.n_cases:
        raise typer.Exit(1)
