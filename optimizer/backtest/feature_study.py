"""The features of one data set, for all trials of a study: precomputed, and by the fast window."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._feature_edge import Given, read_values
from optimizer.backtest._feature_state import (
    KINDS,
    FeatureName,
    State,
    begin,
    check_bars,
    check_values,
)
from optimizer.backtest._memo import DEFAULT_BYTES, Memo, MemoCounters
from optimizer.errors import ConfigurationError, PriceError

__all__ = ["FAST_WINDOW", "PRECOMPUTE_FEATURES", "FeatureConfig", "Memo", "StudyFeatures"]

Floats = NDArray[np.float64]

FAST_WINDOW = "OPTIMIZER_FAST_WINDOW"
PRECOMPUTE_FEATURES = "OPTIMIZER_PRECOMPUTE_FEATURES"
_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """How the features of a study are come by; what they are is the same, to the bit.

    Attributes:
        fast_window: whether a longer window goes on where a shorter one ended; if not, it is
            computed over its full history.
        precompute: whether features are kept for all trials; if not, each trial computes its own.

    None takes the environment's `OPTIMIZER_FAST_WINDOW` and `OPTIMIZER_PRECOMPUTE_FEATURES` (1 or
    0, and words like these), and what is not set there is on.
    """

    fast_window: bool | None = None
    precompute: bool | None = None

    def resolved(self, environment: Mapping[str, str] | None = None) -> FeatureConfig:
        """The same without None.

        Raises:
            ConfigurationError: the environment holds another word.
        """
        found = os.environ if environment is None else environment
        return FeatureConfig(
            _chosen(self.fast_window, found, FAST_WINDOW),
            _chosen(self.precompute, found, PRECOMPUTE_FEATURES),
        )


def _chosen(field: bool | None, environment: Mapping[str, str], name: str) -> bool:
    if field is not None:
        return field
    word = environment.get(name, "").strip().lower()
    if word and word not in _ON | _OFF:
        raise ConfigurationError(f"{name} is {word!a:.80}; set it to 1 or 0, or leave it out")
    return word not in _OFF


_shared = Memo(DEFAULT_BYTES)
"""What all studies of this process keep, unless they are given a memo of their own."""


class StudyFeatures:
    """Features of one data set, over all of it or over its first bars.

    Made once for a study and asked by every trial, which in a walk-forward evaluation asks for one
    window after the other: `get("rsi", 14, stop=window_end)`. The answers are always the features
    of the functions in `optimizer.backtest.features`, to the bit; the configuration only says how
    much is computed again:

    =============  ===========  =====================================================
    `precompute`   fast window  what is computed
    =============  ===========  =====================================================
    on             on           each bar once for all trials, as windows get to it
    on             off          all bars once for all trials, at the first question
    off            on           each bar once a trial
    off            off          the full history, for each window of each trial
    =============  ===========  =====================================================

    Precomputed features are found by the content of the data, so that two objects made of equal
    data share them: an object made in each trial is as good as one for the study. Threads may ask
    at the same time; each bar is computed by one of them. A process forked in the middle of that
    goes on from what was finished. With precompute off, a thread's window that ends before its
    last one begins a new trial.

    Memory: precomputed features stay within the bytes of the memo, 256 MB a process unless given;
    others are kept for the thread's current trial, within as much again. Cost: all data is read
    once to fingerprint it, and copied, so that later changes of the caller's arrays do no harm.

    Parameters
    ----------
    close
        (T,) or (T, N), NaN where there is none; what features other than "atr" are made of.
    high, low
        The same shape; needed by "atr" only.
    config : FeatureConfig, optional
        How; the environment's choice unless given.
    memo : Memo, optional
        Where precomputed features are kept, `Memo(max_bytes)`; one of the process unless given.

    Raises
    ------
    PriceError
        What is no real number, infinite, or of a shape that does not fit; the place is named.
    ConfigurationError
        The environment holds a word that is neither yes nor no.

    Examples
    --------
    >>> features = StudyFeatures([1.0, 2.0, 6.0, 7.0])
    >>> features.get("rolling_mean", 2)
    array([nan, 1.5, 4. , 6.5])
    >>> features.get("rolling_mean", 2, stop=3)
    array([nan, 1.5, 4. ])
    """

    def __init__(
        self,
        close: Any,
        *,
        high: Any = None,
        low: Any = None,
        config: FeatureConfig | None = None,
        memo: Memo | None = None,
    ) -> None:
        self.config = (config or FeatureConfig()).resolved()
        if (high is None) != (low is None):
            raise PriceError("only one of high and low was passed; pass both, or neither")
        self._close = _own(read_values(close, "close"))
        self._range: list[Given] = []
        check_values("rolling_mean", [self._close], ["close"])
        if high is not None:
            self._range = [_own(read_values(high, "high")), _own(read_values(low, "low"))]
            check_values("atr", [*self._range, self._close])
        self._memo = _shared if memo is None else memo
        self._of_thread = threading.local()
        self._prices = not bool((self._close.values <= 0.0).any())
        self._fingerprint = self._digest()

    def get(self, name: FeatureName, bars: int, stop: int | None = None) -> Any:
        """A feature of the first `stop` bars; of all, unless given.

        Parameters
        ----------
        name : {"atr", "ewma", "momentum", "rolling_mean", "rsi", "volatility", "zscore"}
            The feature.
        bars : int
            Its window, span or period.
        stop : int, optional
            0 to T.

        Returns
        -------
        (stop,) or (stop, N) array, read-only; a Series or DataFrame where the data was one

        Raises
        ------
        PriceError
            No such feature, bars or stop; "atr" without high and low; or a feature of returns
            where a price is not above 0.
        """
        bars = check_bars(name, bars)
        n_bars = len(self._close.values)
        stop = n_bars if stop is None else _check_stop(stop, n_bars)
        columns = self._columns(name)
        if self.config.precompute:
            key = (self._fingerprint, name, bars)
            growing = self._memo.result(key, lambda: _Growing(name, bars, self._close.values.shape))
            out = growing.grown(columns, stop if self.config.fast_window else n_bars)[:stop]
        elif self.config.fast_window:
            out = self._current(name, bars, stop).grown(columns, stop)
        else:
            shape = (stop, self._close.values.shape[1])
            out = _Growing(name, bars, shape).grown(columns, stop)
        labels = self._close.labels
        return self._close.relabel(out, None if labels is None else labels[:stop])

    def precompute(self, name: FeatureName, many_bars: Iterable[int]) -> None:
        """Compute a feature of all bars for several windows: before trials, or workers, begin.

        Without `precompute` in the configuration nothing would be kept, and nothing is done.

        Raises
        ------
        PriceError
            As `get`.
        """
        if self.config.precompute:
            for bars in many_bars:
                self.get(name, bars)

    def counters(self) -> MemoCounters:
        """What the memo did, for all who use it.

        A miss is the first question for a feature; the bars are computed as they are asked for, so
        the seconds are not counted here.
        """
        return self._memo.memo_counters()

    def _columns(self, name: str) -> list[Floats]:
        if name == "atr":
            if not self._range:
                raise PriceError("atr needs high and low; pass them beside close")
            return [one.values for one in (*self._range, self._close)]
        if KINDS[name].prices and not self._prices:
            check_values(name, [self._close], ["close"])
        return [self._close.values]

    def _current(self, name: str, bars: int, stop: int) -> _Growing:
        """The window of this thread's trial; a new one where it would have to go back."""
        memo: Memo | None = getattr(self._of_thread, "memo", None)
        if memo is None:
            memo = self._of_thread.memo = Memo(self._memo.max_bytes)
        key = (name, bars)
        shape = self._close.values.shape
        growing: _Growing = memo.result(key, lambda: _Growing(name, bars, shape))
        if growing.done > stop:
            growing.restart()
        return growing

    def _digest(self) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for one in (self._close, *self._range):
            digest.update(repr(one.values.shape).encode())
            digest.update(one.values.reshape(-1).view(np.uint8).data)
        return digest.digest()


