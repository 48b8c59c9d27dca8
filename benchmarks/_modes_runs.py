"""One seed of `nox -s modes`: the same search by each arm, in this process, one after the other.

python -m benchmarks._modes_runs WORKLOAD SEED TRIALS
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from benchmarks._engine_workloads import WORKLOADS, Workload
from benchmarks.gate.clocks import clock

MODES = ("fast", "balanced", "thorough")
RANDOM, PLAIN = "random", "plain"
ARMS = (RANDOM, PLAIN, *MODES)
_WARM = 3  # trials, so that imports and compiling are in nobody's time
_WARM_WORKERS = 12  # the same of each worker, and its start

Found = dict[str, Any]


def run(workload: Workload, seed: int, n_trials: int) -> dict[str, Found]:
    """What each arm found, in an order that the seed shuffles.

    Raises `AssertionError` where a study's best value is not that of its best parameters on all
    data: then no time of it counts.
    """
    arms = list(ARMS)
    with ExitStack() as stack:
        searches = {arm: _arm(workload, arm, seed, stack) for arm in arms}
        random.Random(seed).shuffle(arms)
        found = {arm: _taken(workload, arm, searches[arm], n_trials) for arm in arms}
    return {arm: found[arm] for arm in ARMS}


def _taken(workload: Workload, arm: str, search: Callable[[int], Any], n_trials: int) -> Found:
    read_ns = clock("tree")
    cpu_start, start = read_ns(), time.perf_counter()
    study = search(n_trials)
    wall_s, cpu_s = time.perf_counter() - start, (read_ns() - cpu_start) / 1e9
    trials = study.get_trials(deepcopy=False)
    best = study.best_trial
    whole = workload.value(best.params)
    if best.value != whole:
        told = f"{arm}: {best.value} is told as best, it is {whole} on all data"
        raise AssertionError(told)
    values = [trial.value for trial in trials if trial.state.name == "COMPLETE"]
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "value": whole,
        "mean_value": statistics.fmean(values),
        "trials": len(trials),
        "complete": len(values),
    }


def _arm(workload: Workload, arm: str, seed: int, stack: ExitStack) -> Callable[[int], Any]:
    """What runs the search, and returns its study; it ran before, its workers are started."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if arm in MODES:
        return _by_mode(workload, arm, seed, stack)
    sampler_of = optuna.samplers.RandomSampler if arm == RANDOM else optuna.samplers.TPESampler

    def plain(n: int) -> Any:
        study = optuna.create_study(direction=workload.direction, sampler=sampler_of(seed=seed))
        study.optimize(workload.plain, n_trials=n)
        return study

    plain(_WARM)
    return plain


def _by_mode(workload: Workload, mode: str, seed: int, stack: ExitStack) -> Callable[[int], Any]:
    try:
        from optimizer.efficiency import MODES as CONFIGS
        from optimizer.study import optimize
        from optimizer.study.kept import Workers
    except ImportError as error:
        raise NotImplementedError(str(error)) from None
    workers = stack.enter_context(Workers())

    def search(n: int, config: Any = mode) -> Any:
        return optimize(
            workload.evaluate,
            workload.kinds(),
            n_trials=n,
            mode=config,
            workers=workers,
            seed=seed,
            data=workload.data(),
            direction=workload.direction,
        ).study

    # On all data, where a trial takes long enough for workers to be started.
    search(_WARM_WORKERS, replace(CONFIGS[mode], enable_data_subsampling=False))
    return search


def _main(words: Sequence[str]) -> int:
    name, seed, n_trials = words
    print(json.dumps(run(WORKLOADS[name], int(seed), int(n_trials))))
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
