"""How many hits chance alone would give, and so which hits tell something.

A short word or number is found anywhere by chance. What was searched of each kind of place is
counted, and how often each letter and byte came in it, hits left out and sorted by entropy: smooth
pictures have other letters than random bytes. So each needle gets a number of hits to be expected
by chance, and never fewer than evenly distributed bytes would give. Told are the rarest needles, as
many as chance gives fewer than `RARE` hits of together: all that were sought count, found or not,
so that a long list of patients brings no more false alarms than a short one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.vocabulary import VOCABULARY

RARE = 0.05  # hits by chance in all that is searched, of everything that is told together
BYTES, CODED = "bytes", "bytes of a text"  # forms anywhere, and within a text
GLUED = "letters and digits"  # of texts, without what stands between
WORD, INSIDE = "word", "word within another"
BESIDE = "word beside another"  # glued to one of plans, or to a person's
NUMBER = "number"
CHANCY = 18  # digits up to which chance gives some numbers in what can be searched
DIGITS = "digits with others between: "  # a dash in a number makes chance rarer
DATE = "date"  # written with others between its digits
WORDED = "date with letters"  # with the name of its month
DAYS = 36525  # in a century: of so many a date by chance is one
EXCESS = (10, 5.0)  # values of numbers or dates hit beyond so many, and times as many as by chance

SHORT = 256  # bytes of a piece that is too short for an entropy
SHORT_PIECE = 9  # its sort; others are sorted by their entropy, 0 to 8 bits a byte
T = TypeVar("T", str, bytes)
# A kind of place, and the length of numbers, the word, or the form with the sort of piece.
Group = tuple[str, "int | str | tuple[bytes, int]"]
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What chance gives of each needle, and how much of it still tells something."""

    seen: Mapping[tuple[str, int], int]
    counts: Mapping[str, NDArray[np.int64]]  # of bytes, by kind of place and sort: (10, 256)
    beside: Mapping[int, float]  # hits by chance by length
    most: float = 0.0
    many: frozenset[Group] = frozenset()  # groups with far more values than chance gives

    def tells(self, group: Group | None) -> bool:
        """Whether a hit of this group tells something."""
        return group in self.many or self.expected(group) <= self.most * (1 + 1e-9)

    def expected(self, group: Group | None) -> float:
        """How many hits chance alone gives of such a needle in all that was searched."""
        if group is None:
            return 0.0
        kind, what = group
        if isinstance(what, tuple):
            form, sort = what
            return float(self.of_forms(kind, [form])[sort, 0])
        if isinstance(what, str):
            return float(self.of_words(kind, [what])[0])
        if kind == BESIDE:
            return self.beside.get(what, 0.0)
        n_values = DAYS if kind in (DATE, WORDED) else 10.0**what
        return max(0, self.seen.get((kind, what), 0)) / n_values

    def of_forms(self, kind: str, forms: list[bytes]) -> Table:
        """Of forms of one length, in each sort of piece: (10, n)."""
        letters = np.frombuffer(b"".join(forms), np.uint8).reshape(len(forms), -1)
        even = _EVEN[letters].sum(axis=1)
        found = np.zeros((10, len(forms)))
        for sort, counts in enumerate(self.counts[kind]):
            if counts.any():
                by_letters = np.maximum(_logs(counts)[letters].sum(axis=1), even)
                found[sort] = counts.sum() * np.exp(by_letters)
        return found

    def of_words(self, kind: str, words: list[str]) -> Table:
        """Of words of one length; within others they have as many places as fit."""
        length = len(words[0])
        longer = {n: times for (of, n), times in self.seen.items() if of == WORD and n >= length}
        places = sum(times * (n - length + 1) for n, times in longer.items())
        return (places if kind == INSIDE else longer.get(length, 0)) * self.likely(words)

    def likely(self, words: list[str]) -> Table:
        """How likely so many letters by chance are this word, of words of one length."""
        letters = np.frombuffer(_bytes("".join(words)), np.uint8).reshape(len(words), -1)
        logs = _logs(self.counts[WORD].sum(axis=0), _OF_WORDS)[letters].sum(axis=1)
        return np.exp(np.maximum(logs, -len(words[0]) * np.log(26.0)))


