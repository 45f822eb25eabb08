"""Users of an archive by the command line, and what is served to whom."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from isohash.errors import InputError
from isohash.whole_files import workbench_of
from workbench import client_of, serving
from workbench_people import PASSWORD, PEOPLE, own, quick_hashes

from isohash.apps.web.people.audit import lines_of  # isort: skip
from isohash.apps.web.people.users import Users  # isort: skip

__all__ = ["own", "quick_hashes"]  # fixtures


def test_users_are_kept_for_their_owner_and_checked(own: Path) -> None:
    users = Users(workbench_of(own))
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    assert PASSWORD not in users.path.read_text()
    for name, role, password, said in (
        ("vera", "viewer", PASSWORD, "already"),
        ("local", "viewer", PASSWORD, "cannot be"),
        ("../x", "viewer", PASSWORD, "cannot be"),
        ("Vera", "viewer", PASSWORD, "cannot be"),
        ("new", "owner", PASSWORD, "--role must be"),
        ("new", "viewer", "short", "12 to 1000"),
    ):
        with pytest.raises(InputError, match=said):
            users.add(name, role, password)
    with pytest.raises(InputError, match="no user nobody"):
        users.remove("nobody")
    assert set(users.all()) == set(PEOPLE)
    users.path.write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        Users(workbench_of(own)).all()


def test_users_by_the_command_line(isohash, archive_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "archive"))
    (tmp_path / "password").write_text(f"{PASSWORD}\nrest")
    file = ("--password-file", tmp_path / "password")
    assert isohash("users", "add", copy, "anna", "--role", "admin", *file).status == 0
    assert isohash("users", "passwd", copy, "anna", *file).status == 0
    listed = isohash("users", "list", copy, "--json")
    assert json.loads(listed.out) == [{"name": "anna", "role": "admin"}]
    assert isohash("users", "remove", copy, "anna").status == 0
    done = [line["did"] for line in lines_of(workbench_of(copy))]
    assert done == ["user added", "password changed", "user removed"]
    assert isohash("users", "add", tmp_path, "anna", *file).status == 1


def test_a_password_is_read_from_standard_input(archive_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(archive_path, tmp_path / "archive"))
    program = "from isohash.apps.cli.main import main; main()"
    command = [sys.executable, "-c", program, "users", "add", str(copy), "anna"]
    subprocess.run(command, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True)
    assert Users(workbench_of(copy)).verified("anna", PASSWORD) is not None
    assert Users(workbench_of(copy)).verified("anna", "wrong") is None


def test_without_users_and_tls_nobody_else_is_served(isohash, own: Path, archive_path) -> None:
    for options, said in (
        (["--host", "0.0.0.0"], "--tls-cert and --tls-key"),
        (["--host", "0.0.0.0", "--login"], "--tls-cert and --tls-key"),
        (["--tls-cert", "x.pem"], "belong together"),
        (["--host", "0.0.0.0", "--behind-proxy"], "say by which one"),
    ):
        done = isohash("serve", own, *options)
        assert done.status == 1
        assert said in done.err
    done = isohash("serve", archive_path, "--login", "--port", "0")
    assert done.status == 1
    assert "isohash users add" in done.err


def test_a_server_with_login_prints_no_token_and_asks(own: Path) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    with serving(own, "--login") as address:
        assert "token" not in address
        with urlopen(f"{address}login") as found:
            assert "Password" in found.read().decode()
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{address}api/cases")


def test_the_token_of_one_person_stays_without_login(own: Path) -> None:
    with client_of(own) as client:
        assert client.get("/cases").status_code == 200
        assert client.get("/login").status_code == 404
        assert "Log out" not in client.get("/cases").text
