"""The state of a feature between two calls, compiled or plain: rows in, features out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from optimizer._compat import available
from optimizer.backtest._feature_edge import Given, refused
from optimizer.errors import PriceError
from optimizer.reference import features as reference

if TYPE_CHECKING:
    from types import ModuleType

Floats = NDArray[np.float64]

FeatureName = Literal[
    "atr", "ewma", "momentum", "rolling_mean", "rsi", "volatility", "zscore"
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What is particular about a feature."""

    twin: type[Any]
    lanes: int  # numbers that the kernel keeps of each column
    unknown: tuple[int, ...]  # those of them that begin as NaN
    rows: int  # rows that it keeps for each bar it looks at
    bars: str  # what the number of bars is called
    least: int = 1  # the fewest it works on
    columns: tuple[str, ...] = ("values",)
    prices: bool = False  # whether values must be above 0


KINDS: dict[str, Kind] = {
    "rolling_mean": Kind(reference.RollingMean, 2, (0,), 1, "window"),
    "zscore": Kind(reference.ZScore, 3, (0,), 2, "window", least=2),
    "volatility": Kind(reference.Volatility, 4, (0, 3), 2, "window", least=2, prices=True),
    "momentum": Kind(reference.Momentum, 0, (), 1, "window", prices=True),
    "ewma": Kind(reference.Ewma, 2, (), 0, "span"),
    "rsi": Kind(reference.Rsi, 4, (3,), 0, "period"),
    "atr": Kind(reference.Atr, 3, (2,), 0, "period", columns=("high", "low", "close")),
}
NAMES: tuple[str, ...] = get_args(FeatureName)


class State(Protocol):
    """Goes on where the last call ended."""

    def advance(self, columns: Sequence[Floats], out: Floats) -> None:
        """Take the next rows, of which all are in order, and fill `out` with their features."""


def begin(name: str, bars: int, n_assets: int) -> State:
    """The state before the first bar; compiled, or plain where numba is not available."""
    kind = KINDS[name]
    if available("numba"):
        return _CompiledState(name, kind, bars, n_assets)
    return _PlainState(kind, bars, n_assets)


@functools.cache
def _kernels() -> ModuleType:
    # Importing numba takes longer than most backtests, so only the first call that needs it does.
    from optimizer.backtest import _feature_kernels

    return _feature_kernels


class _CompiledState:
    def __init__(self, name: str, kind: Kind, bars: int, n_assets: int) -> None:
        self._name = name
        self._lanes = np.zeros((kind.lanes, n_assets))
        for lane in kind.unknown:
            self._lanes[lane] = np.nan
        self._kept = np.full((kind.rows * bars, n_assets), np.nan)
        self._place = np.array([bars, 0], np.int64)

    def advance(self, columns: Sequence[Floats], out: Floats) -> None:
        kernel = getattr(_kernels(), self._name)
        kernel(*columns, self._lanes, self._kept, self._place, out)


class _PlainState:
    def __init__(self, kind: Kind, bars: int, n_assets: int) -> None:
        self._twins = [kind.twin(bars) for _ in range(n_assets)]

    def advance(self, columns: Sequence[Floats], out: Floats) -> None:
        for at, twin in enumerate(self._twins):
            values = [column[:, at].tolist() for column in columns]
            out[:, at] = [twin.push(*bar) for bar in zip(*values, strict=True)]


# --- what a feature can be made of


def check_bars(name: str, bars: Any) -> int:
    """How many bars the feature looks at.

    Raises:
        PriceError: no integer, or too few.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise PriceError(f"there is no feature {name!r}; expected one of {', '.join(NAMES)}")
    if isinstance(bars, (bool, np.bool_)) or not isinstance(bars, (int, np.integer)):
        raise PriceError(f"{kind.bars} of {name} is {bars!r}; pass a number of bars, an integer")
    if bars < kind.least:
        raise PriceError(f"{kind.bars} of {name} is {bars}; pass at least {kind.least}")
    return int(bars)


def check_values(name: str, given: Sequence[Given], called: Sequence[str] | None = None) -> None:
    """Name the first value that the feature cannot be made of, if there is one.

    Cost: one pass over the values.

    Args:
        name: the feature.
        given: its columns.
        called: what messages call them; as the feature's function does, unless given.

    Raises:
        PriceError: an infinite value, a price that is not above 0 where prices are needed, a high
            below its low, or columns that do not fit each other.
    """
    kind = KINDS[name]
    called = called or kind.columns
    for column, one in zip(called, given, strict=True):
        if not given[0].like(one):
            raise PriceError(
                f"{column} has shape {one.values.shape} and {_labelled(one)} beside "
                f"{given[0].values.shape} and {_labelled(given[0])} of {called[0]}; expected "
                f"the same bars and assets in the same order"
            )
        at = _first_refused(one.values, kind.prices)
        if at >= 0:
            raise refused(one, column, at)
    if len(given) == 3:
        _check_range(given[0], given[1])


def _labelled(given: Given) -> str:
    return "no labels" if given.labels is None else f"labels from {given.labels[:1].tolist()}"


def _first_refused(values: Floats, prices: bool) -> int:
    if available("numba"):
        return int(_kernels().first_refused(values, 0.0 if prices else -np.inf))
    wrong = np.isinf(values) | (values <= 0.0) if prices else np.isinf(values)
    places = np.flatnonzero(wrong)
    return int(places[0]) if places.size else -1


def _check_range(high: Given, low: Given) -> None:
    if available("numba"):
        at = int(_kernels().first_below(high.values, low.values))
    else:
        places = np.flatnonzero(high.values < low.values)
        at = int(places[0]) if places.size else -1
    if at < 0:
        return
    row, column = divmod(at, high.values.shape[1])
    place = f"{row}" if high.single else f"{row}, {column}"
    raise PriceError(
        f"high[{place}] is {high.values[row, column]} below low[{place}], "
        f"{low.values[row, column]}; expected the highest and the lowest price of a bar"
    )
