"""Writing a file whole: the old content or the new, whatever happens between, for whose eyes it is.

What isohash writes is made from patients' images, so a new file is its owner's alone, whatever the
umask; one that is replaced keeps the mode that its owner gave it.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

OWNER_ONLY = 0o600


def write_whole(path: str | Path, content: bytes, mode: int = OWNER_ONLY) -> None:
    """Put `content` at `path` at once, durably; raises OSError and then leaves all as it was.

    `mode` is for a new file. A link is followed: what it points to is replaced.
    """
    target = Path(os.path.realpath(path))
    with suppress(OSError):
        mode = stat.S_IMODE(target.stat().st_mode)
    temporary = target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
