"""What users do is written down, and nobody can change it unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isohash.whole_files import failpoints, workbench_of
from workbench import HOST
from workbench_people import PASSWORD, change, client, gate, log_in, own, quick_hashes

from isohash.apps.web.app import create_app  # isort: skip
from isohash.apps.web.keeping.journal import BrokenChain  # isort: skip
from isohash.apps.web.people.audit import FILE, lines_of, verify  # isort: skip
from isohash.apps.web.people.gate import LoginGate, Proxy  # isort: skip

__all__ = ["client", "gate", "own", "quick_hashes"]  # fixtures


def test_what_people_do_is_written_down(own: Path, client) -> None:
    log_in(client, "mallory-types-a-password", "wrong")
    log_in(client, "vera", "wrong")
    log_in(client, "vera")
    client.get("/query?case=phantom-00-01&by=ct&token=secret")
    client.get("/query?case=nobody")  # refused: nothing was shown
    client.get("/query.csv?case=phantom-00-01")
    assert client.get("/audit").status_code == 403
    change(client, "/logout")
    log_in(client, "ada")
    assert "failed login" in client.get("/audit").text
    lines = lines_of(workbench_of(own))
    assert [(line["who"], line["did"]) for line in lines] == [
        ("", "failed login"), ("", "failed login"), ("vera", "login"), ("vera", "query"),
        ("vera", "export"), ("vera", "logout"), ("ada", "login"), ("ada", "audit"),
    ]  # fmt: skip
    assert [line["name"] for line in lines[:2]] == ["unknown", "vera"]
    assert lines[3]["asked"] == [["case", "phantom-00-01"], ["by", "ct"]]
    assert {line["address"] for line in lines} == {"testclient"}
    assert PASSWORD not in (workbench_of(own) / FILE).read_text()


def test_what_cannot_be_written_down_is_not_shown(own: Path, client, monkeypatch) -> None:
    log_in(client, "vera")

    def refuse(operation: str, path: Path) -> None:
        if path.name == FILE:
            raise OSError(28, "No space left on device")

    with failpoints(refuse):
        found = client.get("/api/query?case=phantom-00-01")
    assert found.status_code == 503
    assert "phantom" not in found.text
    assert client.get("/api/query?case=phantom-00-01").status_code == 200


def test_a_changed_log_is_found_and_not_written_on(own: Path, client, isohash) -> None:
    log_in(client, "vera")
    for _ in range(3):
        client.get("/query.json?case=phantom-00-01")
    whole = verify(workbench_of(own))
    assert (whole.lines, whole.broken_at) == (4, None)
    told = json.loads(isohash("audit", "verify", own, "--json").out)
    assert told["chain"] == whole.chain
    file = workbench_of(own) / FILE
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[0].replace("vera", "carl"), *lines[1:]]))
    done = isohash("audit", "verify", own)
    assert done.status == 1
    assert "line 1 is not what was written" in done.out
    with pytest.raises(BrokenChain):
        LoginGate(workbench_of(own))
    file.write_text("".join(lines[:2]))  # a cut end follows from itself
    assert isohash("audit", "verify", own).status == 0
    done = isohash("audit", "verify", own, "--expect", whole.chain)
    assert done.status == 1
    assert "taken away" in done.out


def test_only_the_proxy_may_ask_and_says_for_whom(own: Path) -> None:
    from starlette.testclient import TestClient

    gate = LoginGate(workbench_of(own), proxy=Proxy(("10.0.0.1",)))
    app = create_app(own, gate, [HOST])
    told = {"x-forwarded-proto": "https", "x-forwarded-for": "6.6.6.6, 192.168.7.7"}
    with TestClient(app, base_url=f"https://{HOST}", client=("10.0.0.1", 1)) as client:
        assert client.get("/login").status_code == 403
        assert client.get("/login", headers={"x-forwarded-proto": "http"}).status_code == 403
        client.headers.update(told)
        log_in(client, "vera")
    with TestClient(app, base_url=f"https://{HOST}", client=("10.0.0.2", 1)) as client:
        assert client.get("/login", headers=told).status_code == 403
    assert lines_of(workbench_of(own))[0]["address"] == "192.168.7.7"
