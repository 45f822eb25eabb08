"""What tells an address of a PACS from a path; loads nothing."""

from __future__ import annotations

from pathlib import Path

SCHEMES = ("dicomweb:", "dimse:")


def is_address(text: str | Path) -> bool:
    """Whether a source is a PACS rather than a path."""
    return str(text).startswith(SCHEMES)
