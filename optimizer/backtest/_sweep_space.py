"""The parameters of a sweep: five of them, by name, with combinations by number."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import SpaceError
from optimizer.space import Choice, SearchSpace

Ints = NDArray[np.int64]
Indexes = range | Ints
"""Numbers of combinations: in steps, or as they were chosen."""

NAMES = ("fast", "slow", "rsi", "entry", "exit")
WINDOWS = NAMES[:3]
"""These are numbers of bars; the others are limits of the RSI."""

MOST = 2**62
"""Combinations at most, so that every number made of them fits into 64 bits."""

MOST_VALUES = 2**20
"""Values of one parameter at most: all are listed."""

DEFAULT_SPACE = {
    "fast": (3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40),
    "slow": range(45, 180, 5),
    "rsi": (5, 7, 9, 14, 21, 28, 35),
    "entry": range(30, 75, 5),
    "exit": (55, 58, 61, 64, 67, 70, 73, 76, 80, 85),
}
"""255,150 combinations: as many as the report had that took 26 hours."""


class Parameters:
    """The space of a sweep, and the values its combinations are made of.

    Attributes:
        space: the five parameters, in the order that numbers the combinations.
        values: name -> its values, int64 for windows and float64 for limits.
        size: how many combinations there are.
    """

    def __init__(self, space: Any) -> None:
        self.space = _read(space)
        size = self.space.size()
        if not isinstance(size, int) or size > MOST:
            raise SpaceError(
                f"the space has {size} combinations; a sweep needs a finite number, at most "
                f"{MOST}: give every float a step"
            )
        self.size = size
        self.values = {name: _values(self.space, name) for name in NAMES}
        self._grid = self.space.grid()
        self._strides: dict[str, int] = {}
        stride = 1
        for name in reversed(list(self.space)):
            self._strides[name] = stride
            stride *= len(self.values[name])

    def digits(self, indexes: Ints) -> Ints:
        """(5, n): for each combination the place of its value, in the order of `NAMES`."""
        found = np.empty((len(NAMES), len(indexes)), np.int64)
        for row, name in zip(found, NAMES, strict=True):
            np.floor_divide(indexes, self._strides[name], out=row)
            np.remainder(row, len(self.values[name]), out=row)
        return found

    def choose(self, combinations: Any) -> Indexes:
        """The numbers of the chosen combinations; all of them for None.

        Raises:
            SpaceError: one that is not in the space.
        """
        if combinations is None:
            return range(self.size)
        if isinstance(combinations, slice):
            return range(self.size)[combinations]
        if isinstance(combinations, range):
            for end in combinations[:1], combinations[-1:]:
                for number in end:
                    self._check(number)
            return combinations
        if isinstance(combinations, np.ndarray):
            return self._numbers(combinations)
        if not isinstance(combinations, Iterable) or isinstance(combinations, (str, bytes, dict)):
            raise SpaceError(
                f"found the combinations {combinations!a:.80}, expected numbers of combinations, "
                f"dicts of parameters, or a part of the space's grid"
            )
        chosen = (self._number(at, one) for at, one in enumerate(combinations))
        return np.fromiter(chosen, np.int64)

    def _number(self, at: int, combination: Any) -> int:
        if combination is True or combination is False:  # to Python, the numbers 1 and 0
            raise SpaceError(
                f"combinations[{at}] is {combination}, expected a number or the parameters of a "
                f"combination: pass np.flatnonzero(mask) for a mask"
            )
        if not isinstance(combination, Mapping):
            with contextlib.suppress(TypeError):  # no number: it is refused below
                return self._check(operator.index(combination))
        found = self._grid.find(combination)
        if found is None:
            raise SpaceError(
                f"combinations[{at}] is {combination!a:.120}, which is not in the space; expected "
                f"its number, or a value of {', '.join(NAMES)} each"
            )
        return found

    def _numbers(self, numbers: NDArray[Any]) -> Ints:
        if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and numbers.size):
            raise SpaceError(
                f"combinations has shape {numbers.shape} and dtype {numbers.dtype}; expected one "
                f"dimension of integers: pass np.flatnonzero(mask) for a mask"
            )
        for at in np.flatnonzero((numbers < 0) | (numbers >= self.size))[:1]:
            self._check(int(numbers[at]))
        return numbers.astype(np.int64)

    def _check(self, number: int) -> int:
        if not 0 <= number < self.size:
            raise SpaceError(
                f"combination {number} was chosen, but the space has the numbers 0 to "
                f"{self.size - 1}"
            )
        return number


def chunk_of(indexes: Indexes, start: int, stop: int) -> Ints:
    """Some of the numbers, as an array."""
    if isinstance(indexes, range):
        part = indexes[start:stop]
        return np.arange(part.start, part.stop, part.step, dtype=np.int64)
    return indexes[start:stop]


def _read(space: Any) -> SearchSpace:
    if not isinstance(space, SearchSpace):
        if not isinstance(space, Mapping):
            raise SpaceError(
                f"found the space {space!a:.80}, expected a SearchSpace, or a mapping of "
                f"{', '.join(NAMES)} to their values"
            )
        space = SearchSpace({name: _spec(values) for name, values in space.items()})
    assert isinstance(space, SearchSpace)
    if set(space) != set(NAMES):
        raise SpaceError(
            f"the space has the parameters {', '.join(space)}; expected {', '.join(NAMES)}"
        )
    return space


def _spec(values: Any) -> Any:
    """A spec or parameter as it is; values that were listed become choices."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, (list, tuple, range)):
        return {"type": "categorical", "choices": list(values)}
    return values


def _values(space: SearchSpace, name: str) -> NDArray[Any]:
    parameter = space[name]
    if parameter.size > MOST_VALUES:
        raise SpaceError(
            f"parameter {name!a} has {parameter.size} values; a sweep takes at most {MOST_VALUES}"
        )
    found: list[Choice] = [parameter.value_at(at) for at in range(int(parameter.size))]
    for value in found:
        if name in WINDOWS:
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
                raise SpaceError(
                    f"parameter {name!a}: found {value!a:.80}, expected a number of bars, an "
                    f"integer of at least 1"
                )
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpaceError(
                f"parameter {name!a}: found {value!a:.80}, expected a limit of the RSI, a number"
            )
    return np.array(found, np.int64 if name in WINDOWS else np.float64)
