"""`isohash serve`: the workbench, an archive in the browser."""

from __future__ import annotations

import json
import secrets
import socket
from pathlib import Path
from typing import Annotated

import typer

from isohash.apps.cli.options import ArchivePath, Json
from isohash.errors import InputError, MissingExtra

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_CONNECTIONS = 100


def serve(
    archive: ArchivePath,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address of this machine alone.")] = "127.0.0.1",
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Show ARCHIVE in the browser: ask, look at slices side by side, move the weight, filter.

    The first line printed is the address; its token lets in who has it. Only this machine is
    served; from another, tunnel the port: ssh -L 8765:127.0.0.1:8765 SERVER. Ctrl-C ends it.

    Example: isohash serve my-archive --port 0
    """
    check_host(host)
    try:
        import uvicorn

        from isohash.apps.web.app import create_app
    except ModuleNotFoundError as error:
        raise MissingExtra("serve", "isohash serve") from error
    with listening(host, port) as listener:
        at, token = listener.getsockname()[1], secrets.token_urlsafe(24)
        app = create_app(archive, token, hosts_of(at), f"isohash_{at}")
        _tell(f"http://{_written(host)}:{at}/?token={token}", archive, as_json, show)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False,
            limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=2,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def check_host(host: str) -> None:
    """Refuse every address that others can reach."""
    if host not in LOOPBACK:
        raise InputError(
            f"--host {host} could be reached from other machines, and there is no login yet; leave "
            "it out and tunnel the port by ssh -L"
        )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; InputError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise InputError(
            f"port {port} cannot be used ({error.strerror}); choose another with --port, or 0"
        ) from error
    return listener


def hosts_of(port: int) -> tuple[str, ...]:
    """What the header Host may say."""
    return tuple(f"{_written(host)}:{port}" for host in LOOPBACK)


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tell(url: str, archive: Path, as_json: bool, show: bool) -> None:
    typer.echo(json.dumps({"url": url, "archive": str(archive)}) if as_json else url)
    if show:
        typer.launch(url)
