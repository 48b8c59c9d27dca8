"""Compiled features, their plain twins, and streams of any cut give the same bits."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer._compat import available
from optimizer.backtest import _feature_state, features
from optimizer.backtest.features import FeatureStream
from optimizer.backtest.prices import load_sp500
from optimizer.errors import PriceError
from optimizer.reference import features as reference

compiled_only = pytest.mark.skipif(
    not available("numba"), reason="without numba the twin would be compared with itself"
)
NAMES = _feature_state.NAMES

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def bits(array: Any) -> bytes:
    """The bytes of an array; which bits a NaN has is left open."""
    found: bytes = np.where(np.isnan(array), np.nan, array).tobytes()
    return found


def twin(name: str, bars: int, columns: list[Any]) -> Any:
    function = getattr(reference, name)
    n_bars, n_assets = columns[0].shape
    out = np.empty((n_bars, n_assets))
    for at in range(n_assets):
        out[:, at] = function(*(column[:, at].tolist() for column in columns), bars)
    return out


SHAPES = {
    "prices": lambda rng, shape: 100.0 * np.exp(rng.normal(0.0, 0.02, shape).cumsum(axis=0)),
    "flat": lambda rng, shape: rng.choice([0.1, 0.1, 0.1, 0.3], shape),
    "spikes": lambda rng, shape: rng.choice([1.0, 2.0, 1e8, 3e-8], shape) * rng.random(shape) + 1.0,
    "tiny": lambda rng, shape: rng.random(shape) * 1e-160 + 1e-170,
    "huge": lambda rng, shape: rng.random(shape) * 1e160 + 1e150,
    "trend": lambda rng, shape: 1e6 + np.arange(shape[0])[:, None] * 1e-3 + rng.random(shape[1]),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, int, list[Any], list[int]]:
    """A feature, its bars, its columns, and where the bars are cut."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    name = draw(st.sampled_from(NAMES))
    bars = draw(st.sampled_from([1, 2, 3, 4, 7, 12, 40])) + (name in ("zscore", "volatility"))
    # Loops over 8 columns and more run on vectors, with a rest; 32 rows are taken at once.
    shape = draw(st.integers(0, 100)), draw(st.sampled_from([1, 1, 2, 3, 8, 19, 33]))
    close = SHAPES[draw(st.sampled_from(sorted(SHAPES)))](rng, shape)
    close[rng.random(shape) < draw(st.sampled_from([0.0, 0.0, 0.05, 0.5]))] = np.nan
    columns = [close]
    if name == "atr":
        columns = [close * (1.0 + rng.random(shape)), close / (1.0 + rng.random(shape)), close]
    elif name not in ("momentum", "volatility") and draw(st.booleans()):
        columns = [-close]
    cuts = draw(st.lists(st.integers(0, shape[0]), max_size=6))
    return name, bars, columns, sorted(cuts)


def assert_all_the_same(case: tuple[str, int, list[Any], list[int]]) -> None:
    name, bars, columns, cuts = case
    ref = bits(twin(name, bars, columns))
    comp = getattr(features, name)(*columns, bars)
    assert bits(comp) == ref
    stream = FeatureStream(name, bars)  # type: ignore[arg-type]  # drawn from the names
    edges = [0, *cuts, len(columns[0])]
    parts = [
        stream.extend(*(column[begin:end] for column in columns))
        for begin, end in itertools.pairwise(edges)
    ]
    assert bits(np.concatenate(parts)) == ref
    assert stream.seen == len(columns[0])


@compiled_only
@settings(max_examples=int(os.environ.get("FEATURE_BARS", "120")), deadline=None)
@given(cases())
def test_any_bars_give_the_bits_of_the_twin(case: Any) -> None:
    assert_all_the_same(case)


@compiled_only
@pytest.mark.stress
@settings(max_examples=5_000, deadline=None)
@given(cases())
def test_many_more_bars_give_the_bits_of_the_twin(case: Any) -> None:
    assert_all_the_same(case)


