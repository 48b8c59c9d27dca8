"""One parameter of a grid: its values in order, and its column for a range of combinations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from optimizer._parameters import (
    CategoricalParameter,
    Choice,
    FloatParameter,
    IntParameter,
    Parameter,
)

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[Any]]

TABLE = 2**16
"""Values of one parameter kept at most; a parameter with more computes each when asked."""
_EXACT = 10**28  # below it, Decimal with 28 digits, which the parameters compute with, is exact
_INT64 = range(-(2**63), 2**63)


class Axis:
    """One parameter of a grid; an index of the grid has the digit `index // stride % size`."""

    __slots__ = ("_values", "name", "parameter", "size", "stride")

    def __init__(self, name: str, parameter: Parameter, size: int, stride: int) -> None:
        self.name, self.parameter = name, parameter
        self.size, self.stride = size, stride
        self._values: Sequence[Choice] | None = None

    @property
    def values(self) -> Sequence[Choice] | None:
        """All values in order, kept from the first use; None where there are too many."""
        if self._values is None and self.size <= TABLE:
            self._values = _values(self.parameter, self.size)
        return self._values

    @property
    def value_of(self) -> Callable[[int], Choice]:
        """What turns a digit into its value."""
        values = self.values
        return self.parameter.value_at if values is None else values.__getitem__

    @property
    def dtype(self) -> type:
        """Of the column: float64, int64 or bool where every value has that type, else object."""
        parameter = self.parameter
        if isinstance(parameter, FloatParameter):
            return float
        if isinstance(parameter, IntParameter):
            return _int_dtype((parameter.low, parameter.high))
        kinds = {*map(type, parameter.choices)}
        if kinds == {int}:
            return _int_dtype(parameter.choices)
        return kinds.pop() if kinds in ({bool}, {float}) else object

    def fill(self, column: Column, indexes: range) -> None:
        """Write the values at these indexes of the grid into a column of that length."""
        stride, size, start, stop = self.stride, self.size, indexes.start, indexes.stop
        if indexes.step != 1:
            digits = (index // stride % size for index in indexes)
            column[:] = self._array(digits, len(column))
            return
        cycle = stride * size
        first, last = -(-start // cycle) * cycle, stop // cycle * cycle
        if first >= last:  # no digit comes back after it has ended
            self._fill_runs(column, start, stop)
            return
        values = self._array(range(size), size)
        column[first - start : last - start].reshape(-1, size, stride)[:] = values[:, None]
        self._fill_runs(column[: first - start], start, first)
        self._fill_runs(column[last - start :], last, stop)

    def _fill_runs(self, column: Column, start: int, stop: int) -> None:
        """Write less than a cycle, or little more; each digit stands in one run."""
        import numpy as np

        if start >= stop:
            return
        stride = self.stride
        runs = range(start // stride, (stop - 1) // stride + 1)
        values = self._array((run % self.size for run in runs), count(runs))
        lengths = np.full(len(values), min(stride, stop - start))
        lengths[0] = min(stop, (runs[0] + 1) * stride) - start
        lengths[-1] = stop - max(start, runs[-1] * stride)
        column[:] = np.repeat(values, lengths)

    def _array(self, digits: Iterable[int], length: int) -> Column:
        """The values of so many digits."""
        import numpy as np

        values = self.values
        if values is None or length <= self.size:
            return np.fromiter(map(self.value_of, digits), self.dtype, length)
        table: Column = np.array(values, dtype=self.dtype)
        taken: Column = table[np.fromiter(digits, np.int64, length)]
        return taken


def count(indexes: range) -> int:
    """`len` of a range, also beyond what len() can say."""
    rounding = indexes.step - (1 if indexes.step > 0 else -1)
    return max(0, (indexes.stop - indexes.start + rounding) // indexes.step)


def _int_dtype(values: Sequence[Any]) -> type:
    import numpy as np

    return np.int64 if all(value in _INT64 for value in values) else object


def _values(parameter: Parameter, size: int) -> Sequence[Choice]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    if isinstance(parameter, IntParameter):
        return range(parameter.low, parameter.high + 1, parameter.step)
    return _float_values(parameter, size)


def _float_values(parameter: FloatParameter, size: int) -> Sequence[float]:
    """What `value_at` gives for each step, by integers where these are as exact.

    Python divides integers to the nearest float, and a decimal is read as the nearest float too.
    """
    if parameter.step is None:
        return (parameter.low,)
    low, step = Fraction(repr(parameter.low)), Fraction(repr(parameter.step))
    scale = 10 ** (parameter.decimals or 0)
    first, width = int(low * scale), int(step * scale)
    if max(abs(first), abs(first + size * width), size * width) < _EXACT:
        return [(first + k * width) / scale for k in range(size)]
    return [parameter.value_at(k) for k in range(size)]
