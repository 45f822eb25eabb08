"""Who asks: a name, a role, where from, and the token that their forms carry."""

from __future__ import annotations

import hashlib
import hmac
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Depends
from markupsafe import Markup

Role = Literal["viewer", "curator", "admin"]
Rank = Literal["nobody", "viewer", "curator", "admin"]  # a role, or that of who is not logged in
RANKS: tuple[Rank, ...] = get_args(Rank)  # each may what those before it may

LOCAL = "local"  # who has the token of a server for one person
FIELD = "csrf"  # of forms
HEADER = "x-csrf-token"  # of requests by a script


@dataclass(frozen=True)
class Who:
    """Who sent a request. A change that a browser sends must carry `csrf`."""

    name: str
    role: Rank
    csrf: str
    address: str = ""

    @property
    def signed_in(self) -> bool:
        """Whether it is a user who logged in."""
        return self.name not in ("", LOCAL)

    def may(self, rank: Rank) -> bool:
        """Whether theirs is this rank or above it."""
        return RANKS.index(self.role) >= RANKS.index(rank)


WHO: ContextVar[Who] = ContextVar("who")


def who() -> Who:
    """Who sent the request that is being answered."""
    return WHO.get()


def csrf_of(secret: str) -> str:
    """The token of the forms of who has a secret, which it does not tell."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def csrf_field() -> Markup:
    """The token as a hidden field of a form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, who().csrf)


async def asker() -> Who:
    """As a dependency; asynchronous, to run where the guard has set it."""
    return who()


TheAsker = Annotated[Who, Depends(asker)]
