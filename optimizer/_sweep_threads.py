"""Chunks of a sweep, one after the other or in threads, and what may end them early."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import FrameType
from typing import Any


class Interrupts:
    """While it is entered, Ctrl-C only sets `came`, to be asked between steps.

    So no number of Ctrl-C can leave workers running behind a result that is being put together.
    Python tells signals to the main thread only; in another one nothing is changed. A handler of
    the program's own is still called, and only the KeyboardInterrupt that it raises waits.

    Attributes:
        came: whether Ctrl-C came; at the latest the end of the block raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):  # neither ignored, nor of the system, nor of another language
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        try:
            self._before(number, frame)
        except KeyboardInterrupt:
            self.came = True

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None and self.came:
            raise KeyboardInterrupt


def in_turn(work: Callable[[int], int], n: int, tell: Callable[[int], None]) -> None:
    """Each chunk in this thread; `tell` hears of the rows that are finished."""
    rows = 0
    for number in range(n):
        rows += work(number)
        tell(rows)


def in_threads(
    work: Callable[[int], int], n: int, threads: int, tell: Callable[[int], None]
) -> None:
    """Each chunk in one of the threads; two per thread wait or run at a time.

    However it ends, no chunk runs any more.
    """
    rows = 0
    numbers = iter(range(n))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sweep")
    try:
        running: set[Future[int]] = set()
        while True:
            for number in numbers:
                running.add(pool.submit(work, number))
                if len(running) >= 2 * threads:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            rows += sum(future.result() for future in done)
            tell(rows)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
