"""Hot paths of the worker pool: what it costs to hand a trial to a worker, and large data with it.

`before` is what people have without it: a `ProcessPoolExecutor`, a process started for each trial,
data pickled with each task. Tasks do next to nothing, so that what is measured is the way there and
back; both sides' processes are started in `setup`. Two workers share the one core of a measurement.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import random
from collections.abc import Callable
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("bytecodes", "instructions", "cpu", "wall", "claim")
_SEED = 7
_WORKERS = 2
_COLUMNS, _FLOAT_BYTES, _MB = 20, 8, 1_000_000


def _drawn(n: int) -> list[dict[str, Any]]:
    """n parameter sets, as trials have them."""
    rng = random.Random(_SEED)
    names = [f"p{k}" for k in range(9)]
    return [
        {**{name: rng.random() for name in names}, "side": rng.choice(("long", "short"))}
        for _ in range(n)
    ]


def _added(params: dict[str, Any], task: Any = None) -> float:
    """The trial: its numbers added up."""
    total: float = sum(value for name, value in params.items() if name != "side")
    return total if params["side"] == "long" else -total


def _row(number: int, task: Any) -> float:
    """The trial that reads a row of the shared prices."""
    close = task.data["close"]
    return float(close[number % len(close)].sum())


def _row_sent(number: int, close: Any) -> float:
    """The same of prices that came with the task."""
    return float(close[number % len(close)].sum())


def _added_in_a_new_process(params: dict[str, Any], answers: Any) -> None:
    """A trial in a process of its own, which first loads what a backtest needs."""
    import numba  # noqa: F401 - what it takes to load it is what is measured
    import optuna  # noqa: F401 - the same
    import pandas  # type: ignore[import-untyped,unused-ignore]  # noqa: F401 - ships no types; the same

    answers.send(_added(params))


class _Pool:
    """A pool that was started before, and has done a task in each worker."""

    def setup(self, case: Any) -> None:
        try:
            import cloudpickle  # type: ignore[import-untyped,unused-ignore]  # noqa: F401 - the pool needs it

            from optimizer.workers.pool import WorkerPool
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.pool_of = WorkerPool
        self.processes = multiprocessing.get_context("spawn")

    def teardown(self, case: Any) -> None:
        self.pool.close()
        self.executor.shutdown()

    def _start(self, function: Callable[[Any, Any], Any], **settings: Any) -> None:
        """The pool, and the executor that `before` has."""
        self.pool: Any = self.pool_of(function, workers=_WORKERS, **settings)
        self.executor = concurrent.futures.ProcessPoolExecutor(
            _WORKERS, mp_context=multiprocessing.get_context("forkserver")
        )

    def _answers(self, pool: Any, payloads: list[Any], in_flight: int) -> list[Any]:
        """Of every payload, in order, so many at a time."""
        answers: list[Any] = [None] * len(payloads)
        sent = told = 0
        while told < len(payloads):
            while sent < len(payloads) and sent - told < in_flight:
                pool.submit(sent, payloads[sent])
                sent += 1
            for event in pool.wait():
                answers[event.task] = event.result
                told += 1
        return answers

    def _by_new_process(self, target: Callable[[Any, Any], None], payload: Any) -> Any:
        """The answer of a process that is started for it."""
        answers, theirs = self.processes.Pipe(duplex=False)
        process = self.processes.Process(target=target, args=(payload, theirs))
        process.start()
        theirs.close()  # so that one that dies is no wait without end
        answer = answers.recv()
        process.join()
        return answer

    def _executed(self, in_flight: int, call: Callable[..., Any], tasks: list[Any]) -> list[Any]:
        """The same by the executor."""
        running: dict[Any, int] = {}
        answers: list[Any] = [None] * len(tasks)
        sent = 0
        while sent < len(tasks) or running:
            while sent < len(tasks) and len(running) < in_flight:
                running[self.executor.submit(call, *tasks[sent])] = sent
                sent += 1
            first = concurrent.futures.FIRST_COMPLETED
            for future in concurrent.futures.wait(running, return_when=first).done:
                answers[running.pop(future)] = future.result()
        return answers


@_hot_path(
    claim="pool",
    witnesses=_WITNESSES,
    clock="tree",
    slow_before=("fresh",),
    uncounted=("two", "fresh"),
    untimed=("fresh",),
    claim_at="fresh",
)
class Dispatch(_Pool):
    """Trials of nothing through the pool, one or two in flight: an executor, or fresh processes.

    "fresh" starts a process for each trial, which loads what a backtest needs, and waits for it.
    """

    params = ("one", "two", "fresh")
    param_names = ("way",)

    def setup(self, way: str) -> None:
        super().setup(way)
        self.asked = _drawn(3 if way == "fresh" else 200)
        self.in_flight = 2 if way == "two" else 1
        self._start(_added)
        self.after(way)

    def before(self, way: str) -> list[float]:
        if way == "fresh":
            return [self._by_new_process(_added_in_a_new_process, params) for params in self.asked]
        return self._executed(self.in_flight, _added, [(params,) for params in self.asked])

    def after(self, way: str) -> list[float]:
        return self._answers(self.pool, self.asked, self.in_flight)

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == len(self.asked)


@_hot_path(
    claim="shared-data",
    witnesses=_WITNESSES,
    clock="tree",
    slow_before=(200,),
    uncounted=(200,),
    untimed=(200,),
    claim_at=200,
)
class SharedData(_Pool):
    """Trials that read a row of so many MB of prices: pickled with each → in shared memory."""

    params = (2, 200)
    param_names = ("megabytes",)

    def setup(self, megabytes: int) -> None:
        super().setup(megabytes)
        import numpy as np

        shape = megabytes * _MB // (_COLUMNS * _FLOAT_BYTES), _COLUMNS
        self.close = np.random.default_rng(_SEED).random(shape)
        rng = random.Random(_SEED)
        self.asked = [rng.randrange(len(self.close)) for _ in range(4 if megabytes > 2 else 200)]
        self._start(_row, data={"close": self.close})
        self.after(megabytes)

    def before(self, megabytes: int) -> list[float]:
        return self._executed(1, _row_sent, [(number, self.close) for number in self.asked])

    def after(self, megabytes: int) -> list[float]:
        return self._answers(self.pool, self.asked, 1)

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == len(self.asked)
