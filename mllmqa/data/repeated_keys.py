"""Keys that a JSON object has twice: parsers keep the last value without a word; here they are named."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from mllmqa.data.flaws import Flaw

EXPECTED = "each key once: of two values it is not known which is meant"


class RepeatedKeys:
    """Watches a parse: give it as ``object_pairs_hook``, then ask for the :meth:`places` in what was parsed."""

    def __init__(self) -> None:
        self._found: list[tuple[dict[str, Any], list[str]]] = []

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Make an object, and remember it if a key is there twice."""
        made = dict(pairs)
        if len(made) < len(pairs):
            self._found.append((made, [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]))
        return made

    def places(self, value: Any) -> list[str]:
        """Return the keys that are there twice, from the parsed value on, e.g. ``labels.mos.0.value``; forget them.

        Args:
            value: What the parse gave.
        """
        keys, self._found = {id(made): repeated for made, repeated in self._found}, []
        return list(_walk(value, keys)) if keys else []


def _walk(value: Any, keys: dict[int, list[str]]) -> list[str]:
    found: list[str] = []
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        start, one = left.pop()
        found += [f"{start}{key}" for key in keys.get(id(one), ())]
        inner = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        left += reversed([(f"{start}{key}.", item) for key, item in inner])
    return found


def repeated_key_flaws(text: str | bytes) -> list[Flaw]:
    """Return a flaw for each key that an object of a JSON text has twice; none of what is not JSON.

    Args:
        text: One record; bytes are UTF-8.
    """
    watch = RepeatedKeys()
    try:
        value = json.loads(text, object_pairs_hook=watch, parse_int=len, parse_float=len)  # no limit of digits
    except (ValueError, RecursionError):
        return []
    return [Flaw(place, "there twice", EXPECTED) for place in watch.places(value)]
