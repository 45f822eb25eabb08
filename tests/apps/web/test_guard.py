"""Attacks on the workbench: other origins, other hosts, no token, paths, scripts in names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workbench import HOST, TOKEN, client_of

PAGES = ["/", "/cases", "/cases.json", "/query?case=x", "/api/query?case=x", "/openapi.json",
         "/static/app.css", "/api/pictures?case=x", "/nowhere"]  # fmt: skip


@pytest.fixture
def client(archive_path: Path):
    with client_of(archive_path) as found:
        del found.headers["authorization"]
        yield found


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_shown_without_the_token(client, page: str) -> None:
    for given in ({}, {"authorization": "Bearer wrong"}, {"cookie": "isohash=wrong"},
                  {"authorization": f"Basic {TOKEN}"}):  # fmt: skip
        found = client.get(page, headers=given, follow_redirects=False)
        assert found.status_code == 401
        assert "token" in found.text
    assert client.get(f"{page}{'&' if '?' in page else '?'}token={TOKEN}x").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", f"evil.example:{8765}", "127.0.0.1:1", ""]
)
def test_another_name_for_this_machine_is_refused(client, host: str) -> None:
    found = client.get("/api/cases", headers={"host": host, "authorization": f"Bearer {TOKEN}"})
    assert found.status_code == 421
    assert "cases" not in found.text


def test_pages_of_other_origins_may_not_ask(client) -> None:
    for origin in ("https://evil.example", "null", f"http://evil.example?{HOST}"):
        headers = {"authorization": f"Bearer {TOKEN}", "origin": origin}
        assert client.post("/api/uploads", headers=headers).status_code == 403
        assert client.get("/api/cases", headers=headers).status_code == 403


def test_a_cookie_alone_changes_nothing(client) -> None:
    client.cookies.set("isohash", TOKEN)
    assert client.get("/api/cases").status_code == 200
    assert client.post("/api/uploads").status_code == 403
    assert client.post("/api/uploads", headers={"origin": f"http://{HOST}"}).status_code == 403


def test_opening_the_address_takes_the_token_out_of_it(client) -> None:
    page = f"/query?case=phantom-00-01&where=label+%3D%3D+%27a%27&token={TOKEN}"
    found = client.get(page, headers={"accept": "text/html"}, follow_redirects=False)
    assert found.status_code == 303
    assert found.headers["location"] == "/query?case=phantom-00-01&where=label+%3D%3D+%27a%27"
    cookie = found.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_the_redirect_never_leaves_this_host(client) -> None:
    for path in ("//evil.example/", "///evil.example"):
        found = client.get(
            f"http://{HOST}{path}?token={TOKEN}", headers={"accept": "text/html"},
            follow_redirects=False,
        )  # fmt: skip
        assert not found.headers.get("location", "/").startswith("//")


@pytest.mark.parametrize("page", [*PAGES, "/static/../app.py"])
def test_every_answer_forbids_scripts_frames_and_keeping(client, page: str) -> None:
    found = client.get(page, headers={"authorization": f"Bearer {TOKEN}"}, follow_redirects=False)
    policy = found.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"],
)
def test_files_beside_the_static_ones_are_not_served(client, path: str) -> None:
    found = client.get(path, headers={"authorization": f"Bearer {TOKEN}"})
    assert found.status_code == 404


def test_names_are_data_on_every_page(archive_path: Path, tmp_path: Path) -> None:
    """Whatever a hostile archive calls its structures and cases, no page runs it."""
    from isohash.archive.store import CaseStore

    copy, name = tmp_path / "archive", "<img src=x onerror=alert(1)>"
    shutil.copytree(archive_path, copy)
    with CaseStore.open(copy, writable=True) as store:
        facts, arrays = store.metadata("phantom-00-01"), store.arrays("phantom-00-01")
        facts["label"] = facts["structures"][0] = facts["outlined"][0] = name
        store.put(f"</script>{name}", facts, arrays)
    with client_of(copy) as client:
        for page in ("/cases", f"/query?case=</script>{name}", f"/case?case=</script>{name}"):
            found = client.get(page)
            assert found.status_code == 200
            assert name not in found.text
            assert "</script><img" not in found.text


def test_pages_name_no_other_origin(client) -> None:
    from isohash.apps.web.app import STATIC

    ours = [*STATIC.glob("*.js"), *STATIC.glob("*.css"), *STATIC.parent.glob("templates/*.html")]
    assert len(ours) > 8
    for path in ours:
        assert "http:" not in path.read_text().replace("http://www.w3.org", "")
        assert "https:" not in path.read_text()
        assert " style=" not in path.read_text()
        assert " onclick=" not in path.read_text()
