"""What an archive says of itself, read as if a stranger had made it.

Sizes, checksums and shapes of JSON are the store's; that a recipe, a model or an array means
something is found out where it is used. There, what Python raises about a missing or a wrong value
is turned into one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isohash.errors import InputError

_SENSELESS = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


@contextmanager
def understanding(archive: Path, what: str) -> Iterator[None]:
    """InputError if reading `what` (of the archive) meets values that make no sense."""
    try:
        yield
    except InputError:
        raise
    except _SENSELESS as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"archive {archive}: {what} cannot be understood ({type(error).__name__}: {reason}); "
            "it is damaged or another program's: run isohash verify, or index its source again"
        ) from error
