"""Trials as rows of `optuna_trials`, and rows as Optuna's frozen trials."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optimizer.errors import StoreArgumentError
from optimizer.stores._spaces import Space, Spaces

STATES = tuple(TrialState(number) for number in range(5))
"""By their numbers, which Optuna's own storages write too."""
RUNNING, COMPLETE, FAIL, WAITING = map(
    int, (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING)
)
FINISHED = tuple(state.is_finished() for state in STATES)

COLUMNS = "id, number, state, change, space, params, value, user, system, steps, started, finished"
Row = tuple[Any, ...]
"""A row read as `COLUMNS`."""
ID, NUMBER, STATE, CHANGE, SPACE, PARAMS, VALUE, USER, SYSTEM, STEPS, STARTED, END = range(12)

SINCE = f"SELECT {COLUMNS} FROM optuna_trials WHERE study = ? AND change > ?"  # noqa: S608 - ours
INSERT = (
    "INSERT INTO optuna_trials (study, number, state, change, space, params, value, user, system,"
    " steps, started, finished) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
NEW = "INSERT INTO optuna_trials (study, number, state, change, started) VALUES (?, ?, ?, ?, ?)"
UPDATE = (
    "UPDATE optuna_trials SET state = ?, change = ?, space = ?, params = ?, value = ?, user = ?,"
    " system = ?, steps = ?, started = ?, finished = ? WHERE id = ?"
)
ONE = f"SELECT {COLUMNS} FROM optuna_trials WHERE id = ?"  # noqa: S608 - ours
STUDY_OF = "SELECT study FROM optuna_trials WHERE id = ?"


@lru_cache(maxsize=256)
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}d")


def pack(values: Sequence[float]) -> bytes | None:
    """Doubles as they are, every bit of them; None for none."""
    return _doubles(len(values)).pack(*values) if values else None


def unpack(packed: bytes | None) -> list[float]:
    """The values of `pack`; struct.error if it is damaged."""
    return list(_doubles(len(packed) // 8).unpack(packed)) if packed else []


def pack_steps(steps: Mapping[int, float]) -> bytes | None:
    """Intermediate values by their steps, which are 64-bit integers; None for none."""
    if not steps:
        return None
    flat = [part for pair in steps.items() for part in pair]
    return struct.pack("<" + "qd" * len(steps), *flat)


def unpack_steps(packed: bytes | None) -> dict[int, float]:
    """The values of `pack_steps`; struct.error if it is damaged."""
    return dict(struct.iter_unpack("<qd", packed)) if packed else {}


def require_step(step: int) -> int:
    """The step, if it can be stored; StoreArgumentError if it needs more than 64 bits."""
    if not -(2**63) <= step < 2**63:
        raise StoreArgumentError(f"found the step {step!r}, expected an integer of 64 bits")
    return int(step)


def attribute(key: str, value: Any) -> str:
    """An attribute's value as JSON; TypeError or ValueError for what JSON cannot hold."""
    if not isinstance(key, str):
        raise StoreArgumentError(
            f"found the name {key!r} of an attribute, of type {type(key).__name__}, expected a str"
        )
    return json.dumps(value)


def attributes_text(attributes: Mapping[str, str]) -> str | None:
    """Texts that are JSON already as one JSON object; None for none."""
    if not attributes:
        return None
    return "{" + ", ".join(f"{json.dumps(k)}: {v}" for k, v in attributes.items()) + "}"


def time_of(text: str | None) -> datetime | None:
    """The time of a row; ValueError if damaged."""
    return None if text is None else datetime.fromisoformat(text)


def text_of(time: datetime | None) -> str | None:
    """The time for a row, to the microsecond and with its zone, if it has one."""
    return None if time is None else time.isoformat()


def frozen(row: Row, spaces: Spaces) -> FrozenTrial:
    """The trial of a row; ValueError, KeyError, struct.error or TypeError if it is damaged."""
    values = _doubles(len(row[PARAMS]) // 8).unpack(row[PARAMS]) if row[PARAMS] else ()
    space = spaces.at(row[SPACE])
    return _frozen(row, space, space.params(values))


def frozen_many(rows: Iterable[Row], spaces: Spaces) -> list[FrozenTrial]:
    """`frozen` of each, in their order. Cost: less than one by one where they share a space."""
    of_space: dict[int | None, list[tuple[int, Row]]] = {}
    count = 0
    for count, row in enumerate(rows, 1):
        of_space.setdefault(row[SPACE], []).append((count - 1, row))
    found: list[Any] = [None] * count
    for row_id, members in of_space.items():
        space = spaces.at(row_id)
        blobs = [row[PARAMS] or b"" for _, row in members]
        size = len(space.names)
        if set(map(len, blobs)) != {8 * size}:
            raise ValueError("parameters and their space do not belong together")
        values: list[tuple[Any, ...]] = [()] * len(blobs)
        if size:
            values = list(_doubles(size).iter_unpack(b"".join(blobs)))
        params = space.params_of_many(values)
        for (place, row), named in zip(members, params, strict=True):
            found[place] = _frozen(row, space, named)
    return found


def _frozen(row: Row, space: Space, params: dict[str, Any]) -> FrozenTrial:
    _, number, state, _, _, _, value, user, system, steps, started, end = row
    return FrozenTrial(
        number,
        STATES[state],
        None,
        None if started is None else datetime.fromisoformat(started),
        None if end is None else datetime.fromisoformat(end),
        params,
        space.distributions(),
        json.loads(user) if user else {},
        json.loads(system) if system else {},
        unpack_steps(steps),
        row[ID],
        values=_doubles(len(value) // 8).unpack(value) if value else None,
    )