class _Forks:
    """How many forks this process is away from the first one, and a lock that none left behind."""

    count = 0
    lock = threading.Lock()


def _after_fork_in_child() -> None:
    _Forks.count += 1
    _Forks.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Growing:
    """A feature of the bars up to now; `grown` goes on. Safe for threads, and after a fork.

    It holds no data, which is passed in: kept features must not keep the data of a trial alive.
    """

    def __init__(self, name: str, bars: int, shape: tuple[int, ...]) -> None:
        self._name = name
        self._bars = min(bars, shape[0] + 1)  # a window that is never full needs no room
        self._out = np.empty(shape)
        self._lock = threading.Lock()
        self._forks = _Forks.count
        self._state: State | None = None
        self.done = 0

    def __sizeof__(self) -> int:
        of_a_bar = self._out.nbytes // max(1, len(self._out))
        return 500 + self._out.nbytes + 2 * self._bars * of_a_bar

    def grown(self, columns: list[Floats], stop: int) -> Floats:
        """The feature of the first bars, read-only."""
        if self.done < stop:
            if self._forks != _Forks.count:
                self._unlock()
            with self._lock:
                self._grow(columns, stop)
        view = self._out[:stop]
        view.flags.writeable = False
        return view

    def _unlock(self) -> None:
        """Drop a lock that a thread may hold which the fork left behind."""
        with _Forks.lock:
            if self._forks != _Forks.count:
                self._lock = threading.Lock()
                self._forks = _Forks.count

    def _grow(self, columns: list[Floats], stop: int) -> None:
        begun = self.done
        if begun >= stop:
            return
        state, self._state = self._state, None  # lost, should this be interrupted
        if state is None:
            begun = 0
            state = begin(self._name, self._bars, self._out.shape[1])
        state.advance([column[begun:stop] for column in columns], self._out[begun:stop])
        self._state = state
        self.done = stop

    def restart(self) -> None:
        """Begin again at the first bar, in other memory: what was given out stays as it is."""
        self._out = np.empty_like(self._out)
        self._state = None
        self.done = 0


def _own(given: Given) -> Given:
    values = given.values.copy()
    values.flags.writeable = False
    return Given(values, given.single, given.labels, given.assets, given.relabel)


def _check_stop(stop: Any, n_bars: int) -> int:
    if isinstance(stop, (bool, np.bool_)) or not isinstance(stop, (int, np.integer)):
        raise PriceError(f"stop is {stop!r}; pass a number of bars, an integer")
    if not 0 <= stop <= n_bars:
        raise PriceError(f"stop is {stop}; expected 0 to {n_bars}, the bars there are")
    return int(stop)
