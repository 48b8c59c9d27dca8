"""The shipped panel is the one of its source, and the synthetic market is what its seed says."""

from __future__ import annotations

import copy
import pickle
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.backtest import prices
from optimizer.backtest.prices import PricePanel, load_sp500, month_ends, synthetic_market
from optimizer.errors import PriceError


def test_sp500_panel_has_the_stated_shape_and_no_gaps() -> None:
    panel = load_sp500()
    assert panel.close.shape == (8313, 20)
    assert len(panel.assets) == len(set(panel.assets)) == 20
    assert panel.assets[0] == "AAPL"
    assert panel.assets[-1] == "XOM"
    assert str(panel.dates[0]) == "1990-01-02"
    assert str(panel.dates[-1]) == "2022-12-28"
    assert np.isfinite(panel.close).all()
    assert (panel.close > 0.0).all()
    assert panel.close[0, 0] == 0.264
    assert panel.close[-1, -1] == 106.627


def test_sp500_is_parsed_once_and_cannot_be_changed() -> None:
    panel = load_sp500()
    assert load_sp500() is panel
    assert panel.close.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        panel.close[0, 0] = 1.0


def test_source_and_licence_lie_beside_the_data() -> None:
    folder = Path(str(resources.files("optimizer").joinpath("data")))
    assert prices.SP500_SHA256 in (folder / "SOURCE.md").read_text("utf-8")
    assert "BSD 3-Clause License" in (folder / "LICENSE-skfolio").read_text("utf-8")


def test_a_damaged_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "SP500_SHA256", "0" * 64)
    with pytest.raises(PriceError, match="damaged"):
        load_sp500.__wrapped__()


def test_the_last_unfinished_month_has_no_end() -> None:
    bars = month_ends(load_sp500().dates)
    assert len(bars) == 395
    assert bars.dtype == np.int64
    assert str(load_sp500().dates[bars[0]]) == "1990-01-31"
    assert str(load_sp500().dates[bars[-1]]) == "2022-11-30"
    assert month_ends(np.array(["2020-01-31"], dtype="datetime64[D]")).tolist() == []


def test_a_synthetic_market_is_a_function_of_its_arguments() -> None:
    comp = synthetic_market(500, 7, seed=3, nan_fraction=0.2)
    again = synthetic_market(500, 7, seed=3, nan_fraction=0.2)
    other = synthetic_market(500, 7, seed=4, nan_fraction=0.2)
    assert comp.close.tobytes() == again.close.tobytes()
    assert comp.close.tobytes() != other.close.tobytes()
    assert comp.close.shape == (500, 7)
    assert 0.15 < np.isnan(comp.close).mean() < 0.25
    assert np.nanmin(comp.close) > 0.0
    assert not np.isnan(synthetic_market(500, 7, seed=3).close).any()
    assert np.isnan(synthetic_market(5, 2, seed=3, nan_fraction=1.0).close).all()


def test_synthetic_dates_are_business_days() -> None:
    dates = synthetic_market(600, 1, seed=0).dates
    assert np.is_busday(dates).all()
    assert (np.diff(dates) > np.timedelta64(0, "D")).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_bars": 0, "n_assets": 1}, "0 bars"),
        ({"n_bars": 1, "n_assets": -1}, "-1 assets"),
        ({"n_bars": 1, "n_assets": 1, "nan_fraction": 1.5}, "nan_fraction is 1.5"),
        ({"n_bars": 1, "n_assets": 1, "nan_fraction": float("nan")}, "nan_fraction is nan"),
    ],
)
def test_impossible_markets_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(PriceError, match=message):
        synthetic_market(seed=0, **arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_a_panel_checks_its_parts_and_leaves_the_callers_array_writable() -> None:
    dates = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    mine = np.ones((2, 1))
    panel = PricePanel(dates, ("A",), mine)
    assert not panel.close.flags.writeable
    assert mine.flags.writeable
    assert PricePanel(dates, ("A", "B"), np.ones((2, 2), order="F")).close.flags.c_contiguous
    with pytest.raises(PriceError, match=r"shape \(2, 1\)"):
        PricePanel(dates, ("A", "B"), mine)
    with pytest.raises(PriceError, match=r"dates\[1\] is 2020-01-01 after 2020-01-02"):
        PricePanel(dates[::-1], ("A",), mine)


def test_a_panel_stays_read_only_through_pickle_and_copy() -> None:
    panel = synthetic_market(5, 2, seed=1)
    for twin in (pickle.loads(pickle.dumps(panel)), copy.deepcopy(panel)):
        assert not twin.dates.flags.writeable
        assert not twin.close.flags.writeable
        assert twin.assets == panel.assets
        np.testing.assert_array_equal(twin.close, panel.close)


@pytest.mark.parametrize(
    "close", [[["a"]], [["1.5"]], np.array([["1.5"]], dtype=object), [[1j]], [[[1], 2]]]
)
def test_prices_that_are_no_numbers_are_refused(close: Any) -> None:
    with pytest.raises(PriceError, match="close"):
        PricePanel(np.array(["2020-01-01"], "datetime64[D]"), ("A",), close)


def test_a_masked_price_is_no_price() -> None:
    dates = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")
    panel = PricePanel(dates, ("A",), np.ma.masked_equal([[1], [999]], 999))
    np.testing.assert_array_equal(panel.close, [[1.0], [np.nan]])


@pytest.mark.parametrize(
    "settings",
    [
        {"drift": 0.5},
        {"drift": -0.5},
        {"drift": np.nan},
        {"volatility": np.inf},
        {"drift": 1e308, "volatility": 1e308},
    ],
)
def test_a_market_beyond_the_range_of_prices_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PriceError, match="drift"):
        synthetic_market(5_000, 2, seed=1, **settings)
