"""The format of a trial file, and how a parsed one becomes a `Trial`.

A trial file is a JSON object in a file named `*.json`, one trial each:

    {
      "number": 12,
      "state": "COMPLETE",
      "params": {"fast": 20, "kind": "ema"},
      "value": 1.25,
      "user_attrs": {"seconds": 3.5}
    }

number      integer from 0; the only field that must be there
state       Optuna's name or number (RUNNING 0, COMPLETE 1, PRUNED 2, FAIL 3, WAITING 4), in either
            case; missing or null: COMPLETE if there is a value, else RUNNING
params      object of null, true, false, numbers and text; missing or null: none
value       number; `values`: a list of them; null or missing: none. Both may be there, if they
            agree. NaN, Infinity and -Infinity are read as Python and Optuna write them
started_s, finished_s   seconds since 1970 in UTC; missing or null: not known

Every other field (`user_attrs`, `system_attrs`, `datetime_start`, ...) is kept as it is, under its
own name, in `Trial.attributes`. Optuna writes `datetime_start` without a time zone, so it names no
instant and stays a text. Of a repeated name the last counts. Nesting: as deep as a store keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from gc import is_tracked
from itertools import repeat
from typing import Any

from optimizer._parameters import shown
from optimizer.protocols import Trial
from optimizer.stores._encoding import STATES

MAX_NUMBER = 2**63 - 1  # of SQLite's integers

_STATES: dict[str | int, str] = {
    **dict(enumerate(STATES)),
    **{name: state for state in STATES for name in (state, state.upper())},
    "FAIL": "failed",
    "fail": "failed",
}
_NAMED = {name: state for name, state in _STATES.items() if type(name) is str}
_SCALARS = frozenset((type(None), bool, int, float, str))


class _Draft:
    """A `Trial` whose fields can still be set; as their slots agree, it becomes one by its class.

    The frozen class itself would guard each field.
    """

    __slots__ = tuple(Trial.__dataclass_fields__)


_new = object.__new__


def trial_from(found: Any) -> Trial:
    """The trial of a parsed file, which is used up.

    Raises
    ------
    ValueError
        Not a trial; the message says what was found and what was expected.
    """
    if type(found) is not dict:
        raise ValueError(f"holds {_kind(found)}, expected an object with a number")
    take = found.pop
    number = take("number", None)
    if type(number) is not int or not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"its number is {shown(number)}, expected an integer from 0")
    params = take("params", None)
    if type(params) is not dict:
        params = _no_params(params)
    if not _SCALARS.issuperset(map(type, params.values())):
        raise _odd_parameter(params)
    value = take("value", None)
    values = take("values", None) if "values" in found else None
    if values is None and type(value) is float:
        floats: tuple[float, ...] = (value,)
    else:
        floats = _values(value, values)
    state, started_s, finished_s = take("state", None), None, None
    state = "complete" if state == "COMPLETE" and floats else _state_of(state, floats)
    if "started_s" in found or "finished_s" in found:
        started_s = _seconds("started_s", take("started_s", None))
        finished_s = _seconds("finished_s", take("finished_s", None))
    trial: Any = _new(_Draft)
    trial.number, trial.state, trial.params, trial.values = number, state, params, floats
    trial.attributes, trial.signature = found, None  # what is left
    trial.started_s, trial.finished_s = started_s, finished_s
    trial.__class__ = Trial
    return trial  # type: ignore[no-any-return]  # a cast is a call


def trials_from(many: Sequence[Any]) -> list[Trial] | None:
    """`trial_from` of each, of which nothing odd can be seen; else None, and all are used up."""
    trials: list[Any] = list(map(_new, repeat(_Draft, len(many))))
    try:
        for found, trial in zip(many, trials, strict=True):
            number, state = found.pop("number"), found.pop("state")
            params, value = found.pop("params"), found.pop("value")
            if type(number) is not int or not 0 <= number <= MAX_NUMBER:
                return None
            if type(params) is not dict or type(value) is not float:
                return None
            # What the collector leaves alone holds no object or list.
            if is_tracked(params) and not _SCALARS.issuperset(map(type, params.values())):
                return None
            if "values" in found or "started_s" in found or "finished_s" in found:
                return None
            trial.number, trial.state, trial.params = number, _NAMED[state], params
            trial.values, trial.attributes = (value,), found
            trial.signature = trial.started_s = trial.finished_s = None
            trial.__class__ = Trial
    except (AttributeError, TypeError, KeyError):  # no object, one without a field, an odd state
        return None
    return trials


def trials_of_columns(numbers: Sequence[int], *others: Iterable[Any]) -> list[Trial]:
    """Trials of the values of each field, in the order of the fields; nothing is checked."""
    trials: list[Any] = list(map(_new, repeat(_Draft, len(numbers))))
    rows = zip(trials, numbers, *others, strict=True)
    for trial, number, state, params, values, attributes, signature, started_s, finished_s in rows:
        trial.number, trial.state, trial.params, trial.values = number, state, params, values
        trial.attributes, trial.signature = attributes, signature
        trial.started_s, trial.finished_s = started_s, finished_s
        trial.__class__ = Trial
    return trials


def _state_of(found: Any, values: tuple[float, ...]) -> str:
    state = None
    if found is None:
        state = "complete" if values else "running"
    elif type(found) is str or type(found) is int:
        state = _STATES.get(found)
    if state is None:
        raise ValueError(
            f"its state is {shown(found)}, expected RUNNING, COMPLETE, PRUNED, FAIL or WAITING, or"
            " Optuna's number of one"
        )
    if state == "complete" and not values:
        raise ValueError("its state is COMPLETE but it has no value, expected one")
    return state


def _values(value: Any, values: Any) -> tuple[float, ...]:
    if values is None:
        return () if value is None else (_float(value),)
    if type(values) is not list:
        raise ValueError(f"its values are {_kind(values)}, expected a list of numbers")
    floats = tuple(map(_float, values))
    if value is not None and repr(floats) != repr((_float(value),)):  # NaN never equals itself
        raise ValueError(f"its value is {shown(value)} but its values are {shown(values)}")
    return floats


def _float(found: Any) -> float:
    if type(found) is float:
        return found
    if type(found) is int:
        try:
            return float(found)
        except OverflowError:
            pass
    raise ValueError(f"its value is {shown(found)}, expected a number that a double can hold")


def _seconds(name: str, found: Any) -> float | None:
    if found is None:
        return None
    if type(found) not in (int, float) or not abs(found) < 1e12:
        raise ValueError(f"its {name} is {shown(found)}, expected seconds since 1970")
    return float(found)


def _no_params(found: Any) -> dict[str, Any]:
    if found is not None:
        raise ValueError(f"its params are {_kind(found)}, expected an object")
    return {}


def _odd_parameter(params: dict[str, Any]) -> ValueError:
    name = next(name for name, value in params.items() if type(value) not in _SCALARS)
    return ValueError(
        f"its parameter {shown(name)} is {_kind(params[name])}, expected null, true, false, a"
        " number or text"
    )


def _kind(found: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(found), f"{shown(found)}")
