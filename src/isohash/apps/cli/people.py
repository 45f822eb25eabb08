"""`isohash users` and `isohash audit`: who may use the workbench, and what they did."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isohash.apps.cli.options import ArchivePath, Json, group, print_facts, print_rows
from isohash.apps.cli.pieces import Line
from isohash.errors import InputError, MissingExtra
from isohash.whole_files import ARCHIVE, workbench_of

if TYPE_CHECKING:
    from isohash.apps.web.people.users import Users

users = group("Who may use the workbench of an archive (isohash serve --login).")
audit = group("What was done in the workbench by those who log in.")

UserName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the password [asked for].")
]


@users.command("add")
def add(
    archive: ArchivePath,
    name: UserName,
    role: Annotated[str, typer.Option(help="viewer, curator or admin.")] = "viewer",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Add a user of ARCHIVE; the password is asked for, or read from standard input.

    A viewer asks, looks and keeps; a curator also adds cases; an admin also reads the audit log.

    Example: isohash users add my-archive anna --role curator
    """
    known = _users(archive)
    known.add(name, role, _password(password_file))
    _noted(archive, "user added", name, as_json, role=role)


@users.command("remove")
def remove(archive: ArchivePath, name: UserName, as_json: Json = False) -> None:
    """Remove a user of ARCHIVE; their sessions end at once.

    Example: isohash users remove my-archive anna
    """
    _users(archive).remove(name)
    _noted(archive, "user removed", name, as_json)


@users.command("passwd")
def passwd(
    archive: ArchivePath, name: UserName, password_file: PasswordFile = None, as_json: Json = False
) -> None:
    """Give a user of ARCHIVE another password; their sessions end at once.

    Example: isohash users passwd my-archive anna
    """
    _users(archive).set_password(name, _password(password_file))
    _noted(archive, "password changed", name, as_json)


@users.command("list")
def list_(archive: ArchivePath, as_json: Json = False) -> None:
    """List the users of ARCHIVE with their roles.

    Example: isohash users list my-archive
    """
    rows = [{"name": user.name, "role": user.role} for user in _users(archive).all().values()]
    print_rows(f"users of {archive}", rows, as_json)


@audit.command("verify")
def verify(
    archive: ArchivePath,
    expect: Annotated[
        str | None, typer.Option(help="A chain that an earlier run told; it must still be there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Follow the chain of ARCHIVE's audit log; the first line that was changed is told.

    Each line holds a digest of all before it. A cut end breaks no chain: note the last link
    elsewhere, and ask for it later with --expect. The exit status is 1 if something is wrong.

    Example: isohash audit verify my-archive
    """
    from isohash.apps.web.people.audit import verify as follow

    found = follow(workbench_of(archive), expect)
    told = f"{found.lines} lines follow from each other; the last link is {found.chain}"
    if found.broken_at is not None:
        told = f"line {found.broken_at} is not what was written there; the {found.lines} before are"
    elif found.missing is not None:
        told = f"{told}, but {found.missing} is not among them: lines were taken away"
    print_facts(asdict(found), lambda: [Line(told)], as_json)
    if found.broken_at is not None or found.missing is not None:
        raise typer.Exit(1)


def _users(archive: Path) -> Users:
    """The users of an archive; InputError where there is none."""
    if not all((archive / name).exists() for name in ARCHIVE):
        raise InputError(f"{archive} is no archive; check the spelling")
    try:
        from isohash.apps.web.people.users import Users
    except ModuleNotFoundError as error:
        raise MissingExtra("serve", "isohash users") from error
    return Users(workbench_of(archive))


def _password(file: Path | None) -> str:
    """From a file, from standard input, or asked twice; never from the command line."""
    if file is not None:
        try:
            return file.read_text().partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--password-file {file}: cannot be read ({error})") from error
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("password", hide_input=True, confirmation_prompt=True))


def _noted(archive: Path, did: str, name: str, as_json: bool, **facts: str) -> None:
    """Into the audit log, and told."""
    from isohash.apps.web.people.audit import at_the_command_line

    at_the_command_line(workbench_of(archive), did, name=name, **facts)
    print_facts({"name": name, "did": did, **facts}, lambda: [Line(f"{name}: {did}")], as_json)
