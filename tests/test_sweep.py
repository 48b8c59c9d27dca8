"""Whole spaces: choosing combinations, threads, progress, interruption, memory, what is refused."""

from __future__ import annotations

import doctest
import math
import os
import pickle
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer import sweep as module
from optimizer._compat import SlowFallbackWarning, available
from optimizer.backtest import _sweep_engines
from optimizer.backtest.prices import load_sp500, synthetic_market
from optimizer.errors import PriceError, SpaceError
from optimizer.space import SearchSpace
from optimizer.sweep import (
    COLUMNS,
    DEFAULT_SPACE,
    SweepInterrupted,
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


@compiled_only
def test_the_example_of_the_docstring_is_true() -> None:
    assert doctest.testmod(module) == (0, 4)


# --- which combinations


def test_the_default_space_is_the_reports() -> None:
    assert math.prod(len(values) for values in DEFAULT_SPACE.values()) == 255_150


def test_rows_are_numbered_as_the_grid_of_the_space() -> None:
    space = SearchSpace(
        {name: {"type": "categorical", "choices": values} for name, values in SPACE.items()}
    )
    ref = sweep(CLOSE, SPACE)
    comp = sweep(CLOSE, space)
    same(comp, ref)
    assert comp.space == ref.space
    assert ref["trades"].sum() > 0
    grid = space.grid()
    assert [comp.params(row) for row in range(len(comp))] == list(grid)
    assert {name: column.tolist() for name, column in comp.parameters().items()} == {
        name: column.tolist() for name, column in grid.columns().items()
    }


def test_the_order_of_the_parameters_is_the_callers() -> None:
    ref = sweep(CLOSE, SPACE)
    turned = sweep(CLOSE, dict(reversed(SPACE.items())))
    assert turned.params(1) == {"exit": 55, "entry": 45, "rsi": 5, "slow": 15, "fast": 8}
    places = [ref.space.grid().find(turned.params(row)) for row in range(len(turned))]
    same(turned, ref, places)


def test_a_part_of_the_combinations_can_be_chosen_in_many_ways() -> None:
    ref = sweep(CLOSE, SPACE)
    grid = ref.space.grid()
    rows = [40, 3, 3, 17]
    for chosen in (rows, np.array(rows, np.uint8), [grid[row] for row in rows], iter(rows)):
        comp = sweep(CLOSE, SPACE, combinations=chosen)
        same(comp, ref, rows)
        assert comp.numbers().tolist() == rows
        assert comp.params(0) == grid[40]
    for part in (range(40, 3, -7), slice(5, 30, 4), slice(-3, None)):
        places = range(len(ref))[part] if isinstance(part, slice) else part
        comp = sweep(CLOSE, SPACE, combinations=part)
        same(comp, ref, list(places))
        assert comp.numbers().tolist() == list(places)
    same(sweep(CLOSE, SPACE, combinations=grid.part(1, of=3)), ref, slice(16, 32))
    empties: list[Any] = [[], range(0), np.array([], np.int64)]
    for nothing in empties:
        empty = sweep(CLOSE, SPACE, combinations=nothing)
        assert len(empty) == 0
        assert empty["trades"].dtype == np.int32
        assert empty["exposure"].dtype == np.float64


def test_specs_with_steps_make_a_space_too() -> None:
    space = {
        "fast": {"type": "int", "min": 2, "max": 6, "step": 2},
        "slow": [9],
        "rsi": [4],
        "entry": {"type": "float", "min": 40, "max": 60, "step": 2.5},
        "exit": np.array([55.0, 70.5]),
    }
    comp = sweep(CLOSE, space)
    assert len(comp) == 3 * 9 * 2
    assert comp.params(3) == {"fast": 2, "slow": 9, "rsi": 4, "entry": 42.5, "exit": 70.5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fast": [0, 3]}, "parameter 'fast': found 0, expected a number of bars"),
        ({"slow": [2.5]}, "parameter 'slow': found 2.5, expected a number of bars"),
        ({"rsi": [True]}, "parameter 'rsi': found True, expected a number of bars"),
        ({"entry": ["low"]}, "parameter 'entry': found 'low', expected a limit of the RSI"),
        ({"exit": {"type": "float", "min": 0, "max": 1}}, "the space has inf combinations"),
        ({"fast": {"type": "int", "min": 1, "max": 2**22}}, "has 4194304 values"),
        ({"stop": [1]}, "the space has the parameters fast, slow, rsi, entry, exit, stop"),
        ({"fast": []}, "parameter 'fast'"),
    ],
)
def test_a_space_without_sense_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said.replace("(", r"\(")):
        sweep(CLOSE, {**SPACE, **change})


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([3, 48], "combination 48 was chosen"),
        ([-1], "combination -1 was chosen"),
        ([10**30], "was chosen"),
        (range(0, 49, 48), "combination 48 was chosen"),
        (range(47, -49, -48), "combination -1 was chosen"),
        (np.array([[1]]), r"shape \(1, 1\)"),
        (np.array([True]), "dtype bool"),
        ([True, False], r"combinations\[0\] is True, .* for a mask"),
        ([0.5], r"combinations\[0\] is 0.5"),
        ([{"fast": 3}], r"combinations\[0\] is \{'fast': 3\}, which is not in the space"),
        ("all", "found the combinations 'all'"),
        (7, "found the combinations 7"),
        ({"fast": 3}, "found the combinations"),
    ],
)
def test_combinations_that_are_not_there_are_refused(chosen: Any, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        sweep(CLOSE, SPACE, combinations=chosen)


@pytest.mark.parametrize(
    ("close", "chosen", "said"),
    [
        ([1.0, 0.0], {}, r"close\[1\] is 0.0"),
        ([1.0, math.nan], {}, r"close\[1\] is nan"),
        ([math.inf], {}, r"close\[0\] is inf"),
        ([1.0, 5e-309], {}, r"close\[1\] is 5e-309; expected prices of at least 1e-200"),
        ([], {}, r"close has shape \(0,\)"),
        ([[1.0, 2.0]], {}, r"close has shape \(1, 2\)"),
        ([1.0], {"fee_rate": 1.0}, "fee_rate is 1.0"),
        ([1.0], {"lag": 2}, "lag is 2"),
        ([1.0], {"engine": "gpu"}, "engine is 'gpu'"),
        ([1.0], {"threads": 0}, "threads is 0"),
        ([1.0], {"threads": True}, "threads is True"),
    ],
)
def test_prices_and_settings_without_sense_are_refused(
    close: Any, chosen: dict[str, Any], said: str
) -> None:
    with pytest.raises(PriceError, match=said):
        sweep(close, SPACE, **chosen)


# --- chunks, threads, progress, memory


@compiled_only
@pytest.mark.parametrize("engine", ["events", "bars"])
def test_the_bits_do_not_depend_on_threads_or_chunks(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = sweep(CLOSE, SPACE, engine=engine, threads=1)
    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 5)
    for threads in (1, 2, 7):
        comp = sweep(CLOSE, SPACE, engine=engine, threads=threads)
        same(comp, ref)


@compiled_only
@pytest.mark.parametrize("engine", ["events", "bars"])
def test_the_bits_do_not_depend_on_the_room_for_features(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = sweep(CLOSE, SPACE, engine=engine)
    for rows in (4, 2, 1):  # less than a chunk needs; a chunk of one needs three
        monkeypatch.setattr(_sweep_engines, "FEATURE_BYTES", rows * 8 * len(CLOSE))
        monkeypatch.setattr(_sweep_engines, "_SLOT_BYTES", rows * 3 * 8 * 16)
        same(sweep(CLOSE, SPACE, engine=engine, threads=2), ref)


@compiled_only
def test_progress_is_told_after_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 7)
    for threads in (1, 2):
        told = told_by(threads)
        assert told[-1] == (48, 48)
        assert told == sorted(set(told))
        assert {asked for _, asked in told} == {48}
    assert len(told_by(1)) == 7


def told_by(threads: int) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    sweep(CLOSE, SPACE, threads=threads, progress=lambda *rows: told.append(rows))
    return told


@compiled_only
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_finished_survives_an_interruption(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = sweep(CLOSE, SPACE)
    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 5)

    def interrupt(finished: int, asked: int) -> None:
        if finished >= 15:
            raise KeyboardInterrupt

    with pytest.raises(SweepInterrupted, match="of 48 combinations") as caught:
        sweep(CLOSE, SPACE, threads=threads, progress=interrupt)
    assert isinstance(caught.value, KeyboardInterrupt)
    result = caught.value.result
    assert 15 <= len(result) < 48
    same(result, ref, result.numbers())
    assert result.params(0) == ref.params(int(result.numbers()[0]))
    assert len(result.top(3)) == 3


@compiled_only
def test_chunks_that_finished_out_of_order_are_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = sweep(CLOSE, SPACE)
    monkeypatch.setattr(_sweep_engines.OneAsset, "largest_chunk", 10)
    real = _sweep_engines.EventEngine.run

    def broken(self: Any, numbers: Any, *rest: Any) -> None:
        if numbers[0] == 20:
            raise KeyboardInterrupt
        real(self, numbers, *rest)

    monkeypatch.setattr(_sweep_engines.EventEngine, "run", broken)
    monkeypatch.setattr(module, "in_turn", _all_but_the_broken)
    with pytest.raises(SweepInterrupted) as caught:
        sweep(CLOSE, SPACE, threads=1)
    result = caught.value.result
    assert result.numbers().tolist() == [*range(20), *range(30, 48)]
    same(result, ref, result.numbers())


def _all_but_the_broken(work: Any, n: int, tell: Any) -> None:
    for number in [*range(n - 1, -1, -1)]:
        if number != 2:
            work(number)
    work(2)


def test_another_error_of_the_callback_is_not_swallowed() -> None:
    def fail(finished: int, asked: int) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        sweep(CLOSE, SPACE, progress=fail)


INTERRUPTED = """
import sys
from optimizer.backtest.prices import load_sp500
from optimizer.sweep import SweepInterrupted, sweep
told = lambda finished, asked: print(finished, flush=True)
try:
    sweep(load_sp500().close[:, 0], engine=sys.argv[1], threads=int(sys.argv[2]), progress=told)
except SweepInterrupted as interrupted:
    print("kept", len(interrupted.result), interrupted.result["exposure"].max() <= 1.0)
"""


@compiled_only
@pytest.mark.parametrize(("engine", "threads"), [("plain", "1"), ("bars", "2")])
def test_ctrl_c_keeps_what_is_finished(engine: str, threads: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, engine, threads],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as process:
        assert process.stdout is not None
        told = int(process.stdout.readline())  # a chunk is finished, most are not
        process.send_signal(signal.SIGINT)
        last = process.stdout.read().splitlines()[-1].split()
    assert process.returncode == 0
    assert last[0] == "kept"
    assert told <= int(last[1]) < 255_150
    assert last[2] == "True"


@compiled_only
def test_memory_is_the_columns_and_a_bounded_rest() -> None:
    close = load_sp500().close[:, 0]
    wide = {
        "fast": range(1, 400),
        "slow": range(10, 500),
        "rsi": range(2, 100),
        "entry": range(1, 100),
        "exit": range(1, 100),
    }
    sweep(close, combinations=range(3))  # what is compiled and imported stays
    for space, chosen in (
        (DEFAULT_SPACE, range(0, 255_150, 3)),
        (wide, range(10**9, 2 * 10**9, 4 * 10**6)),
    ):
        tracemalloc.start()
        result = sweep(close, space, combinations=chosen, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        columns = sum(column.nbytes for column in result.columns.values())
        assert columns == 64 * len(chosen)
        assert peak < columns + 64 * 2**20


# --- what answers where something is missing


@compiled_only
def test_without_a_gpu_the_cpu_answers_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import cuda

    monkeypatch.setattr(cuda, "is_available", lambda: False)
    module._gpu.cache_clear()
    with pytest.warns(SlowFallbackWarning, match="cannot use CUDA here") as caught:
        comp = sweep(CLOSE, SPACE, engine="cuda")
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
    same(comp, sweep(CLOSE, SPACE, engine="cuda"))
    assert comp.engine == "events"
    same(comp, sweep(CLOSE, SPACE))
    module._gpu.cache_clear()


# --- portfolios


@compiled_only
def test_a_portfolio_of_the_panel_is_the_same_on_any_number_of_threads() -> None:
    panel = load_sp500()
    ref = sweep_portfolio(panel, combinations=range(0, 255_150, 40_000), threads=1, fee_rate=1e-3)
    comp = sweep_portfolio(panel, combinations=range(0, 255_150, 40_000), threads=2, fee_rate=1e-3)
    same(comp, ref)
    assert (ref["trades"] > 100).all()
    assert (ref["exposure"] < 1.0).all()


def test_a_portfolio_without_dates_needs_its_rebalance_bars() -> None:
    close = synthetic_market(60, 2, seed=1).close
    with pytest.raises(PriceError, match="close has no dates; pass rebalance_bars"):
        sweep_portfolio(close, SPACE)
    with pytest.raises(PriceError, match=r"rebalance_bars\[1\] is 60"):
        sweep_portfolio(close, SPACE, rebalance_bars=[3, 60])
    with pytest.raises(PriceError, match="weight is inf"):
        sweep_portfolio(close, SPACE, rebalance_bars=[3], weight=math.inf)
    with pytest.raises(PriceError, match="fee_rate is -1"):
        sweep_portfolio(close, SPACE, rebalance_bars=[3], fee_rate=-1)
    idle = sweep_portfolio(close, SPACE, rebalance_bars=[], combinations=range(2))
    assert idle["final_equity"].tolist() == [1.0, 1.0]
    assert idle["exposure"].tolist() == [0.0, 0.0]


def test_a_result_survives_pickle() -> None:
    ref = sweep(CLOSE, SPACE, combinations=range(3, 20, 4))
    comp = pickle.loads(pickle.dumps(ref))
    same(comp, ref)
    assert (comp.engine, comp.params(1)) == (ref.engine, ref.params(1))
    with pytest.raises(ValueError, match="read-only"):
        comp["trades"][0] = 1
