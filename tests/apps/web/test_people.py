"""Who logs in, for how long, and what each role may do; and attacks on all three."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isohash.whole_files import workbench_of
from workbench_people import (
    ORIGIN,
    PASSWORD,
    PEOPLE,
    Clock,
    change,
    client,
    gate,
    log_in,
    own,
    quick_hashes,
    token_of,
    user_files,
)

from isohash.apps.web import rights  # isort: skip
from isohash.apps.web.people.sessions import IDLE_S, LONGEST_S, Sessions, Throttle  # isort: skip
from isohash.apps.web.people.users import Users  # isort: skip
from isohash.apps.web.who import RANKS  # isort: skip

__all__ = ["client", "gate", "own", "quick_hashes"]  # fixtures


def test_nobody_sees_anything_but_the_form(client) -> None:
    for page in ("/", "/cases", "/api/cases", "/openapi.json", "/kept", "/audit", "/nowhere"):
        found = client.get(page, headers={"accept": "text/html"}, follow_redirects=False)
        assert found.status_code == 303, page
        assert found.headers["location"].startswith("/login?to=%2F")
        assert client.get(page).status_code == 401
        bearer = {"authorization": "Bearer x"}
        assert client.get(f"{page}?token=x", headers=bearer).status_code == 401
    assert client.get("/static/app.css").status_code == 200
    assert client.get("/static/../app.py").status_code in (401, 404)
    assert client.post("/api/uploads", headers=ORIGIN).status_code == 401


def test_a_user_logs_in_and_out(client) -> None:
    done = log_in(client, "vera", to="/query?case=phantom-00-01")
    assert (done.status_code, done.headers["location"]) == (303, "/query?case=phantom-00-01")
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Host-isohash=")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"))
    assert "vera (viewer)" in client.get("/cases").text
    kept = dict(client.cookies)
    assert change(client, "/logout").headers["location"] == "/login"
    client.cookies.update(kept)
    assert client.get("/cases").status_code == 401


def test_a_secret_of_before_the_login_is_worth_nothing(client) -> None:
    """Session fixation: who planted a cookie in a browser is not logged in with it."""
    client.cookies.set("__Host-isohash", "planted", domain="127.0.0.1")
    assert log_in(client, "vera").status_code == 303
    fresh = client.cookies.get("__Host-isohash", domain="127.0.0.1", path="/")
    assert fresh != "planted"
    client.cookies.clear()
    client.cookies.set("__Host-isohash", "planted")
    assert client.get("/cases").status_code == 401


def test_a_login_replaces_the_session_of_before(client) -> None:
    log_in(client, "vera")
    first = dict(client.cookies)
    log_in(client, "carl")
    assert "carl (curator)" in client.get("/cases").text
    client.cookies.clear()
    client.cookies.update(first)
    assert client.get("/cases").status_code == 401


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "", "javascript:alert(1)",
           "/\nx", "/a\\b"]
)  # fmt: skip
def test_a_login_leads_to_no_other_place(client, to: str) -> None:
    assert log_in(client, "vera", to=to).headers["location"] == "/"


def test_no_other_page_logs_in_or_changes_anything(client) -> None:
    token = token_of(client)
    good = {"name": "vera", "password": PASSWORD}
    for form, headers in (
        (good, ORIGIN),
        ({**good, "csrf": "0" * 64}, ORIGIN),
        ({**good, "csrf": token}, {}),
        ({**good, "csrf": token}, {"origin": "https://evil.example"}),
    ):
        assert client.post("/login", data=form, headers=headers).status_code == 403
    client.cookies.clear()  # without a secret no token is right
    assert client.post("/login", data={**good, "csrf": token}, headers=ORIGIN).status_code == 403
    log_in(client, "vera")
    for headers in (ORIGIN, {**ORIGIN, "x-csrf-token": token}):
        found = client.post("/kept/cohort", data={"name": "forged"}, headers=headers)
        assert found.status_code == 403
    assert client.get("/kept.json").json() == {"kept": []}
    assert change(client, "/kept/cohort", name="mine").status_code == 303


def test_sessions_end_by_themselves_and_with_their_user(own: Path, client, gate) -> None:
    clock = gate.sessions.clock
    log_in(client, "vera")
    clock.now += IDLE_S - 1
    assert client.get("/kept").status_code == 200
    clock.now += IDLE_S + 1
    assert client.get("/kept").status_code == 401
    log_in(client, "vera")
    for _ in range(int(LONGEST_S / IDLE_S) + 1):
        clock.now += IDLE_S - 1
        client.get("/kept")
    assert client.get("/kept").status_code == 401
    users = Users(workbench_of(own))  # as another process does
    log_in(client, "vera")
    users.set_password("vera", "another long password")
    assert client.get("/kept").status_code == 401
    assert log_in(client, "vera").status_code == 403
    log_in(client, "carl")
    users.remove("carl")
    assert client.get("/kept").status_code == 401


def test_sessions_are_bounded() -> None:
    class Known:
        def all(self):
            return {"vera": user}

    user = user_files.User("vera", "viewer", "x")
    sessions = Sessions(Known())
    secrets = [sessions.begin(user) for _ in range(1005)]
    assert [sessions.find(one) for one in secrets[:5]] == [None] * 5
    assert sessions.find(secrets[-1]) == user


def test_guessing_is_slowed_by_account_and_by_address(client, gate) -> None:
    for _ in range(5):
        assert log_in(client, "vera", "wrong").status_code == 403
    refused = log_in(client, "vera")  # even the right one has to wait
    assert refused.status_code == 429
    assert "wait 1 seconds" in refused.text
    assert log_in(client, "carl").status_code == 303  # nobody else has to
    gate.throttle.clock.now += 1.1
    assert log_in(client, "vera", "wrong").status_code == 403
    gate.throttle.clock.now += 1.1
    assert log_in(client, "vera").status_code == 429  # twice as long
    gate.throttle.clock.now += 1.1
    assert log_in(client, "vera").status_code == 303


def test_an_address_that_tries_many_names_has_to_wait() -> None:
    throttle = Throttle(Clock())
    for i in range(20):
        assert throttle.wait_s(f"name-{i}", "10.0.0.9") == 0
        throttle.failed(f"name-{i}", "10.0.0.9")
    assert throttle.wait_s("another", "10.0.0.9") > 0
    assert throttle.wait_s("another", "10.0.0.8") == 0
    for i in range(50):
        throttle.failed("x", f"10.0.1.{i}")
    assert 250 < throttle.wait_s("x", "10.2.2.2") <= 300
    throttle.clock.now += 16 * 60
    assert throttle.wait_s("x", "10.2.2.2") == 0


def test_an_unknown_name_costs_and_tells_the_same(client, monkeypatch) -> None:
    compared: list[str] = []
    quick = user_files.hasher()

    class Counting:
        def verify(self, known: str, given: str) -> bool:
            compared.append(known)
            return quick.verify(known, given)

        hash = quick.hash

    monkeypatch.setattr(user_files, "hasher", Counting)
    told = [log_in(client, name, "wrong") for name in ("vera", "nobody-there")]
    assert len(compared) == 2
    assert compared[0].split("$")[:4] == compared[1].split("$")[:4]  # the same work
    assert told[0].status_code == told[1].status_code == 403
    csrf = re.compile(r'value="\w+"')
    assert csrf.sub("", told[0].text) == csrf.sub("", told[1].text)


def routes_of(app) -> set[tuple[str, str]]:
    """Every method and path that the application answers."""
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            found |= routes_of(inner)
        else:
            methods = getattr(route, "methods", None) or {"GET"}
            found |= {(method, route.path) for method in methods}
    return found


def test_every_route_wants_the_role_that_the_table_says(own: Path, client, gate) -> None:
    routes = {(m, p) for m, p in routes_of(client.app.app) if m != "HEAD"}
    assert len(routes) > 40
    assert {("GET", "/cases"), ("POST", "/kept/{kept}/drop"), ("POST", "/login")} <= routes
    changing = {route for route in routes if route[0] != "GET"}
    assert changing - set(rights.RIGHTS) == set()  # what changes is named in the table
    for method, template in sorted(routes):
        path = re.sub(r"\{\w+\}", "x", template)
        for rank in RANKS:
            client.cookies.clear()
            if rank != "nobody":
                name = next(name for name, role in PEOPLE.items() if role == rank)
                secret = gate.sessions.begin(gate.users.all()[name])
                client.cookies.set("__Host-isohash", secret)
            # without a token a change that the role allows is refused with these words
            found = client.request(method, path, headers=ORIGIN, follow_redirects=False)
            refused = found.status_code == 401 or "another role" in found.text
            least = rights.needed(method, path)
            assert refused == (RANKS.index(rank) < RANKS.index(least)), (method, path, rank)
            if method != "GET" and not refused:
                assert "token of our own pages" in found.text


def test_what_the_table_leaves_open_is_the_form_and_its_looks() -> None:
    open_to_all = {key for key, rank in rights.RIGHTS.items() if rank == "nobody"}
    assert open_to_all == {("GET", "/login"), ("POST", "/login"), ("GET", "/static/*")}
    assert rights.needed("GET", "/anything") == "viewer"
    assert rights.needed("DELETE", "/anything") == "admin"
