"""numba's kernels, compiled before a process under valgrind needs them.

Valgrind makes compiling some ten times slower, and nothing of it is counted. So a process outside
it opens each case first, with numba told to compile for the processor that valgrind shows; the
process under valgrind then finds the kernels in numba's disk cache. A case whose kernels are there
already, or have no disk cache, is only opened once more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from .errors import GateError, SkippedError
from .harness import Side, WorkerProcess
from .outcome import Key

Running = Callable[[WorkerProcess], AbstractContextManager[None]]


class Ahead:
    """Opens each case before a worker under valgrind does; a context manager that ends its process.

    Without numba it does nothing. It fails no case: what goes wrong here goes wrong under valgrind,
    too, and is told there. `running` is held for as long as its process lives.
    """

    def __init__(self, side: Side, core: int | None, running: Running) -> None:
        self._side, self._core, self._running = side, core, running
        self._stack = ExitStack()
        self._worker: WorkerProcess | None = None
        self._target: dict[str, str] | None = None  # not asked for yet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def open(self, counting: WorkerProcess, key: Key) -> None:
        """Have the case's kernels compiled for the processor that `counting` sees."""
        if self._target is None:
            self._target = counting.ask("compiles_for")
        if not self._target:
            return
        try:
            worker = self._worker or self._start(self._target)
            worker.ask("open", path=key[0], case=key[1], warm=1)
            worker.ask("close")
        except SkippedError:
            pass
        except GateError:  # it may have died: the next case has a fresh one
            self._worker = None
            self._stack.close()

    def _start(self, target: dict[str, str]) -> WorkerProcess:
        process = WorkerProcess(self._side, core=self._core, environment=target)
        self._worker = self._stack.enter_context(process)
        self._stack.enter_context(self._running(process))
        return self._worker
