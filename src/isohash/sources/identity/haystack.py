"""Looks for needles in bytes: in all their layers, as texts and as encoded forms.

Every hit belongs to a group of places in which something may look like it by chance; `chance`
counts what was searched of each, so that at the end it is known which hits tell something.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.sources.identity.chance import (
    BESIDE,
    BYTES,
    CHANCY,
    CODED,
    DATE,
    DIGITS,
    GLUED,
    INSIDE,
    NUMBER,
    WORD,
    WORDED,
    Chance,
    Group,
)
from isohash.sources.identity.dates import dates_in, spelt
from isohash.sources.identity.encoded import encoded_forms, plain_forms
from isohash.sources.identity.layers import Layer, Text, layers, texts
from isohash.sources.identity.needles import Needles, Origin
from isohash.sources.identity.own_words import is_own, is_own_word
from isohash.sources.identity.patterns import Patterns
from isohash.sources.identity.pseudonyms import KINDS
from isohash.sources.identity.spellings import folded, glued, parts

WITHIN = 5  # letters from which a word counts within another word
ANYWHERE = 8  # letters and digits from which a phrase counts wherever it begins and ends
LONG_NUMBER = 7  # digits from which a number does

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[-./_ ]\d+){0,5}")
# Our pseudonyms, digests and encoded runs: random letters, whose contents are layers of their own.
_RANDOM = re.compile(
    rf"\b(?:{'|'.join(KINDS)})-[a-z2-7]{{16}}\b|~[a-z2-7]{{8}}\b"
    r"|\b(?=[0-9]*[a-f])[0-9a-f]{32,}\b|[A-Za-z0-9+/_-]{48,}={0,2}"
)


PARTING = frozenset(" -./_,:\u00a0")  # what people put between the digits of a number


class Hit(NamedTuple):
    """A needle in a file: its bytes, where it is from, and the group that chance is told for."""

    start: int
    end: int
    origin: Origin
    group: Group | None


class Haystack:
    """Looks for needles; `chance` counts what was sought and searched."""

    def __init__(self, needles: Needles) -> None:
        self.needles = needles
        self.chance = Chance()
        self.n_cut = 0  # packed pieces that go on beyond what was looked at
        self._forms: dict[bytes, tuple[Origin, bool]] = {}
        for value, origin in needles.exact.items():
            for form in encoded_forms(value):
                is_plain = form == value.lower().encode("utf-8", "replace")
                self._forms.setdefault(form, (origin, is_plain and value.isalnum()))
        for day, origin in needles.dates.items():
            for written in spelt(day):
                for form in (encoded_forms if written.isdigit() else plain_forms)(written):
                    self._forms.setdefault(form, (origin, form.isdigit()))
        self._patterns = Patterns(self._forms)
        self._within = Patterns({w.encode() for w in needles.words if len(w) >= WITHIN})
        long_numbers = {n: o for n, o in needles.numbers.items() if len(n) >= LONG_NUMBER}
        self._phrase_origins = {**long_numbers, **needles.phrases}
        self._phrases = Patterns({phrase.encode() for phrase in self._phrase_origins})
        glued_numbers = Counter((DIGITS, len(one)) for one in self._phrase_origins if one.isdigit())
        self._lengths = sorted(n for _, n in glued_numbers if n <= CHANCY)
        numbers = Counter((NUMBER, len(digits)) for digits in needles.numbers) + glued_numbers
        for n in (6, 8):
            n_dates = len(needles.dates)
            numbers.update({(NUMBER, n): 3 * n_dates, (DATE, n): n_dates, (WORDED, n): n_dates})
        phrases = [phrase.encode() for phrase in needles.phrases]
        forms = {BYTES: self._forms, CODED: self._forms, GLUED: phrases}
        self.chance.seek(needles.words, numbers, forms)

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Hits in the bytes and in what is packed or encoded in them."""
        for at, layer in layers(Layer(data, is_file=True)):
            packed = layer.data is not data
            self.n_cut += layer.is_cut
            for hit in self._in_layer(layer):
                # within a packed piece places have no meaning outside: the piece is the place
                yield hit._replace(start=at, end=at + 1) if packed else hit

    def _in_layer(self, layer: Layer) -> Iterator[Hit]:
        data, found = layer.data, list(texts(layer))
        runs = sorted({(text.start, text.start + text.n_bytes) for text in found})
        for hit in chain(self._coded(data, runs), *map(self._placed, found)):
            self.chance.was_hit(hit.group, hit.origin)
            yield hit

    def _placed(self, text: Text) -> Iterator[Hit]:
        """Hits in a text, at the bytes where they stand."""
        for start, end, origin, group in self._in_text(text):
            first = text.start + len(text.text[:start].encode("utf-8", "replace"))
            last = first + len(text.text[start:end].encode("utf-8", "replace"))
            yield Hit(first, last, origin, group)

    def _coded(self, data: bytes, runs: list[tuple[int, int]]) -> Iterator[Hit]:
        """Values and encoded forms in the bytes; plain ones within texts are left to these."""
        low = data.lower()
        self.chance.saw_bytes(BYTES, low)
        self.chance.saw_bytes(CODED, b"".join(low[start:end] for start, end in runs))
        for at, form in self._patterns.find(low):
            origin, is_plain = self._forms[form]
            run = bisect.bisect_right(runs, (at, len(data))) - 1
            in_text = run >= 0 and at + len(form) <= runs[run][1]
            if not is_plain or not (in_text or is_own_word(form)):
                group = self.chance.placed(CODED if in_text else BYTES, form)
                yield Hit(at, at + len(form), origin, group)

    def _in_text(self, text: Text) -> Iterator[tuple[int, int, Origin, Group | None]]:
        plain = _RANDOM.sub(_without_random, text.text)
        for start, end, origin, chance in (*self._words(plain), *self._in_words(plain)):
            if not is_own(plain, start, end):
                yield start, end, origin, None if text.is_written else chance
        if not text.is_written:
            self.chance.saw_words(map(folded, _pieces(plain)))
        yield from self._numbers(plain)
        yield from self._dates(plain)
        for start, end, origin, group in self._in_glued(plain):
            if group[0] != GLUED or not is_own(plain, start, end):
                is_told = group[0] == GLUED and text.is_written
                yield start, end, origin, None if is_told else group

    def _words(self, text: str) -> Iterator[tuple[int, int, Origin, Group]]:
        """Words and pieces of words that are a person's, also beside words of anatomy."""
        known = self.needles.words
        for found in _WORD.finditer(text):
            for piece in (found[0], *parts(found[0])):
                low = folded(piece)
                word = low if low in known else self._beside(low)
                if word is not None:
                    group: Group = (WORD, low) if low in known else (BESIDE, len(low))
                    yield found.start(), found.end(), known[word], group
                    break

    def _beside(self, low: str) -> str | None:
        """The person's word of two that are written as one: the other is anatomy or a person's."""
        for cut in range(2, len(low) - 1):
            first, second = low[:cut], low[cut:]
            for word, other in ((first, second), (second, first)):
                if word in self.needles.words and (
                    other in VOCABULARY or other in self.needles.words
                ):
                    return word
        return None

    def _in_words(self, text: str) -> Iterator[tuple[int, int, Origin, Group]]:
        low = folded(text)
        if len(low) != len(text):
            low = "".join(folded(letter)[:1] or " " for letter in text)
        data = low.encode()
        ascii_only = len(data) == len(low)
        for at, word in self._within.find(data):
            start = at if ascii_only else len(data[:at].decode("utf-8", "replace"))
            name = word.decode()
            yield start, start + len(name), self.needles.words[name], (INSIDE, name)

    def _numbers(self, text: str) -> Iterator[tuple[int, int, Origin, Group | None]]:
        for run in _NUMBER.finditer(text):
            pieces = list(re.finditer(r"\d+", run[0]))
            for first in range(len(pieces)):
                digits = ""
                for last in range(first, len(pieces)):
                    digits += pieces[last][0]
                    group = (NUMBER, len(digits))
                    self.chance.seen[group] += 1
                    if (origin := self.needles.numbers.get(digits)) is not None:
                        start = run.start() + pieces[first].start()
                        yield start, run.start() + pieces[last].end(), origin, group

    def _dates(self, text: str) -> Iterator[tuple[int, int, Origin, Group | None]]:
        for start, end, day, n_digits in dates_in(text):
            written = text[start:end]
            kind = WORDED if any(map(str.isalpha, written)) else DATE
            group = (NUMBER if written.isdigit() else kind, n_digits)
            if group[0] != NUMBER:
                self.chance.seen[group] += 1
            if (origin := self.needles.dates.get(day)) is not None:
                yield start, end, origin, group

    def _in_glued(self, text: str) -> Iterator[tuple[int, int, Origin, Group]]:
        letters, places = glued(text)
        self._count_digits(text, letters, places)
        data = letters.encode()
        self.chance.saw_bytes(GLUED, data)
        ascii_only = len(data) == len(letters)
        for at, phrase in self._phrases.find(data):
            first = at if ascii_only else len(data[:at].decode("utf-8", "replace"))
            name = phrase.decode()
            start, end = places[first], places[first + len(name) - 1] + 1
            is_bounded = not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
            if name.isdigit():
                between = [one for one in text[start:end] if not one.isdigit()]
                alike = len({*between}) == 1 and between[0] in PARTING
                group = _parted(len(name), len(between), between[0] if alike else "")
                yield start, end, self._phrase_origins[name], group
            elif len(name) >= ANYWHERE or is_bounded:
                yield start, end, self._phrase_origins[name], self.chance.placed(GLUED, phrase)

    def _count_digits(self, text: str, letters: str, places: list[int]) -> None:
        """Count the places at which a number might stand, spelt with so much between its digits."""
        is_digit = np.array([letter.isdigit() for letter in letters], dtype=np.int64)
        if not self._lengths or is_digit.sum() < self._lengths[0]:
            return
        before, at = np.append(0, np.cumsum(is_digit)), np.array(places)
        parting = {one: _before(letter == one for letter in text) for one in PARTING & {*text}}
        for n in self._lengths:
            firsts = np.flatnonzero(before[n:] - before[:-n] == n)
            starts, ends = at[firsts], at[firsts + n - 1]
            between = ends - starts - (n - 1)
            for one, so_far in parting.items():
                alike = (between > 0) & (so_far[ends] - so_far[starts] == between)
                self._count_parted(n, between[alike], one)
                between[alike] = -1
            self._count_parted(n, between[between >= 0], "")

    def _count_parted(self, n: int, between: NDArray[np.int64], by: str) -> None:
        for others, times in zip(*np.unique(between, return_counts=True), strict=True):
            self.chance.seen[_parted(n, int(others), by)] += int(times)


def _pieces(text: str) -> Iterator[str]:
    """The words of a text, and what they are cut into where small letters meet capitals."""
    for word in _WORD.findall(text):
        yield word
        yield from parts(word)


def _parted(n_digits: int, others: int, by: str) -> tuple[str, int]:
    """The group of numbers with so many other characters between, perhaps all this usual one."""
    return f"{DIGITS}{others}{by}", n_digits


def _before(found: Iterable[bool]) -> NDArray[np.int64]:
    """How many there are before each place."""
    return np.append(0, np.cumsum(np.fromiter(found, np.int64)))


def _without_random(found: re.Match[str]) -> str:
    """Spaces in place of random letters; a path or a long word is none, for its letters are not."""
    run = found[0]
    is_digest = found.end() - found.start() < 48 or not re.search(r"[A-Z]", run)
    shares = [len(re.findall(kind, run)) / len(run) for kind in ("[A-Z]", "[a-z]", "[0-9]")]
    is_based = min(shares[:2]) > 0.2 and shares[2] > 0.05
    return " " * len(run) if is_digest or is_based else run
