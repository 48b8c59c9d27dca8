"""Hot paths of the features: kernels, the fast window, precomputed features.

Where pandas is `before`, it is the plain way to the same numbers, over a table made beforehand;
ours gets the array. Both put the result into new memory; room for it, which pandas cannot be given,
is a case of its own. Everywhere else both sides use our kernels and give the same bits: what is
measured is only how often something is computed.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_WINDOW, _PERIOD = 20, 14
_QUARTER, _YEAR = 63, 252
_COSTS: dict[str, Any] = {"fee_rate": 0.001, "slippage_rate": 0.0005}


def _still(close: Any, window: int) -> Any:
    """Where the last `window` prices are all the same."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(close, window, axis=0)
    still = np.ptp(windows, axis=2) == 0.0
    return np.vstack([np.zeros((window - 1, still.shape[1]), bool), still])


def _pandas_rolling(frame: Any, name: str) -> Any:
    if name == "momentum":
        return frame.pct_change(_WINDOW, fill_method=None)
    if name == "volatility":
        return frame.pct_change(fill_method=None).rolling(_WINDOW).std()
    rolling = frame.rolling(_WINDOW)
    if name == "rolling_mean":
        return rolling.mean()
    return (frame - rolling.mean()) / rolling.std()


_ROLLING = ("rolling_mean", "zscore", "volatility", "momentum")
_MEMORY = ("new", "kept")  # of the result: the default, or given as `out`


_KEPT_ROLLING = tuple((feature, "kept") for feature in _ROLLING)


@_hot_path(
    claim="",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    uncounted=_KEPT_ROLLING[1:],
    untimed=(("momentum", "new"), *_KEPT_ROLLING),
    claim_at=("rolling_mean", "new"),
)
class Rolling:
    """Features of windows of 20 bars, 20 assets x 8,313 days: pandas → one compiled pass."""

    params = (_ROLLING, _MEMORY)
    param_names = ("feature", "memory")

    def setup(self, feature: str, memory: str) -> None:
        try:
            import numpy as np

            from optimizer.backtest import features
            from optimizer.backtest.prices import load_sp500
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.name, self.feature = feature, getattr(features, feature)
        self.close = load_sp500().close
        self.room = np.empty(self.close.shape) if memory == "kept" else None

    def before(self, feature: str, memory: str) -> Any:
        return _pandas_rolling(self.frame, feature)

    @functools.cached_property
    def frame(self) -> Any:
        """Made at the first round, which nobody times: where only `after` runs, without pandas."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types

        return pd.DataFrame(self.close)

    def after(self, feature: str, memory: str) -> Any:
        return self.feature(self.close, _WINDOW, out=self.room)

    def agree(self, before: Any, after: Any) -> bool:
        """To 1e-9: pandas' running sums keep roundings of values that have left the window.

        Where prices stood still for a window there is no z-score, and the volatility is 0; pandas
        may show what was left behind, or divide by it.
        """
        import numpy as np

        near = np.isclose(after, before.to_numpy(), rtol=1e-9, atol=1e-9, equal_nan=True)
        if self.name == "zscore":
            near = np.where(_still(self.close, _WINDOW), np.isnan(after), near)
        elif self.name == "volatility":  # of the returns between one price more
            near = np.where(_still(self.close, _WINDOW + 1), np.abs(after) <= 1e-9, near)
        return bool(near.all())


def _pandas_smoothed(name: str, high: Any, low: Any, close: Any) -> Any:
    """As it is written everywhere: smoothing begins at the first value, not at a mean of some."""
    import numpy as np

    if name == "ewma":
        return close.ewm(span=_WINDOW, adjust=False, min_periods=_WINDOW).mean()
    wilder = {"alpha": 1.0 / _PERIOD, "adjust": False, "min_periods": _PERIOD}
    if name == "rsi":
        change = close.diff()
        gain = change.clip(lower=0.0).ewm(**wilder).mean()
        loss = (-change).clip(lower=0.0).ewm(**wilder).mean()
        return 100.0 - 100.0 / (1.0 + gain / loss)
    last = close.shift()
    ranges = np.maximum((high - low), np.maximum((high - last).abs(), (low - last).abs()))
    return ranges.fillna(high - low).ewm(**wilder).mean()


_SMOOTHED = ("ewma", "rsi", "atr")
_KEPT_SMOOTHED = tuple((feature, "kept") for feature in _SMOOTHED)


@_hot_path(
    claim="",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    uncounted=_KEPT_SMOOTHED[1:],
    untimed=_KEPT_SMOOTHED,
    claim_at=("ewma", "new"),
)
class Smoothed:
    """EWMA of 20, RSI and ATR of 14 bars, 20 assets x 8,313 days: pandas → one compiled pass."""

    params = (_SMOOTHED, _MEMORY)
    param_names = ("feature", "memory")

    def setup(self, feature: str, memory: str) -> None:
        try:
            import numpy as np

            from optimizer.backtest import features
            from optimizer.backtest.prices import load_sp500
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.feature = getattr(features, feature)
        close = load_sp500().close
        spread = np.random.default_rng(4).random((2, *close.shape)) * 0.02
        self.bars = (close * (1.0 + spread[0]), close * (1.0 - spread[1]), close)
        self.columns = self.bars if feature == "atr" else (close,)
        self.room = np.empty(close.shape) if memory == "kept" else None

    def before(self, feature: str, memory: str) -> Any:
        return _pandas_smoothed(feature, *self.frames)

    @functools.cached_property
    def frames(self) -> list[Any]:
        """As `Rolling.frame`."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types

        return [pd.DataFrame(one) for one in self.bars]

    def after(self, feature: str, memory: str) -> Any:
        bars = _WINDOW if feature == "ewma" else _PERIOD
        return self.feature(*self.columns, bars, out=self.room)

    def agree(self, before: Any, after: Any) -> bool:
        """To 1e-9 from bar 1,000 on: until then the other beginning of Wilder's means shows."""
        import numpy as np

        ref = before.to_numpy()[1_000:]
        return bool(np.isclose(after[1_000:], ref, rtol=1e-9, atol=1e-9).all())


