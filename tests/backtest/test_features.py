"""What features mean: values worked out by hand, missing values, labels, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from optimizer.backtest import _feature_state, features
from optimizer.backtest.features import (
    FeatureStream,
    atr,
    ewma,
    momentum,
    rolling_mean,
    rsi,
    volatility,
    zscore,
)
from optimizer.errors import PriceError

NAN = math.nan

SERIES = [rolling_mean, ewma, rsi, zscore, momentum, volatility]
WINDOWS = [rolling_mean, zscore]
RECURSIVE = [ewma, rsi]


def prices(n_bars: int, n_assets: int, seed: int = 0) -> Any:
    steps = np.random.default_rng(seed).normal(0.0, 1.0, (n_bars, n_assets))
    return 200.0 + steps.cumsum(axis=0)


# --- values worked out by hand


def test_rolling_mean() -> None:
    comp = rolling_mean([1.0, 2.0, 6.0, 7.0, 2.0], 3)
    np.testing.assert_array_equal(comp, [NAN, NAN, 3.0, 5.0, 5.0])


def test_ewma_begins_at_the_first_value() -> None:
    comp = ewma([8.0, 4.0, 4.0, 8.0], 3)  # the weight is 1/2
    np.testing.assert_array_equal(comp, [NAN, NAN, 5.0, 6.5])


def test_zscore() -> None:
    # Of 1, 2, 6: mean 3, squares 4 + 1 + 9, deviation the root of 7. Of 5, 5, 5: no deviation.
    comp = zscore([1.0, 2.0, 6.0, 5.0, 5.0, 5.0], 3)
    np.testing.assert_allclose(comp[2], 3.0 / math.sqrt(7.0), rtol=1e-15)
    assert np.isnan(comp[[0, 1, 5]]).all()


def test_momentum() -> None:
    np.testing.assert_array_equal(momentum([4.0, 8.0, 5.0, 2.0], 2), [NAN, NAN, 0.25, -0.75])


def test_volatility() -> None:
    # Returns 1, -1/2, 1: mean 1/2, squares 1/4 + 1 + 1/4, of 3 - 1.
    comp = volatility([4.0, 8.0, 4.0, 8.0, 16.0], 3)
    np.testing.assert_allclose(comp[3], math.sqrt(0.75), rtol=1e-15)
    assert np.isnan(comp[:3]).all()
    np.testing.assert_array_equal(volatility([1.0, 2.0, 4.0, 8.0], 2)[2:], [0.0, 0.0])


CLOSES = """44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826 45.8931
46.0328 45.6140 46.2820 46.2820 46.0028 46.0328 46.4116 46.2222 45.6439 46.2122 46.2521 45.7137
46.4515 45.7835 45.3548 44.0288 44.1783 44.2181 44.5672 43.4205 42.6628 43.1314"""
INDEX = """70.53 66.32 66.55 69.41 66.36 57.97 62.93 63.26 56.06 62.38 54.71 50.42 39.99 41.46 41.87
45.46 37.30 33.08 37.77"""


def test_rsi_of_a_published_example() -> None:
    # StockCharts' ChartSchool, "Relative Strength Index", 14 periods, printed to 2 digits.
    comp = rsi([float(close) for close in CLOSES.split()], 14)
    assert np.isnan(comp[:14]).all()
    np.testing.assert_allclose(comp[14:], [float(one) for one in INDEX.split()], atol=0.006)


def test_rsi_where_nothing_or_one_way_moves() -> None:
    np.testing.assert_array_equal(rsi([3.0] * 5, 2), [NAN, NAN, 50.0, 50.0, 50.0])
    np.testing.assert_array_equal(rsi([1.0, 2.0, 5.0, 6.0], 2), [NAN, NAN, 100.0, 100.0])
    np.testing.assert_array_equal(rsi([6.0, 5.0, 2.0, 1.0], 2), [NAN, NAN, 0.0, 0.0])


def test_atr() -> None:
    high = [12.0, 15.0, 11.0, 10.0]
    low = [8.0, 14.0, 10.0, 6.0]
    close = [10.0, 14.0, 10.0, 7.0]
    # Ranges: 4; 5 over the gap up from 10; 4 over the gap down from 14; 4.
    np.testing.assert_array_equal(atr(high, low, close, 2), [NAN, 4.5, 4.25, 4.125])


# --- missing values


@pytest.mark.parametrize("feature", SERIES)
@pytest.mark.parametrize("bars", [2, 3, 7])
def test_warm_up_is_nan_and_nothing_after_it(feature: Any, bars: int) -> None:
    missing = np.isnan(feature(prices(40, 3), bars))
    first = bars - 1 if feature in (rolling_mean, ewma, zscore) else bars
    assert missing[:first].all()
    assert not missing[first:].any()


@pytest.mark.parametrize("feature", SERIES)
@pytest.mark.parametrize("n_bars", [0, 1, 4])
def test_too_few_bars_are_all_nan(feature: Any, n_bars: int) -> None:
    for bars in (5, 10**15):
        comp = feature(prices(n_bars, 2), bars)
        assert comp.shape == (n_bars, 2)
        assert np.isnan(comp).all()


@pytest.mark.parametrize("feature", WINDOWS)
def test_a_nan_makes_exactly_the_windows_that_hold_it_nan(feature: Any) -> None:
    whole = prices(60, 1)[:, 0]
    for at in range(20, 32):  # at every place of a block
        holed = whole.copy()
        holed[at] = NAN
        comp, ref = feature(holed, 5), feature(whole, 5)
        ref[at : at + 5] = NAN
        np.testing.assert_array_equal(comp[: at + 5], ref[: at + 5])
        # The sums are taken about other values after it: rounded otherwise, never poisoned.
        np.testing.assert_allclose(comp, ref, rtol=1e-12, atol=1e-12)


def test_momentum_and_volatility_miss_what_touches_the_nan() -> None:
    values = prices(30, 1)[:, 0]
    values[12] = NAN
    assert np.flatnonzero(np.isnan(momentum(values, 4)[4:])).tolist() == [12 - 4, 16 - 4]
    # Returns 12 and 13 are missing, so windows of 4 end well from bar 17 on.
    assert np.flatnonzero(np.isnan(volatility(values, 4)[4:])).tolist() == [8, 9, 10, 11, 12]


@pytest.mark.parametrize("feature", RECURSIVE)
def test_recursive_features_leave_nan_out(feature: Any) -> None:
    values = prices(50, 1)[:, 0]
    here = np.ones(50, bool)
    here[[0, 1, 7, 8, 30, 49]] = False
    holed = np.where(here, values, NAN)
    comp = feature(holed, 5)
    assert np.isnan(comp[~here]).all()
    assert comp[here].tobytes() == feature(values[here], 5).tobytes()


def test_atr_leaves_out_bars_with_any_nan() -> None:
    close = prices(40, 1)[:, 0]
    high, low = close + 1.0, close - 1.5
    here = np.ones(40, bool)
    here[[0, 5, 6, 20]] = False
    ref = atr(high[here], low[here], close[here], 4)
    for place in ("high", "low", "close"):
        holed = {"high": high.copy(), "low": low.copy(), "close": close.copy()}
        holed[place][~here] = NAN
        comp = atr(**holed, period=4)
        assert np.isnan(comp[~here]).all()
        assert comp[here].tobytes() == ref.tobytes()


# --- what they promise


@pytest.mark.parametrize("bars", [2, 5, 20, 33])
def test_equal_values_have_exactly_their_mean_and_no_deviation(bars: int) -> None:
    values = np.full((100, 3), [0.1, 1e9 / 3.0, 1e-30])
    np.testing.assert_array_equal(rolling_mean(values, bars)[bars - 1 :], values[bars - 1 :])
    np.testing.assert_array_equal(volatility(values, bars)[bars:], 0.0)
    assert np.isnan(zscore(values, bars)).all()
    np.testing.assert_array_equal(ewma(values, bars)[bars - 1 :], values[bars - 1 :])


@pytest.mark.parametrize("feature", SERIES)
def test_columns_do_not_touch_each_other(feature: Any) -> None:
    values = prices(80, 37)
    values[5:9, 3] = NAN
    ref = np.stack([feature(values[:, at], 6) for at in range(37)], axis=1)
    np.testing.assert_array_equal(feature(values, 6), ref)


@pytest.mark.parametrize("feature", SERIES)
def test_every_layout_gives_the_same(feature: Any) -> None:
    values = prices(30, 4)
    ref = feature(values, 3)
    masked = np.ma.masked_array(values, np.zeros(values.shape, bool))
    for given in (
        np.asfortranarray(values),
        values[::-1][::-1],
        np.repeat(values, 2, axis=1)[:, ::2],
        values.astype(">f8"),
        values.tolist(),
        masked,
    ):
        np.testing.assert_array_equal(feature(given, np.int64(3)), ref)


def test_inputs_are_left_alone_and_results_are_the_callers() -> None:
    values = prices(30, 4)
    kept = values.tobytes()
    for feature in SERIES:
        comp = feature(values, 3)
        assert comp.flags.writeable
        comp[:] = 0.0
    assert values.tobytes() == kept
    assert values.flags.writeable


@pytest.mark.parametrize("feature", SERIES)
def test_out_is_filled_and_returned(feature: Any) -> None:
    for values in (prices(30, 4), prices(30, 1)[:, 0]):
        for bars in (3, 31):
            room = np.zeros(values.shape)
            comp = feature(values, bars, out=room)
            assert np.shares_memory(comp, room)
            assert comp.tobytes() == room.tobytes() == feature(values, bars).tobytes()


def test_an_out_that_does_not_fit_is_refused() -> None:
    values = prices(30, 4)
    frozen = np.zeros((30, 4))
    frozen.flags.writeable = False
    for out, said in [
        ([0.0], "out is list of no dtype"),
        (np.zeros((30, 3)), r"shape \(30, 3\); pass an array of float64 and shape \(30, 4\)"),
        (np.zeros((30, 4), np.float32), "ndarray of float32"),
        (np.zeros((4, 30)).T, "not a C-contiguous, writeable"),
        (frozen, "not a C-contiguous, writeable"),
        (values, "out shares memory"),
    ]:
        with pytest.raises(PriceError, match=said):
            rolling_mean(values, 3, out=out)
    with pytest.raises(PriceError, match=r"and shape \(30,\)"):
        rolling_mean(values[:, 0], 3, out=np.zeros((30, 1)))


# --- pandas


def test_tables_come_back_with_their_labels() -> None:
    pandas = pytest.importorskip("pandas")
    dates = pandas.date_range("2020-01-01", periods=30, name="day")
    frame = pandas.DataFrame(prices(30, 3), index=dates, columns=["A", "B", "C"])
    for feature in SERIES:
        comp = feature(frame, 4)
        ref = pandas.DataFrame(
            feature(frame.to_numpy(), 4), index=frame.index, columns=frame.columns
        )
        pandas.testing.assert_frame_equal(comp, ref, check_exact=True)
        series = feature(frame["B"], 4)
        pandas.testing.assert_series_equal(series, ref["B"], check_exact=True)
    comp = atr(frame + 1.0, frame - 1.0, frame, 4)
    assert comp.index.equals(dates)
    assert list(comp.columns) == ["A", "B", "C"]


def test_nullable_columns_have_nan_where_they_are_missing() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"A": pandas.array([1, None, 3, 4, 5], dtype="Int64"), "B": [1.0, 2.0, 3.0, 4.0, 5.0]}
    )
    comp = rolling_mean(frame, 2)
    np.testing.assert_array_equal(comp["A"], [NAN, NAN, NAN, 3.5, 4.5])
    np.testing.assert_array_equal(comp["B"], [NAN, 1.5, 2.5, 3.5, 4.5])


def test_the_same_as_pandas_where_pandas_has_it() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(prices(400, 5, seed=3))
    frame.iloc[50:53, 1] = NAN
    rolling = frame.rolling(20)
    # pandas adds and removes values: other roundings, which remain in its sums.
    near: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(rolling_mean(frame, 20), rolling.mean(), **near)
    np.testing.assert_allclose(zscore(frame, 20), (frame - rolling.mean()) / rolling.std(), **near)
    returns = frame.pct_change(fill_method=None)
    np.testing.assert_allclose(volatility(frame, 20), returns.rolling(20).std(), **near)
    np.testing.assert_allclose(momentum(frame, 20), frame.pct_change(20, fill_method=None), **near)
    smooth = frame.ewm(span=20, adjust=False, min_periods=20, ignore_na=True).mean()
    np.testing.assert_allclose(ewma(frame, 20), smooth.where(frame.notna()), **near)


# --- refusals name the place


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rolling_mean([1.0, math.inf], 2), r"values\[1\] is inf; expected a finite"),
        (lambda: rsi([[1.0, 2.0], [3.0, -math.inf]], 2), r"values\[1, 1\] is -inf"),
        (lambda: momentum([[1.0, 2.0], [0.0, 2.0]], 1), r"values\[1, 0\] is 0.0; expected a price"),
        (lambda: volatility([1.0, -1.0], 2), r"values\[1\] is -1.0; expected a price above 0"),
        (lambda: rolling_mean([1.0], 0), "window of rolling_mean is 0; pass at least 1"),
        (lambda: zscore([1.0], 1), "window of zscore is 1; pass at least 2"),
        (lambda: ewma([1.0], 2.0), "span of ewma is 2.0; pass a number of bars"),  # type: ignore[arg-type]  # on purpose
        (lambda: rsi([1.0], True), "period of rsi is True; pass a number of bars"),
        (lambda: rolling_mean(["1.0"], 1), "values holds"),
        (lambda: rolling_mean([[[1.0]]], 1), r"values has shape \(1, 1, 1\)"),
        (lambda: rolling_mean(1.0, 1), r"values has shape \(\)"),
        (lambda: atr([2.0, 1.0], [1.0, 2.0], [1.0, 1.0], 1), r"high\[1\] is 1.0 below low\[1\]"),
        (lambda: atr([2.0], [1.0], [1.0, 1.0], 1), r"close has shape \(2, 1\)"),
        (lambda: atr([[2.0]], [[1.0]], [1.0], 1), r"close has shape \(1, 1\)"),
        (lambda: FeatureStream("macd", 3), "no feature 'macd'; expected one of atr, ewma"),  # type: ignore[arg-type]  # on purpose
        (lambda: FeatureStream("atr", 3).extend([1.0]), "1 columns were passed; atr takes high"),
    ],
)
def test_refusals(call: Any, said: str) -> None:
    with pytest.raises(PriceError, match=said):
        call()


def test_refusals_of_tables_name_labels() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"A": [1.0, 2.0], "B": [3.0, math.inf]}, index=["x", "y"])
    with pytest.raises(PriceError, match=r"values\[1, 1\] \(label 'y'\) is inf"):
        rolling_mean(frame, 1)
    with pytest.raises(PriceError, match="column 'C', holds"):
        rolling_mean(frame.assign(C=["1.0", "2.0"]), 1)
    with pytest.raises(PriceError, match="column 'C', holds bool"):
        rolling_mean(frame.assign(C=[True, False]), 1)
    close = frame.replace(math.inf, 4.0)
    with pytest.raises(PriceError, match="low has shape"):
        atr(close, close.iloc[::-1], close, 1)


def test_names_of_kinds_and_functions_agree() -> None:
    assert set(_feature_state.KINDS) == set(_feature_state.NAMES)
    assert {*_feature_state.NAMES, "FeatureName", "FeatureStream"} == set(features.__all__)
