"""What a search for cases returns: one record per case, and one per file passed over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isohash.errors import InputError
from isohash.records import Case, Image, Vectors
from isohash.sources.fingerprint import APART, Fingerprint, keyed
from isohash.sources.identity.file_names import looks_like_identity
from isohash.sources.identity.naming import Naming
from isohash.sources.identity.pseudonyms import load_key, pseudonym

Item = Case | Vectors | Image


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was passed over, and why (one line)."""

    path: str
    reason: str


@dataclass(frozen=True)
class Origin:
    """What tells a thing from others of its name: where it lies, and a digest of what it holds.

    Things that carry an identity of their own (DICOM) have no origin.
    """

    name: str
    place: str
    content: Callable[[], str]


@dataclass(frozen=True)
class Found:
    """A case (a table of vectors, an image) that can be read when it is wanted.

    `key` is a stable name, of DICOM without identity. `state` is a digest of the files' UIDs or
    names, sizes and times; whoever has the files can compute it, so only its keyed form
    (`fingerprint`) is kept. `reader` is called anew by every `read`; what leaves here has only
    names of structures that `naming` lets out. `patient` is a pseudonym, "" where files name none;
    `files` are all of its files. `belonging` tells patient, study and frame of reference of DICOM
    files, for objects that are to belong to them: it identifies.
    """

    key: str
    state: str
    path: str
    reader: Callable[[Naming], Item]
    naming: Naming = field(default_factory=Naming)
    origin: Origin | None = None
    belonging: Callable[[], Any] = lambda: None
    patient: str = ""
    files: tuple[Path, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Changes when the files change, so that an unchanged source need not be read again."""
        return keyed("source", self.state)

    @property
    def place(self) -> str:
        """Where it lies, keyed; "" if it carries its identity."""
        return "" if self.origin is None else keyed("place", self.origin.place)

    @property
    def content(self) -> str:
        """What it holds, keyed; "" if it carries its identity. Reads the files."""
        if self.origin is None:
            return ""
        try:
            return keyed("content", self.origin.content())
        except OSError:  # told when the files are to be used
            return keyed("content", f"unread {self.state}")

    @property
    def base(self) -> str:
        """Its name as long as nothing else has it."""
        return self.key if self.origin is None else self.origin.name

    def to_keep(self) -> str:
        """All of this as an archive keeps it."""
        return str(Fingerprint(self.fingerprint, self.place, self.content))

    def apart(self) -> Found:
        """The same under a name of its own, for where its name means something else."""
        return replace(self, key=f"{self.base}{APART}{self.place.partition('-')[2][:8]}")

    def read(self) -> Item:
        """Read the files; InputError names the file, the reason and the next step."""
        try:
            read = self.reader(self.naming)
            if isinstance(read, Case):
                return self.naming.let_out(read)
            if isinstance(read, Vectors) and self.naming.pseudonymous_ids:
                return _with_pseudonyms(read)
            if isinstance(read, Image) and self.naming.pseudonymous_ids:
                return _without_folder(read)
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
    is the kind of the items, and so of an archive of them: "cases", "vectors", "images".
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
            found = tuple(map(_under_pseudonym, found))
        return replace(self, found=found)


def _under_pseudonym(found: Found) -> Found:
    key = _pseudonym("file", found.base)
    if found.origin is None:
        return replace(found, key=key)
    renamed = replace(found, key=key, origin=replace(found.origin, name=key))
    return renamed if found.key == found.base else renamed.apart()


def _with_pseudonyms(vectors: Vectors) -> Vectors:
    if vectors.ids is None:
        return vectors
    return replace(vectors, ids=tuple(_pseudonym("row", name) for name in vectors.ids))


def _without_folder(image: Image) -> Image:
    """Folders may be called as patients are; classes keep their names unless these look like it."""
    folder, label = str(image.facts.get("folder", "")), image.label
    if folder:
        image = replace(image, facts={**image.facts, "folder": _pseudonym("file", folder)})
    if label is not None and looks_like_identity(label):
        image = replace(image, label=_pseudonym("file", label))
    return image


def _pseudonym(kind: str, name: str) -> str:
    return pseudonym(load_key(), kind, name)


def state_of(files: Iterable[Path]) -> str:
    """Digest of names, sizes and modification times: cheap, and other after any change."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        status = file.stat()
        digest.update(
            f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogatepass")
        )
    return digest.hexdigest()


def content_of(files: Iterable[Path]) -> str:
    """Digest of the bytes of files, whatever they are called."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
