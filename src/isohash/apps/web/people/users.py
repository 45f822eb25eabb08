"""Users of one archive's workbench: names, roles and argon2 hashes, in a file beside it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from isohash.apps.web.who import LOCAL, Role
from isohash.errors import InputError, MissingExtra
from isohash.whole_files import OWNER_ONLY, private_folder, write_whole

if TYPE_CHECKING:
    from argon2 import PasswordHasher

FILE = "users.json"
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}\Z")
LEAST_PASSWORD = 12
MOST_PASSWORD = 1000


@dataclass(frozen=True)
class User:
    """A name, what it may do, and the hash of its password."""

    name: str
    role: Role
    hash: str


class Users:
    """Read anew whenever the file has changed, so that a change counts at once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._seen: tuple[int, int] | None = None
        self._users: dict[str, User] = {}

    def all(self) -> dict[str, User]:
        """The users by name; none where there is no file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        seen = (status.st_mtime_ns, status.st_ino)
        if seen != self._seen:
            self._users, self._seen = _read(self.path), seen
        return self._users

    def add(self, name: str, role: str, password: str) -> None:
        """A new user; InputError where the name is taken or none, or the password too short."""
        if not NAME.match(name) or name == LOCAL:
            raise InputError(
                f"{name} cannot be a user's name; use small letters, digits and . _ -, 32 at most"
            )
        if role not in get_args(Role):
            raise InputError(f"--role must be {' or '.join(get_args(Role))}, got {role!r}")
        with self._changing() as users:
            if name in users:
                raise InputError(f"there is a user {name} already; see isohash users list")
            users[name] = User(name, role, _hashed(password))  # type: ignore[arg-type]

    def remove(self, name: str) -> None:
        """Take a user out; sessions end at once."""
        with self._changing() as users:
            del users[_known(users, name)]

    def set_password(self, name: str, password: str) -> None:
        """Another password; sessions end at once."""
        with self._changing() as users:
            old = users[_known(users, name)]
            users[name] = User(name, old.role, _hashed(password))

    def verified(self, name: str, password: str) -> User | None:
        """The user, if the password is theirs; as slow for a name that nobody has."""
        from argon2.exceptions import VerificationError

        user = self.all().get(name)
        try:
            hasher().verify(user.hash if user else nobodys_hash(), password[:MOST_PASSWORD])
        except VerificationError:
            return None
        return user

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        """The users, to change; nobody else changes them meanwhile."""
        private_folder(self.path.parent)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, OWNER_ONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = _read(self.path) if self.path.exists() else {}
            yield users
            told = {"format": 1, "users": [asdict(user) for user in users.values()]}
            write_whole(self.path, json.dumps(told, indent=1).encode(), kept_up=True)
        finally:
            os.close(lock)


@cache
def hasher() -> PasswordHasher:
    """Argon2id with the parameters of RFC 9106 for little memory (64 MiB)."""
    try:
        from argon2 import PasswordHasher
    except ModuleNotFoundError as error:
        raise MissingExtra("serve", "logging in") from error
    return PasswordHasher()


@cache
def nobodys_hash() -> str:
    """What the password of an unknown name is compared with."""
    return hasher().hash(os.urandom(16))


def _hashed(password: str) -> str:
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise InputError(
            f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD} characters, got {len(password)}"
        )
    return hasher().hash(password)


def _known(users: dict[str, User], name: str) -> str:
    if name not in users:
        raise InputError(f"there is no user {name}; see isohash users list")
    return name


def _read(path: Path) -> dict[str, User]:
    try:
        told = json.loads(path.read_text())
        users = [User(str(one["name"]), one["role"], str(one["hash"])) for one in told["users"]]
        if told["format"] != 1 or not {user.role for user in users} <= set(get_args(Role)):
            raise ValueError("another format")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it and add the users anew") from None
    return {user.name: user for user in users}
