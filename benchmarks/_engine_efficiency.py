"""Each measure of the efficiency guide alone, off and on; and all of them together.

Both sides are `optimizer.optimize` on the same objective, with the same points where nothing but
the data or the end of a trial differs. A study counts only if its best value is that of an
evaluation on all data, at its best parameters: else there is no figure.
"""

from __future__ import annotations

import functools
from typing import Any

from benchmarks import _cores
from benchmarks import optuna_storage as _storage
from benchmarks._engine_workloads import PORTFOLIO, Workload
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_SEED = 11
_SHORT, _N = 15, 100
_OFF = dict.fromkeys(
    (
        *("enable_data_subsampling", "adaptive_subsampling", "enable_parallel_processing"),
        *("enable_caching", "enable_aggressive_pruning", "enable_smart_sampling"),
        *("adaptive_trial_allocation", "enable_memory_optimization"),
    ),
    False,
)
_ALONE: dict[str, Any] = {
    "witnesses": _WITNESSES,
    "clock": "tree",
    "slow_before": (_N,),
    "once": (_SHORT, _N),
    "claim_at": _N,
}


class _Efficient:
    """A study of n trials of the portfolio, with `off` and with `on`."""

    workload: Workload = PORTFOLIO
    on: dict[str, Any] = {}  # noqa: RUF012 - a class says which, and nobody writes to it
    off: dict[str, Any] = {}  # noqa: RUF012 - the same
    sampled = "random"
    several = False  # cores

    def setup(self, n_trials: int) -> None:
        try:
            import optuna

            from optimizer.efficiency import EfficiencyConfig
            from optimizer.study import optimize
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.optimize, self.config_of = optuna, optimize, EfficiencyConfig
        self.cores = _cores.widened() if self.several else set()
        self._optimized(self._config(self.on), 3)  # imports and compiles

    def teardown(self, n_trials: int) -> None:
        _cores.put_back(self.cores)

    def _config(self, switched: dict[str, Any]) -> Any:
        return self.config_of(**(_OFF | switched))

    def _optimized(self, config: Any, n: int, **asked: Any) -> Any:
        """The study with these measures."""
        load = self.workload
        options: dict[str, Any] = {"direction": load.direction, "data": load.data()}
        if self.sampled == "random":
            options["sampler"] = self.optuna.samplers.RandomSampler(seed=_SEED)
        else:
            options["seed"] = _SEED
        workers = "auto" if config.enable_parallel_processing else 1
        options |= {"mode": config, "workers": workers, "n_trials": n} | asked
        return self.optimize(load.evaluate, load.kinds(), **options)

    def before(self, n_trials: int) -> Any:
        return self._optimized(self._config(self.off), n_trials)

    def after(self, n_trials: int) -> Any:
        return self._optimized(self._config(self.on), n_trials)

    def agree(self, before: Any, after: Any) -> bool:
        """As many trials, and the best of each on all data."""
        counts = {len(found.study.get_trials(deepcopy=False)) for found in (before, after)}
        return len(counts) == 1 and self._is_whole(before) and self._is_whole(after)

    def _is_whole(self, found: Any) -> bool:
        return bool(found.best_value == self.workload.value(found.best_params))


@_hot_path(
    claim="eff-subsample",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=((_SHORT, "guide"), (_N, "adaptive"), (_N, "guide")),
    once=tuple((n, policy) for n in (_SHORT, _N) for policy in ("adaptive", "guide")),
    claim_at=(_N, "adaptive"),
)
class _Subsampled(_Efficient):
    """Trials on 30% of the data first: promising ones earn more, or late ones get more."""

    params = ((_SHORT, _N), ("adaptive", "guide"))
    param_names = ("n_trials", "policy")

    def setup(self, n_trials: int, policy: str) -> None:  # type: ignore[override]  # one more
        adaptive = {"adaptive_subsampling": policy == "adaptive"}
        self.on = {"enable_data_subsampling": True, "subsample_fraction": 0.3} | adaptive
        super().setup(n_trials)

    def teardown(self, n_trials: int, policy: str) -> None:  # type: ignore[override]  # one more
        super().teardown(n_trials)

    def before(self, n_trials: int, policy: str) -> Any:  # type: ignore[override]  # one more
        return super().before(n_trials)

    def after(self, n_trials: int, policy: str) -> Any:  # type: ignore[override]  # one more
        return super().after(n_trials)


@_hot_path(claim="eff-parallel", **_ALONE)
class _Parallel(_Efficient):
    """One worker → as many as there are cores, of the guide's eight."""

    params = (_SHORT, _N)
    param_names = ("n_trials",)
    on = {"enable_parallel_processing": True, "max_workers": 8}  # noqa: RUF012 - as above
    several = True


@_hot_path(claim="eff-prune", **_ALONE)
class _Pruned(_Efficient):
    """Every trial to its end → stopped after a block of the bars, far from the best."""

    params = (_SHORT, _N)
    param_names = ("n_trials",)
    on = {"enable_aggressive_pruning": True, "pruning_threshold": 0.1}  # noqa: RUF012 - as above


@_hot_path(claim="eff-batch", **_ALONE)
class _Batched(_Efficient):
    """Trials drawn one by one → in batches of 100, caches emptied every 50 trials."""

    params = (_SHORT, _N)
    param_names = ("n_trials",)
    off = {"enable_memory_optimization": True, "batch_size": 1}  # noqa: RUF012 - as above
    on = {"enable_memory_optimization": True, "batch_size": 100}  # noqa: RUF012 - as above


