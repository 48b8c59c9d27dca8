"""The demonstration's objective: whole, and on a part of the data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from optimizer import SearchSpace
from optimizer.backtest.tracker import track_trades
from optimizer.efficiency import part
from optimizer.study import demo

POINT = {
    "lookback_months": 6,
    "skip_months": 1,
    "holdings": 5,
    "side": "long",
    "exposure": 1.0,
}


def value(data: Any, **other: Any) -> float:
    return demo.objective(POINT | other, SimpleNamespace(data=data))


def test_the_space() -> None:
    space = SearchSpace(demo.SPACE)
    assert set(space) == set(POINT)
    assert space.size() == 2_400


def test_values() -> None:
    data = demo.market()
    assert 0.05 < value(data) < 0.5
    assert value(data, side="long-short") != value(data)
    assert value(data, exposure=0.5) < value(data)


def test_a_warm_up_compiles_for_the_arrays_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[Any] = []
    track = track_trades

    def noted(*arrays: Any, **options: Any) -> Any:
        layouts = [(one.dtype, one.ndim, one.flags.c_contiguous) for one in arrays]
        kinds.append((layouts, options))
        return track(*arrays, **options)

    monkeypatch.setattr(demo, "track_trades", noted)
    data = demo.market()
    demo.warm_up(data)
    value(data)
    value(data, side="long-short")
    assert kinds[0] == kinds[1] == kinds[2]


@pytest.mark.parametrize("fraction", [0.2, 0.3, 0.6])
def test_on_a_part_of_the_data(fraction: float) -> None:
    data = demo.market()
    cut = part(data, fraction)
    assert len(cut["close"]) == len(cut["is_month_end"]) < len(data["close"])
    for corner in ({"lookback_months": 12}, {"lookback_months": 1, "holdings": 1}):
        assert np.isfinite(value(cut, **corner))


def test_the_part_knows_nothing_of_what_comes_later() -> None:
    data = demo.market()
    later = {name: item.copy() for name, item in data.items()}
    cut = part(data, 0.3)
    later["close"][len(cut["close"]) :] *= 0.5
    assert value(part(later, 0.3)) == value(cut)
    assert value(later) != value(data)
