"""Names of structures: only those that a table knows leave a reader; the others become numbers.

What a planner typed may be a patient's name, number or date of birth in any spelling, and no filter
can prove that it finds them all. So the rule is the other way round: a name leaves if it is one of
the site's own table (`--aliases`), or if the shipped tables know every word of it (organs after
TG-263 and their usual spellings, targets with a dose). Any other becomes `ROI n` with what it is: a
target, an organ or a helper. What was typed is noted for the eyes of the owner and kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Literal

from isohash.dosimetry.names import TARGETS, canonical_name, spelling
from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.records import Case
from isohash.sources.identity.aliases import Aliases

Kind = Literal["target", "organ", "helper"]

HIGHEST_NUMBER = 999  # a longer one could be a patient's
LONGEST = 64  # letters of a name
UNNAMED = re.compile(r"ROI [0-9]{1,3} \((target|organ|helper)\)")
REPEATED = re.compile(r" \([0-9]{1,3}\)$")  # behind a name that a case has twice
DOSE = re.compile(r"[1-9][0-9]*(\.[0-9]+)?")
# Behind a target without a unit a year, which may be one of birth; 20 Gy are in use.
YEAR = re.compile(r"19\d\d|20(?!00)[0-2]\d")
UNITS = {"gy", "cgy", "c"}

# RTROIInterpretedType (PS3.3 C.8.8.8): what the planning system says that a structure is.
TARGET_TYPES = ("PTV", "CTV", "GTV", "TREATED_VOLUME", "IRRAD_VOLUME")
ORGAN_TYPES = ("ORGAN", "AVOIDANCE", "EXTERNAL", "CAVITY")
HELPERS = {
    "ring", "shell", "opt", "opti", "optim", "dummy", "help", "helper", "avoid", "avoidance",
    "block", "bolus", "couch", "table", "support", "marker", "markers", "fiducial", "fiducials",
    "iso", "isocenter", "isocentre", "isodose", "dose", "ref", "reference", "poi", "contrast",
    "artefact", "artifact", "minus", "sub", "temp", "tmp", "tuning", "z", "zz", "zzz", "hot",
    "cold", "push",
}  # fmt: skip


@dataclass(frozen=True)
class Typed:
    """What a file calls one structure, its number there, and what type it says it is of."""

    name: str
    number: int | None = None
    interpreted: str = ""


@dataclass(frozen=True)
class Personal:
    """Lower-case `words` of persons, and the `numbers` (digits only) of patients and dates."""

    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()


@dataclass
class Naming:
    """How the structures of a source are named.

    With `pseudonymous_ids` the names of files, and of rows in them, are replaced as well where they
    serve as ids. `unknown` notes what was typed for the structures that became numbers: by case,
    and there by the name that left. It is for the owner of the files, and goes into no archive,
    page or JSON.
    """

    aliases: Aliases = field(default_factory=Aliases)
    unknown: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    pseudonymous_ids: bool = False

    def names(
        self, case: str, typed: Sequence[Typed], personal: Personal | None = None
    ) -> list[str]:
        """A name for each structure of a case: known to a table, or `ROI n`; no name twice.

        `personal` holds words and numbers of persons that the files of the case name: a spelling
        that is one of theirs as well leaves in the table's spelling.
        """
        known = [self._known(one.name, personal or Personal()) for one in typed]
        names: list[str] = []
        taken = {name for name in known if name is not None}
        seen: set[str] = set()
        for one, name, number in zip(typed, known, _numbers(typed), strict=True):
            if name is None or name in seen:
                free = (_numbered(name, one, n) for n in chain([number], count(1)))
                left = next(other for other in free if other not in taken)
            else:
                left = name
            if name is None:
                self.note(case, {left: one.name})
            taken.add(left)
            seen.add(left)
            names.append(left)
        return names

    def note(self, case: str, unknown: Mapping[str, str]) -> None:
        """Note the names typed for structures of a case that became numbers."""
        if unknown:
            self.unknown.setdefault(case, {}).update(unknown)

    def let_out(self, case: Case) -> Case:
        """The case as it may leave a reader; one that may already stays the same."""
        names = self.names(case.id, [Typed(name) for name in case.structures])
        renamed = dict(zip(names, case.structures.values(), strict=True))
        return case if list(renamed) == list(case.structures) else replace(case, structures=renamed)

    def _known(self, typed: str, personal: Personal) -> str | None:
        base = REPEATED.sub("", typed)
        if (own := self.aliases.name_of(typed)) is not None:
            return own
        if UNNAMED.fullmatch(typed) or base in self.aliases.table.values():
            return typed
        name = known_name(base, personal)
        return name if name is None else name + typed[len(base) :]


def known_name(typed: str, personal: Personal) -> str | None:
    """The name as typed if it is made of words of the shipped tables alone, None if it is unknown.

    In the table's own spelling where a word of it is also a person's. A target's dose that has the
    digits of a person's number, or of a year in their dates, is no known name.
    """
    typed = "".join(letter for letter in typed if letter.isprintable()).strip()
    canonical = canonical_name(typed)
    if canonical is None:
        return None
    written = set(spelling(typed).split())
    others = written - VOCABULARY - UNITS
    numbers = {word for word in written if word[0].isdigit()}
    if not all(map(DOSE.fullmatch, numbers)) or _digits(canonical) & personal.numbers:
        return None
    if not written & UNITS and any(map(YEAR.fullmatch, numbers)):
        return None
    is_plain = others <= numbers and len(typed) <= LONGEST
    is_theirs = written & personal.words or _digits(typed) & personal.numbers
    return typed if is_plain and not is_theirs else canonical


def kind_of(typed: Typed) -> Kind:
    """What a structure is: by the type that the file gives it, else by the words of its name."""
    words = spelling(typed.name).split()
    if typed.interpreted in TARGET_TYPES:
        return "target"
    if words and words[0][:3] in TARGETS and not {"ring", "shell"} & set(words):
        return "target"
    is_organ = not typed.interpreted or typed.interpreted in ORGAN_TYPES
    return "organ" if is_organ and not HELPERS & set(words) else "helper"


def is_unnamed(name: str) -> bool:
    """Whether a name is only a number: in another case the same name is another structure."""
    return UNNAMED.fullmatch(name) is not None


def kind_in(unnamed: str) -> Kind:
    """The kind that a name such as `ROI 7 (organ)` tells."""
    return unnamed[unnamed.index("(") + 1 : -1]  # type: ignore[return-value]  # by UNNAMED


def _numbered(name: str | None, typed: Typed, number: int) -> str:
    """What a structure is called that has no known name, or one that another has."""
    if name is None:
        return f"ROI {number} ({kind_of(typed)})"
    if is_unnamed(name):
        return f"ROI {number} ({kind_in(name)})"
    return f"{REPEATED.sub('', name)} ({number})"


def _numbers(typed: Sequence[Typed]) -> list[int]:
    """The numbers of the file, or places where they are missing, repeated or long."""
    given = [one.number for one in typed]
    fit = all(number is not None and 0 <= number <= HIGHEST_NUMBER for number in given)
    if fit and len(set(given)) == len(given):
        return [number for number in given if number is not None]
    return list(range(1, len(typed) + 1))


def _digits(text: str) -> set[str]:
    """The numbers in a text, read with and without their points."""
    return {*re.findall(r"\d+", text), *re.findall(r"\d+", text.replace(".", ""))}
