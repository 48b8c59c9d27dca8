"""The compiled sweeps and their plain twin give the same bits, on any market."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer._compat import available
from optimizer.backtest._sweep_ranges import range_tables
from optimizer.backtest.prices import load_sp500, synthetic_market
from optimizer.reference import sweep as reference
from optimizer.sweep import COLUMNS, SweepResult, sweep, sweep_portfolio

compiled_only = pytest.mark.skipif(
    not available("numba"), reason="without numba the twin would be compared with itself"
)

DRAWDOWN_TOLERANCE = 1e-12  # "events" multiplies price ratios in another order


def twin(close: Any, space: dict[str, Any], **chosen: Any) -> dict[str, Any]:
    """The columns by the plain twin, every combination with features of its own."""
    names = ("fast", "slow", "rsi", "entry", "exit")
    grid = np.stack(np.meshgrid(*(space[name] for name in names), indexing="ij"), axis=-1)
    combinations = [
        (int(one[0]), int(one[1]), int(one[2]), float(one[3]), float(one[4]))
        for one in grid.reshape(-1, 5)
    ]
    rows = reference.sweep(close.tolist(), combinations, **chosen)
    return dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True))


def assert_same_bits(comp: SweepResult, ref: Any, *, but: str = "") -> None:
    for name in COLUMNS:
        if name != but:
            assert comp[name].tobytes() == ref[name].astype(comp[name].dtype).tobytes(), name
    if but:
        np.testing.assert_allclose(comp[but], ref[but], rtol=0.0, atol=DRAWDOWN_TOLERANCE)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    """Prices with ties, crashes and flat stretches; windows longer than the data; any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bars = draw(st.one_of(st.integers(1, 130), st.sampled_from([256, 257, 700])))
    volatility = draw(st.sampled_from([0.0, 0.01, 0.05, 0.5]))
    close = np.exp(rng.normal(0.0, volatility, n_bars).cumsum() + 3.0)
    if draw(st.booleans()):
        close = np.maximum(np.round(close), 1.0)
    windows = st.lists(st.integers(1, 40), min_size=1, max_size=2, unique=True)
    limits = st.lists(
        st.sampled_from([0.0, 20.0, 45.0, 50.0, 55.5, 80.0, 100.0, 101.0]),
        min_size=1, max_size=3, unique=True,
    )  # fmt: skip
    return {
        "close": close,
        "space": {
            "fast": draw(windows),
            "slow": draw(windows),
            "rsi": draw(windows),
            "entry": draw(limits),
            "exit": draw(limits),
        },
        "fee_rate": draw(st.sampled_from([0.0, 0.001, 0.9])),
        "lag": draw(st.sampled_from([0, 1])),
    }


def check_all_engines(case: dict[str, Any]) -> None:
    ref = twin(**case)
    bars = sweep(**case, engine="bars", threads=1)
    assert_same_bits(bars, ref)
    assert_same_bits(sweep(**case, engine="plain"), bars)
    assert_same_bits(sweep(**case, threads=1), bars, but="max_drawdown")
    assert ((bars["max_drawdown"] >= 0.0) & (bars["max_drawdown"] <= 1.0)).all()
    assert (bars["wins"] <= bars["trades"]).all()


@compiled_only
@settings(max_examples=int(os.environ.get("SWEEP_MARKETS", "60")), deadline=None)
@given(sweeps())
def test_any_market_gives_the_bits_of_the_twin(case: dict[str, Any]) -> None:
    check_all_engines(case)


@compiled_only
@pytest.mark.stress
@settings(max_examples=2_000, deadline=None)
@given(sweeps())
def test_many_more_markets_give_the_bits_of_the_twin(case: dict[str, Any]) -> None:
    check_all_engines(case)


def microsoft() -> Any:
    panel = load_sp500()
    return panel.close[:, panel.assets.index("MSFT")]


