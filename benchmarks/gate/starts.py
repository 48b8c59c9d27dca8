"""Pairs of fresh processes, the next one started while one is measured.

A process takes seconds to import what the cases need, often longer than they are measured. So from
the third pair on, the next one starts in time: on the other cores, which count exactly whatever
runs beside, and with all that the first pair was seen to import.

Their bodies write to files in memory, where there are such: on a disk that others use, too, a call
that makes a hundred files takes 8 ms of CPU time in one process and 20 in the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from . import strace
from .files import in_memory
from .harness import Side, WorkerProcess

Workers = tuple[WorkerProcess, WorkerProcess]  # this code's, the base's
Which = tuple[Side, int]  # a pair: its base, and its number


class Starts:
    """The pairs of one stage; a context manager that ends what was started and never needed.

    Without a core to pin them to, or without another one, none is started ahead of its turn.
    """

    def __init__(self, head: Side, core: int | None, *, ahead: bool = True) -> None:
        self._head = head
        self._core = core
        self._others = _other_cores(core) if ahead else set()
        # Nothing waits for a disk that is not there, so waits must be counted by somebody else.
        self._files = None if strace.unavailable() else in_memory()
        self._modules: dict[str, None] = {}  # what the cases import, in that order
        self._learned = False
        self._ahead: tuple[Which, ExitStack, Workers] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop()

    @contextmanager
    def pair(self, which: Which, then: Which | None) -> Iterator[Workers]:
        """Two fresh workers; those of the pair `then` begin to start meanwhile."""
        if self._ahead is not None and self._ahead[0] not in (which, then):
            self._drop()
        stack, workers = self._taken(which)
        with stack:
            if self._learned and then is not None and self._ahead is None:
                self._start_ahead(then)
            yield workers

    def learn(self, worker: WorkerProcess) -> None:
        """Remember what a worker has imported for the cases: later pairs start with that."""
        if self._others:
            self._learned = True
            self._modules |= dict.fromkeys(worker.ask("imported")["modules"])

    def _drop(self) -> None:
        """End the pair that was started ahead, if any."""
        if self._ahead is not None:
            _, stack, workers = self._ahead
            self._ahead = None
            for worker in workers:
                worker.kill()  # else it would be waited for, until its imports end
            stack.close()

    def _taken(self, which: Which) -> tuple[ExitStack, Workers]:
        if self._ahead is not None and self._ahead[0] == which:
            _, stack, workers = self._ahead
            self._ahead = None
            return stack, workers
        return self._start(which)

    def _start_ahead(self, which: Which) -> None:
        """On the other cores: a process begins where the thread that starts it may run."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._others)
        try:
            self._ahead = (which, *self._start(which))
        finally:
            os.sched_setaffinity(0, before)

    def _start(self, which: Which) -> tuple[ExitStack, Workers]:
        """This code's worker and the base's; the base's first in every other pair.

        The process that starts first gets other memory (huge pages, say) than the one that starts
        second, so every other pair is swapped: what the order does, it does to both sides.
        """
        base, number = which
        swapped = number % 2 == 1
        modules = list(self._modules)
        with ExitStack() as stack:
            first, second = (
                stack.enter_context(
                    WorkerProcess(side, core=self._core, modules=modules, files=self._files)
                )
                for side in ((base, self._head) if swapped else (self._head, base))
            )
            return stack.pop_all(), (second, first) if swapped else (first, second)


def _other_cores(core: int | None) -> set[int]:
    """Those that this process may use beside `core`; none where processes cannot be pinned."""
    return set() if core is None else os.sched_getaffinity(0) - {core}
