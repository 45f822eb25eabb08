"""`Request`: what is asked of an archive, as one record that is checked once.

Its values are checked where it is made; whether they mean something to an archive and a query is
checked where both are known (`ways.choice`). An option that means nothing there is refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, get_args

from isohash.errors import InputError
from isohash.retrieval.refined import Box, Span, check_box, check_marks, check_span

Level = Literal["case", "slice"]
Absent = Literal["mean", "ignored"]
Weights = Mapping[str, float]  # of views


REFINING = ("span", "box_mm", "structures", "good", "bad")


class Options(TypedDict, total=False):
    """The fields of a `Request` by name, as keyword arguments."""

    k: int
    by: str | None
    alpha: float | None
    level: str | None
    slice: int | None
    where: str | None
    same_patient: bool
    rerank: int | None
    weights: Weights | None
    absent: str | None
    covered: float | None
    span: Span | None
    box_mm: Box | None
    structures: Weights | None
    good: Sequence[str]
    bad: Sequence[str]


@dataclass(frozen=True)
class Request:
    """What is asked: how many, by what, among which cases. None leaves the choice to the archive.

    Args:
        k: how many results; fewer come back, with the reason, if fewer qualify.
        by: "plan", "map", "ct", "dose" or "joint" of cases, "vector" of vectors. None takes plan
            for a query whose structures tell what plan it would get, otherwise its images: both, or
            the one that it has. "map" compares whole doses, laid rigidly; a query without a dose is
            asked by "dose" and "joint" with the one that it would get.
        alpha: weight of CT against dose in a joint query, 0..1; 0.25 if not given.
        level: "case" aligns all slices monotonically, "slice" ranks single slices.
        slice: the query's slice for level="slice", by its index in the volume (the middle one if
            not given); the row of a file of vectors (the first).
        where: a filter on facts, such as "prescription_gy >= 60"; applied before the search.
        same_patient: also return cases of the query's own patient.
        rerank: so many candidates, nearest by code, are ordered anew by the exact distances of
            their embeddings; 0 leaves the order to the codes. If not given, 64 cases (256 vectors)
            where the archive keeps embeddings.
        weights: the weight of each view, such as {"ct": 0.2, "dose": 0.8}, instead of by and alpha.
        absent: how a structure of the query that a case lacks counts by plan: with the "mean" of
            the others, so that no case comes first because little of it is known (the default), or
            "ignored", which follows the plans' distance in shared structures best.
        covered: cases whose slices cover less than this share of the query's length, 0..1, are
            left out; what is not covered costs in any case.
        span: first and last slice of the query, by their index in the volume, that count: by images
            and by dose map only these are compared, and a case's length beyond costs nothing.
        box_mm: x, y of one corner and x, y of the other in the query's patient coordinates (LPS, in
            mm): by dose map only the dose inside counts.
        structures: weights of structures in the distance by plan; what is not named weighs 1, and
            0 leaves a structure out.
        good: ids of cases of the archive that are what is wanted. With `bad` they move the weights
            of the parts that a distance is made of: CT and dose, structures (see `marks`). Asked
            with vectors, they move the query itself.
        bad: ids of cases that are not what is wanted.

    Example:
        >>> Request(k=5, by="joint", alpha=0.3).k
        5
    """

    k: int = 10
    by: str | None = None
    alpha: float | None = None
    level: str | None = None
    slice: int | None = None
    where: str | None = None
    same_patient: bool = False
    rerank: int | None = None
    weights: Weights | None = None
    absent: str | None = None
    covered: float | None = None
    span: Span | None = None
    box_mm: Box | None = None
    structures: Weights | None = None
    good: Sequence[str] = ()
    bad: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._check_words()
        self._check_numbers()
        if self.weights is not None:
            _check_instead(self.by, self.alpha)
            values = _checked_weights(self.weights, "weights must name views, such as {'ct': 1.0}")
            if not any(values):
                raise InputError(f"weights must not be all 0, got {dict(self.weights)}")
        if self.structures is not None:
            _checked_weights(self.structures, "structures must name some, as {'Brainstem': 3.0}")
        check_span(self.span)
        check_box(self.box_mm)
        check_marks(self.good, self.bad)

    def _check_words(self) -> None:
        if self.by is not None and not isinstance(self.by, str):
            raise InputError(f"--by must be text, got {self.by!r}")
        _check_word(self.level, "--level", get_args(Level)[::-1])
        _check_word(self.absent, "--absent", get_args(Absent))
        if self.where is not None and not isinstance(self.where, str):
            raise InputError(f"--where must be text, got {self.where!r}")
        if not isinstance(self.same_patient, bool):
            raise InputError(f"same_patient must be True or False, got {self.same_patient!r}")

    def _check_numbers(self) -> None:
        if _whole(self.k, "-k") < 1:
            raise InputError(f"-k must be at least 1, got {self.k}")
        if self.alpha is not None and not 0.0 <= _number(self.alpha, "--alpha") <= 1.0:
            raise InputError(f"--alpha is the weight of CT against dose in 0..1, got {self.alpha}")
        if self.rerank is not None and _whole(self.rerank, "--rerank") < 0:
            raise InputError(f"--rerank must be 0 (by code only) or more, got {self.rerank}")
        if self.slice is not None and _whole(self.slice, "--slice") < 0:
            raise InputError(f"--slice must be 0 or more, got {self.slice}")
        if self.covered is not None and not 0.0 <= _number(self.covered, "--covered") <= 1.0:
            raise InputError(
                f"--covered is the least share of the query's length in 0..1, got {self.covered}"
            )

    @classmethod
    def of(cls, request: Request | int | None, options: Options | None = None) -> Request:
        """A request as it is, or one made of `k` and options by name."""
        given: dict[str, Any] = dict(options or {})
        if unknown := sorted(set(given) - {field.name for field in fields(cls)}):
            known = ", ".join(field.name for field in fields(cls))
            raise InputError(f"a request has no option {unknown[0]!r}; it has {known}")
        if isinstance(request, Request):
            if given:
                raise InputError(f"give a Request or single options, not both: {sorted(given)}")
            return request
        if request is not None:
            if "k" in given:
                raise InputError(f"k is given twice: {request!r} and {given['k']!r}")
            given["k"] = request
        return cls(**given)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that only some ways of answering understand, where given."""
        names = ("alpha", "weights", "level", "slice", "rerank", "absent", "covered", *REFINING)
        return tuple(name for name in names if getattr(self, name) not in (None, (), []))

    @property
    def marked(self) -> bool:
        """Whether cases are marked as what is wanted, or not."""
        return bool(self.good or self.bad)


def _check_word(value: Any, option: str, words: tuple[str, ...]) -> None:
    if value is not None and value not in words:
        raise InputError(f"{option} must be {' or '.join(words)}, got {value!r}")


def _whole(value: Any, option: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{option} must be a whole number, got {value!r}") from None


def _number(value: Any, option: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{option} must be a number, got {value!r}") from None


def _check_instead(by: str | None, alpha: float | None) -> None:
    if by is not None or alpha is not None:
        raise InputError("weights stand instead of by and alpha: leave these out")


def _checked_weights(weights: Weights, wanted: str) -> list[float]:
    if not isinstance(weights, Mapping) or not weights:
        raise InputError(f"{wanted}; got {weights!r}")
    values = [_number(weight, f"the weight of {name}") for name, weight in weights.items()]
    if not all(math.isfinite(value) and value >= 0 for value in values):
        raise InputError(f"weights must be 0 or more, got {dict(weights)}")
    return values
