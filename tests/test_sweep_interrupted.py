"""Sweeps that end early, and what they may take: Ctrl-C again and again, refusals, memory."""

from __future__ import annotations

import pickle
import signal
import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from optimizer import sweep as module
from optimizer._compat import available
from optimizer.backtest import _sweep_engines, _sweep_portfolio
from optimizer.backtest._sweep_features import feature_of
from optimizer.backtest._sweep_space import Parameters
from optimizer.backtest.prices import month_ends, synthetic_market
from optimizer.errors import PriceError, SpaceError
from optimizer.sweep import (
    COLUMNS,
    DEFAULT_SPACE,
    SweepInterrupted,
    SweepRefused,
    SweepResult,
    sweep,
    sweep_portfolio,
)

compiled_only = pytest.mark.skipif(not available("numba"), reason="too slow without numba")

CLOSE = synthetic_market(900, 1, seed=21, volatility=0.02).close[:, 0]
SPACE = {"fast": [3, 8, 12], "slow": [15, 40], "rsi": [5, 9], "entry": [45, 60], "exit": [55, 70]}


def same(comp: SweepResult, ref: SweepResult, rows: Any = slice(None)) -> None:
    for name in COLUMNS:
        assert comp[name].tobytes() == ref[name][rows].tobytes(), name


# --- Ctrl-C


@compiled_only
def test_ctrl_c_again_and_again_waits_for_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = sweep(CLOSE, SPACE)
    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 10)
    real, pressed = _sweep_engines.EventEngine.run, threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def slow(self: Any, numbers: Any, *rest: Any) -> None:
        if numbers[0] > 0:
            pressed.wait(30)
            for _ in range(5):
                signal.pthread_kill(main, signal.SIGINT)
                time.sleep(0.01)  # signals that come at once are one to Python
        real(self, numbers, *rest)

    def press(finished: int, asked: int) -> None:
        pressed.set()
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_sweep_engines.EventEngine, "run", slow)
    with pytest.raises(SweepInterrupted) as caught:
        sweep(CLOSE, SPACE, threads=2, progress=press)
    assert not [one for one in threading.enumerate() if one.name.startswith("sweep")]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    result = caught.value.result
    assert 10 <= len(result) < 48
    same(result, ref, result.numbers())


