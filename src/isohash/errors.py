"""The one exception type that users of isohash should ever have to catch."""

from __future__ import annotations

from isohash.visible import visible


class InputError(ValueError):
    """Input that cannot be used: the message names the thing, the value seen and the next step.

    The next step stands after the last semicolon, where there is one to tell. The command line
    prints the message as one line (or, with --json, as `to_json`) and exits with status 1. Names
    and values in it are shown, never obeyed: see `visible`.

    Example:
        >>> import isohash
        >>> try:
        ...     isohash.read_case("no/such/folder")
        ... except isohash.InputError as error:
        ...     print(error.to_json()["next"])
        check the spelling
    """

    def __str__(self) -> str:
        return visible(super().__str__(), keep="\n")

    def to_json(self) -> dict[str, str | None]:
        """What is wrong, and what to do: `{"error": ..., "next": ...}`."""
        return error_json(str(self))


def error_json(message: str) -> dict[str, str | None]:
    """The one shape of errors for machines; `next` is None where the message names no step."""
    line = " ".join(message.split())
    what, semicolon, step = line.rpartition("; ")
    return {"error": what, "next": step} if semicolon else {"error": line, "next": None}


class MissingExtra(InputError):
    """An optional part of isohash that is not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'isohash[{extra}]'")
        self.extra = extra