_FEATURES: tuple[tuple[Any, int], ...] = (("rolling_mean", 50), ("rsi", 14), ("volatility", 60))


@_hot_path(
    claim="",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    untimed=("quarterly",),
    claim_at="yearly",
)
class FastWindow:
    """Three features at the end of each walk-forward window: full history each → the new bars."""

    params = ("yearly", "quarterly")
    param_names = ("windows",)

    def setup(self, windows: str) -> None:
        try:
            import numpy as np

            from optimizer.backtest import features
            from optimizer.backtest.prices import load_sp500
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.close = load_sp500().close
        step = _YEAR if windows == "yearly" else _QUARTER
        self.stops = np.arange(_YEAR, len(self.close) + 1, step).tolist()
        self.stream = features.FeatureStream
        self.functions = [(getattr(features, name), bars) for name, bars in _FEATURES]

    def before(self, windows: str) -> Any:
        return [
            [function(self.close[:stop], bars)[-1] for function, bars in self.functions]
            for stop in self.stops
        ]

    def after(self, windows: str) -> Any:
        streams = [self.stream(name, bars) for name, bars in _FEATURES]
        begun, found = 0, []
        for stop in self.stops:
            found.append([stream.extend(self.close[begun:stop])[-1] for stream in streams])
            begun = stop
        return found

    def agree(self, before: Any, after: Any) -> bool:
        import numpy as np

        return np.array(before).tobytes() == np.array(after).tobytes()