@compiled_only
def test_ctrl_c_while_the_engine_is_made_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _sweep_engines.EventEngine.__init__

    def pressed(self: Any, *rest: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        real(self, *rest)

    monkeypatch.setattr(_sweep_engines.EventEngine, "__init__", pressed)
    with pytest.raises(SweepInterrupted, match="after 0 of 48") as caught:
        sweep(CLOSE, SPACE)
    assert len(caught.value.result) == 0


@compiled_only
def test_a_handler_of_the_programs_own_is_called_and_need_not_raise() -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: called.append(number))
    try:
        result = sweep(
            CLOSE, SPACE, threads=1, progress=lambda *_: signal.raise_signal(signal.SIGINT)
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert (len(result), called) == (48, [signal.SIGINT])


@compiled_only
def test_another_thread_can_sweep_and_leaves_the_handler_alone() -> None:
    found: list[SweepResult] = []
    thread = threading.Thread(target=lambda: found.append(sweep(CLOSE, SPACE, threads=2)))
    thread.start()
    thread.join(60)
    same(found[0], sweep(CLOSE, SPACE))


@compiled_only
def test_an_interruption_survives_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(finished: int, asked: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 5)
    with pytest.raises(SweepInterrupted) as caught:
        sweep(CLOSE, SPACE, threads=1, progress=interrupt)
    comp = pickle.loads(pickle.dumps(caught.value))
    assert (
        str(comp) == str(caught.value) == "interrupted after 5 of 48 combinations; `.result` "
        "has them"
    )
    same(comp.result, caught.value.result)


# --- what cannot be run


@pytest.mark.parametrize("numba", [pytest.param(True, marks=compiled_only), False])
def test_an_equity_beyond_all_numbers_names_the_combination(
    numba: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = synthetic_market(60, 2, seed=1, volatility=0.05).close
    monkeypatch.setattr(module, "available", lambda package: numba)
    monkeypatch.setattr(_sweep_portfolio, "_CHUNK_STEPS", 1)
    space = {"fast": [2], "slow": [5], "rsi": [3], "entry": [0, 101], "exit": [200]}
    said = r"combination 1, .*'entry': 101.*the equity at bar"
    with pytest.raises(SweepRefused, match=said) as caught:
        sweep_portfolio(close, space, rebalance_bars=range(60), weight=1e305, threads=1)
    assert isinstance(caught.value, PriceError)
    assert caught.value.number == 1
    assert caught.value.result.numbers().tolist() == [0]
    assert caught.value.result["final_equity"].tolist() == [1.0]
    comp = pickle.loads(pickle.dumps(caught.value))
    assert (str(comp), comp.number, len(comp.result)) == (str(caught.value), 1, 1)


def test_a_space_too_large_for_its_columns_is_refused_with_a_hint() -> None:
    many = range(1, 2**12 + 1)
    space = {"fast": many, "slow": many, "rsi": many, "entry": list(many), "exit": list(many)}
    with pytest.raises(SpaceError, match=rf"found {2**60} combinations, .*combinations=range\("):
        sweep(CLOSE, space)


def test_a_heat_map_of_too_many_cells_is_refused_before_it_is_made() -> None:
    space = {**SPACE, "fast": range(1, 2**13), "slow": range(1, 2**13)}
    result = sweep(CLOSE, space, combinations=range(2))
    with pytest.raises(SpaceError, match="found 8191 values of 'fast' and 8191 of 'slow'"):
        result.heat_map("fast", "slow")
    assert result.heat_map("fast", "exit").cells.shape == (2, 2**13 - 1)


# --- memory


@compiled_only
def test_many_threads_stay_within_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    close = synthetic_market(99_000, 1, seed=5, volatility=0.001).close[:, 0]
    sweep(close, combinations=range(3))  # what is compiled and imported stays
    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 3)
    tracemalloc.start()
    sweep(close, combinations=range(0, 255_150, 900), threads=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20
    monkeypatch.undo()
    parameters = Parameters(DEFAULT_SPACE)
    assert 2 <= _sweep_engines.EventEngine(close, parameters, 0.0, 1, 64).threads < 64
    short = _sweep_engines.EventEngine(close[:8_000], parameters, 0.0, 1, 64)
    assert (short.threads, 64 * short.chunk) == (64, 5 * 2**14)


def portfolio_engine(close: Any, bars: Any, threads: int = 1) -> Any:
    settings: dict[str, Any] = {"capital": 1e5}
    parameters = Parameters(SPACE)
    return _sweep_portfolio.PortfolioEngine(close, bars, parameters, 0.1, settings, threads)


@compiled_only
def test_features_of_a_wide_panel_take_no_panel_of_memory() -> None:
    close = synthetic_market(1_000, 2_000, seed=4).close
    bars = np.arange(50, 1_000, 100)
    engine = portfolio_engine(close, bars)
    for name, window in (("fast", 20), ("rsi", 14), ("slow", 5_000)):
        ref = feature_of(name, window, close)[bars].reshape(-1)
        tracemalloc.start()
        comp = engine._feature(name, window)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert np.array_equal(comp, ref, equal_nan=True)
        assert peak < close.nbytes / 2


@compiled_only
def test_a_portfolio_sweep_needs_one_workspace_a_thread() -> None:
    close = synthetic_market(300, 3, seed=4).close
    engine = portfolio_engine(close, np.arange(20, 300, 20))
    engine.run(np.arange(10), np.empty((2, 10), np.int32), np.empty((7, 10)), 0)
    assert len(engine._own.tracker._workspaces) == 1


# --- the ends of months


def test_months_end_by_the_local_clock() -> None:
    pandas = pytest.importorskip("pandas")
    dates = pandas.bdate_range("2021-01-01", periods=150)
    close = synthetic_market(150, 2, seed=8, volatility=0.03).close
    ref = sweep_portfolio(pandas.DataFrame(close, dates), SPACE, combinations=range(6))
    bars = month_ends(dates.to_numpy())
    others = [dates.tz_localize(zone) for zone in ("Asia/Tokyo", "Europe/Berlin", "US/Eastern")]
    for index in (*others, dates.to_period("D"), dates.to_numpy()):
        assert _sweep_portfolio.ends_of_months(index).tolist() == bars.tolist()
    for index in (*others, dates.to_period("D")):
        comp = sweep_portfolio(pandas.DataFrame(close, index), SPACE, combinations=range(6))
        same(comp, ref)
