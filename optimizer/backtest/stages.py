"""The incremental cache: a trial that shares its first stages with another one reuses them."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from optimizer.backtest._memo import DEFAULT_BYTES, Memo, MemoCounters, size_of
from optimizer.errors import CacheError

__all__ = ["Stage", "StageCache"]

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, slots=True)
class Stage(Generic[Value]):
    """What a stage returned, and what it was made of.

    Attributes:
        value: the result; its arrays are read-only, since other trials share them.
        key: equal for equal functions of equal inputs and parameters.
    """

    value: Value
    key: Hashable

    def __sizeof__(self) -> int:
        """About the bytes that a cache keeps for it: the value, and the parameters in its key."""
        return object.__sizeof__(self) + size_of(self.value) + _own_bytes(self.key)


class StageCache:
    """Results of the stages of a backtest: features → signals → weights → trades.

    Each stage is a call of a function on other stages and on parameters. It is computed once for
    each choice of those, whichever trial comes first: where two trials differ in a late parameter
    only, all stages before it are shared.

    Promises: thread-safe; of threads that need the same stage one computes it. What a function
    raises is passed on and nothing is kept. Arrays it returns become read-only. At most `max_bytes`
    are kept, by what results and parameters say of themselves: arrays, what objects of Python
    hold, and the sizes that other types tell. The stage used longest ago makes room, so that one
    shared by many trials stays.

    A stage's function must be pure: the same inputs, the same result, from nothing that changes
    between trials. Two functions are the same if they are equal: one defined anew in each trial (a
    lambda in the objective) is never found again, and keeps its room until it is dropped.

    Cost: some microseconds a stage that is found, more with long chains; a source is read once a
    call, so make it before the trials.

    Parameters
    ----------
    max_bytes : int, optional
        256 MB unless given.

    Raises
    ------
    CacheError
        max_bytes is not a positive integer.

    Examples
    --------
    >>> from optimizer.backtest.features import rolling_mean
    >>> def above(mean, close, *, band):
    ...     return (close > mean * (1 + band)).tolist()
    >>> cache = StageCache()
    >>> close = cache.source([1.0, 2.0, 4.0])
    >>> for band in (0.0, 0.5):
    ...     mean = cache.run(rolling_mean, close, window=2)
    ...     print(cache.run(above, mean, close, band=band).value)
    [False, True, True]
    [False, False, False]
    >>> cache.counters().hits
    1
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._memo = Memo(max_bytes)

    def source(self, values: Any) -> Stage[np.ndarray[Any, Any]]:
        """Data that stages begin with, known by its content: a private, read-only copy of it.

        Parameters
        ----------
        values
            An array of numbers, booleans or times, or what numpy makes one of.

        Raises
        ------
        CacheError
            An array of objects, whose content cannot be read, or a masked one.
        """
        array = np.array(values, order="C")
        if array.dtype.hasobject or isinstance(values, np.ma.MaskedArray):
            raise CacheError(
                f"found a source of {array.dtype} ({type(values).__name__}); expected numbers, "
                f"booleans or times, none of them masked: pass an array of them"
            )
        array.flags.writeable = False
        digest = hashlib.blake2b(digest_size=16)
        digest.update(array.reshape(-1).view(np.uint8).data)
        return Stage(array, ("source", array.dtype.str, array.shape, digest.digest()))

    def run(self, function: Callable[..., Value], /, *inputs: Any, **params: Any) -> Stage[Value]:
        """What `function` returns for these inputs and parameters, computed or found.

        Parameters
        ----------
        function
            Pure; it gets the values of stages, and parameters as they are.
        *inputs, **params
            Stages and parameters: numbers, texts, booleans, None, enums, numpy scalars, and
            tuples, lists or frozen dataclasses of these.

        Returns
        -------
        Stage
            Its value, to be left unchanged: other trials share it.

        Raises
        ------
        CacheError
            An input that is neither a stage nor such a parameter, named; or a function that cannot
            be hashed.
        """
        try:
            parts = (
                function,
                tuple(_key(value, at, function) for at, value in enumerate(inputs)),
                tuple((name, _key(params[name], name, function)) for name in sorted(params)),
            )
            # A frozenset keeps its hash, where a tuple would ask all keys within it again. And a
            # stage that is found brings the key it was kept with, so that keys within keys are
            # mostly one object, and equal at a glance.
            key = frozenset((parts,))
        except TypeError as error:
            raise CacheError(f"found {function!a:.80}, expected a function ({error})") from error

        def made() -> Stage[Value]:
            return Stage(_computed(function, inputs, params), key)

        found: Stage[Value] = self._memo.result(key, made)
        return found

    def counters(self) -> MemoCounters:
        """Hits, misses, bytes and seconds saved; a snapshot."""
        return self._memo.memo_counters()

    def clear(self) -> None:
        """Drop all results; the counters stay."""
        self._memo.clear()

    def __len__(self) -> int:
        return len(self._memo)

    def check(self) -> None:
        """Verify every invariant.

        Raises
        ------
        CacheError
            One is broken, which is a defect of this class.
        """
        self._memo.check()


def _computed(
    function: Callable[..., Value], inputs: tuple[Any, ...], params: dict[str, Any]
) -> Value:
    result = function(
        *(one.value if isinstance(one, Stage) else one for one in inputs),
        **{name: one.value if isinstance(one, Stage) else one for name, one in params.items()},
    )
    _freeze(result)
    return result


def _own_bytes(key: Hashable) -> int:
    """Of a stage's key, without the keys of other stages in it and what is there anyway."""
    total = 0
    todo: list[Any] = list(key) if isinstance(key, frozenset) else [key]
    while todo:
        one = todo.pop()
        if isinstance(one, tuple):
            todo.extend(one)
        elif not isinstance(one, (str, bytes, int)):
            continue  # types, the function, and other stages' keys
        total += sys.getsizeof(one)
    return total


_PLAIN = frozenset({int, bool, str, bytes, type(None)})


def _key(value: Any, place: int | str, function: Any) -> Hashable:
    """What stands for an input: its type too, since 1, 1.0 and True are equal."""
    kind = type(value)
    if kind is Stage:
        key: Hashable = value.key
        return key
    if kind in _PLAIN:
        return kind, value
    if kind is float:
        return kind, value.hex()  # tells 0.0 from -0.0; NaN is itself
    if kind in (tuple, list):
        return kind, tuple(_key(one, place, function) for one in value)
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return kind, value.tobytes()
    if isinstance(value, enum.Enum):
        return kind, value.name
    if dataclasses.is_dataclass(value) and kind.__dataclass_params__.frozen:
        fields = dataclasses.fields(value)
        return kind, tuple(_key(getattr(value, one.name), place, function) for one in fields)
    where = f"argument {place}" if isinstance(place, int) else place
    name = getattr(function, "__qualname__", repr(function))
    raise CacheError(
        f"found {kind.__name__} as {where} of {name}; expected a stage or a plain parameter: make "
        f"data a stage by source(data)"
    )


def _freeze(value: Any) -> None:
    """Make arrays read-only, also those in containers and dataclasses."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, (tuple, list)):
        for one in value:
            _freeze(one)
    elif isinstance(value, dict):
        for one in value.values():
            _freeze(one)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for one in dataclasses.fields(value):
            _freeze(getattr(value, one.name, None))
