"""`isohash serve`: the workbench, an archive in the browser."""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isohash.apps.cli.options import ArchivePath, Json
from isohash.errors import InputError, MissingExtra
from isohash.whole_files import workbench_of

if TYPE_CHECKING:
    from isohash.apps.web.people.gate import LoginGate

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")
MOST_CONNECTIONS = 100


@dataclass(frozen=True)
class Reach:
    """From where the server can be asked, and what guards it."""

    host: str
    login: bool
    certificate: Path | None
    key: Path | None
    behind_proxy: bool
    proxies: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def tls(self) -> bool:
        """Whether the server speaks TLS itself."""
        return self.certificate is not None

    @property
    def with_login(self) -> bool:
        """Whether users log in, and no token is printed."""
        return self.login or self.tls or self.behind_proxy or self.host not in LOOPBACK

    def check(self) -> None:
        """Refuse what others could reach unguarded."""
        if (self.certificate is None) != (self.key is None):
            raise InputError("--tls-cert and --tls-key belong together; give both")
        if self.host not in LOOPBACK and not (self.tls or self.behind_proxy):
            raise InputError(
                f"--host {self.host} can be reached from other machines, which takes users who log "
                "in and TLS: --tls-cert and --tls-key, or --behind-proxy; or leave it out and "
                "tunnel the port by ssh -L"
            )
        if self.host in EVERYWHERE and not self.names:
            raise InputError(
                f"--host {self.host} has many names; say by which one it is asked with --name"
            )

    def hosts(self, port: int) -> tuple[str, ...]:
        """What the header Host may say."""
        named = {*LOOPBACK, *self.names, *({self.host} - {*EVERYWHERE})}
        with_port = (f"{_written(host)}:{port}" for host in sorted(named))
        return (*with_port, *self.names)  # a proxy, or the usual port of TLS, leaves it out

    def url(self, port: int) -> str:
        """Where to open it."""
        if self.behind_proxy and self.names:
            return f"https://{self.names[0]}/"
        host = self.names[0] if self.names else self.host
        return f"{'https' if self.tls else 'http'}://{_written(host)}:{port}/"


def serve(
    archive: ArchivePath,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen at; others need TLS.")] = "127.0.0.1",
    login: Annotated[
        bool, typer.Option("--login", help="Users log in on this machine, too.")
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy",
            help="A proxy speaks TLS and tells X-Forwarded-Proto and X-Forwarded-For.",
        ),
    ] = False,
    proxy: Annotated[
        list[str] | None, typer.Option(help="Address of the proxy [127.0.0.1, ::1].")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Name by which it is asked, such as iso.example.org.")
    ] = None,
    root: Annotated[
        list[Path] | None, typer.Option(help="Folder below which cases may be added from the page.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Show ARCHIVE in the browser: ask, look at slices side by side, move the weight, filter.

    The first line printed is the address; its token lets in who has it. Only this machine is
    served; from another, tunnel the port (ssh -L 8765:127.0.0.1:8765 SERVER), or add users
    (isohash users add) who log in, and speak TLS. Ctrl-C ends it.

    Example: isohash serve my-archive --port 0
    """
    reach = Reach(
        host, login, tls_cert, tls_key, behind_proxy, tuple(proxy or ("127.0.0.1", "::1")),
        tuple(name or ()),
    )  # fmt: skip
    reach.check()
    try:
        import uvicorn

        from isohash.apps.web.app import create_app
    except ModuleNotFoundError as error:
        raise MissingExtra("serve", "isohash serve") from error
    with listening(host, port) as listener:
        at, token = listener.getsockname()[1], secrets.token_urlsafe(24)
        gate: Any = _login_gate(archive, reach, at) if reach.with_login else token
        app = create_app(archive, gate, reach.hosts(at), f"isohash_{at}", tuple(root or ()))
        address = reach.url(at) + ("" if reach.with_login else f"?token={token}")
        _tell(address, archive, as_json, show)
        uvicorn.Server(_config(app, reach)).run(sockets=[listener])


def _config(app: Any, reach: Reach) -> Any:
    """How the application is served."""
    import uvicorn

    return uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False,
        limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=2,
        proxy_headers=False,  # LoginGate looks at them, and at who sends them
        ssl_certfile=reach.certificate, ssl_keyfile=reach.key,
    )  # fmt: skip


def _login_gate(archive: Path, reach: Reach, port: int) -> LoginGate:
    """The gate of users; InputError where there are none."""
    from isohash.apps.web.people.gate import LoginGate, Proxy
    from isohash.apps.web.people.users import hasher

    proxy = Proxy(reach.proxies) if reach.behind_proxy else None
    secure = reach.tls or reach.behind_proxy
    gate = LoginGate(workbench_of(archive), f"isohash_{port}", secure, proxy)
    if not gate.users.all():
        raise InputError(
            f"{archive} has no users to log in; isohash users add {archive} NAME --role admin"
        )
    hasher()
    return gate


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


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tell(url: str, archive: Path, as_json: bool, show: bool) -> None:
    typer.echo(json.dumps({"url": url, "archive": str(archive)}) if as_json else url)
    if show:
        typer.launch(url)
