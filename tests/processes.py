"""Processes that tests start."""

from __future__ import annotations


def small_parent(*command: str) -> list[str]:
    """The command as one of a shell: what a child has used at most begins with its parent's.

    A process starts with the peak of memory of the one that it was forked from, and that of a long
    run of tests is beyond any limit that a fuzzer is given.
    """
    return ["sh", "-c", '"$@"; exit $?', "sh", *command]
