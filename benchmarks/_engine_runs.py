"""Whole studies, as the reports have them: 100 and 1,000 trials, resumed, and half duplicates.

`before` is Optuna as it comes, its default sampler on SQLite (`RDBStorage`); `after` is
`optimizer.optimize` with the same seed on a file of ours: the same trials, by one worker. The
objective is the same on both sides, so what is gained is what a study costs beside it. It takes 10
ms of CPU time, or is a backtest of a monthly momentum portfolio over the S&P panel by the compiled
tracker.

What RDBStorage was told survives a power cut, ours a killed process.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _repeating as _repeats
from benchmarks import optimize as _optimize
from benchmarks import optuna_storage as _storage
from benchmarks import study as _study
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_SEED = 11
_SHORT = 12  # trials of a quick run: more than the sampler draws at random
_RESUMED, _FURTHER = 5_000, 20
_OBJECTIVE_S = 0.010
_KINDS = ("10ms", "backtest")


def _lasting(trial: Any) -> float:
    """Ten parameters of every kind, and 10 ms of CPU time."""
    value = _storage._suggested(trial)
    end = time.thread_time() + _OBJECTIVE_S
    while time.thread_time() < end:
        pass
    return value


def _traded(trial: Any) -> float:
    """A momentum portfolio over the S&P panel; no two trials are the same."""
    from optimizer.backtest.tracker import track_trades

    params = _study._params(trial)
    params["exposure"] = trial.suggest_float("gross", 0.5, 1.5)
    close, bars = _panel()
    weights = _study._weights(close, bars, params)
    equity = track_trades(close, bars, weights, **_study._COSTS).equity
    return _study._score(float(equity[0]), float(equity[-1]), float(equity.min()))


_KEPT: dict[str, Any] = {}  # a decorator would count as a call while this is imported


def _panel() -> Any:
    """Prices, and the bars of the rebalances; made once."""
    if "panel" not in _KEPT:
        _KEPT["panel"] = _made_panel()
    return _KEPT["panel"]


def _made_panel() -> Any:
    from optimizer.backtest.prices import load_sp500, month_ends

    panel = load_sp500()
    bars = month_ends(panel.dates)
    return panel.close, bars[bars >= _study._YEAR + 2 * _study._MONTH]


_OBJECTIVES: dict[str, Callable[[Any], float]] = {"10ms": _lasting, "backtest": _traded}


class _Runs:
    """Both studies on files of their own."""

    sampled = "tpe"

    def setup(self, n_trials: int, objective: str) -> None:
        try:
            import optuna

            from optimizer.stores.optuna_storage import SQLiteStorage
            from optimizer.study import optimize
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.optimize, self.storage_of = optuna, optimize, SQLiteStorage
        self.folder = tempfile.TemporaryDirectory()
        self.files, self.objective = 0, _OBJECTIVES[objective]
        for side in (self.before, self.after):  # a short study, which imports and compiles
            self.fresh(n_trials, objective)
            side(_SHORT, objective)

    def teardown(self, n_trials: int, objective: str) -> None:
        self.folder.cleanup()

    def fresh(self, n_trials: int, objective: str) -> None:
        self.files += 1

    def _file(self, side: str) -> str:
        return str(Path(self.folder.name) / f"{side}{self.files}.db")

    def _sampler(self) -> Any:
        if self.sampled == "repeating":
            return _repeats.sampler(_SEED)
        return self.optuna.samplers.TPESampler(seed=_SEED)

    def before(self, n_trials: int, objective: str) -> Any:
        study = self.optuna.create_study(
            storage=f"sqlite:///{self._file('slow')}",
            study_name=_storage._NAME,
            sampler=self._sampler(),
            load_if_exists=True,
        )
        study.optimize(self.objective, n_trials=n_trials)
        return study

    def after(self, n_trials: int, objective: str) -> Any:
        self.kept = self._file("fast")
        asked: dict[str, Any] = {"storage": self.kept, "study_name": _storage._NAME}
        by = {"sampler": self._sampler()} if self.sampled == "repeating" else {"seed": _SEED}
        return self.optimize(self.objective, n_trials=n_trials, **asked, **by)

    def agree(self, before: Any, after: Any) -> bool:
        """The same parameters and values of all trials; ours are on the disk."""
        theirs, ours = (_told(study) for study in (before, after.study))
        with self.storage_of(self.kept) as storage:
            kept = self.optuna.load_study(study_name=_storage._NAME, storage=storage)
            return theirs == ours == _told(kept) and len(ours) > 0


def _told(study: Any) -> list[Any]:
    """Parameters and value of every trial: the value that it was told, or served."""
    return [
        (trial.params, trial.user_attrs.get(_optimize._VALUE, trial.value))
        for trial in study.get_trials(deepcopy=False)
    ]


_SECOND = (_SHORT, "backtest")  # one short study is enough for a quick run


@_hot_path(
    claim="run-100",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=(_SECOND, (100, "10ms"), (100, "backtest")),
    once=((_SHORT, "10ms"), (_SHORT, "backtest"), (100, "10ms"), (100, "backtest")),
    claim_at=(100, "10ms"),
)
class _Run100(_Runs):
    """A study of 100 trials."""

    params = ((_SHORT, 100), _KINDS)
    param_names = ("n_trials", "objective")


@_hot_path(
    claim="run-1000",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=(_SECOND, (1_000, "10ms"), (1_000, "backtest")),
    once=((_SHORT, "10ms"), (_SHORT, "backtest"), (1_000, "10ms"), (1_000, "backtest")),
    claim_at=(1_000, "10ms"),
)
class _Run1000(_Runs):
    """A study of 1,000 trials."""

    params = ((_SHORT, 1_000), _KINDS)
    param_names = ("n_trials", "objective")


@_hot_path(
    claim="run-duplicates",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=(_SECOND, (100, "10ms"), (100, "backtest")),
    once=((_SHORT, "10ms"), (_SHORT, "backtest"), (100, "10ms"), (100, "backtest")),
    claim_at=(100, "10ms"),
)
class _RunDuplicates(_Runs):
    """A study of 100 trials of which every other repeats an earlier one.

    The sampler suggests by the number of the trial alone, so that both sides have the same trials.
    """

    params = ((_SHORT, 100), _KINDS)
    param_names = ("n_trials", "objective")
    sampled = "repeating"


@_hot_path(
    claim="run-resume",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=((100, "backtest"), (_RESUMED, "10ms"), (_RESUMED, "backtest")),
    once=((100, "10ms"), (100, "backtest"), (_RESUMED, "10ms"), (_RESUMED, "backtest")),
    claim_at=(_RESUMED, "10ms"),
)
class _RunResumed(_Runs):
    """A study of so many finished trials is opened, and goes on for 20.

    Ours adds the number of trials to the seed, so Optuna's gets the sum.
    """

    params = ((100, _RESUMED), _KINDS)
    param_names = ("finished", "objective")

    def setup(self, finished: int, objective: str) -> None:
        self.finished = finished
        self.templates: dict[str, Path] = {}
        super().setup(finished, objective)
        from benchmarks import _storage_files

        trials = _finished(finished, _DRAWN[objective])
        made = {side: Path(self.folder.name, f"{side}.template") for side in ("fast", "slow")}
        _storage_files.store(str(made["fast"]), trials)
        _storage_files.database(str(made["slow"]), trials)
        self.templates = made

    def _sampler(self) -> Any:
        return self.optuna.samplers.TPESampler(seed=_SEED + self.finished)

    def fresh(self, finished: int, objective: str) -> None:
        super().fresh(finished, objective)
        for side, template in self.templates.items():
            shutil.copyfile(template, self._file(side))

    def before(self, finished: int, objective: str) -> Any:
        return super().before(_FURTHER, objective)

    def after(self, finished: int, objective: str) -> Any:
        return super().after(_FURTHER, objective)

    def agree(self, before: Any, after: Any) -> bool:
        return super().agree(before, after) and len(_told(before)) > _FURTHER


def _portfolio(trial: Any) -> float:
    """The parameters of `_traded`, which is not called."""
    _study._params(trial)
    value: float = trial.suggest_float("gross", 0.5, 1.5)
    return value


_DRAWN: dict[str, Callable[[Any], float]] = {"10ms": _storage._suggested, "backtest": _portfolio}


def _finished(n: int, suggest: Callable[[Any], float]) -> list[Any]:
    """n finished trials of these parameters, drawn at random, the same each time."""
    import optuna

    sampler = optuna.samplers.RandomSampler(seed=_SEED)
    study = optuna.create_study(sampler=sampler)
    study.optimize(suggest, n_trials=n)
    return list(study.get_trials(deepcopy=False))
