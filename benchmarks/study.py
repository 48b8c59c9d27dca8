"""Whole studies, through Optuna: a momentum portfolio on the S&P panel, and trials of nothing.

`MomentumStudy.before` is the study as people write it: every proposed portfolio is backtested by a
plain loop, duplicates too. `after` asks the duplicate guard first, serves a repeated portfolio from
what this study has already evaluated, and tracks the others with `track_trades`. Sampler, seed and
storage are the same, so both sides propose the same portfolios and must find the same values.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_SEED = 11
_MONTH, _YEAR = 21, 252
_COSTS: dict[str, Any] = {"fee_rate": 0.001, "slippage_rate": 0.0005}


def _params(trial: Any) -> dict[str, Any]:
    return {
        "lookback_months": trial.suggest_int("lookback_months", 1, 12),
        "skip_months": trial.suggest_int("skip_months", 0, 1),
        "holdings": trial.suggest_int("holdings", 1, 10),
        "side": trial.suggest_categorical("side", ["long", "long-short"]),
        "exposure": trial.suggest_float("exposure", 0.5, 1.5, step=0.25),
    }


def _weights(close: Any, bars: Any, params: dict[str, Any]) -> Any:
    """Target weights (R, N): the strongest assets of the look-back, against the weakest."""
    import numpy as np

    recent = bars - params["skip_months"] * _MONTH
    past = close[recent] / close[recent - params["lookback_months"] * _MONTH]
    rank = past.argsort(axis=1).argsort(axis=1)
    n, k = close.shape[1], params["holdings"]
    weights = np.where(rank >= n - k, params["exposure"] / k, 0.0)
    if params["side"] == "long-short":
        weights -= np.where(rank < k, params["exposure"] / k, 0.0)
    return weights


def _score(first: float, last: float, lowest: float) -> float:
    """Growth of the capital, or minus the loss where the account was wiped out."""
    return last / first if lowest > 0.0 else -1.0


def _run(objective: Callable[[Any], float], n_trials: int) -> list[float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=_SEED), direction="maximize"
    )
    study.optimize(objective, n_trials=n_trials)
    return [trial.values[0] for trial in study.get_trials(deepcopy=False)]


@_hot_path(
    claim="",
    witnesses=("statements", "steps", "commits", "fsyncs", "instructions", "memory", "cpu", "wall"),
    slow_before=(60, 200),
    uncounted=(60, 200),
    untimed=(20, 200),
    claim_at=200,
)
class MomentumStudy:
    """A study of n trials, plain and with this project's parts."""

    params = (20, 60, 200)
    param_names = ("n_trials",)

    def setup(self, n_trials: int) -> None:
        try:
            from optimizer.backtest.prices import load_sp500, month_ends
            from optimizer.backtest.tracker import track_trades
            from optimizer.reference.tracker import track_trades as plain_track_trades
            from optimizer.signature import param_signature
            from optimizer.stores.guard import NoDupeGuard
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.track, self.plain, self.sign = track_trades, plain_track_trades, param_signature
        panel = load_sp500()
        self.close, bars = panel.close, month_ends(panel.dates)
        self.bars = bars[bars >= _YEAR + 2 * _MONTH]
        self.lists = self.close.tolist(), self.bars.tolist()
        self.folder = tempfile.TemporaryDirectory()
        self.guard = NoDupeGuard(Path(self.folder.name) / "seen.db")

    def teardown(self, n_trials: int) -> None:
        self.guard.close()
        self.folder.cleanup()

    def fresh(self, n_trials: int) -> None:
        self.guard.clear()

    def before(self, n_trials: int) -> list[float]:
        def objective(trial: Any) -> float:
            weights = _weights(self.close, self.bars, _params(trial))
            _, equity, _ = self.plain(*self.lists, weights.tolist(), **_COSTS)
            return _score(equity[0], equity[-1], min(equity))

        return _run(objective, n_trials)

    def after(self, n_trials: int) -> list[float]:
        values: dict[bytes, float] = {}
        return _run(functools.partial(self._guarded, values), n_trials)

    def _guarded(self, values: dict[bytes, float], trial: Any) -> float:
        params = _params(trial)
        signature = self.sign(params)
        if self.guard.add(signature):
            weights = _weights(self.close, self.bars, params)
            equity = self.track(self.close, self.bars, weights, **_COSTS).equity
            values[signature] = _score(float(equity[0]), float(equity[-1]), float(equity.min()))
        return values[signature]

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after


_LOGGER = logging.getLogger("benchmarks.quiet")


@_hot_path(
    claim="quiet-loop",
    witnesses=("bytecodes", "instructions", "cpu", "wall", "claim"),
    claim_at=50,
)
class QuietLoop:
    """A study of n trials that do nothing: progress bar and log lines, or neither.

    `before` shows Optuna's progress bar and log lines and formats a line of its own for each trial
    that nobody reads; `after` asks the logger first. Nothing of ours is in it but how to call
    Optuna. The text goes to memory: a terminal would cost more.
    """

    params = (50,)
    param_names = ("n_trials",)

    def setup(self, n_trials: int) -> None:
        import optuna

        self.optuna = optuna
        self.log = optuna.logging
        _LOGGER.setLevel(logging.WARNING)

    def _run(self, objective: Callable[[Any], float], n_trials: int, show: bool) -> list[float]:
        self.log.set_verbosity(self.log.WARNING)
        sampler = self.optuna.samplers.RandomSampler(seed=3)
        study = self.optuna.create_study(study_name="quiet", sampler=sampler)
        self.log.set_verbosity(self.log.INFO if show else self.log.WARNING)
        study.optimize(objective, n_trials=n_trials, show_progress_bar=show)
        self.log.set_verbosity(self.log.WARNING)
        return [trial.values[0] for trial in study.get_trials(deepcopy=False)]

    def before(self, n_trials: int) -> list[float]:
        def objective(trial: Any) -> float:
            value = trial.suggest_float("p", 0.0, 1.0) + trial.suggest_int("q", 1, 9)
            _LOGGER.debug(f"trial {trial.number}: {value:.6f} for {trial.params!r}")
            return float(value)

        # Beside a progress bar Optuna writes its lines to stdout, the bar to stderr.
        text = io.StringIO()
        with contextlib.redirect_stderr(text), contextlib.redirect_stdout(text):
            found = self._run(objective, n_trials, show=True)
        if "Trial" not in text.getvalue():
            raise AssertionError("Optuna wrote no line where this workload looks for it")
        return found

    def after(self, n_trials: int) -> list[float]:
        def objective(trial: Any) -> float:
            value = trial.suggest_float("p", 0.0, 1.0) + trial.suggest_int("q", 1, 9)
            if _LOGGER.isEnabledFor(logging.DEBUG):
                _LOGGER.debug(f"trial {trial.number}: {value:.6f} for {trial.params!r}")
            return float(value)

        return self._run(objective, n_trials, show=False)

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == self.params[0]
