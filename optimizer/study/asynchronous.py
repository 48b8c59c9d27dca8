"""The guide's asynchronous interface: a study that runs beside an event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optimizer.efficiency import EfficiencyConfig, config_of
from optimizer.errors import StudyArgumentError
from optimizer.report.tally import usable_cores

if TYPE_CHECKING:
    from optimizer.report import RunReport
    from optimizer.study.result import Result

COMPARED = 3
"""Trials of the plain loop that a speedup is measured on, by default."""


def create_efficiency_optimizer(
    config: EfficiencyConfig | str | None = None, *, storage: Any = None
) -> EfficiencyOptimizer:
    """An optimizer of the *Computational Efficiency Guide*'s interface.

    Cost: none; `initialize` imports what is needed.

    Args:
        config: settings, or a mode: "fast", "balanced", "thorough"; None for the guide's defaults.
        storage: as `optimize` takes it; a file keeps studies and evaluations for later sessions.

    Raises:
        EfficiencyError: no such mode.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     optimizer = create_efficiency_optimizer(EfficiencyConfig(max_workers=1))
        ...     await optimizer.initialize()
        ...     space = {"p": {"type": "float", "min": 0, "max": 1, "step": 0.01}}
        ...     return await optimizer.optimize_trial_efficiency(lambda p: p["p"], space, 10)
        >>> results = asyncio.run(main())
        >>> results["n_trials"], sorted(results["efficiency_metrics"])[:2]
        (10, ['avg_trial_time_seconds', 'cache_hit_rate'])
    """
    return EfficiencyOptimizer(config_of(config) or EfficiencyConfig(), storage=storage)


class EfficiencyOptimizer:
    """Runs studies in a thread of their own, so that the event loop goes on meanwhile.

    Studies of one optimizer that are awaited at the same time run one after another: each already
    uses all workers. Not to be shared between event loops.
    """

    def __init__(self, config: EfficiencyConfig, *, storage: Any = None) -> None:
        self.config = config
        self._storage = storage
        self._turn: asyncio.Lock | None = None

    async def initialize(self) -> None:
        """Import what studies need, outside the event loop; repeatable."""
        if self._turn is None:
            self._turn = asyncio.Lock()
            await asyncio.to_thread(_import)

    async def optimize_trial_efficiency(
        self,
        objective: Callable[..., Any],
        search_space: Mapping[str, Any],
        n_trials: int = 100,
        *,
        direction: str = "maximize",
        data: Mapping[str, Any] | None = None,
        study_name: str | None = None,
        seed: int | None = None,
        warm_start: Any = None,
        compare: int = COMPARED,
    ) -> dict[str, Any]:
        """Run a study with this optimizer's settings.

        Larger is better unless `direction` says otherwise: the guide's scores are such, although
        Optuna's own default is to minimize. There are never more workers than cores.

        A cancelled call ends its study as soon as a trial ends, and returns when it has; what was
        told is stored, and trials that run then fail.

        Args:
            objective: as `optimize` takes it, or a coroutine function with the same arguments; one
                that is awaited gets an event loop of its own for each trial.
            search_space: name -> {"type": "float", "min": 0, "max": 1, "step": 0.01} and the like.
            n_trials: at most; fewer where the space has fewer combinations.
            direction: "maximize" or "minimize".
            data: arrays for `context.data`, shared by workers.
            study_name: in the storage.
            seed: of the sampler.
            warm_start: earlier studies or trials to begin from.
            compare: trials of the plain loop to measure the speedup on; 0 for none.

        Returns:
            `best_params`, `best_value` (None where no trial is complete), `n_trials`, `direction`,
            `study` (Optuna's), `report` (`RunReport`), and the guide's two:

            - `efficiency_metrics`: `total_time_seconds`, `avg_trial_time_seconds`,
              `cache_hit_rate`, `parallel_efficiency`, `memory_usage_mb` (peaks of all processes),
              and `speedup_factor`, plain / ours, measured: NaN where it was not.
            - `cache_stats`: `hits`, `misses`, `hit_rate`.

        Raises:
            StudyArgumentError: before `initialize`, or an argument that `optimize` refuses.
        """
        if self._turn is None:
            raise StudyArgumentError(
                "the optimizer is not initialized; `await optimizer.initialize()` first"
            )
        stop = threading.Event()

        def stop_if_cancelled(study: Any, trial: Any) -> None:
            if stop.is_set():
                raise _Cancelled

        run = functools.partial(
            _run,
            self.config,
            _awaited(objective),
            search_space,
            n_trials=n_trials,
            storage=self._storage,
            study_name=study_name,
            data=data,
            direction=direction,
            callbacks=[stop_if_cancelled],
            seed=seed,
            warm_start=warm_start,
            compare=compare,
        )
        async with self._turn:
            return results_of(await _to_its_end(run, stop), direction)


class _Cancelled(Exception):
    """Ends a study whose call was cancelled."""


async def _to_its_end(run: Callable[[], Result], stop: threading.Event) -> Result:
    """Run it in a thread; a cancelled wait stops it, and ends when it has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:  # again: the thread must come to its end nevertheless
                continue
        task.exception()  # was asked for, so nobody is told that it was not
        raise


def results_of(result: Result, direction: str) -> dict[str, Any]:
    """The guide's results of a finished study."""
    report = result.run
    try:
        best = result.best_trial
    except ValueError:  # no trial is complete
        best = None
    return {
        "best_params": None if best is None else dict(best.params),
        "best_value": None if best is None else best.value,
        "n_trials": report.trials,
        "direction": direction,
        "study": result.study,
        "report": report,
        "efficiency_metrics": _metrics(report),
        "cache_stats": {
            "hits": report.served,
            "misses": report.trials - report.served,
            "hit_rate": report.hit_rate,
        },
    }


def _metrics(report: RunReport) -> dict[str, float]:
    speedup = report.speedup_measured
    return {
        "total_time_seconds": report.total_s,
        "avg_trial_time_seconds": report.mean_trial_s,
        "cache_hit_rate": report.hit_rate,
        "parallel_efficiency": report.parallel_efficiency,
        "memory_usage_mb": report.peak_bytes / 1e6,
        "speedup_factor": math.nan if speedup is None else speedup,
    }


def _run(config: EfficiencyConfig, objective: Any, space: Any, **more: Any) -> Result:
    from optimizer.study import optimize

    workers = config.workers(usable_cores())
    return optimize(objective, space, mode=config, workers=workers, **more)


def _import() -> None:
    import optuna  # noqa: F401 - takes long

    from optimizer.study import optimize  # noqa: F401 - takes long


def _awaited(objective: Any) -> Any:
    """A coroutine function as a plain one of the same signature; everything else as it is."""
    called = getattr(objective, "__call__", None)  # noqa: B004 - of an object, it may be a coroutine
    if not inspect.iscoroutinefunction(objective) and not inspect.iscoroutinefunction(called):
        return objective

    @functools.wraps(objective)
    def run(*arguments: Any) -> Any:
        return asyncio.run(objective(*arguments))

    return run
