"""What identifies the patients of a source, in the forms in which a search looks for it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from isohash.dosimetry.names import canonical_name
from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.sources.identity.dates import date_of
from isohash.sources.identity.spellings import composed_text, folded, folds, glued_text
from isohash.sources.identity.words import words

SHORTEST_NUMBER = 4  # digits; shorter ones are in any list of numbers
SHORTEST_PHRASE = 4  # letters and digits of a text without what stands between them


@dataclass(frozen=True)
class Origin:
    """Where a value is from: the keyword of its element, and a file that has it."""

    element: str
    source: str


@dataclass
class Needles:
    """Values to look for, each with its origin.

    `words` are folded words of persons; `numbers` digits; `phrases` texts and numbers with letters
    as `glued_text`; `dates` days; `exact` the values as they stand, for their encoded forms.
    `unsearchable` counts, by reason, what is too short to be looked for.
    """

    words: dict[str, Origin] = field(default_factory=dict)
    numbers: dict[str, Origin] = field(default_factory=dict)
    phrases: dict[str, Origin] = field(default_factory=dict)
    dates: dict[dt.date, Origin] = field(default_factory=dict)
    exact: dict[str, Origin] = field(default_factory=dict)
    unsearchable: dict[str, set[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.words) + len(self.numbers) + len(self.phrases) + len(self.dates)

    def add(self, kind: str, text: str, origin: Origin) -> None:
        """Take in a value of a kind of `phi.identifying`, `name` (typed), or a file `unread`."""
        text = composed_text(text)
        if kind == "unread":
            self._pass_over("files of the source that cannot be read", text)
        elif kind == "person":
            self._person(text, origin)
        elif kind == "date":
            self._date(text, origin)
        elif kind == "number":
            self._number(text, origin)
        elif kind == "name":
            if canonical_name(text) is None:
                self._phrase(text, origin)
        elif kind == "uid" or any(folded(word) not in VOCABULARY for word in words(text)):
            self._phrase(text, origin)

    def _person(self, text: str, origin: Origin) -> None:
        found = [word for group in text.split("=") for word in words(group)]
        for word in found:
            for form in folds(word):
                self.words.setdefault(form, origin)
            self.exact.setdefault(word, origin)
        for first, second in pairwise(found):
            for pair in (first + second, second + first):
                self.phrases.setdefault(glued_text(pair), origin)
        if not found and text.strip():
            self._pass_over("initials, particles and placeholders of names", text)

    def _date(self, text: str, origin: Origin) -> None:
        if (day := date_of(text)) is not None and day.year >= 1900:
            self.dates.setdefault(day, origin)

    def _number(self, text: str, origin: Origin) -> None:
        self._person(" ".join(re.findall(r"[^\W\d_]{4,}", text)), origin)
        self._digits(text, origin)
        if re.search(r"[^\W\d_]", text):
            self._phrase(text, origin)
        elif len(re.sub(r"\D", "", text)) < SHORTEST_NUMBER and text.strip():
            self._pass_over(f"numbers of fewer than {SHORTEST_NUMBER} digits", text)

    def _digits(self, text: str, origin: Origin) -> None:
        runs = re.findall(r"\d+(?:[-./_ ]\d+)*", text)
        for digits in (re.sub(r"\D", "", run) for run in runs):
            if len(digits) >= SHORTEST_NUMBER:
                self.numbers.setdefault(digits, origin)
                self.exact.setdefault(digits, origin)
                self.exact.setdefault(text.strip(), origin)

    def _phrase(self, text: str, origin: Origin) -> None:
        whole = glued_text(text)
        if len(whole) >= SHORTEST_PHRASE:
            for form in folds(text):
                self.phrases.setdefault(glued_text(form), origin)
            self.exact.setdefault(text.strip(), origin)
        elif whole:
            self._pass_over(f"texts of fewer than {SHORTEST_PHRASE} letters", text)

    def _pass_over(self, why: str, text: str) -> None:
        self.unsearchable.setdefault(why, set()).add(text)


def needles_of(found: Iterable[tuple[str, str, str, str]]) -> Needles:
    """The needles of (kind, element, value, source) values."""
    needles, seen = Needles(), set()
    for kind, element, text, source in found:
        if (kind, text) not in seen:
            seen.add((kind, text))
            needles.add(kind, text, Origin(element, source))
    return needles