@compiled_only
def test_jumping_and_walking_agree_on_the_real_prices() -> None:
    close = microsoft()
    chosen = np.random.default_rng(4).integers(0, 255_150, 400)
    several: list[dict[str, Any]] = [{}, {"fee_rate": 0.001, "lag": 1}]
    for settings_ in several:
        comp = sweep(close, combinations=chosen, **settings_)
        ref = sweep(close, combinations=chosen, engine="bars", **settings_)
        assert_same_bits(comp, ref, but="max_drawdown")
        assert comp["trades"].max() > 200
        assert_same_bits(
            sweep(close, combinations=chosen[:3], engine="plain", **settings_),
            {name: column[:3] for name, column in ref.columns.items()},
        )


@compiled_only
@pytest.mark.stress
def test_jumping_and_walking_agree_on_the_whole_space() -> None:
    comp, ref = sweep(microsoft()), sweep(microsoft(), engine="bars")
    assert len(comp) == 255_150
    assert_same_bits(comp, ref, but="max_drawdown")


@pytest.mark.parametrize("n_bars", [1, 2, 255, 256, 257, 1100])
def test_every_range_of_bars_can_be_read_from_the_tables(n_bars: int) -> None:
    close = synthetic_market(n_bars, 1, seed=n_bars).close[:, 0]
    inner, outer = range_tables(close)
    assert inner.shape == (10, n_bars, 3)
    rng = np.random.default_rng(1)
    for _ in range(300):
        first, last = np.sort(rng.integers(0, n_bars, 2)).tolist()
        highest, lowest, worst = read_range(inner, outer, first, last)
        part = close[first : last + 1]
        assert (highest, lowest) == (part.max(), part.min())
        assert worst == (part / np.maximum.accumulate(part)).min()


def read_range(inner: Any, outer: Any, first: int, last: int) -> tuple[float, float, float]:
    """As the kernel reads it, entry by entry."""
    level = ((first ^ last) | 1).bit_length() - 1
    if level < 8:
        parts = [inner[level, first], inner[level, last]] if first != last else [inner[0, first]]
    else:
        left, right = (first >> 8) + 1, (last >> 8) - 1
        top = ((left ^ right) | 1).bit_length() - 1
        blocks = [outer[top, block] for block in sorted({left, right})] if left <= right else []
        parts = [inner[9, first], *blocks, inner[8, last]]
    high, low, worst = parts[0]
    for top, bottom, inside in parts[1:]:
        worst = min(worst, inside, bottom / high)
        high, low = max(high, top), min(low, bottom)
    return high, low, worst


# --- portfolios


@compiled_only
@pytest.mark.parametrize("lag", [0, 1])
def test_one_asset_in_full_is_a_portfolio_of_one(lag: int) -> None:
    close = synthetic_market(600, 1, seed=11, volatility=0.02).close
    space = {"fast": [3, 8], "slow": [12, 30], "rsi": [5, 9], "entry": [45, 60], "exit": [55, 70]}
    comp = sweep_portfolio(close, space, rebalance_bars=range(600), weight=1.0, lag=lag)
    ref = sweep(close[:, 0], space, lag=lag)
    assert (comp["trades"] == ref["trades"]).all()
    assert (comp["wins"] == ref["wins"]).all()
    assert ref["trades"].min() > 0
    for name in COLUMNS[2:]:  # the tracker adds money where the sweep multiplies ratios
        if name != "exposure":
            np.testing.assert_allclose(comp[name], ref[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(comp["exposure"], ref["exposure"], rtol=1e-9)


@st.composite
def portfolios(draw: st.DrawFn) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    close = np.exp(rng.normal(0.0, draw(st.sampled_from([0.0, 0.05, 0.4])), shape).cumsum(axis=0))
    close[rng.random(shape) < draw(st.sampled_from([0.0, 0.1]))] = np.nan
    return {
        "close": close,
        "rebalance_bars": np.flatnonzero(rng.random(shape[0]) < 0.5),
        "weight": draw(st.sampled_from([0.25, 1.0, 2.0])),
        "fee_rate": draw(st.sampled_from([0.0, 0.01])),
        "slippage_rate": draw(st.sampled_from([0.0, 0.005])),
        "fixed_fee": draw(st.sampled_from([0.0, 7.5])),
        "lag": draw(st.sampled_from([0, 1])),
        "capital_mode": draw(st.sampled_from(["equity", "starting"])),
    }


def check_portfolio(case: dict[str, Any]) -> None:
    space = {"fast": [2, 4], "slow": [3, 6], "rsi": [2], "entry": [40, 80], "exit": [60, 90]}
    comp = sweep_portfolio(**case, space=space, threads=1)
    chosen = {**case, "close": case["close"].tolist()}
    chosen["rebalance_bars"] = case["rebalance_bars"].tolist()
    parameters: list[dict[str, Any]] = [comp.params(row) for row in range(len(comp))]
    rows = [
        reference.portfolio_run(
            combination=(one["fast"], one["slow"], one["rsi"], one["entry"], one["exit"]), **chosen
        )
        for one in parameters
    ]
    assert_same_bits(comp, dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True)))


