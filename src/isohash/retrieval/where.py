"""Filters such as `prescription_gy >= 60 and label != 'left'` on what is known of a case.

The expression is parsed as Python and only names, constants, comparisons, `in`, `and`, `or` and
`not` are understood, so a filter can read a case's facts and do nothing else. A comparison with a
fact that a case lacks is false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from isohash.errors import InputError

MOST_CHARACTERS = 10_000
MOST_DEPTH = 50

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


@dataclass(frozen=True, eq=False)
class Filter:
    """An expression over facts; `names` are those that it looks at.

    `compared` are names with the constants that they are compared with.
    """

    body: ast.expr
    names: tuple[str, ...]
    compared: tuple[tuple[str, Any], ...] = ()

    def __call__(self, facts: Mapping[str, Any]) -> bool:
        """Whether a mapping of facts satisfies the expression."""
        return bool(_evaluate(self.body, facts))


def parse_where(expression: str) -> Filter:
    """A filter that says whether facts satisfy the expression; InputError if it is none."""
    if len(expression) > MOST_CHARACTERS:
        raise InputError(f"--where has {len(expression)} characters; at most {MOST_CHARACTERS}")
    try:
        body = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(
            f"--where {expression!r} is not an expression ({why}); write one such as "
            "prescription_gy >= 60 and label != 'left'"
        ) from error
    _check(body, expression)
    if _depth(body) > MOST_DEPTH:
        raise InputError(f"--where nests more than {MOST_DEPTH} expressions; write it flatter")
    names = {part.id for part in ast.walk(body) if isinstance(part, ast.Name)}
    return Filter(body, tuple(sorted(names)), tuple(_compared(body)))


def _compared(body: ast.expr) -> Iterator[tuple[str, Any]]:
    for part in ast.walk(body):
        if not isinstance(part, ast.Compare):
            continue
        terms = (part.left, *part.comparators)
        for a, b in pairwise(terms):
            name, other = (a, b) if isinstance(a, ast.Name) else (b, a)
            if not isinstance(name, ast.Name):
                continue
            inside = other.elts if isinstance(other, ast.List | ast.Tuple) else [other]
            yield from ((name.id, one.value) for one in inside if isinstance(one, ast.Constant))


def _check(node: ast.AST, expression: str) -> None:
    understood = (
        ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Name,
        ast.Load, ast.Constant, ast.Tuple, ast.List, *_COMPARISONS,
    )  # fmt: skip
    for part in ast.walk(node):
        if not isinstance(part, understood):
            raise InputError(
                f"--where {expression!r} uses {type(part).__name__}: only names, constants, "
                "comparisons, in, and, or, not are understood"
            )


def _depth(body: ast.AST) -> int:
    """How deep an expression nests, found without recursion."""
    depth, level = 0, [body]
    while level:
        depth += 1
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
    return depth


def _evaluate(node: ast.AST, facts: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return facts.get(name)
        case ast.Tuple(items) | ast.List(items):
            return [_evaluate(item, facts) for item in items]
        case ast.UnaryOp(ast.Not(), operand):
            return not _evaluate(operand, facts)
        case ast.UnaryOp(_, operand):
            value = _evaluate(operand, facts)
            return -value if isinstance(value, int | float) else None
        case ast.BoolOp(ast.And(), parts):
            return all(_evaluate(part, facts) for part in parts)
        case ast.BoolOp(_, parts):
            return any(_evaluate(part, facts) for part in parts)
        case ast.Compare(left, operators, rights):
            values = [_evaluate(part, facts) for part in (left, *rights)]
            return all(
                _compare(op, a, b)
                for op, a, b in zip(operators, values[:-1], values[1:], strict=True)
            )
    raise AssertionError(f"unchecked node {node}")


def _compare(op: ast.cmpop, a: Any, b: Any) -> bool:
    if a is None or b is None:
        return False
    try:
        return _COMPARISONS[type(op)](a, b)
    except TypeError:  # such as '70' < 60: no order, so not satisfied
        return False
