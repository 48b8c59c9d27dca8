"""pandas in and out: labels are matched, kept and named in errors, and pandas is never needed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from optimizer.backtest import _labels
from optimizer.backtest.prices import PricePanel, load_sp500, month_ends
from optimizer.backtest.tracker import Tracker, TradeLog, track_trades
from optimizer.errors import PriceError

pd: Any = pytest.importorskip("pandas")

DATES = ["2020-01-31", "2020-02-28", "2020-03-31", "2020-04-30"]
CLOSE = [[10.0, 5.0], [12.0, 5.0], [9.0, 4.0], [11.0, 8.0]]
NAN = float("nan")


def frame(values: Any = CLOSE, index: Any = DATES, columns: Any = ("A", "B")) -> Any:
    return pd.DataFrame(np.array(values), pd.DatetimeIndex(index), list(columns))


def parts(log: TradeLog) -> tuple[bytes, bytes, bytes]:
    return log.trades.tobytes(), log.equity.tobytes(), log.margin_load.tobytes()


WEIGHTS = [[0.5, -0.25], [0.0, NAN]]
EXPECTED = parts(track_trades(CLOSE, [0, 2], WEIGHTS, fee_rate=0.25))


def test_frames_are_matched_by_their_labels() -> None:
    weights = frame(WEIGHTS, [DATES[0], DATES[2]])
    for given in (weights, weights[["B", "A"]]):
        log = track_trades(frame(), weights=given, fee_rate=0.25)
        assert parts(log) == EXPECTED
        assert parts(Tracker(frame(), fee_rate=0.25).track(weights=given)) == EXPECTED
        assert log.labels is not None
        assert log.labels.assets == ("A", "B")
        assert log.labels.bars.equals(pd.DatetimeIndex(DATES))


@pytest.mark.parametrize(
    "bars",
    [
        [0, 2],
        pd.DatetimeIndex([DATES[0], DATES[2]]),
        [pd.Timestamp(DATES[0]), pd.Timestamp(DATES[2])],
        np.array([DATES[0], DATES[2]], "datetime64[D]"),
    ],
)
def test_bars_may_be_given_by_number_or_by_label(bars: Any) -> None:
    assert parts(track_trades(frame(), bars, WEIGHTS, fee_rate=0.25)) == EXPECTED
    panel = PricePanel(np.array(DATES, "datetime64[D]"), ("A", "B"), np.array(CLOSE))
    assert parts(Tracker(panel, fee_rate=0.25).track(bars, WEIGHTS)) == EXPECTED
    dated = Tracker(CLOSE, dates=pd.DatetimeIndex(DATES), fee_rate=0.25)
    assert parts(dated.track(bars, WEIGHTS)) == EXPECTED


def test_a_frame_of_weights_goes_with_a_panel_or_with_numbers() -> None:
    weights = frame(WEIGHTS, [DATES[0], DATES[2]])
    panel = PricePanel(np.array(DATES, "datetime64[D]"), ("A", "B"), np.array(CLOSE))
    assert parts(track_trades(panel, weights=weights, fee_rate=0.25)) == EXPECTED
    assert parts(track_trades(CLOSE, [0, 2], weights, fee_rate=0.25)) == EXPECTED


def test_a_series_is_one_asset() -> None:
    close = frame()["A"]
    weights = pd.Series([1.0, 0.0], pd.DatetimeIndex([DATES[0], DATES[2]]))
    log = track_trades(close, weights=weights)
    assert parts(log) == parts(track_trades([[p] for p, _ in CLOSE], [0, 2], [[1.0], [0.0]]))
    assert log.labels is not None
    assert log.labels.assets == ("A",)


def test_highs_and_lows_are_matched_too() -> None:
    high, low = frame() + 1.0, frame() - 1.0
    given = Tracker(frame(), high=high[["B", "A"]], low=low).track([0], [[0.5, 0.5]])
    plain = track_trades(
        CLOSE, [0], [[0.5, 0.5]], high=np.array(CLOSE) + 1.0, low=np.array(CLOSE) - 1.0
    )
    assert parts(given) == parts(plain)
    with pytest.raises(PriceError, match=r"high\.index differs from the bars of close"):
        Tracker(frame(), high=high[1:], low=low)
    with pytest.raises(PriceError, match=r"low lacks a column for the asset 'B'; pass one$"):
        Tracker(frame(), high=high, low=low[["A"]])


@pytest.mark.parametrize("kind", ["int64", "Float64", "float32"])
def test_columns_of_any_number_are_read(kind: str) -> None:
    prices = frame().astype(kind)
    if kind == "Float64":
        prices.iloc[1, 0] = pd.NA
    log = Tracker(prices).track([0], [[0.5, 0.0]])
    assert log.equity[1] == (100_000.0 if kind == "Float64" else 110_000.0)


@pytest.mark.parametrize(
    ("close", "bars", "weights", "message"),
    [
        (frame(index=[*DATES[:2], *DATES[1:3]]), [0], [[1, 0]], r"close\.index\[2\] is 2020-02-28"),
        (frame(index=DATES[::-1]), [0], [[1, 0]], r"close\.index\[1\] is 2020-03-31.* after"),
        (frame(columns=["A", "A"]), [0], [[1, 0]], r"close\.columns holds 'A' twice"),
        (frame([["a", "b"]] * 4), [0], [[1, 0]], "close (holds|cannot be read)"),
        (
            frame(),
            None,
            frame(WEIGHTS, ["2020-01-31", "2020-03-01"]),
            r"weights\.index\[1\] is 2020",
        ),
        (frame(), None, frame(WEIGHTS, DATES[1::-1]), r"weights\.index\[1\] is 2020-01-31.* after"),
        (frame(), None, frame(WEIGHTS, DATES[:2], "AC"), "weights has a column 'C', which is no"),
        (frame(), None, frame(WEIGHTS, DATES[:2])[["A"]], "lacks a column for the asset 'B'.* NaN"),
        (CLOSE, None, frame(WEIGHTS, DATES[:2]), r"weights\.index names bars, but close has no"),
        (frame(), ["2020-01-30"], [[1, 0]], r"rebalance_bars\[0\] is 2020-01-30, which is no bar"),
        (frame(), [0], [[np.inf, 0]], r"weights\[0, 0\] \(2020-01-31.*, A\) is inf"),
        (frame([[1, 2], [3, -1]] * 2), [0], [[1, 0]], r"close\[1, 1\] \(2020-02-28.*, B\) is -1"),
    ],
)
def test_what_does_not_fit_is_named_by_its_label(
    close: Any, bars: Any, weights: Any, message: str
) -> None:
    with pytest.raises(PriceError, match=message):
        track_trades(close, bars, weights)
    with pytest.raises(PriceError, match=message):
        Tracker(close).track(bars, weights)


@pytest.mark.parametrize("kind", [str, object, "string"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_may_be_text(kind: Any, zone: str | None) -> None:
    close = frame(index=pd.DatetimeIndex(DATES, tz=zone))
    text = pd.Series([DATES[0], DATES[2]], [5, 9], dtype=kind)
    for bars in (text, text.tolist(), text.to_numpy()):
        assert parts(track_trades(close, bars, WEIGHTS, fee_rate=0.25)) == EXPECTED
    named = pd.DataFrame(WEIGHTS, text.tolist(), ["A", "B"])
    assert parts(track_trades(close, weights=named, fee_rate=0.25)) == EXPECTED
    panel = PricePanel(np.array(DATES, "datetime64[D]"), ("A", "B"), np.array(CLOSE))
    assert parts(track_trades(panel, text, WEIGHTS, fee_rate=0.25)) == EXPECTED
    with pytest.raises(PriceError, match="rebalance_bars cannot be read as dates"):
        track_trades(close, ["monday", "tuesday"], WEIGHTS)


@pytest.mark.parametrize("index", [[5, 9], [1, 0], ["x", "y"]])
def test_a_series_of_dates_is_read_by_place(index: list[Any]) -> None:
    good = pd.Series(pd.DatetimeIndex([DATES[0], DATES[2]]), index)
    wrong = pd.Series(pd.DatetimeIndex([DATES[0], "2020-03-01"]), index)
    late = pd.Series(pd.DatetimeIndex([DATES[2], DATES[0]]), index)
    panel = PricePanel(np.array(DATES, "datetime64[D]"), ("A", "B"), np.array(CLOSE))
    for close in (frame(), panel):
        assert parts(track_trades(close, good, WEIGHTS, fee_rate=0.25)) == EXPECTED
        with pytest.raises(PriceError, match=r"_bars\[1\] is 2020-03-01.*no bar of close"):
            track_trades(close, wrong, WEIGHTS)
        with pytest.raises(PriceError, match=r"_bars\[1\] is 2020-01-31.* after 2020-03-31"):
            track_trades(close, late, WEIGHTS)
        zoned = good.dt.tz_localize("Europe/Berlin")
        with pytest.raises(PriceError, match=r"_bars(.0. is 2020-01-31| has the time zone)"):
            track_trades(close, zoned, WEIGHTS)


def test_a_time_zone_goes_with_its_like_alone() -> None:
    zoned = frame(index=pd.DatetimeIndex(DATES, tz="Europe/Berlin"))
    weights = frame(WEIGHTS, pd.DatetimeIndex([DATES[0], DATES[2]], tz="Europe/Berlin"))
    log = track_trades(zoned, weights=weights, fee_rate=0.25)
    assert parts(log) == EXPECTED
    assert log.labels is not None
    assert log.labels.days is not None
    assert log.labels.days.tolist() == [0.0, 28.0, 60.0, 90.0]  # by the local clock
    assert log.to_frame()["entry"].dt.tz is not None
    with pytest.raises(PriceError, match=r"weights\.index\[0\] is"):
        track_trades(frame(), weights=weights)
    panel = PricePanel(np.array(DATES, "datetime64[D]"), ("A", "B"), np.array(CLOSE))
    with pytest.raises(PriceError, match="time zone Europe/Berlin"):
        track_trades(panel, weights=weights)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_dates_are_found_where_pandas_finds_them(zone: str | None, unit: str) -> None:
    bars = pd.DatetimeIndex(["2020-03-01", "2020-03-02", "2021-07-01"], tz=zone)
    given = ["2019-01-01", "2020-03-01", "2020-03-01 12:00", "2021-07-01", "2022-01-01", "NaT"]
    wanted = pd.DatetimeIndex(given, tz=zone).as_unit(unit)
    comp = _labels._found(wanted, "rebalance_bars", bars)
    assert comp.tolist() == bars.get_indexer(wanted).tolist() == [-1, 0, -1, 2, -1, -1]


def test_periods_and_plain_numbers_are_labels_too() -> None:
    periods = frame(index=DATES)
    periods.index = periods.index.to_period("M")
    log = Tracker(periods).track([0, 2], WEIGHTS)
    assert log.statistics().all.mean_days == 60.0
    numbered = frame()
    numbered.index = [3, 5, 6, 9]
    log = Tracker(numbered, fee_rate=0.25).track(weights=numbered.iloc[[0, 2]] * 0.0)
    assert log.labels is not None
    assert log.labels.days is None
    assert len(log) == 0


# --- out


def test_a_log_as_a_frame_has_words_and_labels() -> None:
    log = track_trades(frame(), weights=frame(WEIGHTS, [DATES[0], DATES[2]]))
    trades = log.to_frame()
    assert trades["asset"].tolist() == ["A", "B"]
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["status"].tolist() == ["closed", "open"]
    assert trades["reason"].tolist() == ["closed", "end_of_data"]
    assert trades["entry"].tolist() == [pd.Timestamp(DATES[0])] * 2
    assert trades["exit"].tolist() == [pd.Timestamp(DATES[2]), pd.Timestamp(DATES[3])]
    assert trades["net_pnl"].tolist() == log.trades["net_pnl"].tolist()
    trades.loc[0, "net_pnl"] = 1.0  # a copy
    curves = log.equity_frame()
    assert curves.index.equals(pd.DatetimeIndex(DATES))
    assert curves["equity"].tolist() == log.equity.tolist()
    assert list(curves) == ["equity", "margin_load"]


def test_a_log_without_labels_as_a_frame_has_numbers() -> None:
    log = track_trades(CLOSE, [0, 2], WEIGHTS)
    trades = log.to_frame()
    assert trades["asset"].tolist() == [0, 1]
    assert "entry" not in trades
    assert log.equity_frame().index.tolist() == [0, 1, 2, 3]
    assert len(track_trades(CLOSE, [], np.empty((0, 2))).to_frame()) == 0


def test_labels_of_several_levels_stay_whole() -> None:
    columns = pd.MultiIndex.from_tuples([("US", "A"), ("DE", "B")])
    close = pd.DataFrame(CLOSE, pd.DatetimeIndex(DATES), columns)
    log = track_trades(close, weights=close.iloc[[0]] * 0.0 + 0.5)
    assert log.to_frame()["asset"].tolist() == [("US", "A"), ("DE", "B")]


def test_the_figures_as_a_frame() -> None:
    panel = load_sp500()
    close = pd.DataFrame(panel.close, pd.DatetimeIndex(panel.dates), panel.assets)
    bars = month_ends(panel.dates)
    weights = close.iloc[bars] * 0.0 + np.random.default_rng(1).normal(0.0, 0.1, (len(bars), 20))
    figures = track_trades(close, weights=weights).statistics()
    table = figures.to_frame()
    assert list(table) == ["All", "Long", "Short"]
    assert table.loc["trades", "All"] == figures.all.trades
    assert table.loc["mean_days", "Short"] == figures.short.mean_days
    assert table.loc["portfolio_equity", "All"] == figures.portfolio.equity
    assert np.isnan(table.loc["portfolio_equity", "Long"])
    assert (table.dtypes == np.float64).all()


def test_labels_travel_with_the_log() -> None:
    log = pickle.loads(pickle.dumps(Tracker(frame()).track([0, 2], WEIGHTS)))
    assert log.labels.bars.equals(pd.DatetimeIndex(DATES))
    assert not log.labels.days.flags.writeable


WITHOUT_PANDAS = """
import sys
sys.modules["pandas"] = None
import numpy as np
from optimizer.backtest.tracker import Tracker
log = Tracker([[1.0], [2.0]], dates=["2020-01-01", "2020-01-03"]).track([0, 1], [[1.0], [0.0]])
print(log.statistics().all.mean_days, log.labels.bars[1])
try:
    log.to_frame()
except ImportError as error:
    print(error)
"""


def test_pandas_is_only_needed_for_frames() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PANDAS],
        env={**os.environ, "OPTIMIZER_WITHOUT": "numba", "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first == "2.0 2020-01-03"
    assert second.startswith("a frame needs pandas")
