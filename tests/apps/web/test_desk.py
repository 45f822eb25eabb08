"""The desk keeps comparisons for the next question, and no more of them than it may."""

from __future__ import annotations

import asyncio
from pathlib import Path

from isohash.apps.web import desk as module
from isohash.apps.web.desk import Desk


def test_comparisons_are_kept_until_they_take_too_much(archive_path: Path, monkeypatch) -> None:
    desk = Desk(archive_path)
    try:
        ask = lambda case: asyncio.run(desk.run(lambda _: desk.session(case).ask(3, by="ct")))  # noqa: E731
        names = [f"phantom-00-0{i}" for i in range(4)]
        for name in names:
            ask(name)
        assert list(desk._sessions) == names
        held = desk._sessions[names[0]].kept_bytes
        assert held > 0
        monkeypatch.setattr(module, "MOST_BYTES", 2 * held + held // 2)
        ask(names[3])
        assert list(desk._sessions) == names[2:]
        monkeypatch.setattr(module, "MOST_BYTES", 0)
        ask(names[0])
        assert list(desk._sessions) == names[:1]
    finally:
        desk.close()
