"""What an archive keeps of the source of a case, so that it is known again: keyed digests.

`state` changes with the files, `place` with where they lie, `content` with what they hold. Who has
the files but not the key cannot tell which case of an archive they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from isohash.sources.identity.pseudonyms import load_key, pseudonym

APART = "~"  # pt_1~k5xw2abc: what a name becomes where it means something else already


@dataclass(frozen=True)
class Fingerprint:
    """The parts of a fingerprint; "" where it is of an earlier version or has its own identity."""

    state: str
    place: str = ""
    content: str = ""

    @classmethod
    def of(cls, text: str) -> Fingerprint:
        """What was written by `str`."""
        return cls(*text.split(".", 2))

    def __str__(self) -> str:
        return ".".join((self.state, self.place, self.content)).rstrip(".")


def keyed(kind: str, digest: str) -> str:
    """A digest of files under the key of pseudonyms."""
    return pseudonym(load_key(), kind, digest)


def keyed_state(state: str) -> str:
    """The fingerprint of a state of files: without the key nobody can tell which files they are."""
    return keyed("source", state)


def is_keyed(fingerprint: str) -> bool:
    """Whether a fingerprint was made with a key; those of older archives were not."""
    return not fingerprint or fingerprint.startswith("source-")
