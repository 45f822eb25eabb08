"""`isohash list`, `show`, `facts`, `remove`, `merge`, `export`, `resolve`: everyday archives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.options import ArchivePath, Json, print_facts
from isohash.apps.cli.pieces import Line
from isohash.apps.cli.progress import progress_bar

Where = Annotated[str | None, typer.Option(help="Filter, such as 'prescription_gy >= 60'.")]
Table = Annotated[Path | None, typer.Option("--csv", help="Write all of it to this CSV file.")]


def list_(
    archive: ArchivePath, where: Where = None, csv: Table = None, as_json: Json = False
) -> None:
    """List what ARCHIVE holds: an id and its facts in each row.

    Example: isohash list my-archive --where "fractions <= 5" --csv cases.csv
    """
    from isohash.apps.cli.inventory import list_table, write_csv
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.inventory import rows_of

    with Archive.open(archive) as opened:
        passing = opened.contents.facts.passing(where)
        rows = rows_of(opened.contents, passing.nonzero()[0].tolist())
        total = len(opened)
    if csv is not None:
        write_csv(csv, rows)
    print_facts(rows, lambda: list_table(rows, total, archive, csv), as_json)


def show(
    archive: ArchivePath,
    item: Annotated[str, typer.Argument(metavar="ID", help="As isohash list tells it.")],
    as_json: Json = False,
) -> None:
    """Show what ARCHIVE keeps of one case: facts, warnings, structures with their doses, arrays.

    Example: isohash show my-archive pt_187
    """
    from isohash.apps.cli.inventory import show_table
    from isohash.retrieval.describe import describe_item
    from isohash.retrieval.engine import Archive

    with Archive.open(archive) as opened:
        facts = describe_item(opened, item)
    print_facts(facts, lambda: show_table(facts), as_json)


def facts(archive: ArchivePath, as_json: Json = False) -> None:
    """List the names that --where understands, with the values that there are.

    Example: isohash facts my-archive
    """
    from isohash.apps.cli.inventory import facts_table
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.inventory import facts_in, rows_of

    with Archive.open(archive) as opened:
        found = facts_in(rows_of(opened.contents, range(len(opened))))
    print_facts([fact.to_json() for fact in found], lambda: facts_table(found, archive), as_json)


def remove(
    archive: ArchivePath,
    items: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Cases; of vectors, files or rows with ids."),
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="All cases of this patient (a pseudonym; see resolve).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take cases out of ARCHIVE so that nothing of them is left in its files.

    The archive is written anew without them, then every byte is searched for their names. What
    was learned from many cases together stays. They come back if their source is indexed again.

    Example: isohash remove my-archive pt_187 pt_12
    """
    from isohash.apps.cli.inventory import removed_table
    from isohash.retrieval.building.removal import remove as take_out

    if not items and patient is None:
        raise typer.BadParameter("give one or more ids, or --patient")
    with progress_bar(as_json) as progress:
        found = take_out(archive, items or (), patient, progress)
    print_facts(asdict(found), lambda: removed_table(found, archive), as_json)
    if found.left_in:
        raise typer.Exit(1)


def merge(
    archive: ArchivePath,
    others: Annotated[list[Path], typer.Argument(help="Archives to add.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Add all cases of other archives to ARCHIVE, without their sources.

    They must have the same encoders and the same key of pseudonyms. A case that is in both stays
    as it is; another one of a known name gets a name of its own.

    Example: isohash merge my-archive archive-of-2019 archive-of-2020
    """
    from isohash.apps.cli.inventory import merged_table
    from isohash.retrieval.building.merging import merge as add

    with progress_bar(as_json) as progress:
        found = {str(other): add(archive, other, progress) for other in others}
    told = {other: asdict(one) for other, one in found.items()}
    print_facts(told, lambda: merged_table(found, archive), as_json)


def export(
    archive: ArchivePath,
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CASE]...", help="Paths or ids [all that ARCHIVE holds]."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The CSV file.")] = Path("answers.csv"),
    k: Annotated[int, typer.Option("-k", help="How many results for each.")] = 10,
    by: Annotated[str | None, typer.Option(help="As for isohash query.")] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Ask with many cases at once and write the answers to a CSV file, one result in each row.

    Example: isohash export my-archive new-patients/* --out answers.csv -k 5
    """
    from isohash.apps.cli.inventory import exported_table, write_csv
    from isohash.retrieval.engine import Archive
    from isohash.retrieval.export import answers
    from isohash.retrieval.request import Request

    request = Request(k=k, by=by, where=where)
    with progress_bar(as_json) as progress, Archive.open(archive) as opened:
        rows, failed = answers(opened, cases or list(opened), request, progress)
    write_csv(out, rows)
    told = {"rows": len(rows), "out": str(out), "failed": failed}
    print_facts(told, lambda: exported_table(len(rows), failed, out), as_json)
    if failed:
        raise typer.Exit(1)


def resolve(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder that an archive was made from, or the file of pull --keep-links.",
            show_default=False,
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Ids of cases or pseudonyms of patients [all]."),
    ] = None,
    viewer: Annotated[
        str | None,
        typer.Option(help="Address of a viewer, with {study}, {series} or {id} to be filled in."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the files or studies behind pseudonyms: for who holds both the key and the source.

    Searches SOURCE for the cases and patients of these names and prints where their files lie.
    Nothing of it is kept anywhere. Of a file of links it prints the UIDs in the PACS.

    Example: isohash resolve /path/to/dicom case-7aj2n2djsvqxkrtg
    """
    from isohash.sources.pacs.links import is_links

    if is_links(source):
        _resolve_links(source, names or (), viewer, as_json)
        return
    if viewer is not None:
        raise typer.BadParameter("--viewer needs a file of links, see isohash pull --keep-links")
    from isohash.apps.cli.inventory import resolved_table
    from isohash.sources.resolving import resolve as look_up

    with progress_bar(as_json) as progress:
        found = look_up(source, names or (), progress)
    print_facts([asdict(one) for one in found], lambda: resolved_table(found, source), as_json)


def _resolve_links(source: Path, names: Sequence[str], viewer: str | None, as_json: bool) -> None:
    """Print the UIDs of cases that came from a PACS, and where a viewer shows them."""
    from isohash.apps.cli.inventory import links_table
    from isohash.sources.pacs.links import address_in, links_of

    rows = [
        {**asdict(link), **({} if viewer is None else {"viewer": address_in(viewer, link)})}
        for link in links_of(source, names)
    ]
    print_facts(rows, lambda: links_table(rows, source), as_json)


def backup(
    archive: ArchivePath,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The backup's folder.")],
    as_json: Json = False,
) -> None:
    """Bring the backup DEST of ARCHIVE up to date, or make it; ARCHIVE may be written meanwhile.

    The backup is an archive of its own: the state of the moment at which the command began. Only
    segments that it lacks are copied, and then every byte of it is checked.

    Example: isohash backup my-archive /mnt/backup/my-archive
    """
    from isohash.archive.backup import backup as copy

    with progress_bar(as_json) as progress:
        done = copy(archive, destination, progress)
    told = (
        f"{destination}: {done.n_cases} cases in {done.n_segments} segments, {done.n_copied} of "
        f"them copied ({done.n_bytes_copied / 1e6:.1f} MB); every byte was checked"
    )
    print_facts(asdict(done), lambda: [Line(told)], as_json)
