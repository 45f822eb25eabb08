"""Dates in the usual spellings, found in text and brought to one form.

Year, month and day in any order with any separators or none, two or four digits of the year, months
in words of the languages that the tables of structures know.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from isohash.sources.identity.spellings import folded

MONTHS = {
    1: "january jan januar janvier enero gennaio januari styczen",
    2: "february feb februar fevrier fev febrero febbraio februari luty",
    3: "march mar marz maerz mrz mars marzo maart marzec",
    4: "april apr avril avr abril aprile kwiecien",
    5: "may mai mayo maggio mei maj",
    6: "june jun juni juin junio giugno czerwiec",
    7: "july jul juli juillet julio luglio lipiec",
    8: "august aug aout agosto augustus sierpien",
    9: "september sep sept septembre septiembre settembre wrzesien",
    10: "october oct oktober okt octobre octubre ottobre pazdziernik",
    11: "november nov novembre noviembre listopad",
    12: "december dec dezember dez decembre diciembre dicembre grudzien",
}
_MONTH = {word: number for number, words in MONTHS.items() for word in words.split()}
_WORDS = "|".join(sorted(_MONTH, key=len, reverse=True))
_GAP = r"[-./_, ]{0,3}"
_NUMERIC = re.compile(r"(?<!\d)(\d{1,4})([-./_ ])(\d{1,2})\2[ ]?(\d{1,4})(?!\d)")
_SOLID = re.compile(r"(?<!\d)\d{8}(?!\d)|(?<!\d)\d{6}(?!\d)|(?<=\D)\d{14}(?!\d)")
_DAY, _YEAR = r"(\d{1,2})(?:st|nd|rd|th|\.)?", r"(\d{4}|\d\d)(?!\d)"
_DAY_FIRST = re.compile(rf"(?<!\d){_DAY}{_GAP}(?:of |de )?({_WORDS}){_GAP}(?:de )?{_YEAR}")
_MONTH_FIRST = re.compile(rf"(?<![a-z])({_WORDS}){_GAP}{_DAY}{_GAP}{_YEAR}")
_YEAR_FIRST = re.compile(rf"(?<!\d)(\d{{4}}){_GAP}({_WORDS}){_GAP}(\d{{1,2}})(?!\d)")
CENTURIES = (1900, 2000)


class FoundDate(NamedTuple):
    """Where a date stands in a text, a day that it may mean, and how many digits say so."""

    start: int
    end: int
    day: dt.date
    n_digits: int


def dates_in(text: str) -> Iterator[FoundDate]:
    """Every date that some way of reading finds in the text; one place may mean several."""
    for at in _NUMERIC.finditer(text):
        yield from _dated(at, _orders(at[1], at[3], at[4]))
    for at in _SOLID.finditer(text):
        digits = at[0][:8]
        if len(digits) == 8:
            yield from _dated(at, [(digits[:4], digits[4:6], digits[6:])])
            yield from _dated(at, [(digits[4:], digits[2:4], digits[:2])])
            yield from _dated(at, [(digits[4:], digits[:2], digits[2:4])])
        else:
            yield from _dated(at, _orders(digits[:2], digits[2:4], digits[4:]))
    low = folded(text)
    if len(low) != len(text):  # places would be wrong: a date is told at the text's beginning
        low, text = low, low
    for at in _DAY_FIRST.finditer(low):
        yield from _dated(at, [(at[3], str(_MONTH[at[2]]), at[1])])
    for at in _MONTH_FIRST.finditer(low):
        yield from _dated(at, [(at[3], str(_MONTH[at[1]]), at[2])])
    for at in _YEAR_FIRST.finditer(low):
        yield from _dated(at, [(at[1], str(_MONTH[at[2]]), at[3])])


def _orders(a: str, b: str, c: str) -> list[tuple[str, str, str]]:
    """(year, month, day) in the orders in use: year first, day first, month first."""
    year_first = [(a, b, c)] if len(c) <= 2 and len(a) in (2, 4) else []
    year_last = [(c, b, a), (c, a, b)] if len(a) <= 2 and len(c) in (2, 4) else []
    return year_first + year_last


def _dated(at: re.Match[str], orders: list[tuple[str, str, str]]) -> Iterator[FoundDate]:
    for year, month, day in orders:
        for century in CENTURIES if len(year) == 2 else (0,):
            with suppress(ValueError):
                found = dt.date(century + int(year), int(month), int(day))
                yield FoundDate(at.start(), at.end(), found, 4 + len(year))


def spelt(date: dt.date) -> set[str]:
    """A date as it is usually written in digits, eight of them at least: exact enough anywhere."""
    y, m, d = f"{date:%Y}", f"{date:%m}", f"{date:%d}"
    solid = {y + m + d, d + m + y, m + d + y}
    parted = {s.join(p) for s in "-./" for p in ((y, m, d), (d, m, y), (m, d, y))}
    months = [f"{date:%b}", f"{date:%B}"]
    in_words = {s.join(p) for s in ("", "-", " ") for b in months for p in ((y, b, d), (d, b, y))}
    days = {str(date.day), d}
    american = {f"{b} {day}{s} {y}" for b in months for day in days for s in ("", ",")}
    return (
        solid | parted | in_words | american | {f"{day}. {b} {y}" for b in months for day in days}
    )


def date_of(text: str) -> dt.date | None:
    """The day that a DICOM date or date and time says, None if it says none."""
    digits = text.replace(".", "").replace("-", "")[:8]
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
