"""The ways in which one name is written, and text brought to one form so that they meet.

Folding takes case, accents and umlauts away; `folds` gives both habits for the latter (Müller is
muller and mueller). `glued` leaves letters and digits only, and remembers where they stood.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_STROKES = str.maketrans(
    {"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i"}
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "ñ": "n"})
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]")


_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


def composed_text(text: str) -> str:
    """A text whose accents are part of their letters, without marks that nobody sees.

    A name may be written with accents as letters of their own, as names of files on some systems,
    or with soft hyphens and spaces of no width in it.
    """
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text))


@lru_cache(maxsize=1 << 16)
def folded(text: str) -> str:
    """Lower case without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_STROKES))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def folds(text: str) -> set[str]:
    """The folded text, and with umlauts written as two letters."""
    composed = unicodedata.normalize("NFC", text.casefold())
    return {folded(text), folded(composed.translate(_UMLAUTS))}


def parts(word: str) -> Iterator[str]:
    """The pieces of a word that is cut where small letters meet capitals, as in LeePTV."""
    found = _PARTS.findall(word)
    if len(found) > 1:
        yield from found


def glued(text: str) -> tuple[str, list[int]]:
    """The folded letters and digits of a text without what stands between; where each stood."""
    letters, places = [], []
    for at, letter in enumerate(text):
        if letter.isalnum():
            for one in folded(letter):
                letters.append(one)
                places.append(at)
    return "".join(letters), places


def glued_text(text: str) -> str:
    """The same without the places."""
    return "".join(letter for letter in folded(text) if letter.isalnum())
