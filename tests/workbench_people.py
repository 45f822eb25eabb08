"""A workbench with three users for tests, and what their browsers send."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
argon2 = pytest.importorskip("argon2")

from isohash.apps.web.app import create_app  # noqa: E402
from isohash.apps.web.people import users as user_files  # noqa: E402
from isohash.apps.web.people.gate import LoginGate  # noqa: E402
from isohash.apps.web.people.users import Users  # noqa: E402
from isohash.whole_files import workbench_of  # noqa: E402
from workbench import HOST  # noqa: E402

PASSWORD = "a long enough password"
PEOPLE = {"vera": "viewer", "carl": "curator", "ada": "admin"}
ORIGIN = {"origin": f"https://{HOST}"}


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(user_files, "hasher", lambda: quick)
    user_files.nobodys_hash.cache_clear()


@pytest.fixture
def own(archive_path: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(archive_path, tmp_path / "archive"))
    for name, role in PEOPLE.items():
        Users(workbench_of(copy)).add(name, role, PASSWORD)
    return copy


class Clock:
    """A time that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gate(own: Path) -> LoginGate:
    found = LoginGate(workbench_of(own))
    found.sessions.clock = found.throttle.clock = Clock()
    return found


@pytest.fixture
def client(own: Path, gate: LoginGate) -> Iterator:
    from starlette.testclient import TestClient

    with TestClient(create_app(own, gate, [HOST]), base_url=f"https://{HOST}") as found:
        yield found


def token_of(client) -> str:
    """The token in the form to log in with."""
    return re.search(r'name="csrf" value="(\w+)"', client.get("/login").text).group(1)


def log_in(client, name: str, password: str = PASSWORD, to: str = "/cases"):
    form = {"csrf": token_of(client), "name": name, "password": password, "to": to}
    return client.post("/login", data=form, headers=ORIGIN, follow_redirects=False)


def change(client, path: str, **form: str):
    """As a form of a page of ours sends it."""
    token = re.search(r'name="csrf" content="(\w+)"', client.get("/kept").text).group(1)
    return client.post(path, data={"csrf": token, **form}, headers=ORIGIN, follow_redirects=False)
