"""The site's own table of structure names, kept so that nobody can read in it what was typed.

A spelling may hold a name or a number of a patient, and the table travels with the archive. So of a
spelling only a keyed digest is kept, as of a patient's number: who holds the key finds a spelling
again, who does not reads the names that the table gives and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isohash.dosimetry.names import spelling
from isohash.errors import InputError
from isohash.sources.identity.pseudonyms import load_key, pseudonym

LONGEST = 64  # letters of a name that a table may give
_MARK = "alias-"


@dataclass(frozen=True)
class Aliases:
    """Spelling -> name. `table` has digests for keys, which `key` makes of spellings."""

    table: Mapping[str, str] = field(default_factory=dict)
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, given: Mapping[str, str] | None) -> Aliases:
        """The table of spellings (or of digests, as an archive keeps it) and this user's key.

        Spellings with an empty name are passed over: they are still to be decided. InputError names
        an entry that can be no name.
        """
        if not given:
            return cls()
        key, table = load_key(), {}
        for typed, name in given.items():
            if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST:
                raise InputError(
                    f"the table of names gives {name!r}: a name is printable text of at most "
                    f"{LONGEST} letters, such as SpinalCord"
                )
            if name.strip():
                table[typed if is_digest(typed) else _digest(key, typed)] = name.strip()
        return cls(table, key)

    def name_of(self, typed: str) -> str | None:
        """The name that the table gives, None if it does not have the spelling."""
        return self.table.get(_digest(self.key, typed)) if self.table else None


def is_digest(text: str) -> bool:
    """Whether a key of a table is a digest already."""
    return text.startswith(_MARK) and len(text) == len(_digest(b"", ""))


def _digest(key: bytes, typed: str) -> str:
    return pseudonym(key, "alias", spelling(typed))
