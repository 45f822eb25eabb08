"""The workbench of an archive for tests: without a socket, or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOKEN = "a-token-of-the-tests"
HOST = "127.0.0.1:8765"


@contextmanager
def client_of(archive: Path, **headers: str) -> Iterator:
    """Who asks with the token as a bearer."""
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from isohash.apps.web.app import create_app

    app = create_app(archive, TOKEN, [HOST])
    given = {"authorization": f"Bearer {TOKEN}"} | headers
    with TestClient(app, base_url=f"http://{HOST}", headers=given) as client:
        yield client


@contextmanager
def serving(archive: Path, *options: str) -> Iterator[str]:
    """`isohash serve` as a process of its own; gives the address that it prints first."""
    with served(archive, *options) as (address, _):
        yield address


@contextmanager
def served(archive: Path, *options: str) -> Iterator[tuple[str, int]]:
    """The same, with the number of the process."""
    program = "from isohash.apps.cli.main import main; main()"
    command = [sys.executable, "-c", program, "serve", str(archive), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()
            process.wait(20)
