"""Every combination of a finite search space, by index: lazily, in slices, or as columns."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from optimizer._axis import Axis, count
from optimizer._parameters import ATOMS, Choice, Parameter, plain_scalar, shown
from optimizer.errors import SpaceError

if TYPE_CHECKING:
    from optimizer._axis import Column

_TAIL = 1_000
"""Combinations of the last parameters kept at most while a grid is walked."""


class Grid(Sequence[dict[str, Choice]]):
    """The combinations of a finite space, in order, none made before it is asked for.

    The last parameter changes fastest, as with `itertools.product`. Immutable, thread-safe,
    cheap to pickle. Each combination is a new dict, with the names in the order of the space; a
    slice is a grid too and shares what this one keeps.

    Cost: a slice, `part` and `size` take constant time; `grid[i]`, `find` and `in` time linear in
    the parameters. The first combination asked for lists the values of each parameter that has at
    most 65,536 of them.

    Args:
        parameters: name -> parameter, as a SearchSpace is.

    Raises:
        SpaceError: a float without a step is among them.

    Example:
        >>> from optimizer import SearchSpace
        >>> grid = SearchSpace({
        ...     "fast": {"type": "int", "min": 1, "max": 3},
        ...     "stop": {"type": "float", "min": 0, "max": 1, "step": 0.5},
        ... }).grid()
        >>> len(grid), grid[5], list(grid[-1:])
        (9, {'fast': 2, 'stop': 1.0}, [{'fast': 3, 'stop': 1.0}])
        >>> grid.part(1, of=4).columns()["stop"]
        array([1., 0.])
    """

    __slots__ = ("_axes", "_indexes")

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        sizes: dict[str, int] = {}
        for name, parameter in parameters.items():
            if not isinstance(parameter.size, int):
                raise SpaceError(
                    f"parameter {name!a}: found a float without a step, which has no grid; give it "
                    f"a step"
                )
            sizes[name] = parameter.size
        axes: list[Axis] = []
        stride = 1
        for name in reversed(sizes):
            axes.append(Axis(name, parameters[name], sizes[name], stride))
            stride *= sizes[name]
        self._axes = _Axes(axes[::-1])
        self._indexes = range(stride)

    def __reduce__(self) -> tuple[Any, ...]:
        parameters = {axis.name: axis.parameter for axis in self._axes.all}
        return _slice_of, (parameters, self._indexes)

    @property
    def size(self) -> int:
        """How many combinations, exactly, also where `len` cannot say it."""
        return count(self._indexes)

    def __len__(self) -> int:
        size = self.size
        if size > sys.maxsize:
            raise OverflowError(f"found {shown(size)} combinations, too many for len(); use .size")
        return size

    def __bool__(self) -> bool:
        return self.size > 0

    @overload
    def __getitem__(self, index: SupportsIndex) -> dict[str, Choice]: ...

    @overload
    def __getitem__(self, index: slice) -> Grid: ...

    def __getitem__(self, index: SupportsIndex | slice) -> dict[str, Choice] | Grid:
        """The i-th combination, or the grid of a slice; IndexError beyond the ends."""
        if isinstance(index, slice):
            return self._over(self._indexes[index])
        try:
            place = self._indexes[index]
        except IndexError:
            raise IndexError(
                f"found index {shown(index)}, expected one of {shown(self.size)} combinations"
            ) from None
        return self._axes.combination(place)

    def part(self, k: SupportsIndex, *, of: SupportsIndex) -> Grid:
        """The k-th of n slices that follow each other and together are this grid.

        Their sizes differ by one at most; with more parts than combinations some are empty.

        Args:
            k: from 0 to n - 1.
            of: n, at least 1.

        Raises:
            SpaceError: there is no such part.
        """
        part, parts = operator.index(k), operator.index(of)
        if not 0 <= part < parts:
            raise SpaceError(
                f"found part {shown(part)} of {shown(parts)}, expected one from 0 to the number "
                f"of parts - 1"
            )
        size = self.size
        return self._over(self._indexes[size * part // parts : size * (part + 1) // parts])

    def columns(self) -> dict[str, Column]:
        """Every combination at once: name -> its values in order, each array of length `len`.

        The arrays are new and hold exactly the values of the combinations. A float is float64;
        an int is int64, where both ends fit; choices are bool, int64 or float64 where all are of
        that one type; all else is object. Slices of one grid have the same dtypes. Columns of one
        dtype share a block of memory, which lives as long as one of them.

        Cost: 8 bytes for each value of each parameter (1 for bool); imports numpy. A parameter of
        more than 65,536 values, or a slice with steps, computes each value in Python.

        Raises:
            OverflowError, MemoryError: more combinations than `len` or memory can hold.
        """
        import numpy as np

        length = len(self)
        columns: dict[str, Column] = {}
        dtypes = [axis.dtype for axis in self._axes.all]
        # One block for many columns: the system hands out a few large pieces of memory faster.
        blocks: dict[type, Iterator[Column]]
        try:
            blocks = {
                dtype: iter(np.empty((dtypes.count(dtype), length), dtype=dtype))
                for dtype in dict.fromkeys(dtypes)
            }
        except ValueError as error:  # more than numpy can count
            raise MemoryError(str(error)) from None
        for axis, dtype in zip(self._axes.all, dtypes, strict=True):
            columns[axis.name] = next(blocks[dtype])
            axis.fill(columns[axis.name], self._indexes)
        return columns

    def find(self, params: object) -> int | None:
        """The index of a combination; None where it is not one of this grid.

        A combination has a value on the grid, or a choice, for each name of the space, and no
        other name. What `param_signature` calls the same point has the same index here.
        """
        index = self._axes.index(params)
        if index is None or index not in self._indexes:
            return None
        return self._indexes.index(index)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """As `find`, but ValueError where it is not there, between start and stop."""
        found = self.find(value)
        first, last, _ = slice(start, stop).indices(self.size)
        if found is None or not first <= found < last:
            raise ValueError(f"found {shown(value)}, expected a combination of this grid")
        return found

    def count(self, value: Any) -> int:
        """1 where the grid holds it, else 0."""
        return int(value in self)

    def __contains__(self, params: object) -> bool:
        return self.find(params) is not None

    def __iter__(self) -> Iterator[dict[str, Choice]]:
        indexes = self._indexes
        if indexes.step != 1:
            return map(self._axes.combination, indexes)
        return self._axes.walk(indexes.start, indexes.stop)

    def __reversed__(self) -> Iterator[dict[str, Choice]]:
        return iter(self[::-1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        names = ", ".join(axis.name for axis in self._axes.all)
        return f"<Grid of {shown(self.size)} combinations of {shown(names, 200)}>"

    def _content(self) -> tuple[object, ...]:
        names_and_values = tuple((axis.name, axis.parameter) for axis in self._axes.all)
        # Ranges of the same members are equal, but their hashes need their lengths.
        indexes = self._indexes
        size = self.size
        step = indexes.step if size > 1 else 0
        return names_and_values, size, indexes.start if size else 0, step

    def _over(self, indexes: range) -> Grid:
        grid = object.__new__(Grid)
        grid._axes, grid._indexes = self._axes, indexes
        return grid


def _slice_of(parameters: Mapping[str, Parameter], indexes: range) -> Grid:
    return Grid(parameters)._over(indexes)


class _Axes:
    """All parameters of a grid, the last of which changes fastest; shared by its slices."""

    def __init__(self, axes: list[Axis]) -> None:
        self.all = axes
        self._digits: list[tuple[str, int, int, Callable[[int], Choice]]] | None = None
        self._tails: tuple[list[Axis], list[dict[str, Choice]]] | None = None

    def combination(self, index: int) -> dict[str, Choice]:
        """The combination of an index, which must be there."""
        if self._digits is None:
            self._digits = [(axis.name, axis.stride, axis.size, axis.value_of) for axis in self.all]
        return {
            name: value_of(index // stride % size) for name, stride, size, value_of in self._digits
        }

    def index(self, params: object) -> int | None:
        """The index of a combination, or None; the inverse of `combination`."""
        if not isinstance(params, Mapping) or len(params) != len(self.all):
            return None
        index = 0
        for axis in self.all:
            if axis.name not in params:
                return None
            value = plain_scalar(params[axis.name])
            digit = axis.parameter.find_index(value) if type(value) in ATOMS else None
            if digit is None:
                return None
            index += digit * axis.stride
        return index

    def walk(self, start: int, stop: int) -> Iterator[dict[str, Choice]]:
        """The combinations of the indexes from start to stop, one after the other."""
        outer, tails = self._split()
        width = len(tails)
        while start < stop:
            block, skipped = divmod(start, width)
            head = {
                axis.name: axis.value_of(start // axis.stride % axis.size) for axis in outer
            }  # the same for the whole block
            end = min(width, stop - block * width)
            for tail in tails if end - skipped == width else tails[skipped:end]:
                yield head | tail
            start = block * width + end

    def _split(self) -> tuple[list[Axis], list[dict[str, Choice]]]:
        """The first parameters, and the combinations of the others, which are few."""
        if self._tails is None:
            inner: list[Axis] = []
            for axis in reversed(self.all):
                if axis.size * axis.stride > _TAIL:
                    break
                inner.insert(0, axis)
            names = [axis.name for axis in inner]
            rows = product(*(axis.values or () for axis in inner))
            tails = [dict(zip(names, row, strict=True)) for row in rows]
            self._tails = self.all[: len(self.all) - len(inner)], tails
        return self._tails
