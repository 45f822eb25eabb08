"""Archives from others: whatever their files hold, one line and no more than that.

The seal of each is right: whoever exchanges an archive can write it.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isohash.archive import catalogue
from isohash.archive.repair import repair
from isohash.archive.store import CaseStore
from isohash.archive.verify import verify
from isohash.errors import InputError
from isohash.features.cases.inflating import inflated
from isohash.retrieval.where import MOST_DEPTH, parse_where

LARGE = 1 << 20  # an array that is mapped, not read


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c)"


SCHEMAS = {
    "a view in the place of state": "ALTER TABLE state RENAME TO s0; CREATE VIEW state AS "
    f"{ENDLESS} SELECT x, zeroblob(1000000) FROM c;",
    "a view in the place of cases": "ALTER TABLE cases RENAME TO c0; CREATE VIEW cases AS "
    f"{ENDLESS} SELECT x AS position, 'id'||x AS id, 'f' AS fingerprint, 1 AS segment, '{{}}' AS "
    "rows, '{}' AS metadata, x'00' AS digest FROM c;",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON segments BEGIN DELETE FROM cases; END;",
    "one more table": "CREATE TABLE more (x);",
    "an index": "CREATE INDEX i ON cases (id);",
    "a virtual table": "CREATE VIRTUAL TABLE f USING fts5(x);",
    "a generated column": "ALTER TABLE cases ADD COLUMN g TEXT AS (zeroblob(1000000000));",
    "a table that is not there": "DROP TABLE cases;",
}


ROWS = {
    "rows are a list": "UPDATE cases SET rows='[1,2,3]'",
    "rows are not counts": """UPDATE cases SET rows='{"v":[1,"0",2]}'""",
    "rows are negative": """UPDATE cases SET rows='{"v":[1,-1,2]}'""",
    "rows of another block": """UPDATE cases SET rows='{"v":[7,0,2]}'""",
    "rows beyond the block": """UPDATE cases SET rows='{"v":[1,0,99999999]}'""",
    "rows beyond any integer": """UPDATE cases SET rows='{"v":[1,0,%s]}'""" % ("9" * 30),
    "rows are no JSON": "UPDATE cases SET rows='{'",
    "rows are two objects": "UPDATE cases SET rows='{},{}'",
    "metadata are a list": "UPDATE cases SET metadata='[]'",
    "metadata are null": "UPDATE cases SET metadata='null'",
    "metadata nest": "UPDATE cases SET metadata='%s'" % ("[" * 50_000),
    "an id of bytes": "UPDATE cases SET id=x'00ff' WHERE position=1",
    "a size of text": "UPDATE segments SET size='many'",
    "a fingerprint of bytes": "UPDATE cases SET fingerprint=x'07'",
    "an unknown segment": "PRAGMA foreign_keys=OFF; UPDATE cases SET segment=99",
    "a sequence beyond names": "UPDATE state SET sequence=9000000000000000000",
}


def reseal(archive: Path) -> None:
    (archive / catalogue.SEAL).write_bytes(catalogue.seal_of(archive))


def forge(archive: Path, script: str) -> None:
    """Change a catalogue by SQL, make the digest of its state row and the seal right again."""
    with closing(sqlite3.connect(archive / "catalogue.sqlite")) as connection:
        connection.executescript(f"PRAGMA journal_mode=DELETE; {script};")
        if connection.execute("SELECT type FROM sqlite_schema WHERE name='state'").fetchone() == (
            "table",
        ):
            (row,) = connection.execute("SELECT * FROM state").fetchall()
            digest = catalogue.state_digest(row[1], list(row[2:6]), row[6])
            connection.execute("UPDATE state SET digest=?", (digest,))
            connection.commit()
    reseal(archive)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with CaseStore.create(tmp_path / "a", {"kind": "test"}) as made:
        made.put("x", {"n": 1}, {"v": np.arange(8, dtype=np.uint8)})
        made.put("y", {"n": 2}, {"v": np.arange(LARGE, dtype=np.uint8)})
    return tmp_path / "a"


def use(archive: Path) -> None:
    """All that reading an archive can mean for the store."""
    with CaseStore.open(archive) as opened:
        opened.column("n")
        opened.info()
        for case in opened.ids():
            opened.metadata(case)
            opened.arrays(case)
            opened.rows(case, "v", [0])
        opened.gather("v")


def limited(work: Callable[[], Any]) -> int:
    """The exit status of a process that does the work with little memory and time."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        try:
            work()
        except InputError as error:
            os._exit(10 if "\n" not in str(error) else 11)
        except BaseException:  # noqa: BLE001 - told by the status
            os._exit(12)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


