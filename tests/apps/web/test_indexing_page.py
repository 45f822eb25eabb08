"""Cases are added from the page as by the command, and from nowhere but below the roots."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isohash.apps.web import indexing
from isohash.apps.web.app import create_app
from isohash.errors import InputError
from isohash.retrieval.engine import Archive
from isohash.retrieval.soundness import verify
from small_cases import phantom, write_openkbp
from workbench import HOST, TOKEN


@pytest.fixture
def own(archive_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive_path, tmp_path / "archive"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with new cases, beside a folder that is none of its own."""
    for name in ("root/new", "root/deep/er", "secret/inside"):
        (tmp_path / name).mkdir(parents=True)
    write_openkbp(phantom(0, 9), tmp_path / "root" / "new" / "pt_9.npz")
    (tmp_path / "root" / "new" / "pt_10.npz").write_bytes(b"no array")
    (tmp_path / "root" / "out").symlink_to(tmp_path / "secret")
    return tmp_path / "root"


@pytest.fixture
def client(own: Path, root: Path) -> Iterator:
    from starlette.testclient import TestClient

    app = create_app(own, TOKEN, [HOST], roots=(root,))
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url=f"http://{HOST}", headers=headers) as found:
        yield found


def ended(client) -> dict:
    for _ in range(600):
        facts = client.get("/api/indexing").json()
        if not facts["running"]:
            return facts["result"]
        time.sleep(0.1)
    raise AssertionError(facts)


def test_a_folder_is_added_and_what_was_skipped_is_told(client, own: Path, root: Path) -> None:
    assert "new" in client.get("/indexing").text
    before = client.get("/api/cases").json()["total"]
    begun = client.post("/indexing", data={"root": "0", "below": "new"})
    assert begun.status_code == 200
    result = ended(client)
    assert result["indexed"] == ["pt_9"], result
    assert client.get("/api/cases").json()["total"] == before + 1
    text = client.get("/indexing").text
    assert "1 added" in text
    assert "pt_10.npz" in text
    assert str(root) not in text
    assert verify(own).ok


SLOWLY = """
import time
from isohash.archive.store import CaseStore
put = CaseStore.put_all
CaseStore.put_all = lambda store, cases: (put(store, cases), time.sleep(1))
"""


@pytest.fixture(params=[signal.SIG_IGN, signal.default_int_handler], ids=["ignored", "heard"])
def interrupts(request: pytest.FixtureRequest) -> Iterator[None]:
    """What becomes of interrupts where the server runs: one in the background ignores them."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_a_cancelled_run_leaves_a_sound_archive_and_goes_on(
    client, own: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PROGRAM", SLOWLY + indexing.PROGRAM)
    for number in range(20, 32):
        write_openkbp(phantom(1, number), root / "deep" / f"pt_{number}.npz")
    client.post("/indexing", data={"root": "0", "below": "deep"})
    again = client.post("/indexing", data={"root": "0", "below": "deep"})
    assert "already" in again.text
    while client.get("/api/indexing").json()["told"] == "starting":
        time.sleep(0.02)
    client.post("/indexing/cancel")
    assert ended(client) == {"cancelled": True}
    assert verify(own).ok
    monkeypatch.undo()
    client.post("/indexing", data={"root": "0", "below": "deep"})
    result = ended(client)
    assert len(result["indexed"]) + len(result["unchanged"]) == 12
    with Archive.open(own) as archive:
        assert {f"pt_{number}" for number in range(20, 32)} <= set(archive)


@pytest.mark.parametrize(
    "below", ["..", "../secret", "new/../../secret", "/etc", "out", "out/inside", "a\0b", "nowhere",
              "new/pt_9.npz", "x" * 5000]
)  # fmt: skip
def test_nothing_outside_the_roots_is_shown_or_read(client, root: Path, below: str) -> None:
    roots = indexing.Roots.of((root,))
    with pytest.raises(InputError, match="no folder below"):
        roots.find(0, below)
    assert client.post("/indexing", data={"root": "0", "below": below}).status_code == 400
    assert client.get("/indexing", params={"root": 0, "below": below}).status_code == 400
    assert client.get("/api/indexing").json()["told"] == ""


def test_other_roots_than_the_given_are_refused(client, root: Path, tmp_path: Path) -> None:
    for number in ("1", "-1", "x", "", "٣"):
        assert client.post("/indexing", data={"root": number, "below": ""}).status_code == 400
    assert indexing.Roots.of((root,)).inside(0, "") == ["deep", "new"]
    with pytest.raises(InputError, match="no such folder"):
        indexing.Roots.of((tmp_path / "nothing",))
