"""Our worker pool against the field's, and against nothing: `nox -s parity -- peers_workers`.

Trials of nothing over two workers, two in flight, on all cores; each side's processes were started
before, unless what is measured says otherwise. "direct" and "shared" call the same function here,
without any worker: what a trial takes more is the way there and back.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import random
import time
from collections import Counter
from typing import Any

from benchmarks import _cores
from benchmarks import workers as _workers
from benchmarks._peers import _peer
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_SEED = 7
_N = 400  # trials a call
_BARE = {"pool": 60, "study": 100}
_FRESH = 2
_OBJECTIVE_S = 0.050
_LEAST_SHARE = 0.25  # of the trials, for either of two workers


class _TwoCores(_workers._Pool):
    """A pool on all cores."""

    def setup(self, case: Any) -> None:
        super().setup(case)
        self.cores = _cores.widened()

    def teardown(self, case: Any) -> None:
        super().teardown(case)
        _cores.put_back(self.cores)


class _Direct:
    """Stands in for a task of the pool: the data are here."""

    def __init__(self, data: Any) -> None:
        self.data = data


@_hot_path(claim="", witnesses=_WITNESSES, clock="tree", claim_at="direct")
class _Transport(_TwoCores):
    """400 trials of nothing, or that read a row of 200 MB ("shared"), through the pool."""

    params = ("direct", "shared", "executor", "loky")
    param_names = ("peer",)

    def setup(self, peer: str) -> None:
        loky = _peer("loky") if peer == "loky" else None
        super().setup(peer)
        self.asked: list[Any] = _workers._drawn(_N)
        self.function: Any = _workers._added
        data = {}
        if peer == "shared":
            import numpy as np

            rows = 200 * _workers._MB // (_workers._COLUMNS * _workers._FLOAT_BYTES)
            shape = rows, _workers._COLUMNS
            data = {"close": np.random.default_rng(_SEED).random(shape)}
            rng = random.Random(_SEED)
            self.asked, self.function = [rng.randrange(rows) for _ in range(_N)], _workers._row
        self.task = _Direct(data)
        self._start(self.function, data=data)
        if loky is not None:
            self.executor = loky.ProcessPoolExecutor(_workers._WORKERS)
        self.after(peer)

    def before(self, peer: str) -> list[float]:
        if peer in ("direct", "shared"):
            return [self.function(asked, self.task) for asked in self.asked]
        return self._executed(2, self.function, [(asked,) for asked in self.asked])

    def after(self, peer: str) -> list[float]:
        return self._answers(self.pool, self.asked, 2)

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == _N


@_hot_path(claim="", witnesses=_WITNESSES, clock="tree", slow_before=(_FRESH,), claim_at=_FRESH)
class _FreshProcess(_TwoCores):
    """Trials of nothing: a process started for each, which loads what a backtest needs → the pool.

    With one trial, the process loads nothing.
    """

    params = (1, _FRESH)
    param_names = ("trials",)

    def setup(self, trials: int) -> None:
        super().setup(trials)
        self.asked = _workers._drawn(trials)
        self.target = _workers._added_in_a_new_process if trials > 1 else _added_alone
        self._start(_workers._added)
        self.after(trials)

    def before(self, trials: int) -> list[float]:
        return [self._by_new_process(self.target, params) for params in self.asked]

    def after(self, trials: int) -> list[float]:
        return self._answers(self.pool, self.asked, 1)

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == len(self.asked)


def _added_alone(params: dict[str, Any], answers: Any) -> None:
    answers.send(_workers._added(params))


def _busy(payload: Any, task: Any = None) -> int:
    """50 ms of CPU time; which process it was."""
    end = time.thread_time() + _OBJECTIVE_S
    while time.thread_time() < end:
        pass
    return os.getpid()


def _busy_params(params: Any) -> float:
    return float(_busy(params))


def _bare(count: int, answers: Any) -> None:
    """A process that does nothing but its trials."""
    answers.send([_busy(number) for number in range(count)])


@_hot_path(claim="", witnesses=_WITNESSES, clock="tree", slow_before=("study",), claim_at="pool")
class _BareProcesses(_TwoCores):
    """Trials of 50 ms of CPU time: two processes that do half of them each → two workers.

    "pool" is the pool alone, started before; "study" all of `optimizer.optimize` from nothing, its
    workers' start and the report included, against processes that are started, too. Load is
    balanced: neither worker had less than a quarter of the trials.
    """

    params = ("pool", "study")
    param_names = ("what",)

    def setup(self, what: str) -> None:
        super().setup(what)
        import optuna

        from optimizer.study import optimize

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.optimize = optuna, optimize
        self.space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
        self.n = _BARE[what]
        self._start(_busy)
        if what == "pool":
            list(self.executor.map(_busy, range(2)))

    def before(self, what: str) -> list[int]:
        if what == "pool":
            halves = [self.executor.submit(_all_busy, self.n // 2) for _ in range(2)]
            concurrent.futures.wait(halves)
            return _counts(pid for half in halves for pid in half.result())
        context = multiprocessing.get_context("forkserver")
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        bare = [context.Process(target=_bare, args=(self.n // 2, ends[1])) for ends in pipes]
        for process, ends in zip(bare, pipes, strict=True):
            process.start()
            ends[1].close()
        found = _counts(pid for ends in pipes for pid in ends[0].recv())
        for process in bare:
            process.join()
        return found

    def after(self, what: str) -> list[int]:
        if what == "pool":
            return _counts(self._answers(self.pool, list(range(self.n)), 2))
        sampler = self.optuna.samplers.RandomSampler(seed=_SEED)
        found = self.optimize(_busy_params, self.space, n_trials=self.n, workers=2, sampler=sampler)
        return _counts(trial.value for trial in found.study.get_trials(deepcopy=False))

    def agree(self, before: list[int], after: list[int]) -> bool:
        """All trials, by two processes, evenly."""
        even = len(before) == len(after) == 2 and min(after) >= _LEAST_SHARE * self.n
        return even and sum(before) == sum(after) == self.n


def _all_busy(count: int) -> list[int]:
    return [_busy(number) for number in range(count)]


def _counts(pids: Any) -> list[int]:
    """How many trials each process did."""
    return sorted(Counter(pids).values())
