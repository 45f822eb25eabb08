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
_PLAIN = re.compile(r"[\w.:-]+")  # names that only the escape \u can spell in another way


def picked(texts: Iterable[str], name: str) -> list[Any]:
    """The value of the key `name` in each text, None where it lacks it.

    Equal strings are one object. ValueError if a text that must be looked at is no JSON object.
    """
    if _PLAIN.fullmatch(name) is None:
        return [_parsed(text, name) for text in texts]
    key = f'"{name}"'
    after = len(key)
    same: dict[str, str] = {}
    values = []
    for text in texts:
        at = text.rfind(key)
        if "\\u" in text:
            value = _parsed(text, name)
        elif at < 0:
            value = None
        elif text[at - 1] in "{," and text.startswith(":", at + after) and text.find("{", 1) < 0:
            value, _ = _value_at(text, at + after + 1)
        else:
            value = _parsed(text, name)
        values.append(same.setdefault(value, value) if type(value) is str else value)
    return values


def _parsed(text: str, name: str) -> Any:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds JSON that is no object")
    return found.get(name)