@compiled_only
@settings(max_examples=int(os.environ.get("SWEEP_MARKETS", "30")), deadline=None)
@given(portfolios())
def test_any_portfolio_gives_the_bits_of_the_twin(case: dict[str, Any]) -> None:
    check_portfolio(case)


@compiled_only
@pytest.mark.stress
@settings(max_examples=1_000, deadline=None)
@given(portfolios())
def test_many_more_portfolios_give_the_bits_of_the_twin(case: dict[str, Any]) -> None:
    check_portfolio(case)


# --- without a compiler, and on a GPU that is pretended

SCRIPT = """
import hashlib
from optimizer.backtest.prices import synthetic_market
from optimizer.sweep import sweep, sweep_portfolio

def digests(engines):
    close = synthetic_market(150, 3, seed=4).close
    space = {"fast": [2, 5], "slow": [7], "rsi": [3], "entry": [45, 65], "exit": [55, 70]}
    results = [sweep(close[:, 0], space, engine=name, fee_rate=0.001) for name in engines]
    results.append(sweep_portfolio(close, space, rebalance_bars=range(0, 150, 4)))
    for result in results:
        # The drawdown of "events" is put together from tables; here its last digits do not count.
        parts = [column.round(12).tobytes() if name == "max_drawdown" else column.tobytes()
                 for name, column in result.columns.items()]
        yield len(result), hashlib.sha256(b"".join(parts)).hexdigest()
"""
TELL = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(list(digests(sys.argv[1:])))
# Interpreted kernels divide numpy's scalars, which warns; only what is missing counts here.
said = [str(one.message)[:20] for one in caught if one.category.__name__ == "SlowFallbackWarning"]
print(said, file=sys.stderr)
"""


def digests_here(*engines: str) -> str:
    namespace: dict[str, Any] = {}
    exec(SCRIPT, namespace)
    return str(list(namespace["digests"](engines)))


def digests_there(*engines: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + TELL, *engines],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr.strip()


@compiled_only
def test_without_the_compiler_the_same_bytes_come_out() -> None:
    comp, said = digests_there("bars", "events", NUMBA_DISABLE_JIT="1")
    assert (comp, said) == (digests_here("bars", "events"), "[]")


@compiled_only
@pytest.mark.stress
@pytest.mark.parametrize(
    "test",
    [test_any_market_gives_the_bits_of_the_twin, test_any_portfolio_gives_the_bits_of_the_twin],
    ids=["market", "portfolio"],
)
def test_a_thousand_markets_give_the_bits_of_the_twin_without_the_compiler(test: Any) -> None:
    off = {**os.environ, "NUMBA_DISABLE_JIT": "1", "SWEEP_MARKETS": "1000"}
    quiet = ["-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]  # of numpy's scalars
    command = [sys.executable, "-m", "pytest", "-q", *quiet, f"{__file__}::{test.__name__}"]
    done = subprocess.run(command, env=off, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@compiled_only
def test_without_numba_the_same_bytes_come_out_with_one_warning() -> None:
    comp, said = digests_there("bars", "events", "cuda", OPTIMIZER_WITHOUT="numba")
    assert (comp, said) == (digests_here("bars", "events", "bars"), "['numba is not availab']")


@compiled_only
def test_the_arithmetic_of_the_gpu_kernel_gives_the_same_bytes_in_the_simulator() -> None:
    comp, said = digests_there("cuda", NUMBA_ENABLE_CUDASIM="1")
    assert (comp, said) == (digests_here("bars"), "[]")
