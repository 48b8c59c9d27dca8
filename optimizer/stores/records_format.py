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

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
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
_USUAL = ("number", "state", "params", "value")
_RARE = frozenset(("values", "started_s", "finished_s"))
_SCALARS = frozenset((type(None), bool, int, float, str))

# A frozen dataclass sets its fields one by one through a slow guard; its slots can be set past it.
_new = object.__new__
_SET = {name: vars(Trial)[name].__set__ for name in Trial.__dataclass_fields__}
_set_number, _set_state = _SET["number"], _SET["state"]
_set_params, _set_values = _SET["params"], _SET["values"]
_set_attributes, _set_signature = _SET["attributes"], _SET["signature"]
_set_started, _set_finished = _SET["started_s"], _SET["finished_s"]


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
    trial = _new(Trial)
    _set_number(trial, number)
    _set_state(trial, state)
    _set_params(trial, params)
    _set_values(trial, floats)
    _set_attributes(trial, found)  # what is left
    _set_signature(trial, None)
    _set_started(trial, started_s)
    _set_finished(trial, finished_s)
    return trial


def trials_from(many: list[Any]) -> list[Trial] | None:
    """`trial_from` of each, of which nothing odd can be seen; else None, and all are used up.

    Cost: a few passes in C over all of them, in place of one in Python over each.
    """
    try:
        numbers, states, params, values = (
            list(map(dict.pop, many, repeat(name))) for name in _USUAL
        )
        named = list(map(_NAMED.__getitem__, states))
    except (TypeError, KeyError):  # no object, one without a field, an odd state
        return None
    if set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) > MAX_NUMBER:
        return None
    if set(map(type, params)) != {dict} or set(map(type, values)) != {float}:
        return None
    if not _SCALARS.issuperset(map(type, chain.from_iterable(map(dict.values, params)))):
        return None
    if not _RARE.isdisjoint(chain.from_iterable(many)):
        return None
    nothing = [None] * len(many)
    return trials_of_columns(
        numbers, named, params, zip(values, strict=True), many, nothing, nothing, nothing
    )


def trials_of_columns(numbers: Sequence[int], *others: Iterable[Any]) -> list[Trial]:
    """Trials of the values of each field, in the order of the fields; nothing is checked."""
    trials = list(map(_new, repeat(Trial, len(numbers))))
    for set_field, column in zip(_SET.values(), (numbers, *others), strict=True):
        deque(map(set_field, trials, column), 0)
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
