"""A worker's own side: it makes itself ready, then answers one task after the other."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from optimizer.errors import WorkerError
from optimizer.workers import frames
from optimizer.workers.shared import Placed

# While this process only loads what workers need. A module that makes a pool when it is imported
# would make one in each of its own workers, and so on without end.
loading = threading.Event()

_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Task:
    """What a function gets beside its payload, inside the worker.

    Attributes:
        number: the caller's number of the task.
        attempt: 1, or more after workers that died or hung.
        worker: the place of this worker, from 0.
        data: the shared data; arrays in it are read-only views.
    """

    __slots__ = ("_ask", "attempt", "data", "number", "worker")

    def __init__(
        self,
        number: int,
        attempt: int,
        worker: int,
        data: Mapping[str, Any],
        ask: Callable[[int, Any], Any],
    ) -> None:
        self.number = number
        self.attempt = attempt
        self.worker = worker
        self.data = data
        self._ask: Callable[[int, Any], Any] | None = ask

    def ask(self, content: Any) -> Any:
        """Sends a message to the parent and waits for the reply; from one thread at a time.

        Raises:
            WorkerError: the content cannot be pickled, the task is over, or this is another
                process that the function started.
        """
        if self._ask is None:
            raise WorkerError(
                f"task {self.number} is over; expected questions before the function returns; "
                "ask in the function's own thread"
            )
        return self._ask(self.number, content)

    def end(self) -> None:
        """From now on nothing can be asked."""
        self._ask = None


class Worker:
    """One worker process, from its start to its end."""

    def __init__(self, line: socket.socket, place: int, placed: Placed) -> None:
        self._line = line
        self._place = place
        self._placed = placed
        self._process = os.getpid()
        self._resumed_s = 0.0  # when the function was called, or got its last reply
        self._scratch = memoryview(bytearray(frames.SCRATCH_BYTES))
        self._function: Callable[[Any, Task], Any]
        self._data: Mapping[str, Any] = {}

    def run(self) -> None:
        """Serves until the parent closes its side; returns when this worker is to end."""
        try:
            self._prepare()
        except BaseException as error:  # whatever it is, the parent has to hear of it
            self._send(frames.UNREADY, 0, frames.pack_error(_without_own_frames(error, 1)))
            return
        self._send(frames.READY, 0, b"", time.time())
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                header, body = frames.read_whole(self._line, self._scratch, frames.DOWN)
                if header[0] == frames.TASK:
                    self._serve(header[2], header[1], body)

    def _prepare(self) -> None:
        _new_random_numbers()
        load = self._placed.load
        loading.set()
        # Writable: what a function carries along is its own, as after a plain pickle.
        self._function = load(("function",), writable=True)
        keys = [key for key in self._placed.keys() if key[0] == "data"]  # noqa: SIM118 - no dict
        self._data = MappingProxyType({key[1]: load(key) for key in keys})
        warm_up = load(("warm_up",), writable=True)
        loading.clear()
        if warm_up is not None:
            warm_up(self._data)

    def _serve(self, number: int, attempt: int, body: memoryview) -> None:
        task = Task(number, attempt, self._place, self._data, self._ask)
        kind, answer = frames.RETURNED, b""
        started_s, cpu_s, clock_s = time.time(), time.process_time(), time.perf_counter()
        self._resumed_s = clock_s
        try:
            payload = pickle.loads(body)
            result = self._function(payload, task)
            seconds, cpu_s = time.perf_counter() - clock_s, time.process_time() - cpu_s
            answer = frames.pack_named(result, f"the result of task {number}")
        except BaseException as error:  # SystemExit and KeyboardInterrupt are the task's, too
            seconds, cpu_s = time.perf_counter() - clock_s, time.process_time() - cpu_s
            kind = frames.RAISED
            answer = frames.pack_error(_without_own_frames(error, 1))
        task.end()
        if os.getpid() != self._process:  # the function forked, and its child came back from it
            os._exit(0)
        self._send(kind, number, answer, started_s, seconds, cpu_s)

    def _ask(self, number: int, content: Any) -> Any:
        if os.getpid() != self._process:
            raise WorkerError(
                f"a process that task {number} started asks; expected questions of the task's own "
                "process only; hand them over to it"
            )
        question = frames.pack_named(content, f"the question of task {number}")
        seconds = time.perf_counter() - self._resumed_s
        self._send(frames.ASKED, number, question, seconds=seconds)
        try:
            _, body = frames.read_whole(self._line, self._scratch, frames.DOWN)
        except (EOFError, ConnectionError):
            end_process(0)
        self._resumed_s = time.perf_counter()
        return pickle.loads(body)

    def _send(
        self,
        kind: int,
        number: int,
        body: bytes,
        started_s: float = 0.0,
        seconds: float = 0.0,
        cpu_s: float = 0.0,
    ) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES
        head = frames.UP.pack(
            kind, self._process, number, len(body), started_s, seconds, cpu_s, peak
        )
        with contextlib.suppress(ConnectionError):  # the parent is gone: the next read tells
            if len(body) < frames.SCRATCH_BYTES:
                self._line.sendall(head + body, frames.NO_SIGNAL)
            else:
                self._line.sendall(head, frames.NO_SIGNAL)
                self._line.sendall(body, frames.NO_SIGNAL)


def _without_own_frames(error: BaseException, count: int) -> BaseException:
    trace = error.__traceback__
    for _ in range(count):
        trace = trace.tb_next if trace is not None else None
    return error.with_traceback(trace)


def _new_random_numbers() -> None:
    # `random` sees to it itself; without this, forked workers draw the same numbers from numpy.
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def serve(line: int, place: int, memory: int) -> None:
    """The whole life of a worker process, given its descriptors; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
        atexit._clear()  # what was to happen at the end of the process that this was forked from
        with socket.socket(fileno=line) as parent:
            Worker(parent, place, Placed(memory)).run()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        end_process(code)


def end_process(code: int) -> Any:
    """Ends this process like a program does, but for threads that are still running."""
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
