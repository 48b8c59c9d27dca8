"""Parts that make slow Optuna studies fast.

Importing this package loads none of numpy, numba, pandas or optuna: a public name is imported
from its room when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optimizer.backtest.prices import PricePanel as PricePanel
    from optimizer.backtest.prices import load_sp500 as load_sp500
    from optimizer.backtest.prices import synthetic_market as synthetic_market
    from optimizer.backtest.tracker import TradeLog as TradeLog
    from optimizer.backtest.tracker import track_trades as track_trades
    from optimizer.caching import LRUCache as LRUCache
    from optimizer.caching import TTLCache as TTLCache
    from optimizer.errors import OptimizerError as OptimizerError
    from optimizer.signature import param_signature as param_signature
    from optimizer.space import SearchSpace as SearchSpace
    from optimizer.stores.guard import NoDupeGuard as NoDupeGuard

# Public name -> the module that defines it. The block above repeats it for type checkers; a test
# compares the two.
_ROOMS = {
    "LRUCache": "optimizer.caching",
    "NoDupeGuard": "optimizer.stores.guard",
    "OptimizerError": "optimizer.errors",
    "PricePanel": "optimizer.backtest.prices",
    "SearchSpace": "optimizer.space",
    "TTLCache": "optimizer.caching",
    "TradeLog": "optimizer.backtest.tracker",
    "load_sp500": "optimizer.backtest.prices",
    "param_signature": "optimizer.signature",
    "synthetic_market": "optimizer.backtest.prices",
    "track_trades": "optimizer.backtest.tracker",
}

__all__ = ["__version__", *sorted(_ROOMS)]  # noqa: PLE0604 - every entry is a string


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
