"""Images of a query that has no dose: its predicted dose is cut, encoded and hashed like any.

Only "dose" and "joint" are answered so, and the answer says it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from isohash.retrieval.answer import Match
from isohash.retrieval.request import Request
from isohash.retrieval.ways.images import ImagesWay
from isohash.retrieval.ways.way import Mask, Ranking

NOTE = "the query has no dose: compared is the dose that its anatomy would get, as past plans teach"


@dataclass(frozen=True, eq=False)
class ForeseenWay:
    """`make` gives the way by the images of CT and predicted dose, or says why there is none."""

    make: Callable[[], ImagesWay | str]
    names: tuple[str, ...] = ("dose", "joint")

    @cached_property
    def images(self) -> ImagesWay | str:
        """The way that answers, made when it is first asked."""
        return self.make()

    @property
    def kept_bytes(self) -> int:
        """What it keeps for the next question."""
        made = self.__dict__.get("images")
        return made.kept_bytes if isinstance(made, ImagesWay) else 0

    def why_not(self) -> str | None:
        """Why no dose is foretold."""
        return self.images if isinstance(self.images, str) else self.images.why_not()

    def missed(self) -> str | None:
        """Nobody asks for it unnamed."""
        return None

    def refusal(self, request: Request) -> str | None:
        """As images are refused; and where the request does not ask for a dose."""
        if request.by not in self.names:
            return "a predicted dose must be asked for: --by dose or joint"
        return self.images if isinstance(self.images, str) else self.images.refusal(request)

    def measures(self, others: Mask, ranking: Ranking | None = None) -> dict[str, float]:
        """Those of the images that are the query's own: its foreseen dose is not."""
        if isinstance(self.images, str):
            return {}
        found = self.images.measures(others, ranking)
        return {name: value for name, value in found.items() if not name.endswith(" dose")}

    def rank(self, request: Request, allowed: Mask) -> Ranking:
        """By the images, and said to be of a predicted dose."""
        assert not isinstance(self.images, str)  # as `refusal` has made sure
        ranking = self.images.rank(request, allowed)
        return replace(ranking, notes=(NOTE, *ranking.notes))

    def match(self, ranking: Ranking) -> tuple[Match, ...]:
        """With the matched slices."""
        assert not isinstance(self.images, str)
        return self.images.match(ranking)
