"""Signals in the process of a pool: Ctrl-C at any moment, handlers that raise."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time
from typing import Any

import pytest
from worker_counts import ends, gather, until
from worker_counts import nothing_is_left as nothing_is_left  # after each test
from worker_tasks import act

from optimizer.errors import WorkerError
from optimizer.workers.events import Done, Event
from optimizer.workers.pool import WorkerPool


class Alarm:
    """SIGINT to this process at a random moment of what runs while it is armed."""

    def __init__(self, seed: int) -> None:
        self._pick = random.Random(seed)
        self.armed = False

    def ring(self, *_: object) -> None:
        if self.armed:
            os.kill(os.getpid(), signal.SIGINT)

    def set(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._pick.uniform(1e-5, 5e-4))
        self.armed = True


def test_ctrl_c_at_any_moment_loses_nothing() -> None:
    """During submit and wait: each task is heard of exactly once."""
    alarm = Alarm(8)
    heard: list[int] = []
    number = interrupts = 0
    before = signal.signal(signal.SIGALRM, alarm.ring)
    try:
        with WorkerPool(act, workers=2) as pool:
            ends(pool, [("double", 0), ("double", 0)])
            while len(heard) < 600:
                events: list[Event] = []
                try:
                    alarm.set()
                    if number < 600 and pool.idle:
                        pool.submit(number, ("double", number))
                    events = pool.wait(1.0)
                    alarm.armed = False
                except KeyboardInterrupt:
                    alarm.armed = False
                    interrupts += 1
                pool.check()
                number += number in pool._traffic.flights or any(
                    event.task == number for event in [*events, *pool._traffic.events]
                )
                heard += [event.task for event in events if isinstance(event, Done)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert sorted(heard) == list(range(600))
    assert interrupts > 20


def test_a_handler_that_only_notes_ends_the_wait() -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        with WorkerPool(act, workers=1) as pool:
            ends(pool, [("double", 1)])
            pool.submit(0, ("nap", 60))
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            assert pool.wait(50) == []
            timer.join()
            assert noted == [signal.SIGINT]
            pool.close(0)
    finally:
        signal.signal(signal.SIGINT, before)


class Rung(BaseException):
    """What the handler of a user's alarm raises."""


def raise_rung(*_: object) -> None:
    raise Rung


def test_an_alarm_that_raises_ends_a_wait_and_nothing_else() -> None:
    before = signal.signal(signal.SIGALRM, raise_rung)
    try:
        with WorkerPool(act, workers=1) as pool:
            ends(pool, [("double", 1)])
            pool.submit(0, ("nap", 0.3))
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Rung):
                pool.wait(50)
            assert 0 <= pool.counters.transport_s < 50
            with pytest.raises(KeyboardInterrupt):  # noted, and told when the call is whole
                interrupted_submit(pool, 1)
            assert all(isinstance(event, Done) for event in gather(pool, 2))
    finally:
        signal.signal(signal.SIGALRM, before)


def interrupted_submit(pool: WorkerPool, task: int) -> None:
    """SIGINT comes just before the task is handed out."""
    submit = pool._traffic.submit

    def interrupt(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        submit(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool._traffic, "submit", interrupt)
        pool.submit(task, ("double", 1))


class Interrupts:
    """SIGINT comes while this is pickled."""

    def __reduce__(self) -> tuple[type[tuple[Any, ...]], tuple[tuple[str, int]]]:
        os.kill(os.getpid(), signal.SIGINT)
        return tuple, (("double", 1),)


def test_ctrl_c_does_not_wait_for_a_payload() -> None:
    with WorkerPool(act, workers=1) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.submit(0, Interrupts())
        assert pool.idle == 1  # nothing was submitted, and the pool is whole
        assert ends(pool, [("double", 1)])[0].result == 2


def test_a_call_cut_off_half_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerPool(act, workers=1) as pool:
        pool.submit(0, ("double", 1))
        with monkeypatch.context() as patch:
            patch.setattr(pool._traffic, "turn", raise_rung)
            with pytest.raises(Rung):
                pool.wait(50)
        for call in (pool.wait, lambda: pool.submit(1, 1)):
            with pytest.raises(WorkerError, match="a call of this pool was cut off half way"):
                call()


def test_alarms_that_raise_at_any_moment_leave_a_pool_that_closes() -> None:
    pick = random.Random(3)
    handler = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGALRM, raise_rung)
    rung = 0
    gc.disable()  # what a handler raises within its callbacks is lost
    try:
        for _ in range(25):
            with WorkerPool(act, workers=1) as pool:
                ends(pool, [("double", 1)])
                try:
                    signal.setitimer(signal.ITIMER_REAL, pick.uniform(1e-4, 1e-2))
                    for number in range(100_000):
                        pool.submit(number, ("double", 1))
                        pool.wait(0)
                except Rung:
                    rung += 1
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung == 25


def test_a_copy_made_while_another_thread_waits_has_its_own_ctrl_c() -> None:
    codes: list[int] = []

    def fork(pool: WorkerPool) -> None:
        until(lambda: pool._whole.waiting, "the main thread waiting")
        copy = os.fork()
        if copy == 0:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                os._exit(3)
            finally:
                os._exit(1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]))

    with WorkerPool(act, workers=1) as pool:
        ends(pool, [("double", 1)])
        pool.submit(0, ("nap", 0.5))
        thread = threading.Thread(target=fork, args=(pool,))
        thread.start()
        assert len(gather(pool, 1)) == 1
        thread.join()
    assert codes == [3]


def test_the_handler_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with WorkerPool(act, workers=1) as pool:
        ends(pool, [("double", 1)])
        with pytest.raises(WorkerError):
            pool.submit("x", 1)  # type: ignore[arg-type]
        assert signal.getsignal(signal.SIGINT) is before