class Chance:
    """Counts what is sought and what is searched."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, int]] = Counter()
        self._forms: dict[str, dict[int, list[bytes]]] = {}
        self._words: list[str] = []
        self._numbers: Counter[tuple[str, int]] = Counter()
        self._hit: dict[tuple[str, int], set[Hashable]] = {}
        self._sort: dict[str, int] = {}  # of what was counted last of a kind of place
        self._bytes = {kind: np.zeros((10, 256), np.int64) for kind in (BYTES, CODED, GLUED, WORD)}

    def seek(
        self,
        words: Iterable[str],
        numbers: Mapping[tuple[str, int], int],
        forms: Mapping[str, Iterable[bytes]],
    ) -> None:
        """Count what is sought: words, how many numbers of a kind and length, forms by kind."""
        self._words, self._numbers = sorted(words), Counter(numbers)
        self._forms = {kind: _by_length(several) for kind, several in forms.items()}

    def saw_bytes(self, kind: str, data: bytes) -> None:
        """Count bytes, in lower case, in which forms were sought."""
        counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
        self._sort[kind] = SHORT_PIECE if len(data) < SHORT else _entropy(counts)
        self._bytes[kind][self._sort[kind]] += counts

    def saw_words(self, words: Iterable[str]) -> None:
        """Count folded words, and pieces of them, in which words were sought."""
        several = list(words)
        self.seen.update((WORD, len(word)) for word in several)
        self.saw_bytes(WORD, _bytes("".join(several)))

    def placed(self, kind: str, form: bytes) -> Group:
        """The group of a form in what was counted last."""
        return kind, (form, self._sort[kind])

    def was_hit(self, group: Group | None, value: Hashable) -> None:
        """Leave what was found in what was counted last out of the counts: it is no chance."""
        if group is None or group[0] == BESIDE:
            return
        if isinstance(group[1], int):
            number = group[0], group[1]
            self.seen[number] -= 1
            self._hit.setdefault(number, set()).add(value)
            return
        if isinstance(group[1], str):
            kind, what = WORD, _bytes(group[1])
        else:
            kind, what = group[0], group[1][0]
        counts = np.bincount(np.frombuffer(what, np.uint8), minlength=256)
        self._bytes[kind][self._sort[kind]] -= counts

    @property
    def n_bytes(self) -> int:
        """Bytes in which forms were sought."""
        return int(self._bytes[BYTES].sum())

    def verdict(self) -> Verdict:
        """What chance gives of each needle in all that was counted."""
        counts = {kind: np.maximum(counts, 0) for kind, counts in self._bytes.items()}
        beside = self._beside(Verdict(self.seen, counts, {}))
        verdict = Verdict(self.seen, counts, beside)
        most = _most(self._all(verdict))
        return Verdict(self.seen, counts, beside, most, self._many(verdict))

    def _many(self, verdict: Verdict) -> frozenset[Group]:
        """The groups of numbers and dates of which far more values were hit than chance gives."""
        least, times = EXCESS
        return frozenset(
            group
            for group, values in self._hit.items()
            if len(values) > least + times * self._n_sought(group) * verdict.expected(group)
        )

    def _n_sought(self, group: tuple[str, int]) -> int:
        kind, n = group
        return self._numbers[(DIGITS, n) if kind.startswith(DIGITS) else (kind, n)]

    def _all(self, verdict: Verdict) -> Table:
        """Of every needle how many hits chance gives."""
        found = [np.array([*verdict.beside.values()])]
        found += [
            np.full(self._n_sought(group), verdict.expected(group))
            for group in self.seen
            if group[0] != WORD
        ]
        for kind, by_length in self._forms.items():
            found += [verdict.of_forms(kind, forms).ravel() for forms in by_length.values()]
        for words in _by_length(self._words).values():
            found += [verdict.of_words(kind, words) for kind in (WORD, INSIDE)]
        return np.concatenate(found)

    def _beside(self, verdict: Verdict) -> dict[int, float]:
        """By length: how many words by chance are a person's and another as one."""
        persons, others = (
            Counter({n: float(verdict.likely(of).sum()) for n, of in _by_length(words).items()})
            for words in (self._words, VOCABULARY)
        )
        found: Counter[int] = Counter()
        for n, person in persons.items():
            for m, other in (persons + others).items():
                found[n + m] += 2 * person * other * self.seen[WORD, n + m]
        return dict(found)


def _most(expected: Table) -> float:
    """The most hits by chance of a needle such that all up to it have few together."""
    values, places = np.unique(expected, return_inverse=True)
    together = np.cumsum(np.bincount(places, weights=expected, minlength=len(values)))
    few = values[together < RARE]
    return float(few[-1]) if len(few) else 0.0


_ARE_LETTERS = (np.arange(256) >= ord("a")) & (np.arange(256) <= ord("z"))
_EVEN = np.where(_ARE_LETTERS, np.log(2 / 256), np.log(1 / 256))  # a letter is of either case
_OF_BYTES, _OF_WORDS = np.full(256, 4.0), np.where(_ARE_LETTERS, 4.0, 0.01)


def _logs(counts: NDArray[np.int64], prior: Table = _OF_BYTES) -> Table:
    """Log of the share of each byte; each counts as seen some times before anything is."""
    return np.log((counts + prior) / (counts + prior).sum())


def _entropy(counts: NDArray[np.int64]) -> int:
    """Whole bits a byte."""
    shares = counts[counts > 0] / counts.sum()
    return int(-(shares * np.log2(shares)).sum())


def _by_length(words: Iterable[T]) -> dict[int, list[T]]:
    found: dict[int, list[T]] = {}
    for word in words:
        found.setdefault(len(word), []).append(word)
    return found


def _bytes(word: str) -> bytes:
    """A byte a letter: those of other scripts have one place together."""
    return word.encode("latin-1", "replace")
