"""Pseudonyms: keyed digests that only the owner of the key can tie to a patient again.

HMAC-SHA256 under a key of 32 random bytes. The key lies in a file of its own, outside any archive,
readable by its owner alone: `$ISOHASH_KEY_FILE`, or `isohash/pseudonym.key` in the user's folder of
settings. It is made on first use. Who holds the key can compute the pseudonym of a known patient;
who does not can neither compute nor invert one.

Dates are moved by a number of days that follows from key and patient: the days between two dates of
one patient stay, the dates themselves lie two centuries back, so that nobody takes them for real
ones and no real date of another patient can turn up by chance.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
from functools import lru_cache
from pathlib import Path

from isohash.errors import InputError

KEY_BYTES = 32
# What there are pseudonyms and keyed digests of; a search for identity passes over their letters.
KINDS = (
    "patient", "case", "key", "alias", "row", "file", "source", "place", "content", "slow", "study",
)  # fmt: skip
NAME_BYTES = 10  # 80 bits, 16 letters: a million patients collide with chance below 1e-12
SHIFT_DAYS = (73_000, 10_000)  # least shift into the past, and how many more days are possible
FIRST_YEAR = 1900  # dates before it are placeholders
# What anonymisers put where a patient's number or name was; it tells nobody from anybody.
PLACEHOLDER = re.compile(
    r"|0+|x+|(de ?identified|anonym[a-z]*|anon|unknown|unbekannt|inconnu|none|null|na|no ?name"
    r"|no ?id|removed|redacted|withheld|empty|blank|patient|patient ?id|patient ?name)( ?0*)"
)


def key_path() -> Path:
    """Where the key lies on this machine."""
    if chosen := os.environ.get("ISOHASH_KEY_FILE"):
        return Path(chosen)
    if sys.platform == "win32":
        settings = Path(os.environ.get("APPDATA", Path.home()))
    else:
        settings = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return settings / "isohash" / "pseudonym.key"


def load_key(path: str | Path | None = None) -> bytes:
    """The key, made now if there is none; refused if others may read it or it is damaged."""
    path = key_path() if path is None else Path(path)
    try:
        return _read(path)
    except FileNotFoundError:
        _create(path)
        return _read(path)


def pseudonym(key: bytes, kind: str, *identity: str) -> str:
    """A name such as `patient-k5xw...`: the same for the same identity, meaningless without key."""
    if kind not in KINDS:
        raise ValueError(f"no kind of pseudonym: {kind}")
    message = "\0".join((kind, *identity)).encode(errors="surrogatepass")  # names of files
    digest = hmac.new(key, message, hashlib.sha256).digest()[:NAME_BYTES]
    return f"{kind}-{base64.b32encode(digest).decode().lower()}"


def key_mark(key: bytes) -> str:
    """Tells two keys apart and nothing of either: an archive keeps it beside its pseudonyms."""
    return pseudonym(key, "key", "mark")


@lru_cache
def is_placeholder(text: str) -> bool:
    """Whether a patient's number or name stands for nobody, as in many anonymised exports."""
    return PLACEHOLDER.fullmatch(re.sub(r"[\W_]+", " ", text.lower()).strip()) is not None


def shifted_date(key: bytes, patient: str, date: str) -> str:
    """A DICOM date as a day (YYYY-MM-DD) moved by the patient's own secret number of days.

    Empty if the text is no date of FIRST_YEAR or later.
    """
    digits = date.replace(".", "")
    try:
        day = dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return ""
    if len(digits) != 8 or day.year < FIRST_YEAR:
        return ""
    return (day - dt.timedelta(days=_shift_days(key, patient))).isoformat()


@lru_cache
def _shift_days(key: bytes, patient: str) -> int:
    least, spread = SHIFT_DAYS
    digest = hmac.new(key, f"shift\0{patient}".encode(), hashlib.sha256).digest()
    return least + int.from_bytes(digest[:8], "big") % spread


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: the key of pseudonyms cannot be read ({error})") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"{path}: others may read the key of pseudonyms; run chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise InputError(
            f"{path}: a key of pseudonyms has {KEY_BYTES} bytes, this file {len(key)}; "
            "restore it from your copy, or remove it to begin with new pseudonyms"
        )
    return key


def _create(path: Path) -> None:
    """Write a new key in one step, so that two processes starting together agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key is the key
    except OSError as error:
        raise InputError(f"{path}: cannot write the key of pseudonyms ({error})") from error
    finally:
        draft.unlink(missing_ok=True)
