"""Rows of the table `trials` as trials, many at once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from optimizer.protocols import Trial
from optimizer.stores._encoding import DOUBLE_BYTES, STATES, unpack
from optimizer.stores.records_format import trials_of_columns
from optimizer.stores.records_json import parse_many

READ_COLUMNS = "number, state, params, value, attributes, signature, started, finished"


def trials_of(rows: Sequence[Sequence[Any]]) -> list[Trial]:
    """The trials of rows read as `READ_COLUMNS`, in their order.

    Cost: one parser call for all params and one for all attributes.

    Raises
    ------
    ValueError, TypeError
        A row that no store wrote.
    """
    if not rows:
        return []
    numbers, states, params, values, attributes, *rest = zip(*rows, strict=True)
    if not set(states) <= set(range(len(STATES))):
        raise ValueError(f"found the states {sorted(set(states))}, expected 0 to {len(STATES) - 1}")
    return trials_of_columns(
        numbers,
        map(STATES.__getitem__, states),
        _objects(params),
        _tuples(values),
        _objects(attributes),
        *rest,
    )


def _objects(texts: Sequence[str | None]) -> list[dict[str, Any]]:
    found = parse_many([text or "{}" for text in texts])
    if set(map(type, found)) != {dict}:
        raise ValueError("params or attributes are no JSON object")
    return found


def _tuples(values: Sequence[bytes | None]) -> list[tuple[float, ...]]:
    packed = [doubles or b"" for doubles in values]
    if set(map(len, packed)) == {DOUBLE_BYTES}:  # as where there is one objective
        return list(struct.iter_unpack("<d", b"".join(packed)))
    if any(len(doubles) % DOUBLE_BYTES for doubles in packed):
        raise ValueError("a value is no whole number of doubles")
    return list(map(unpack, packed))
