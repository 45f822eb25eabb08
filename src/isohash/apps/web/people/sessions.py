"""Who is logged in, and who tries too often. In memory: a new start asks everybody again."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from isohash.apps.web.people.users import User, Users

IDLE_S = 60 * 60
LONGEST_S = 12 * 60 * 60
MOST_SESSIONS = 1000

FREE_TRIES = {"account": 5, "address": 20}  # before each further one has to wait
LONGEST_WAIT_S = 300.0
FORGOTTEN_S = 15 * 60
MOST_WATCHED = 10_000

Clock = Callable[[], float]


@dataclass
class _Session:
    user: User
    begun: float
    seen: float


@dataclass
class Sessions:
    """Sessions by the digest of their secret, which the browser alone has."""

    users: Users
    clock: Clock = time.monotonic
    _open: dict[str, _Session] = field(default_factory=dict)

    def begin(self, user: User) -> str:
        """A new secret for somebody who has just proved who they are."""
        secret, now = secrets.token_urlsafe(32), self.clock()
        while len(self._open) >= MOST_SESSIONS:
            del self._open[min(self._open, key=lambda one: self._open[one].seen)]
        self._open[_digest(secret)] = _Session(user, now, now)
        return secret

    def find(self, secret: str) -> User | None:
        """Whose secret it is; None where it has ended or its user has changed."""
        session, now = self._open.get(_digest(secret)), self.clock()
        if session is None:
            return None
        lasting = now - session.seen <= IDLE_S and now - session.begun <= LONGEST_S
        if not lasting or self.users.all().get(session.user.name) != session.user:
            self.end(secret)
            return None
        session.seen = now
        return session.user

    def end(self, secret: str) -> None:
        """Log out."""
        self._open.pop(_digest(secret), None)


@dataclass
class Throttle:
    """After some failures of an account or an address, each further try waits twice as long."""

    clock: Clock = time.monotonic
    _failures: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def wait_s(self, account: str, address: str) -> float:
        """How long the next try has to wait still; 0 where it may come."""
        return max(self._wait(key) for key in _keys(account, address))

    def failed(self, account: str, address: str) -> None:
        """Count a failure."""
        for key in _keys(account, address):
            n, last = self._failures.pop(key, (0, self.clock()))
            n = 0 if self.clock() - last > FORGOTTEN_S else n
            self._failures[key] = (n + 1, self.clock())
        while len(self._failures) > MOST_WATCHED:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of who has proved who they are."""
        for key in _keys(account, address):
            self._failures.pop(key, None)

    def _wait(self, key: tuple[str, str]) -> float:
        n, last = self._failures.get(key, (0, 0.0))
        beyond = n - FREE_TRIES[key[0]]
        if beyond < 0:
            return 0.0
        pause = min(LONGEST_WAIT_S, 2.0**beyond)
        return max(0.0, last + pause - self.clock())


def _keys(account: str, address: str) -> tuple[tuple[str, str], ...]:
    return (("account", account[:64]), ("address", address))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
