"""`isohash pull`, `listen`, `send`: patients from a PACS, and results to it."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json, outside, print_facts
from isohash.apps.cli.progress import log, progress_bar
from isohash.visible import visible

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


def listen(
    archive: ArchivePath,
    peers: Annotated[
        list[str],
        typer.Option(
            "--from", help="Title of a node that may send; once for each.", show_default=False
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 11112,
    aet: Aet = "ISOHASH",
    stable: Annotated[
        float, typer.Option(help="Seconds without an object after which a study may be whole.")
    ] = 30.0,
    patience: Annotated[
        float, typer.Option(help="Days after which a study that is not whole is thrown away.")
    ] = 14.0,
    spool: Annotated[
        Path | None,
        typer.Option(help="Folder where studies wait [ARCHIVE.incoming].", callback=outside),
    ] = None,
    credentials: Credentials = None,
    as_json: Json = False,
) -> None:
    """Take studies that nodes send (C-STORE) and add them to ARCHIVE as soon as they are whole.

    A study is whole when a dose has come, the images that its structures are drawn on, and then
    nothing for a while. What was acknowledged lies safe in a private folder until then, also if
    this process is killed. ARCHIVE must be there: make it with isohash index or isohash pull.

    Example: isohash listen my-archive --from PLANNING --port 11112
    """
    from isohash.retrieval.building.listening import Listening, ListenOptions
    from isohash.sources.pacs.credentials import credentials_of

    options = ListenOptions(
        peers,
        aet,
        host,
        port,
        stable,
        patience,
        spool=spool,
        credentials=credentials_of(credentials),
    )
    tell = _told(as_json)
    with Listening(archive, options, tell) as listening:
        tell(f"{aet} listens at {host}:{listening.port} for {', '.join(peers)}")
        listening.run()


def send(
    folder: Annotated[
        Path, typer.Argument(help="Folder of DICOM, as of propose --out.", show_default=False)
    ],
    node: Annotated[
        str, typer.Argument(help="dicomweb:URL or dimse:AET@host:port.", show_default=False)
    ],
    credentials: Credentials = None,
    aet: Aet = "ISOHASH",
    as_json: Json = False,
) -> None:
    """Store the DICOM files below FOLDER in a PACS, such as the doses of a proposal.

    By STOW-RS or C-STORE. What is there already stays as it is: sending again changes nothing.

    Example: isohash send proposal dicomweb:https://pacs/dicom-web
    """
    from isohash.apps.cli.hospital_tables import sent_table
    from isohash.sources.pacs.credentials import credentials_of
    from isohash.sources.pacs.node import Local
    from isohash.sources.pacs.sending import send as store

    with progress_bar(as_json) as progress:
        done = store(folder, node, progress, Local(aet), credentials_of(credentials))
    print_facts(asdict(done), lambda: sent_table(done), as_json)
    if done.refused:
        raise typer.Exit(1)


def _told(as_json: bool) -> Callable[[str], None]:
    """Each line at once, also into a pipe."""

    def tell(line: str) -> None:
        log(line)
        sys.stdout.write((json.dumps({"told": line}) if as_json else visible(line)) + "\n")
        sys.stdout.flush()

    return tell
