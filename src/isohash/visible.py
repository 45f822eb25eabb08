"""Text of others made fit to be shown: what would steer a terminal or an eye is made visible.

Names of files and values in them may hold escape sequences, which colour, move, clear or answer for
the reader, and marks that turn the order of letters. Each such character becomes one that is shown.
"""

from __future__ import annotations

import unicodedata

PICTURES = 0x2400  # Unicode's pictures of the control characters, in their order
DELETE, PICTURE_OF_DELETE = "\x7f", "\u2421"
UNSHOWN = "\ufffd"
# Controls, marks of format (bidirectional ones, joiners), surrogates, and separators of lines.
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def visible(text: str, keep: str = "") -> str:
    """The text, one character for one, with nothing in it that is no character; `keep` stays."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter in keep else _shown(letter) for letter in text)


def as_text(name: str) -> str:
    """The name of a file as text that can be kept: each byte that is no UTF-8 becomes a mark."""
    return "".join(UNSHOWN if "\ud800" <= letter <= "\udfff" else letter for letter in name)


def _shown(letter: str) -> str:
    if letter < " ":
        return chr(PICTURES + ord(letter))
    if letter == DELETE:
        return PICTURE_OF_DELETE
    return UNSHOWN if unicodedata.category(letter) in HIDDEN else letter