@_hot_path(
    claim="eff-memory",
    witnesses=(*_WITNESSES, "memory"),
    clock="process",
    slow_before=(2_000,),
    once=(100, 2_000),
    claim_at=2_000,
)
class _Frugal(_Efficient):
    """Trials of nothing: everything that may be kept is kept → bounded, and freed."""

    params = (100, 2_000)
    param_names = ("n_trials",)
    off = {"enable_caching": True, "cache_size": 100_000}  # noqa: RUF012 - as above
    on = {"enable_caching": True, "enable_memory_optimization": True}  # noqa: RUF012 - as above

    def _optimized(self, config: Any, n: int, **asked: Any) -> Any:
        sampler = self.optuna.samplers.RandomSampler(seed=_SEED)
        options: dict[str, Any] = {"mode": config, "sampler": sampler, "n_trials": n}
        return self.optimize(_storage._suggested, **options | asked)

    def _is_whole(self, found: Any) -> bool:
        return len(found.best_params) == 10


@_hot_path(claim="eff-overall", **_ALONE)
class _Overall(_Efficient):
    """Optuna's own loop on all data → the guide's configuration as it comes, all measures on."""

    params = (_SHORT, _N)
    param_names = ("n_trials",)
    on = dict.fromkeys(_OFF, True)
    sampled = "tpe"
    several = True

    def before(self, n_trials: int) -> Any:
        sampler = self.optuna.samplers.TPESampler(seed=_SEED)
        study = self.optuna.create_study(direction=self.workload.direction, sampler=sampler)
        study.optimize(self.workload.plain, n_trials=n_trials)
        return study

    def agree(self, before: Any, after: Any) -> bool:
        """As many trials, and the best of ours on all data."""
        counts = [len(study.get_trials(deepcopy=False)) for study in (before, after.study)]
        return counts[0] == counts[1] and self._is_whole(after)


# --- convergence

_TARGET = 0.9
"""A Sharpe ratio that few portfolios drawn at random have."""
_EARLIER, _MOST = 60, 400
_SEEDS = (1, 2, 3, 4, 5, 6)


@_hot_path(
    claim="eff-smart",
    witnesses=_WITNESSES,
    clock="process",
    slow_before=((len(_SEEDS), "warm"), (len(_SEEDS), "cold")),
    once=tuple((n, start) for n in (1, len(_SEEDS)) for start in ("warm", "cold")),
    claim_at=(len(_SEEDS), "warm"),
)
class _Guided(_Efficient):
    """Portfolios until one is good: drawn at random → from the best 20 of an earlier study, by TPE.

    The earlier study knows the older half of the prices alone, and is not timed; a cold start does
    without it. The answer is how many trials each seed took.
    """

    params = ((1, len(_SEEDS)), ("warm", "cold"))
    param_names = ("seeds", "start")
    on = {  # noqa: RUF012 - as above
        "enable_smart_sampling": True,
        "adaptive_trial_allocation": True,
        "warm_start_trials": 20,
    }
    sampled = "as configured"

    def setup(self, seeds: int, start: str) -> None:  # type: ignore[override]  # one more
        super().setup(seeds)
        self.earlier = {seed: self._earlier(seed) for seed in _SEEDS[:seeds]}

    def _earlier(self, seed: int) -> Any:
        load = self.workload
        older = {name: rows[: len(rows) // 2] for name, rows in load.data().items()}
        sampler = self.optuna.samplers.RandomSampler(seed=seed)
        study = self.optuna.create_study(direction=load.direction, sampler=sampler)
        study.optimize(functools.partial(_of, load, older), n_trials=_EARLIER)
        return study

    def _trials(self, config: Any, seed: int, **asked: Any) -> int:
        """How many until one is good enough."""

        def stop(study: Any, trial: Any) -> None:
            complete = trial.state == self.optuna.trial.TrialState.COMPLETE
            if complete and self.workload.is_better(trial.value, _TARGET):
                study.stop()

        found = self._optimized(config, _MOST, seed=seed, callbacks=[stop], **asked)
        states = [trial.state for trial in found.study.get_trials(deepcopy=False)]
        trials = [state for state in states if state.is_finished()]  # else it only waits
        if not self.workload.is_better(found.best_value, _TARGET):
            raise AssertionError(f"seed {seed}: none of {len(trials)} trials was good enough")
        return len(trials)

    def teardown(self, seeds: int, start: str) -> None:  # type: ignore[override]  # one more
        super().teardown(seeds)

    def before(self, seeds: int, start: str) -> list[int]:  # type: ignore[override]  # one more
        config = self._config(self.off)
        return [self._trials(config, seed) for seed in self.earlier]

    def after(self, seeds: int, start: str) -> list[int]:  # type: ignore[override]  # one more
        config = self._config(self.on)
        warm = start == "warm"
        return [
            self._trials(config, seed, warm_start=earlier if warm else None)
            for seed, earlier in self.earlier.items()
        ]

    def agree(self, before: list[int], after: list[int]) -> bool:
        """Each seed came to its end; `_trials` looks at the values."""
        return len(before) == len(after) == len(self.earlier)


def _of(workload: Workload, data: Any, trial: Any) -> float:
    """The objective on other data than its own."""
    from benchmarks._engine_workloads import Whole

    return workload.evaluate(workload.suggested(trial), Whole(data))