REFUSED = 10


@pytest.mark.parametrize("what", SCHEMAS)
def test_a_catalogue_of_another_schema_is_refused_before_it_is_read(store: Path, what: str) -> None:
    forge(store, SCHEMAS[what])
    for attempt in (CaseStore.open, lambda path: CaseStore.open(path, writable=True)):
        assert limited(lambda attempt=attempt: attempt(store)) == REFUSED
    report = verify(store)
    assert [one.segment for one in report.problems] == ["catalogue.sqlite"]
    assert "views or triggers" in report.problems[0].what or "schema" in report.problems[0].what
    assert repair(store).lost_cases == ()  # it is built anew from the segments
    use(store)


@pytest.mark.parametrize("what", ROWS)
def test_rows_of_another_shape_are_one_line_and_verify_names_them(store: Path, what: str) -> None:
    forge(store, ROWS[what])
    assert limited(lambda: use(store)) == REFUSED
    assert not verify(store).ok
    repair(store)
    use(store)


def test_a_page_that_is_used_again_and_again_is_refused(store: Path) -> None:
    """Two leaves of the tree of cases that are one page: rows out of order, without end."""
    with CaseStore.open(store, writable=True) as opened:
        for i in range(40):
            opened.put(f"case {i}", {"text": "t" * 1500}, {"v": np.zeros(1)})
    path = store / "catalogue.sqlite"
    data = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='cases'")
    page = (root[0] - 1) * 4096
    assert data[page] == 5  # an inner page: cells of (page, key)
    n = int.from_bytes(data[page + 3 : page + 5], "big")
    places = [int.from_bytes(data[page + 12 + 2 * i :][:2], "big") for i in range(n)]
    first = bytes(data[page + places[0] :][:4])
    for place in places:
        data[page + place : page + place + 4] = first
    path.write_bytes(data)
    reseal(store)
    with pytest.raises(InputError, match="not in order"):
        CaseStore.open(store)
    assert not verify(store).ok


def test_a_text_that_claims_more_than_the_file_is_refused(store: Path) -> None:
    with closing(sqlite3.connect(store / "catalogue.sqlite")) as connection:
        connection.execute("UPDATE cases SET metadata=?", (json.dumps({"t": "x" * 300_000}),))
        connection.commit()
    reseal(store)
    with CaseStore.open(store) as opened:
        assert len(opened.metadata("x")["t"]) == 300_000  # longer than a page, and right
    size = (store / "catalogue.sqlite").stat().st_size
    with (
        closing(sqlite3.connect(store / "catalogue.sqlite")) as connection,
        catalogue.sql.distrusting(connection, store),
        pytest.raises(sqlite3.DataError),
    ):
        connection.execute("SELECT zeroblob(?)", (8 * size,)).fetchall()


def test_a_statement_that_never_ends_is_stopped(store: Path) -> None:
    with closing(sqlite3.connect(store / "catalogue.sqlite")) as connection:
        endless = f"{ENDLESS} SELECT max(x) FROM c"
        with (
            catalogue.sql.distrusting(connection, store),
            pytest.raises(sqlite3.OperationalError, match="interrupted"),
        ):
            connection.execute(endless).fetchall()


FILES = ["recipe.json", "catalogue.sqlite", "catalogue.seal", "writer.lock", "readers.lock"]


FILES += ["load.lock", "segments/000000000001.seg", "segments/000000000002.seg"]


FILES += ["catalogue.sqlite-wal", "catalogue.sqlite-shm"]


