"""Logs and figures as pandas frames; pandas is imported when one is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._labels import Labels

Floats = NDArray[np.float64]


def _pandas() -> Any:
    # Not by an import statement: pandas is no dependency, and this room works without it.
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(f"a frame needs pandas ({error}); `pip install pandas`") from error


def trades_frame(
    trades: NDArray[np.void],
    labels: Labels | None,
    status: type[IntEnum],
    reason: type[IntEnum],
) -> Any:
    """A row per record, with words and labels for codes and numbers."""
    pandas = _pandas()
    columns: dict[str, Any] = {}
    for name in trades.dtype.names or ():
        columns[name] = trades[name].copy()
    columns["side"] = _words(pandas, columns["side"], {1: "long", -1: "short"})
    for name, codes in (("status", status), ("reason", reason)):
        words = {int(code): code.name.lower() for code in codes}
        columns[name] = _words(pandas, columns[name], words)
    frame = pandas.DataFrame(columns)
    if labels is not None:
        index = pandas.Index(labels.bars)
        frame["asset"] = pandas.Index(labels.assets, tupleize_cols=False)[trades["asset"]]
        frame.insert(4, "entry", index[trades["entry_bar"]])
        frame.insert(5, "exit", index[trades["exit_bar"]])
    return frame


def _words(pandas: Any, codes: NDArray[Any], words: Mapping[int, str]) -> Any:
    numbers = np.searchsorted(sorted(words), codes)
    names = [words[code] for code in sorted(words)]
    return pandas.Categorical.from_codes(numbers, categories=names)


def equity_frame(equity: Floats, margin_load: Floats, labels: Labels | None) -> Any:
    """A row per bar."""
    pandas = _pandas()
    index = None if labels is None else pandas.Index(labels.bars)
    columns = {"equity": equity.copy(), "margin_load": margin_load.copy()}
    return pandas.DataFrame(columns, index=index)


def figures_frame(rows: Mapping[str, Sequence[Any]], columns: Sequence[str]) -> Any:
    """A row per figure."""
    return _pandas().DataFrame.from_dict(dict(rows), orient="index", columns=list(columns))
