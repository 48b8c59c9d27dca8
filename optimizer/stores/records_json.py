"""JSON read by orjson where it answers as `json` does, else by `json`.

Where the two differ, `json` is right here: it keeps integers beyond 64 bits, and reads NaN and
Infinity, which Optuna writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from gc import is_tracked
from itertools import chain, repeat
from typing import Any

from optimizer._compat import available
from optimizer.stores._encoding import MAX_DEPTH

# What orjson reads in another way is found by two searches in C, over a translation of the text.
# An integer of 19 digits may not fit into 64 bits, and orjson would make a float of it: every digit
# becomes 0, and whatever may stand before a number a colon. (Long decimals follow a point.) Depth:
# every end of a list or object becomes the same character, to be counted.
_KINDS = bytes.maketrans(b"123456789,[ -\t\n\r}", b"000000000:::::::]")
_LONG = b":" + b"0" * 19

Parse = Callable[[bytes], Any]


def direct() -> Parse:
    """The parser for many texts, picked once: orjson, or `careful`, with equal answers."""
    if not available("orjson"):
        return careful
    from orjson import loads

    def parse(data: bytes) -> Any:
        kinds = (b":" + data).translate(_KINDS)
        if _LONG in kinds or kinds.count(b"]") > MAX_DEPTH:
            return careful(data)
        try:
            return loads(data)
        except ValueError:  # what it refuses (NaN, a byte order mark), json may read
            return careful(data)

    return parse


def parse_all(many: Sequence[bytes]) -> list[Any] | None:
    """What `direct` gives for each; None where one needs more care. Cost: less than one by one."""
    if not available("orjson"):
        return None
    from orjson import loads

    if _LONG in b":".join([b"", *many]).translate(_KINDS):
        return None
    try:
        found = list(map(loads, many))
    except ValueError:
        return None
    return found if _all_flat(found) or _most_ends(many) <= MAX_DEPTH else None


def _all_flat(many: Sequence[Any]) -> bool:
    """Whether it is quickly seen that these are objects of scalars and of objects of scalars.

    What the collector leaves alone is no list, and no object that holds others.
    """
    try:
        return not any(map(is_tracked, chain.from_iterable(map(dict.values, many))))
    except TypeError:
        return False


def _most_ends(many: Sequence[bytes]) -> int:
    """At least as many as the lists and objects that end in any one of them."""
    return sum(max(map(bytes.count, many, repeat(end))) for end in (b"}", b"]"))


def careful(data: bytes) -> Any:
    """Parse with `json`; the last of repeated names counts.

    Raises
    ------
    ValueError
        Not JSON, not text, or nested deeper than a store keeps.
    """
    try:
        found = json.loads(data)
    except RecursionError:
        raise _too_deep() from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and type(found) in (dict, list):
        _require_shallow(found)
    return found


def parse_many(texts: Sequence[str]) -> list[Any]:
    """`json.loads` of each text that a store wrote.

    Cost: one call of the parser, unless one of the texts is damaged or holds what orjson does not
    read as `json` does.

    Raises
    ------
    ValueError
        A text that is not JSON.
    """
    together = "[" + ",".join(texts) + "]"
    try:
        found = _parse_text(together)
        if type(found) is list and len(found) == len(texts):
            return found
    except ValueError:
        pass
    return [json.loads(text) for text in texts]


def _parse_text(text: str) -> Any:
    if not available("orjson"):
        return json.loads(text)
    from orjson import loads

    data = text.encode()
    return json.loads(text) if _LONG in data.translate(_KINDS) else loads(data)


def _require_shallow(found: Any) -> None:
    level, depth = [found], 0
    while level:
        if depth == MAX_DEPTH:
            raise _too_deep()
        inner: list[Any] = []
        for value in level:
            inner += value.values() if type(value) is dict else value
        level = [value for value in inner if type(value) in (dict, list)]
        depth += 1


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {MAX_DEPTH} levels")
