"""The compiled tracker and its plain twin give the same bits, on any market."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer._compat import available
from optimizer.backtest import tracker
from optimizer.backtest.prices import load_sp500, month_ends, synthetic_market
from optimizer.backtest.tracker import TRADE_DTYPE, CapitalMode, Reason, TradeLog, track_trades
from optimizer.reference import tracker as reference

compiled_only = pytest.mark.skipif(
    not available("numba"), reason="without numba the twin would be compared with itself"
)
jit_only = pytest.mark.skipif(
    bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled"
)


def twin(close: Any, bars: Any, weights: Any, **settings: Any) -> TradeLog:
    for name in ("high", "low"):
        if settings.get(name) is not None:
            settings[name] = settings[name].tolist()
    records, equity, margin_load = reference.track_trades(
        close.tolist(), bars.tolist(), weights.tolist(), **settings
    )
    return TradeLog(
        np.array(records, TRADE_DTYPE),
        np.array(equity),
        np.array(margin_load),
        settings.get("capital", 100_000.0),
    )


def assert_same_bits(comp: TradeLog, ref: TradeLog) -> None:
    assert len(comp) == len(ref)
    for name in TRADE_DTYPE.names or ():
        assert comp.trades[name].tobytes() == ref.trades[name].tobytes(), name
    assert comp.equity.tobytes() == ref.equity.tobytes()
    assert comp.margin_load.tobytes() == ref.margin_load.tobytes()


@st.composite
def markets(draw: st.DrawFn) -> dict[str, Any]:
    """Prices with gaps and crashes, weights with gaps, flips, leverage, repeats and dust."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bars = draw(st.integers(1, 40))
    n_assets = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19]))  # blocks hold 8
    volatility = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    close = np.exp(rng.normal(0.0, 1.0, (n_bars, n_assets)).cumsum(axis=0) * volatility + 3.0)
    close[rng.random(close.shape) < draw(st.sampled_from([0.0, 0.1, 0.6]))] = np.nan
    bars = np.flatnonzero(rng.random(n_bars) < draw(st.sampled_from([0.1, 0.6, 1.0])))
    leverage = draw(st.sampled_from([0.3, 1.0, 3.0, 50.0]))
    shape = (len(bars), n_assets)
    weights = rng.choice([-1.0, -0.25, 0.0, 0.5, 1.0, 1.0 + 1e-13], shape)
    if draw(st.booleans()):
        weights = rng.normal(0.0, 1.0, shape)
    weights *= leverage / n_assets
    weights[rng.random(shape) < draw(st.sampled_from([0.0, 0.4]))] = np.nan
    quiet = rng.random(len(bars)) < draw(st.sampled_from([0.0, 0.5, 0.9]))
    weights[quiet] = draw(st.sampled_from([0.0, np.nan]))
    high, low = None, None
    if draw(st.booleans()):
        high, low = (close * np.exp(sign * rng.exponential(0.05, close.shape)) for sign in (1, -1))
        for prices in (high, low):  # without a close they stand alone, or they lack themselves
            prices[np.isnan(prices) & (rng.random(close.shape) < 0.5)] = 20.0
            prices[rng.random(close.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    return {
        "close": close,
        "rebalance_bars": bars,
        "weights": weights,
        "capital": draw(st.sampled_from([1e-3, 1e5, 1e12])),
        "fee_rate": draw(st.sampled_from([0.0, 0.001, 0.3])),
        "slippage_rate": draw(st.sampled_from([0.0, 0.0005, 0.1])),
        "fixed_fee": draw(st.sampled_from([0.0, 0.0, 7.5])),
        "lag": draw(st.sampled_from([0, 0, 1])),
        "capital_mode": draw(st.sampled_from(get_args(CapitalMode))),
        "high": high,
        "low": low,
    }


def split(market: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    arrays = [market[name] for name in ("close", "rebalance_bars", "weights")]
    return arrays, {name: market[name] for name in [*market][3:]}


@compiled_only
@settings(max_examples=int(os.environ.get("TRACKER_MARKETS", "100")), deadline=None)
@given(markets())
def test_any_market_gives_the_bits_of_the_twin(market: dict[str, Any]) -> None:
    arrays, chosen = split(market)
    comp = track_trades(**market)
    assert_same_bits(comp, twin(*arrays, **chosen))
    comp.check()


@compiled_only
@pytest.mark.stress
@settings(max_examples=5_000, deadline=None)
@given(markets())
def test_many_more_markets_give_the_bits_of_the_twin(market: dict[str, Any]) -> None:
    arrays, chosen = split(market)
    comp = track_trades(**market)
    assert_same_bits(comp, twin(*arrays, **chosen))
    comp.check()


def random_weights(n_rows: int, n_assets: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return rng.choice([-0.2, -0.1, 0.0, 0.1, 0.3, np.nan], (n_rows, n_assets))


@compiled_only
@pytest.mark.parametrize("leverage", [0.25, 40.0])
@pytest.mark.parametrize("mode", get_args(CapitalMode))
def test_a_long_market_gives_the_bits_of_the_twin(mode: str, leverage: float) -> None:
    close = synthetic_market(1500, 12, seed=5, nan_fraction=0.05, volatility=0.03).close
    bars = np.arange(3, 1500, 2)
    weights = random_weights(len(bars), 12, seed=6) * leverage
    chosen: dict[str, Any] = {"fee_rate": 1e-4, "slippage_rate": 5e-5, "capital_mode": mode}
    comp = track_trades(close, bars, weights, **chosen)
    assert_same_bits(comp, twin(close, bars, weights, **chosen))
    comp.check()
    assert (comp.equity <= 0.0).any() == (leverage > 1.0), "only leverage should ruin it"
    if leverage < 1.0:
        assert set(comp.trades["reason"].tolist()) == set(Reason)
        assert set(comp.trades["side"].tolist()) == {1, -1}


def momentum(close: Any, bars: Any) -> Any:
    """Long the five best and short the five worst of the last 252 bars."""
    weights = np.zeros((len(bars), close.shape[1]))
    for row, bar in enumerate(bars):
        order = np.argsort(close[bar] / close[max(bar - 252, 0)], kind="stable")
        weights[row, order[-5:]] = 0.2
        weights[row, order[:5]] = -0.1
    return weights


@compiled_only
def test_momentum_on_the_real_panel_gives_the_bits_of_the_twin() -> None:
    panel = load_sp500()
    bars = month_ends(panel.dates)
    weights = momentum(panel.close, bars)
    chosen: dict[str, Any] = {"fee_rate": 0.001, "slippage_rate": 0.0005}
    comp = track_trades(panel.close, bars, weights, **chosen)
    assert_same_bits(comp, twin(panel.close, bars, weights, **chosen))
    comp.check()
    assert len(bars) == 395
    assert len(comp) > 2_000
    is_long = comp.trades["side"] > 0
    assert 0 < is_long.sum() < len(comp)
    assert is_long.sum() + (~is_long).sum() == len(comp)
    change = comp.equity[-1] - comp.capital
    assert comp.trades["net_pnl"].sum() == pytest.approx(change, rel=1e-9)  # order of summation


@compiled_only
@jit_only
def test_every_layout_is_normalised_to_one_compiled_signature() -> None:
    close = synthetic_market(60, 4, seed=1).close
    bars = np.arange(0, 60, 5)
    weights = random_weights(len(bars), 4, seed=2)
    ref = twin(close, bars, weights)
    assert_same_bits(track_trades(close, bars, weights), ref)
    compiled = [*tracker._kernels().track_trades.signatures]
    frozen = np.asfortranarray(close)
    frozen.flags.writeable = False
    shifted = np.frombuffer(b"\0" + close.tobytes(), np.uint8)[1:].view(np.float64).reshape(60, 4)
    assert not shifted.flags.aligned
    wide = np.repeat(close, 2, axis=1)[:, ::2]
    for prices in (close, close.copy(), frozen, shifted, wide, close.astype(">f8"), close.tolist()):
        for days in (bars, bars.astype(np.int32), bars.astype(np.uint64), bars.tolist()):
            comp = track_trades(prices, days, np.asfortranarray(weights))
            assert_same_bits(comp, ref)
    assert tracker._kernels().track_trades.signatures == compiled


@compiled_only
def test_inputs_are_left_alone_and_threads_do_not_disturb_each_other() -> None:
    close = synthetic_market(400, 5, seed=8, nan_fraction=0.1).close.copy()
    bars = np.arange(0, 400, 3)
    logs = {}
    for seed in range(8):
        weights = random_weights(len(bars), 5, seed)
        kept = close.tobytes(), bars.tobytes(), weights.tobytes()
        logs[seed] = (weights, track_trades(close, bars, weights))
        assert kept == (close.tobytes(), bars.tobytes(), weights.tobytes())
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            again = pool.map(lambda seed: track_trades(close, bars, logs[seed][0]), logs)
            for seed, comp in zip(logs, again, strict=True):
                assert_same_bits(comp, logs[seed][1])


WITHOUT_NUMBA = """
import hashlib, sys, warnings
import numpy as np
from optimizer.backtest.prices import synthetic_market
from optimizer.backtest.tracker import track_trades
close = synthetic_market(300, 5, seed=4, nan_fraction=0.1).close
bars = np.arange(0, 300, 4)
weights = np.random.default_rng(9).normal(0.0, 0.4, (len(bars), 5))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for mode in ("equity", "starting"):
        log = track_trades(close, bars, weights, fee_rate=0.001, capital_mode=mode)
        log.check()
        parts = log.trades.tobytes() + log.equity.tobytes() + log.margin_load.tobytes()
        print(log.trades.dtype.itemsize, len(log), hashlib.sha256(parts).hexdigest())
    empty = track_trades(close, [], np.empty((0, 5)))
    print(empty.trades.dtype.itemsize, empty.trades.shape, log.trades.flags.writeable)
print([str(w.message)[:5] for w in caught], "numba" in sys.modules, file=sys.stderr)
"""


def run_without(packages: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA],
        env={**os.environ, "OPTIMIZER_WITHOUT": packages},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout, done.stderr.strip()


@compiled_only
def test_without_numba_the_twin_answers_the_same_bytes_with_one_warning() -> None:
    comp, said = run_without("")
    assert said == "[] True"
    ref, said = run_without("numba")
    assert said == "['numba'] False"
    assert comp == ref


WITHOUT_COMPILER = """
import numpy as np
from optimizer.backtest.prices import synthetic_market
from optimizer.backtest.tracker import Tracker
from optimizer.reference.statistics import trade_statistics
from optimizer.reference.tracker import track_trades as twin
import numba
assert numba.config.DISABLE_JIT
for seed in range(12):
    panel = synthetic_market(40, 3, seed=seed, nan_fraction=0.1, volatility=0.1)
    close, lists = panel.close, panel.close.tolist()
    weights = np.random.default_rng(seed).normal(0.0, 0.4, (20, 3))
    bars = np.arange(0, 40, 2)
    money = {"fee_rate": 0.001, "fixed_fee": seed % 2 * 3.0, "lag": seed % 3 % 2}
    high, low = (close * 1.1, close * 0.9) if seed % 5 else (None, None)
    log = Tracker(panel, high=high, low=low, **money).track(bars, weights)
    reach = {} if high is None else {"high": high.tolist(), "low": low.tolist()}
    trades, equity, load = twin(lists, bars.tolist(), weights.tolist(), **money, **reach)
    assert log.trades.tobytes() == np.array(trades, log.trades.dtype).tobytes()
    assert log.equity.tobytes() == np.array(equity).tobytes()
    days = log.labels.days.tolist()
    table, curves = trade_statistics(trades, equity, load, 100_000.0, days)
    figures = log.statistics()
    assert figures.table.tobytes() == np.array(table).tobytes()
    assert figures.curves.tobytes() == np.array(curves).tobytes()
"""


@compiled_only
def test_the_kernels_give_the_bits_of_the_twins_without_the_compiler() -> None:
    off = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], env=off, timeout=120)
    assert done.returncode == 0


@compiled_only
@jit_only
@pytest.mark.stress
def test_a_thousand_markets_give_the_bits_of_the_twin_without_the_compiler() -> None:
    name = f"{__file__}::{test_any_market_gives_the_bits_of_the_twin.__name__}"
    off = {**os.environ, "NUMBA_DISABLE_JIT": "1", "TRACKER_MARKETS": "1000"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(command, env=off, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@compiled_only
def test_the_codes_of_kernel_twin_and_enums_agree() -> None:
    kernels = tracker._kernels()
    names = ("OPEN", "CLOSED", "REDUCED", "CLOSE", "FLIPPED", "END_OF_DATA", "DUST_RATIO")
    for name in names:
        assert getattr(kernels, name) == getattr(reference, name), name
    assert list(tracker.Status) == [reference.OPEN, reference.CLOSED]
    assert list(Reason) == [
        reference.REDUCED,
        reference.CLOSE,
        reference.FLIPPED,
        reference.END_OF_DATA,
    ]