@compiled_only
@pytest.mark.parametrize("bars", [2, 21, 252])
@pytest.mark.parametrize("name", NAMES)
def test_the_real_panel_gives_the_bits_of_the_twin(name: str, bars: int) -> None:
    close = load_sp500().close[:1500]
    columns = [close * 1.01, close * 0.98, close] if name == "atr" else [close]
    comp = getattr(features, name)(*columns, bars)
    assert bits(comp) == bits(twin(name, bars, columns))
    flat = np.ptp(np.lib.stride_tricks.sliding_window_view(close, bars, axis=0), axis=2) == 0.0
    expected = flat[1:] if name == "zscore" else np.zeros_like(flat[1:])
    np.testing.assert_array_equal(np.isnan(comp[bars:]), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_rows_are_the_features_of_the_first_bars(name: str) -> None:
    close = load_sp500().close[:300, :3]
    columns = [close * 1.01, close * 0.98, close] if name == "atr" else [close]
    whole = getattr(features, name)(*columns, 20)
    for stop in (0, 1, 20, 41, 299):
        part = getattr(features, name)(*(column[:stop] for column in columns), 20)
        assert bits(part) == bits(whole[:stop])


@compiled_only
@pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")
@pytest.mark.parametrize("name", NAMES)
def test_one_compiled_signature_serves_every_caller(name: str) -> None:
    close = load_sp500().close[:50]
    columns = [close, close, close] if name == "atr" else [close]
    stream = FeatureStream(name, 5)  # type: ignore[arg-type]  # one of the names
    stream.extend(*(column[::2] for column in columns))
    getattr(features, name)(*(column.copy() for column in columns), 5)
    getattr(features, name)(*(column.tolist() for column in columns), 5)
    assert len(getattr(_feature_state._kernels(), name).signatures) == 1


def test_a_refused_call_leaves_the_stream_as_it_was() -> None:
    close = load_sp500().close[:60, :2]
    stream, ref = FeatureStream("zscore", 7), FeatureStream("zscore", 7)
    stream.extend(close[:30])
    ref.extend(close[:30])
    for wrong in (close[30:, :1], np.full((2, 2), np.inf), close[30:, 0], [["a", "b"]]):
        with pytest.raises(PriceError):
            stream.extend(wrong)
    assert stream.seen == 30
    assert bits(stream.extend(close[30:])) == bits(ref.extend(close[30:]))
    assert repr(stream) == "FeatureStream('zscore', 7): 60 bars"


def test_a_stream_of_tables_keeps_labels() -> None:
    pandas = pytest.importorskip("pandas")
    panel = load_sp500()
    frame = pandas.DataFrame(panel.close[:40], index=panel.dates[:40], columns=panel.assets)
    stream = FeatureStream("rsi", 5)
    comp = pandas.concat([stream.extend(frame.iloc[:13]), stream.extend(frame.iloc[13:])])
    pandas.testing.assert_frame_equal(comp, features.rsi(frame, 5), check_exact=True)


def test_threads_do_not_disturb_each_other() -> None:
    close = load_sp500().close[:400]
    jobs = [(name, bars) for name in NAMES if name != "atr" for bars in (3, 10, 50)]

    def run(job: tuple[str, int]) -> bytes:
        return bits(getattr(features, job[0])(close, job[1]))

    ref = [run(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, jobs * 3)) == ref * 3


WITHOUT_NUMBA = """
import hashlib, sys, warnings
import numpy as np
from optimizer.backtest import features
from optimizer.backtest.feature_study import StudyFeatures
from optimizer.backtest.prices import synthetic_market
close = synthetic_market(120, 4, seed=4, nan_fraction=0.1).close
digest = hashlib.sha256()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in NAMES:
        columns = [close * 1.01, close * 0.98, close] if name == "atr" else [close]
        found = [getattr(features, name)(*columns, 6)]
        stream = features.FeatureStream(name, 6)
        found.append(stream.extend(*(column[:50] for column in columns)))
        found.append(stream.extend(*(column[50:] for column in columns)))
        found.append(StudyFeatures(close, high=close * 1.01, low=close * 0.98).get(name, 6))
        for one in found:
            digest.update(np.where(np.isnan(one), np.nan, one).tobytes())
    for name, *wrong in (
        ("rsi", [1.0, np.inf]), ("momentum", [1.0, 0.0]), ("atr", [2.0, 1.0], [1.0, 2.0], [1.0] * 2)
    ):
        try:
            getattr(features, name)(*wrong, 1)
        except ValueError as error:
            digest.update(str(error).encode())
        else:
            raise AssertionError(name)
print(digest.hexdigest())
print([str(w.message)[:5] for w in caught], "numba" in sys.modules, file=sys.stderr)
"""


def run_without(packages: str, disable_jit: str = "0") -> tuple[str, str]:
    code = f"NAMES = {NAMES!r}\n{WITHOUT_NUMBA}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPTIMIZER_WITHOUT": packages, "NUMBA_DISABLE_JIT": disable_jit},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout, done.stderr.strip()


@compiled_only
def test_without_numba_the_twin_answers_the_same_with_one_warning() -> None:
    comp, said = run_without("")
    assert said == "[] True"
    ref, said = run_without("numba")
    assert said == "['numba'] False"
    assert comp == ref
    assert len(comp.strip()) == len(hashlib.sha256().hexdigest())
    # Kernels run on numpy's scalars with the JIT off, which warn unless they are told not to.
    off, said = run_without("", disable_jit="1")
    assert said == "[] True"
    assert off == ref


@compiled_only
@pytest.mark.stress
@pytest.mark.skipif(JIT_OFF, reason="it is off already")
def test_with_the_jit_off_kernels_give_the_bits_of_the_twin() -> None:
    chosen = "any_bars or real_panel or first_rows"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, __file__],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "FEATURE_BARS": "1000"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "29 passed" in done.stdout
