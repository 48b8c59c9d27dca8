"""One parameter of a search space: float, int or categorical, with its size and step indexes."""

from __future__ import annotations

import math
import numbers
import operator
import sys
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from optimizer.errors import SpaceError

Choice = bool | int | float | str | None
ATOMS = frozenset({bool, int, float, str, type(None)})
GRID_TOLERANCE = 1e-8
"""How far from a step a value may lie, in steps; Optuna's own."""

# Optuna divides ranges by steps with 28 digits; a caller's decimal context must not change that.
_DECIMALS = Context(prec=28)


def step_decimals(step: float) -> int:
    """Decimals needed to write a step exactly as it reads: 1e-07 -> 7, 2.5e-05 -> 6, 10 -> 0.

    Raises:
        SpaceError: the step is not a positive finite number.
    """
    return _decimals_of(_positive_step(step))


def _decimals_of(number: float) -> int:
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # finite, so not one of the letters for NaN and infinity
    return max(0, -exponent)


@dataclass(frozen=True, slots=True)
class FloatParameter:
    """A float between two ends, both included, continuous or on a grid.

    The point `k` of a grid is the float nearest to low + k * step, in decimal. Optuna's own
    values, computed in binary, lie beside it within `tolerance` steps and get the same index. A
    `high` off the grid is moved down to it, as Optuna does.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    last: int | None = field(init=False, repr=False, compare=False)
    tolerance: float = field(init=False, repr=False, compare=False, default=GRID_TOLERANCE)

    def __post_init__(self) -> None:
        low, high = _finite(self.low, "min"), _finite(self.high, "max")
        _check_ends(low, high, self.log, lowest_for_log=0.0)
        _set(self, low=low, high=high, last=None if low < high else 0)
        if self.step is None:
            return
        step = _positive_step(self.step)
        if self.log:
            raise SpaceError(f"found step {step!r} with log, expected one of them; drop the other")
        # A step that floats near the ends cannot resolve would give several steps one value.
        ulp = math.ulp(max(abs(low), abs(high)))
        if step < 32 * ulp or not math.isfinite(high - low):
            raise SpaceError(
                f"found step {step!r} between {low!r} and {high!r}, which floats cannot tell "
                f"apart; use a larger step or a smaller range"
            )
        last = self._last_step(step)
        _set(self, step=step, last=last, high=_on_grid(low, step, last))
        ulp = math.ulp(max(abs(low), abs(self.high)))
        _set(self, tolerance=max(GRID_TOLERANCE, 8 * ulp / step))

    def _last_step(self, step: float) -> int:
        low = Decimal(repr(self.low))
        span = _DECIMALS.subtract(Decimal(repr(self.high)), low)
        last = int(_DECIMALS.divide_int(span, Decimal(repr(step))))
        # A high that was moved down before, and rounded to a float, must not move again.
        return last + 1 if _on_grid(self.low, step, last + 1) == self.high else last

    @property
    def size(self) -> int | float:
        """How many values there are; infinite for a range without a step."""
        return math.inf if self.last is None else self.last + 1

    @property
    def decimals(self) -> int | None:
        """Decimals that write every value of the grid; None without a step."""
        return None if self.step is None else max(_decimals_of(self.low), _decimals_of(self.step))

    def find_index(self, value: Any) -> int | None:
        """The step index of a value; None if it is not on the grid, or no number."""
        if self.last is None or not is_number(value):
            return None
        try:
            if self.step is None:
                return 0 if value == self.low else None
            steps = (float(value) - self.low) / self.step
            index = round(steps)
        except (ValueError, OverflowError):  # NaN, infinities, integers beyond floats
            return None
        on_grid = 0 <= index <= self.last and abs(steps - index) <= self.tolerance
        return index if on_grid else None

    def value_at(self, index: int) -> float:
        """The value of a step index, which must be one of the grid."""
        return self.low if self.step is None else _on_grid(self.low, self.step, index)


@dataclass(frozen=True, slots=True)
class IntParameter:
    """An integer between two ends, both included, every `step`th.

    A `high` off the grid is moved down to it, as Optuna does.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        low, high = _integer(self.low, "min"), _integer(self.high, "max")
        _check_ends(low, high, self.log, lowest_for_log=1)
        step = _integer(self.step, "step")
        if step <= 0:
            raise SpaceError(f"found step {shown(step)}, expected a positive integer")
        if self.log and step != 1:
            raise SpaceError(
                f"found step {shown(step)} with log, expected one of them; drop the other"
            )
        _set(self, low=low, high=low + (high - low) // step * step, step=step)

    @property
    def size(self) -> int:
        """How many values there are; with log every integer counts."""
        return (self.high - self.low) // self.step + 1

    @property
    def decimals(self) -> int:
        """Always 0."""
        return 0

    def find_index(self, value: Any) -> int | None:
        """The step index of a value; None if it is not on the grid, or no number."""
        if not is_number(value):
            return None
        try:
            whole = int(value)
        except (ValueError, OverflowError):  # NaN and infinities
            return None
        if whole != value or not self.low <= whole <= self.high:
            return None
        index, rest = divmod(whole - self.low, self.step)
        return None if rest else index

    def value_at(self, index: int) -> int:
        """The value of a step index, which must be one of the grid."""
        return self.low + index * self.step


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalParameter:
    """One of some choices: None, bool, int, float and str; numpy scalars become these."""

    choices: tuple[Choice, ...]
    _places: dict[tuple[type, Choice], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given: Any = self.choices
        if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
            raise SpaceError(f"found choices {shown(given)}, expected a list; write [...]")
        choices = tuple(_choice(choice) for choice in given)
        if not choices:
            raise SpaceError("found no choices, expected at least one")
        places: dict[tuple[type, Choice], int] = {}
        for place, choice in enumerate(choices):
            if places.setdefault((type(choice), choice), place) != place:
                raise SpaceError(f"found the choice {shown(choice)} twice, expected it once")
        _set(self, choices=choices, _places=places)

    @property
    def size(self) -> int:
        """How many choices there are."""
        return len(self.choices)

    @property
    def decimals(self) -> None:
        """Always None."""
        return None

    def find_index(self, value: Any) -> int | None:
        """The place of a choice; None if it is not one.

        A choice of the value's very type comes first, so that 1, 1.0 and True can all be choices;
        then the first number that equals a number (True is no number here).
        """
        try:
            place = self._places.get((type(value), value))
        except TypeError:  # not hashable, so not a choice
            return None
        if place is not None or not is_number(value):
            return place
        equal = (k for k, choice in enumerate(self.choices) if is_number(choice))
        return next((k for k in equal if self.choices[k] == value), None)

    def value_at(self, index: int) -> Choice:
        """The choice at a place, which must be there."""
        return self.choices[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CategoricalParameter):
            return NotImplemented
        return list(self._places) == list(other._places)  # with types: 1, 1.0 and True differ

    def __hash__(self) -> int:
        return hash(tuple(self._places))


Parameter = FloatParameter | IntParameter | CategoricalParameter


# --- values


def plain_scalar(value: Any) -> Any:
    """A numpy scalar or a subclass of a built-in scalar as the built-in; all else as it is."""
    if type(value) in ATOMS:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__index__(value)
    numpy = sys.modules.get("numpy")  # where numpy was never imported, nothing is of numpy
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biuf":
        return value.item()  # a longdouble stays one
    return value


def is_number(value: object) -> bool:
    """Whether a value is a real number; True and False are none."""
    kind = type(value)
    if kind is float or kind is int:
        return True
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _on_grid(low: float, step: float, index: int) -> float:
    offset = _DECIMALS.multiply(Decimal(index), Decimal(repr(step)))
    return float(_DECIMALS.add(Decimal(repr(low)), offset))


def shown(value: object, length: int = 80) -> str:
    """A value as an error message writes it, cut to a length."""
    try:
        return ascii(value)[:length]
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return f"a value of type {type(value).__name__} too long to write out"


# --- checks


def _set(parameter: object, **fields: object) -> None:
    for name, value in fields.items():
        object.__setattr__(parameter, name, value)  # the classes are frozen for everyone else


def _finite(value: Any, field_name: str) -> float:
    if is_number(value):
        try:
            number = float(value) + 0.0  # -0.0 becomes 0.0
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise SpaceError(f"found {field_name} {shown(value)}, expected a finite number")


def _positive_step(value: Any) -> float:
    step = _finite(value, "step")
    if step <= 0.0:
        raise SpaceError(f"found step {shown(value)}, expected a positive number")
    return step


def _integer(value: Any, field_name: str) -> int:
    if is_number(value) and hasattr(value, "__index__"):
        return operator.index(value)
    raise SpaceError(
        f"found {field_name} {shown(value)}, expected an integer; for other numbers use "
        f"type 'float'"
    )


def _check_ends(low: float, high: float, log: Any, lowest_for_log: float) -> None:
    if not isinstance(log, bool):
        raise SpaceError(f"found log {shown(log)}, expected True or False")
    if low > high:
        raise SpaceError(
            f"found min {shown(low)} above max {shown(high)}, expected min <= max; swap them"
        )
    if log and (low < lowest_for_log or low == 0):
        raise SpaceError(f"found min {shown(low)} with log, expected a positive one; raise it")


def _choice(value: Any) -> Choice:
    choice = plain_scalar(value)
    if type(choice) not in ATOMS:
        raise SpaceError(
            f"found a choice of type {type(value).__name__}, expected None, bool, int, float or "
            f"str, which Optuna can store; give it a name and look the name up in the objective"
        )
    if isinstance(choice, float) and not math.isfinite(choice):
        raise SpaceError(f"found the choice {choice!r}, expected a finite number; use a str for it")
    if isinstance(choice, str) and any("\ud800" <= letter <= "\udfff" for letter in choice):
        raise SpaceError(f"found the choice {shown(choice)}, expected text without lone surrogates")
    return choice  # type: ignore[no-any-return]  # its type was looked up in ATOMS
