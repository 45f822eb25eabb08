"""One value of many JSON objects, without parsing them whole.

The metadata of 100,000 cases take seconds to parse and a gigabyte to hold, and a query looks at two
or three values of each. In JSON a quote within a string is always escaped, so `"name":` behind a
brace or a comma is a key; where a text has one opening brace only, it is a key of the outermost
object. Every text that this does not settle is parsed whole, so the result is that of `json.loads`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_value_at = json.JSONDecoder().raw_decode
_UNSETTLED = object()
_PLAIN = re.compile(r"[\w.:-]+")  # names that only the escape \u can spell in another way


def picked(texts: Iterable[str], name: str) -> list[Any]:
    """The value of the key `name` in each text, None where it lacks it.

    Equal strings are one object. ValueError if a text that must be looked at is no JSON object.
    """
    if _PLAIN.fullmatch(name) is None:
        return [_parsed(text, name) for text in texts]
    same: dict[str, str] = {}
    values = []
    for text in texts:
        value = _quickly(text, f'"{name}"') if "\\u" not in text else _UNSETTLED
        value = _parsed(text, name) if value is _UNSETTLED else value
        values.append(same.setdefault(value, value) if type(value) is str else value)
    return values


def _quickly(text: str, key: str) -> Any:
    at = text.rfind(key)
    if at < 0:
        return None
    after = at + len(key)
    if text[at - 1] not in "{," or not text.startswith(":", after) or text.find("{", 1) >= 0:
        return _UNSETTLED
    try:
        return _value_at(text, after + 1)[0]
    except ValueError:  # a space before the value
        return _UNSETTLED


def _parsed(text: str, name: str) -> Any:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds JSON that is no object")
    return found.get(name)
