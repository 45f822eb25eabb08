"""The archive as the workbench holds it: open once, asked by one thread, comparisons kept.

Everything that touches the archive runs on its thread, in the order in which it was asked for, so
that twenty people cost no more memory than one. An archive that has changed on disk is opened anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from isohash.archive.sql import NAME
from isohash.errors import InputError
from isohash.retrieval.archive_map import ArchiveMap, archive_map
from isohash.retrieval.engine import Archive, Session
from isohash.retrieval.inventory import meant
from isohash.retrieval.items import Items

KEPT = 16  # comparisons of the queries asked last; each is some MB
MOST_BYTES = 3 << 28  # what these keep in all, but for uploads and the one asked last
UPLOAD = "upload-"

Found = TypeVar("Found")


def not_held(archive: Archive, case: str) -> str:
    """Why a name is refused that is none of the archive's: a path in a URL must never be read."""
    return f"the archive holds no case {case}{meant(case, archive)} The list of cases shows the ids"


class Desk:
    """One archive and the queries compared with it lately."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._archive = Archive.open(path)
        self._state = self._on_disk()
        self._map: ArchiveMap | None = None

    async def run(self, work: Callable[[Archive], Found]) -> Found:
        """What `work` makes of the archive, on the archive's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._worked(work))

    def _worked(self, work: Callable[[Archive], Found]) -> Found:
        try:
            return work(self._current())
        finally:
            self._bound()

    def _bound(self) -> None:
        """Let go of the comparisons asked least lately while all take too much memory."""
        held = {case: one.kept_bytes for case, one in self._sessions.items()}
        for case in list(held)[:-1]:
            if sum(held.values()) <= MOST_BYTES:
                return
            if not case.startswith(UPLOAD):
                del held[case], self._sessions[case]

    def session(self, case: str) -> Session:
        """The comparison of a stored case or an upload; only on the archive's thread."""
        if case in self._sessions:
            self._sessions.move_to_end(case)
            return self._sessions[case]
        if case.startswith(UPLOAD):
            raise InputError(f"{case} is no longer at hand; upload it again")
        if case not in self._archive:
            raise InputError(not_held(self._archive, case))
        has_pictures = isinstance(self._archive.contents, Items)
        return self._keep(case, self._archive.session(case, pictures=has_pictures))

    def map(self) -> ArchiveMap:
        """The map of the archive as it is now; only on the archive's thread."""
        if self._map is None:
            self._map = archive_map(self._archive)
        return self._map

    def upload(self, folder: Path) -> str:
        """Compare the one case below a folder; gives the name under which it can be asked for."""
        name = UPLOAD + secrets.token_hex(8)
        self._keep(name, self._archive.session(folder, pictures=True))
        return name

    def close(self) -> None:
        """Let go of the archive."""
        self._thread.shutdown(cancel_futures=True)
        self._archive.store.close()

    def _keep(self, case: str, session: Session) -> Session:
        self._sessions[case] = session
        while len(self._sessions) > KEPT:
            self._sessions.popitem(last=False)
        return session

    def _current(self) -> Archive:
        state = self._on_disk()
        if state != self._state:
            changed = Archive.open(self.path)
            self._archive.store.close()
            self._archive, self._state = changed, state
            self._sessions.clear()
            self._map = None
        return self._archive

    def _on_disk(self) -> tuple[tuple[int, int], ...]:
        """What changes with every change of the archive: its catalogue and the catalogue's log."""
        files = (self.path / NAME, self.path / f"{NAME}-wal")
        known = (path.stat() for path in files if path.exists())
        return tuple((one.st_mtime_ns, one.st_size) for one in known)
