"""What took too long to read is remembered, so that the next run does not spend the time again.

A file or a case that used up its processor time is noted beside the key of pseudonyms, under a
digest that only the key makes: no path, name or UID is kept. A file that changes is tried again, as
is everything after `forget` (`isohash index --retry`) or when a limit is raised.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from isohash.sources.identity.pseudonyms import key_path, load_key, pseudonym
from isohash.whole_files import OWNER_ONLY, write_whole

MOST = 10_000  # digests that are kept: the newest
MOST_BYTES = 1 << 20  # of the file: one that is larger is not ours
_noting = threading.Lock()
AGAIN = "as an earlier run found; isohash index --retry tries it again"


def slow_path() -> Path:
    """Where the digests lie: beside the key."""
    return key_path().with_name("slow.json")


def digest_of(state: str, seconds: float) -> str:
    """Stands for files in this state, and the time that they were given."""
    return pseudonym(load_key(), "slow", state, f"{seconds:g}")


def state_of(file: Path) -> str:
    """Where a file of which nothing else is known lies, its size and time."""
    with suppress(OSError):
        status = file.stat()
        return f"{os.path.realpath(file)}\0{status.st_size}\0{status.st_mtime_ns}"
    return str(file)


def known() -> frozenset[str]:
    """The digests of what took too long."""
    return frozenset(_read())


def remember(digest: str) -> None:
    """Note what took too long; a disk that refuses costs the time again, and nothing else."""
    with _noting, suppress(OSError):
        kept = [*(one for one in _read() if one != digest), digest][-MOST:]
        write_whole(slow_path(), json.dumps(kept).encode(), OWNER_ONLY, kept_up=True)


def forget() -> int:
    """Try everything again; how much that is."""
    n = len(_read())
    slow_path().unlink(missing_ok=True)
    return n


def _read() -> list[str]:
    """The digests, the newest last; none if the file is absent or not ours."""
    path = slow_path()
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return []
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return [str(one) for one in found] if isinstance(found, list) else []