@pytest.mark.parametrize("kind", ["pipe", "link", "link to nowhere", "device", "folder"])
@pytest.mark.parametrize("name", FILES)
def test_pipes_links_and_devices_are_refused_and_named(store: Path, name: str, kind: str) -> None:
    """Nothing waits for a pipe, nothing is read or written through a link."""
    place, victim = store / name, store.parent / "victim"
    content = place.read_bytes() if place.exists() else b""
    place.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "link":
            victim.write_bytes(content)
            place.symlink_to(victim)
        case "link to nowhere":
            place.symlink_to(victim)
        case "device":
            place.symlink_to("/dev/zero")
        case _:
            place.mkdir()
    status = limited(lambda: use(store))
    assert status == REFUSED
    if not name.endswith("2.seg"):
        assert limited(lambda: CaseStore.open(store, writable=True).arrays("x")) == REFUSED
    named = [one.segment for one in verify(store).problems]
    assert named == [name]
    assert victim.exists() == (kind == "link")
    assert kind != "link" or victim.read_bytes() == content


def test_a_folder_of_segments_that_is_a_link_is_refused(store: Path) -> None:
    elsewhere = store.parent / "elsewhere"
    (store / "segments").rename(elsewhere)
    (store / "segments").symlink_to(elsewhere)
    for attempt in (CaseStore.open, repair):
        with pytest.raises(InputError, match="segments is damaged: it is a link"):
            attempt(store)
    assert [one.segment for one in verify(store).problems] == ["segments"]


def test_a_rollback_journal_is_never_played_back(store: Path) -> None:
    (store / "catalogue.sqlite-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 100)
    with pytest.raises(InputError, match="no archive has such a file"):
        CaseStore.open(store)
    with pytest.raises(InputError, match="no archive has such a file"):
        CaseStore.open(store, writable=True)


def test_deflated_bytes_take_no_more_memory_than_they_should() -> None:
    import zlib

    bomb = np.frombuffer(zlib.compress(bytes(1 << 24)), np.uint8)
    assert len(inflated(bomb, 1 << 24)) == 1 << 24
    for wrong in (bomb[:-1], bomb[1:]):
        with pytest.raises(ValueError, match="deflated"):
            inflated(wrong, 1 << 24)
    with pytest.raises(ValueError, match="more than 1000"):
        inflated(bomb, 1000)


@pytest.mark.parametrize("text", ["not " * 1500 + "a", "-" * 3000 + "1", "[" * 80 + "]" * 80])
def test_a_filter_that_nests_deep_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="where"):
        parse_where(text)


def test_a_filter_may_nest_as_deep_as_people_write() -> None:
    assert parse_where("not " * (MOST_DEPTH - 2) + "a")({"a": 1}) is True
    assert parse_where(" or ".join(f"a == {i}" for i in range(500)))({"a": 499}) is True


# -- files that change while they are read --------------------------------------------------------

SHRINK = """
import os, sys
from isohash.archive.store import CaseStore
from isohash.errors import InputError
store = CaseStore.open(sys.argv[1])
array = store.arrays("y")["v"] if sys.argv[2] == "after" else None
os.truncate(os.path.join(sys.argv[1], "segments", "000000000002.seg"), 4096)
try:
    store.arrays("y")["v"].sum() if array is None else store.check_mapped()
except InputError as error:
    print(error)
    sys.exit(10)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mapped_file_that_shrinks_is_an_error_and_no_signal(store: Path, when: str) -> None:
    with CaseStore.open(store, writable=True) as opened:
        opened.put("y", {}, {"v": np.arange(4 * LARGE, dtype=np.uint8)})
        opened.compact()
    (path,) = (store / "segments").iterdir()
    script = SHRINK.replace("000000000002.seg", path.name)
    done = subprocess.run(
        [sys.executable, "-c", script, str(store), when], capture_output=True, text=True
    )
    assert done.returncode == REFUSED, done.stderr
    assert f"{path.name} is damaged" in done.stdout


def test_a_disk_that_fails_at_a_mapped_file_is_an_error(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CaseStore.open(store, writable=True) as opened:
        opened.put("y", {}, {"v": np.arange(4 * LARGE, dtype=np.uint8)})
    with CaseStore.open(store) as opened:
        opened.metadata("y")
        segment = opened._log.segment(opened._log.state.cases["y"].segment)

        def failing(fd: int, buffers: Any, at: int) -> int:
            raise OSError(5, os.strerror(5))

        monkeypatch.setattr(os, "preadv", failing)
        assert segment.mapped is not None
        with pytest.raises(InputError, match="cannot be read"):
            opened.arrays("y")
