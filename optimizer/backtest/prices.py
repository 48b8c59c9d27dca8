"""Prices to trade on: the shipped S&P 500 panel and a synthetic market of any shape."""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.backtest._arrays import read_floats
from optimizer.errors import PriceError

__all__ = ["PricePanel", "load_sp500", "month_ends", "synthetic_market"]

SP500_FILE = "sp500_dataset.csv.gz"
SP500_SHA256 = "ee21cac28befb1d0a739a9ceb22184f995394726aa0cfde9a21941d1ac04ac0d"


@dataclass(frozen=True, eq=False)
class PricePanel:
    """Closing prices of some assets over some days.

    Immutable: `dates` and `close` are read-only views. An array that already has the right dtype
    and layout is not copied, so do not write to it afterwards.

    Attributes:
        dates: (T,) datetime64[D], strictly increasing.
        assets: N names.
        close: (T, N) float64, C-contiguous; NaN where there is no price; masked prices
            become NaN.

    Raises:
        PriceError: shapes that do not fit, prices that are no numbers, or dates that do not
            increase.
    """

    dates: NDArray[np.datetime64]
    assets: tuple[str, ...]
    close: NDArray[np.float64]

    def __post_init__(self) -> None:
        dates = np.ascontiguousarray(self.dates, dtype="datetime64[D]").view()
        close = read_floats(self.close, "close").view()
        assets = tuple(self.assets)
        if dates.ndim != 1 or close.shape != (len(dates), len(assets)):
            raise PriceError(
                f"close has shape {close.shape} beside {dates.shape} dates and {len(assets)} "
                f"assets; expected (dates, assets): pass one row per date, one column per asset"
            )
        late = np.flatnonzero(~(dates[1:] > dates[:-1]))
        if late.size:
            at = int(late[0]) + 1
            raise PriceError(
                f"dates[{at}] is {dates[at]} after {dates[at - 1]}; dates must strictly increase: "
                f"sort the rows and drop duplicates"
            )
        dates.flags.writeable = False
        close.flags.writeable = False
        object.__setattr__(self, "dates", dates)
        object.__setattr__(self, "assets", assets)
        object.__setattr__(self, "close", close)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.dates, self.assets, self.close)  # pickle drops read-only flags


@functools.cache
def load_sp500() -> PricePanel:
    """Daily adjusted closes of 20 members of the S&P 500, 1990-01-02 to 2022-12-28.

    The file's sha256 is verified before it is read. Cost: one read and one parse per process; all
    later calls return the same immutable panel. Source and licence: `data/SOURCE.md`.

    Returns:
        The panel: 8,313 bars, 20 assets, no NaN.

    Raises:
        PriceError: the installed file is not the one that was shipped.
    """
    path = resources.files("optimizer").joinpath("data", SP500_FILE)
    packed = path.read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    if digest != SP500_SHA256:
        raise PriceError(
            f"{path} has the sha256 {digest}, expected {SP500_SHA256}: the file is damaged or was "
            f"edited; install the package again"
        )
    header, *lines = gzip.decompress(packed).decode("ascii").splitlines()
    assets = tuple(header.split(",")[1:])
    dates = np.array([line[:10] for line in lines], dtype="datetime64[D]")
    close = np.loadtxt(lines, delimiter=",", usecols=range(1, len(assets) + 1))
    return PricePanel(dates=dates, assets=assets, close=close)


def synthetic_market(
    n_bars: int,
    n_assets: int,
    *,
    seed: int,
    nan_fraction: float = 0.0,
    drift: float = 0.0003,
    volatility: float = 0.015,
) -> PricePanel:
    """A geometric random walk per asset, starting near 100, on consecutive business days.

    The same arguments give the same panel: only products and sums of seeded normal numbers are
    taken, no exponential, whose last bits differ between machines. Cost: a few passes over the
    panel.

    Args:
        n_bars: bars, at least 1.
        n_assets: assets, at least 1.
        seed: of `numpy.random.default_rng`.
        nan_fraction: chance of each price to be missing, 0 to 1.
        drift: mean return per bar, a ratio.
        volatility: standard deviation of the return per bar, a ratio; a return stays within
            +-0.5.

    Returns:
        A panel with the assets "A0", "A1", ...

    Raises:
        PriceError: a size below 1, a fraction outside 0 to 1, or a drift and volatility that leave
            the range of prices.
    """
    if n_bars < 1 or n_assets < 1:
        raise PriceError(
            f"a market of {n_bars} bars and {n_assets} assets was asked for; "
            f"ask for at least 1 of each"
        )
    if not 0.0 <= nan_fraction <= 1.0:
        raise PriceError(f"nan_fraction is {nan_fraction}; pass a share from 0 to 1")
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", invalid="ignore"):
        returns = drift + volatility * rng.standard_normal((n_bars, n_assets))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        close: NDArray[np.float64] = 100.0 * np.cumprod(
            1.0 + np.clip(returns, -0.5, 0.5), axis=0, dtype=np.float64
        )
    if not (close.min() > 0.0 and close.max() < np.inf):  # min and max of NaN are NaN
        raise PriceError(
            f"drift {drift} and volatility {volatility} lead over {n_bars} bars to a price that is "
            f"not above 0 or not finite; pass smaller ones, or fewer bars"
        )
    if nan_fraction > 0.0:
        close[rng.random(close.shape) < nan_fraction] = np.nan
    dates = np.busday_offset(np.datetime64("1990-01-01"), np.arange(n_bars), roll="forward")
    return PricePanel(dates, tuple(f"A{number}" for number in range(n_assets)), close)


def month_ends(dates: ArrayLike) -> NDArray[np.int64]:
    """The bars that close a month: those followed by a bar of a later month.

    The last month of the data is not counted, because nothing after it says that it ended. Cost:
    one pass over the dates.

    Args:
        dates: (T,) datetime64, increasing.

    Returns:
        Bar numbers, int64, strictly increasing; rebalance bars for `track_trades`.
    """
    months = np.asarray(dates).astype("datetime64[M]")
    return np.flatnonzero(months[1:] > months[:-1]).astype(np.int64, copy=False)
