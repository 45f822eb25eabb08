"""What a search for cases returns: one record per case, and one per file passed over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from isohash.errors import InputError
from isohash.records import Case, Vectors
from isohash.sources.identity.naming import Naming
from isohash.sources.identity.pseudonyms import load_key, pseudonym


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was passed over, and why (one line)."""

    path: str
    reason: str


@dataclass(frozen=True)
class Found:
    """A case (or a table of vectors) that can be read when it is wanted.

    `key` is a stable name, of DICOM without identity. `state` is a digest of the files' UIDs or
    names, sizes and times; whoever has the files can compute it, so only its keyed form
    (`fingerprint`) is kept. `reader` is called anew by every `read`; what leaves here has only
    names of structures that `naming` lets out.
    """

    key: str
    state: str
    path: str
    reader: Callable[[Naming], Case | Vectors]
    naming: Naming = field(default_factory=Naming)

    @property
    def fingerprint(self) -> str:
        """Changes when the files change, so that an unchanged source need not be read again."""
        return keyed_state(self.state)

    def read(self) -> Case | Vectors:
        """Read the files; InputError names the file, the reason and the next step."""
        try:
            read = self.reader(self.naming)
            if isinstance(read, Case):
                return self.naming.let_out(read)
            if isinstance(read, Vectors) and self.naming.pseudonymous_ids:
                return _with_pseudonyms(read)
            return read
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

    def named_by(self, naming: Naming) -> Findings:
        """The same items under names that `naming` gives: of structures, and perhaps of files."""
        found = tuple(replace(one, naming=naming) for one in self.found)
        if naming.pseudonymous_ids and self.kind != "dicom":
            found = tuple(replace(one, key=_pseudonym("file", one.key)) for one in found)
        return replace(self, found=found)


def keyed_state(state: str) -> str:
    """The fingerprint of a state of files: without the key nobody can tell which files they are."""
    return _pseudonym("source", state)


def is_keyed(fingerprint: str) -> bool:
    """Whether a fingerprint was made with a key; those of older archives were not."""
    return not fingerprint or fingerprint.startswith("source-")


def _with_pseudonyms(vectors: Vectors) -> Vectors:
    if vectors.ids is None:
        return vectors
    return replace(vectors, ids=tuple(_pseudonym("row", name) for name in vectors.ids))


def _pseudonym(kind: str, name: str) -> str:
    return pseudonym(load_key(), kind, name)


def state_of(files: Iterable[Path]) -> str:
    """Digest of names, sizes and modification times: cheap, and other after any change."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
