"""Exact forms of values, attributes and trials on disk: doubles, and JSON that comes back equal."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.errors import EvaluationError, SignatureError
from optimizer.protocols import Trial
from optimizer.stores._arguments import require_signature

DOUBLE_BYTES = 8
MAX_DEPTH = 100

STATES = ("running", "complete", "pruned", "failed", "waiting")
"""The place of a state is its number, as Optuna numbers them."""
FINISHED = ("complete", "pruned", "failed")

UNREADABLE = (ValueError, TypeError, RecursionError, struct.error)
"""What reading a damaged row may raise."""


def pack(values: float | Sequence[float]) -> bytes:
    """One value or several as little-endian doubles; NaN and infinities are kept.

    Raises
    ------
    EvaluationError
        No value at all, or one that is no real number.
    """
    several = values if isinstance(values, (tuple, list)) else _listed(values)
    try:
        packed = struct.pack(f"<{len(several)}d", *several)
    except (struct.error, TypeError, OverflowError) as error:
        raise EvaluationError(
            f"found the values {_short(values)} ({error}), expected a number or a sequence of"
            " numbers that fit into a double."
        ) from None
    if not packed:
        raise EvaluationError("found no value, expected at least one number")
    return packed


def unpack(packed: bytes) -> tuple[float, ...]:
    """The values of `pack`."""
    return struct.unpack(f"<{len(packed) // DOUBLE_BYTES}d", packed)


def _listed(values: Any) -> Sequence[Any]:
    """Anything else: a number, or an array of one dimension."""
    if isinstance(values, (str, bytes, bytearray, Mapping)):
        raise EvaluationError(
            f"found the values {_short(values)}, expected a number or a sequence of numbers."
        )
    if getattr(values, "ndim", None) == 1 or isinstance(values, Sequence):
        return list(values)
    return (values,)


def to_json(value: Any, what: str) -> str:
    """JSON text that `from_json` turns into an equal value; tuples come back as lists.

    Raises
    ------
    EvaluationError
        Anything but None, bool, int, float, str, and lists, tuples and string-keyed mappings of
        them (numpy scalars count as what they hold); or more than `MAX_DEPTH` levels.
    """
    try:
        return json.dumps(_plain(value, what, 0), separators=(",", ":"))
    except ValueError as error:  # an integer of more digits than Python converts
        raise EvaluationError(f"{what} cannot be written as JSON: {error}") from None


def from_json(text: str) -> Any:
    """The value of `to_json`."""
    return json.loads(text)


def attributes_text(attributes: Mapping[str, Any] | None) -> str | None:
    """Attributes as JSON, None for none; EvaluationError for what is no mapping of JSON values."""
    if attributes is None:
        return None
    text = mapping_text(attributes, "the attributes")
    return None if text == "{}" else text


def mapping_text(mapping: Mapping[str, Any], what: str) -> str:
    """A mapping as JSON; EvaluationError for anything else."""
    if not isinstance(mapping, Mapping):
        raise EvaluationError(
            f"{what} are {_short(mapping)}, expected a mapping of names to values"
        )
    return to_json(mapping, what)


def attributes_of(text: str | None) -> dict[str, Any]:
    """Attributes of their own for every caller, who may change them; UNREADABLE if damaged."""
    if not text:
        return {}
    found: dict[str, Any] = json.loads(text)
    if type(found) is not dict:
        raise ValueError(f"found a {type(found).__name__}, expected an object")
    return found


def _plain(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if depth > MAX_DEPTH:
        raise EvaluationError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        plain = {}
        for key, inner in value.items():
            if type(key) is not str:
                raise EvaluationError(
                    f"{where} has the key {_short(key)} of type {type(key).__name__}, expected"
                    " text: JSON would turn it into text."
                )
            plain[key] = _plain(inner, f"{where}[{key!r}]", depth + 1)
        return plain
    if isinstance(value, (list, tuple)):
        return [_plain(inner, f"{where}[{i}]", depth + 1) for i, inner in enumerate(value)]
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == ():
        return _plain(value.item(), where, depth + 1)
    raise EvaluationError(
        f"{where} is {_short(value)} of type {kind.__name__}, expected what JSON can hold: None,"
        " bool, int, float, str, and lists and string-keyed mappings of them."
    )


def trial_row(study: int, trial: Trial) -> tuple[Any, ...]:
    """The row of a trial.

    Raises
    ------
    EvaluationError
        A number, state, time, or other field that is not one.
    """
    if type(trial.number) is not int or not 0 <= trial.number < 2**63:
        raise EvaluationError(f"found trial number {trial.number!r}, expected an integer from 0 on")
    if trial.state not in STATES:
        raise EvaluationError(
            f"found state {trial.state!r}, expected one of {', '.join(map(repr, STATES))}"
        )
    if not isinstance(trial.values, (tuple, list)):  # 0.0 would pass for none
        raise EvaluationError(
            f"trial {trial.number}: found the values {_short(trial.values)}, expected a tuple"
        )
    if trial.signature is not None:
        try:
            require_signature(trial.signature)
        except SignatureError as error:
            raise EvaluationError(f"trial {trial.number}: {error}") from None
    return (
        study,
        trial.number,
        STATES.index(trial.state),
        mapping_text(trial.params, f"trial {trial.number}: the parameters"),
        pack(trial.values) if trial.values else None,
        attributes_text(trial.attributes),
        trial.signature,
        _time(trial.started_s),
        _time(trial.finished_s),
    )


def _time(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise EvaluationError(f"found the time {seconds!r}, expected seconds since 1970")
    if not math.isfinite(seconds):
        raise EvaluationError(f"found the time {seconds!r}, expected a finite number")
    return float(seconds)


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else text[:57] + "..."