@_hot_path(
    claim="precompute-features",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    uncounted=("fine",),
    untimed=("fine",),
    claim_at="coarse",
)
class Precompute:
    """Three features of all bars in each of 100 trials: computed each time → once for all trials.

    Windows are the same in all trials, or drawn from 5 to 60 bars in steps of 5 or of 1. Of the
    fine steps about half of what is asked for is new, and put into new memory. `after` reads and
    copies the data once.
    """

    params = ("same", "coarse", "fine")
    param_names = ("steps",)

    def setup(self, steps: str) -> None:
        try:
            from optimizer.backtest import feature_study, features
            from optimizer.backtest.prices import load_sp500
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.close = load_sp500().close
        draw = random.Random(3)
        names = [name for name, _ in _FEATURES]
        choices = {"same": [20], "coarse": range(5, 61, 5), "fine": range(5, 61)}[steps]
        self.trials = [[(name, draw.choice(choices)) for name in names] for _ in range(100)]
        self.functions = {name: getattr(features, name) for name in names}
        self.study, self.memo = feature_study.StudyFeatures, feature_study.Memo

    def before(self, steps: str) -> Any:
        return [
            [float(self.functions[name](self.close, bars)[-1].sum()) for name, bars in trial]
            for trial in self.trials
        ]

    def after(self, steps: str) -> Any:
        study = self.study(self.close, memo=self.memo())
        return [
            [float(study.get(name, bars)[-1].sum()) for name, bars in trial]
            for trial in self.trials
        ]

    def agree(self, before: Any, after: Any) -> bool:
        return bool(before == after)


def _ranked(above: Any, calm: Any, strong: Any, holdings: int) -> Any:
    """Equal weights on the strongest of the assets that are above their mean and calm."""
    import numpy as np

    score = np.where(above & calm, strong, -1.0)
    chosen = np.argsort(-score, kind="stable")[:holdings]
    chosen = chosen[score[chosen] > 0.0]
    weights = np.zeros(len(score))
    weights[chosen] = 1.0 / holdings
    return weights


@_hot_path(
    claim="fast-window",
    witnesses=("bytecodes", "instructions", "memory", "cpu", "wall", "claim"),
    slow_before=("yearly", "quarterly"),
    uncounted=("yearly", "quarterly"),
    untimed=("yearly", "quarterly"),
    claim_at="yearly",
)
class WalkForwardStudy:
    """A study of 100 trials (short: 10) through Optuna, each a walk-forward backtest.

    At the end of each window, a year or a quarter, the assets are chosen by three features of the
    history up to there. `before` computes them over the full history for each window of each trial,
    `after` through `StudyFeatures`: precomputed, and by the fast window. Sampler and seed are the
    same, features are equal to the bit, so both sides propose the same trials and must find the
    same values.
    """

    params = ("short", "yearly", "quarterly")
    param_names = ("windows",)

    def setup(self, windows: str) -> None:
        try:
            import numpy as np

            from optimizer.backtest import feature_study, features
            from optimizer.backtest.prices import load_sp500
            from optimizer.backtest.tracker import track_trades
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.close = load_sp500().close
        step = _QUARTER if windows == "quarterly" else _YEAR
        self.n_trials = 10 if windows == "short" else 100
        self.stops = np.arange(_YEAR, len(self.close), step).tolist()
        self.features, self.track = features, track_trades
        self.study, self.memo = feature_study.StudyFeatures, feature_study.Memo

    def _objective(self, trial: Any, get: Callable[[Any, int, int], Any]) -> float:
        import numpy as np

        mean_bars = trial.suggest_int("mean_bars", 20, 250, step=10)
        calm_bars = trial.suggest_int("calm_bars", 10, 60)
        strength_bars = trial.suggest_int("strength_bars", 5, 30)
        most = trial.suggest_float("most_volatility", 0.01, 0.05)
        holdings = trial.suggest_int("holdings", 2, 10)
        weights = []
        for stop in self.stops:
            mean = get("rolling_mean", mean_bars, stop)[-1]
            deviation = get("volatility", calm_bars, stop)[-1]
            strength = get("rsi", strength_bars, stop)[-1]
            above = self.close[stop - 1] > mean
            weights.append(_ranked(above, deviation < most, strength, holdings))
        bars = np.array(self.stops) - 1
        return float(self.track(self.close, bars, np.array(weights), **_COSTS).equity[-1])

    def _run(self, get: Callable[[Any, int, int], Any]) -> list[float]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=11), direction="maximize"
        )
        study.optimize(lambda trial: self._objective(trial, get), n_trials=self.n_trials)
        return [trial.values[0] for trial in study.get_trials(deepcopy=False)]

    def before(self, windows: str) -> list[float]:
        def get(name: str, bars: int, stop: int) -> Any:
            return getattr(self.features, name)(self.close[:stop], bars)

        return self._run(get)

    def after(self, windows: str) -> list[float]:
        return self._run(self.study(self.close, memo=self.memo()).get)

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after
