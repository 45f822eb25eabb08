"""The one exception type that users of isohash should ever have to catch."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: the message names the thing, the value seen and the next step.

    The command line prints the message as one line and exits with status 1.
    """


class MissingExtra(InputError):
    """An optional part of isohash that is not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'isohash[{extra}]'")
        self.extra = extra
