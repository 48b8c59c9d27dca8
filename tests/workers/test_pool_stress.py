"""Random kills: every task ends exactly once, with its own result."""

from __future__ import annotations

import os
import random
import signal

import pytest
from worker_counts import descendants
from worker_counts import nothing_is_left as nothing_is_left  # after each test
from worker_tasks import act

from optimizer.workers.events import Done
from optimizer.workers.pool import WorkerPool


def survive(tasks: int, kills: int, workers: int) -> None:
    pick = random.Random(tasks)
    at = set(pick.sample(range(tasks), kills))
    heard: dict[int, int] = {}
    with WorkerPool(act, workers=workers, retries=50, timeout_s=60) as pool:
        number = killed = wanted = 0
        while len(heard) < tasks:
            while number < tasks and len(pool._traffic.flights) < 2 * workers:
                pool.submit(number, ("double", number))
                number += 1
            for event in pool.wait(60):
                assert isinstance(event, Done), event
                assert event.task not in heard
                assert event.result == 2 * event.task
                heard[event.task] = event.attempt
                wanted += event.task in at
            if killed < wanted:
                killed += kill_one(pool, pick)
        assert killed >= 0.9 * kills  # the last ones may find nobody
        assert pool.counters.tasks == tasks
        assert 0.9 * killed - workers <= pool.counters.died <= killed
        pool.check()
    assert sorted(heard) == list(range(tasks))


def kill_one(pool: WorkerPool, pick: random.Random) -> bool:
    """Whether one was killed: a worker, or one that is just starting, whoever is there."""
    try:
        os.kill(pick.choice(sorted(descendants(pool._crew._launch._process))), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def test_some_kills() -> None:
    survive(tasks=400, kills=20, workers=2)


@pytest.mark.stress
def test_a_thousand_kills() -> None:
    survive(tasks=10_000, kills=1_000, workers=3)
