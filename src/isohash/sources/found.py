"""What a search for cases returns: one record per case, and one per file passed over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from isohash.errors import InputError
from isohash.records import Case, Vectors
from isohash.sources.identity.naming import Naming


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was passed over, and why (one line)."""

    path: str
    reason: str


@dataclass(frozen=True)
class Found:
    """A case (or a table of vectors) that can be read when it is wanted.

    `key` is a stable name without identity. `fingerprint` changes when the files change, so an
    unchanged source need not be read again. `reader` is called anew by every `read`; what leaves
    here has only names of structures that `naming` lets out.
    """

    key: str
    fingerprint: str
    path: str
    reader: Callable[[Naming], Case | Vectors]
    naming: Naming = field(default_factory=Naming)

    def read(self) -> Case | Vectors:
        """Read the files; InputError names the file, the reason and the next step."""
        try:
            read = self.reader(self.naming)
            return self.naming.let_out(read) if isinstance(read, Case) else read
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(f"{self.path}: not enough memory to read it") from error
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class Findings:
    """All that lies below a path: the files' `kind`, the items `found` and the files `skipped`.

    `key` marks the key that pseudonyms were made with, and is empty where there are none. `holds`
    is the kind of the items, and so of an archive of them: "cases", "vectors".
    """

    kind: str
    found: tuple[Found, ...]
    skipped: tuple[Skipped, ...] = ()
    key: str = ""
    holds: str = "cases"


def fingerprint(files: Iterable[Path]) -> str:
    """Digest of names, sizes and modification times: cheap, and other after any change."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
