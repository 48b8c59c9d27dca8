"""Workers that die, hang or talk nonsense: their own task is tried again, no other is touched."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from worker_counts import alive, descendants, ends, gather, until
from worker_counts import nothing_is_left as nothing_is_left  # after each test
from worker_tasks import act, warm_dies, warm_hangs, warm_leaves

from optimizer.errors import TaskTimeoutError, WorkerDiedError, WorkerError
from optimizer.workers.events import Done, Failed, Message
from optimizer.workers.pool import WorkerPool


@pytest.mark.parametrize(
    "name", ["kill_self", "half_a_message", "endless_answer", "nonsense", "close_all"], ids=str
)
def test_a_lost_task_is_tried_again(name: str) -> None:
    with WorkerPool(act, workers=2, retries=2) as pool:
        events = ends(pool, [("double", 1), (name, 3), *[("double", n) for n in range(40)]])
        assert events[1].result == events[1].attempt == 3
        assert {event.attempt for event in events if event is not events[1]} == {1}
        counters = pool.counters
        assert (counters.died, counters.retried, counters.started) == (2, 2, 4)


@pytest.mark.parametrize(
    ("payload", "how"),
    [
        (("leave", 3), "with exit code 3"),
        (("leave", 0), "with exit code 0"),
        (("kill_self", 99), r"by signal 9 \(SIGKILL\)"),
    ],
)
def test_after_the_last_retry_the_cause_is_told(payload: Any, how: str) -> None:
    with WorkerPool(act, workers=1, retries=1) as pool:
        failed, done = ends(pool, [payload, ("double", 4)])
    assert isinstance(failed, Failed)
    assert type(failed.error) is WorkerDiedError
    with pytest.raises(WorkerDiedError, match=f"task 0 was tried 2 times, .* ended {how}; exp"):
        raise failed.error
    assert (failed.attempt, failed.traceback) == (2, "")
    assert done.result == 8


def test_a_worker_that_hangs_is_replaced() -> None:
    with WorkerPool(act, workers=2, timeout_s=0.3) as pool:
        again, never, fine = ends(pool, [("hang_once",), ("nap", 60), ("double", 1)])
        assert again.result == again.attempt == 2
        assert type(never.error) is TaskTimeoutError
        assert isinstance(never.error, TimeoutError)
        assert "task 1 was tried 2 times, the last one took longer than 0.3 s" in str(never.error)
        assert never.seconds >= 0.3
        assert fine.result == 2
        assert (pool.counters.timed_out, pool.counters.died) == (3, 0)


def test_half_an_answer_is_a_hang_too() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.2) as pool:
        assert ends(pool, [("half_an_answer", 2)])[0].result == 2
        assert pool.counters.timed_out == 1


def test_a_task_that_waited_for_the_parent_is_not_late() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.6, retries=0) as pool:
        ends(pool, [("double", 1)])
        pool.submit(0, ("length", b"z" * 5_000_000))  # more than the line takes
        time.sleep(0.8)
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)


def test_a_question_that_waited_for_the_parent_costs_no_time() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.6, retries=0) as pool:
        ends(pool, [("double", 1)])
        pool.submit(0, ("ask_then_wait", 0.1))
        time.sleep(0.8)
        assert gather(pool, 1) == [Message(0, "late?")]
        pool.reply(0, "no")
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)


def test_the_time_before_a_question_counts() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.6, retries=0) as pool:
        pool.submit(0, ("nap_ask_nap", 0.4))
        assert isinstance(gather(pool, 1)[0], Message)
        pool.reply(0, "on")
        (failed,) = gather(pool, 1)
        assert isinstance(failed, Failed)
        assert type(failed.error) is TaskTimeoutError


def test_a_stopped_worker_hangs_too() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.5, retries=0) as pool:
        (pid,) = [event.result for event in ends(pool, [("process",)])]
        os.kill(pid, signal.SIGSTOP)
        failed, done = ends(pool, [("length", b"x" * 5_000_000), ("double", 1)])
        assert type(failed.error) is TaskTimeoutError
        assert done.result == 2


def test_the_wait_for_a_reply_does_not_count() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.4, retries=0) as pool:
        pool.submit(0, ("ask_then_wait", 0.01))
        assert isinstance(gather(pool, 1)[0], Message)
        assert pool.wait(0.6) == []
        pool.reply(0, "now")
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)
        assert done.result == "now"


def test_results_that_waited_for_the_parent_are_not_late() -> None:
    with WorkerPool(act, workers=1, timeout_s=0.3, retries=0) as pool:
        ends(pool, [("double", 1)])
        pool.submit(0, ("large", 5_000_000))  # more than the line takes: the worker has to wait
        time.sleep(0.5)
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)


def test_an_idle_worker_that_dies_harms_nobody() -> None:
    with WorkerPool(act, workers=1, retries=0) as pool:
        for _ in range(3):
            (pid,) = [event.result for event in ends(pool, [("process",)])]
            os.kill(pid, signal.SIGKILL)
            # The task may be sent to the dead one: it was never begun, so it is no attempt.
            (done,) = ends(pool, [("seen",)])
            assert done.result[1] == 1
        until(lambda: pool.wait(0) == [] and pool.counters.died == 3, "three deaths")
        assert pool.counters.retried == 0


@pytest.mark.parametrize(
    ("warm_up", "how"),
    [(warm_dies, r"by signal 11 \(SIGSEGV\)"), (warm_leaves, "with exit code 7")],
)
def test_workers_that_die_at_their_start_are_given_up(warm_up: Any, how: str) -> None:
    with WorkerPool(act, workers=2, warm_up=warm_up) as pool:
        pool.submit(0, ("double", 1))
        with pytest.raises(WorkerDiedError, match=f"^5 workers in a row died .* {how}"):
            gather(pool, 1)
        assert pool.counters.started <= 7
        with pytest.raises(WorkerDiedError, match="5 workers in a row"):
            pool.wait(0)


def test_workers_that_are_never_ready_are_given_up() -> None:
    with WorkerPool(act, workers=2, warm_up=warm_hangs, start_timeout_s=0.3) as pool:
        pool.submit(0, ("double", 1))
        with pytest.raises(WorkerDiedError, match=r"^5 workers .* not ready after 0\.3 s"):
            gather(pool, 1)
        assert pool.counters.timed_out >= 4
        assert pool.counters.died == 0


def test_a_worker_that_was_ready_in_time_may_take_its_time() -> None:
    with WorkerPool(act, workers=2, start_timeout_s=30.0, timeout_s=30.0) as pool:
        events = ends(pool, [("nap", 0.3), ("nap", 0.3), ("double", 2)])
        assert [type(event) for event in events] == [Done] * 3
        deadlines = {member.deadline_s for member in pool._crew.members.values()}
        assert pool._crew.next_deadline_s() == math.inf
        assert min(deadlines) > time.monotonic()
        assert pool.counters.timed_out == 0


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_the_starter_can_be_replaced_too(method: str) -> None:
    with WorkerPool(act, workers=2, retries=3, start_method=method) as pool:
        pids = [event.result for event in ends(pool, [("process",), ("process",)])]
        pool.submit(0, ("nap", 0.2))
        pool.wait(0.05)
        os.kill(pool._crew._launch._process, signal.SIGKILL)
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)
        assert ends(pool, [("double", 1)])[0].result == 2
        until(lambda: not any(alive(pid) for pid in pids), "the old workers gone")


def test_a_starter_that_always_dies_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.workers.starter.interpreter", lambda *_: ["false"])
    with WorkerPool(act, workers=9) as pool:
        pool.submit(0, ("double", 1))
        with pytest.raises(WorkerDiedError, match=r"^5 workers in a row died .*starter process"):
            gather(pool, 1)
        assert pool.counters.started == 9 * 5


def test_a_starter_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.workers.starter.interpreter", lambda *_: ["/no/such/python"])
    with pytest.raises(WorkerError, match=r"^a worker could not be started \(.*/no/such/python"):
        WorkerPool(act, workers=1)


def test_what_a_worker_started_ends_with_it(tmp_path: Path) -> None:
    with WorkerPool(act, workers=1, timeout_s=0.6, retries=0) as pool:
        pool.submit(0, ("start_sleepers", str(tmp_path)))
        (failed,) = gather(pool, 1)
        assert isinstance(failed, Failed)
        plain, apart = map(int, (tmp_path / "sleepers").read_text(encoding="utf-8").split())
        until(lambda: not alive(plain), "the sleeper of the worker's group gone")
    until(lambda: not alive(apart), "the sleeper with a session of its own gone")


def test_a_copy_of_a_worker_does_not_answer() -> None:
    with WorkerPool(act, workers=1) as pool:
        events = ends(pool, [("fork_and_return",) for _ in range(5)])
        assert [event.result for event in events] == ["parent"] * 5
        assert [event.result for event in ends(pool, [("double", n) for n in range(5)])] == [
            0, 2, 4, 6, 8,
        ]  # fmt: skip


def test_replies_find_the_attempt_that_asked() -> None:
    with WorkerPool(act, workers=1, retries=2) as pool:
        pool.submit(0, ("ask_and_die",))
        (first,) = gather(pool, 1)
        assert first == Message(0, ("attempt", 1))
        pool.reply(0, "first")
        (second,) = gather(pool, 1)
        assert second == Message(0, ("attempt", 2))
        pool.reply(0, "second")
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)
        assert done.result == "second"


def test_a_reply_to_the_dead_is_not_given_to_their_heirs() -> None:
    with WorkerPool(act, workers=1, retries=2) as pool:
        pool.submit(0, ("ask", "who?"))
        assert gather(pool, 1) == [Message(0, "who?")]
        (member,) = pool._traffic.running.values()
        pool._crew.kill(member)
        assert gather(pool, 1) == [Message(0, "who?")]
        pool.reply(0, "to the dead")
        assert pool.wait(0.1) == []
        pool.reply(0, "to the heir")
        (done,) = gather(pool, 1)
        assert isinstance(done, Done)
        assert (done.result, done.attempt) == (["to the heir"], 2)


def test_a_cancelled_task_ends_without_a_word() -> None:
    with WorkerPool(act, workers=1) as pool:
        (pid,) = [event.result for event in ends(pool, [("process",)])]
        pool.submit(0, ("nap", 60))
        pool.submit(1, ("double", 1))
        pool.submit(2, ("double", 2))
        assert pool.cancel(1)
        assert pool.cancel(0)
        assert not pool.cancel(0)
        pool.submit(0, ("double", 0))  # the number is free at once
        events = gather(pool, 2)
        assert {event.task: event.result for event in events if isinstance(event, Done)} == {
            2: 4,
            0: 0,
        }
        assert not alive(pid)
        assert (pool.counters.died, pool.counters.timed_out) == (0, 0)


def test_close_ends_busy_workers() -> None:
    before = descendants(os.getpid())  # multiprocessing's own, say, from a test before this one
    pool = WorkerPool(act, workers=2)
    ends(pool, [("double", 1)])
    pool.submit(0, ("nap", 600))
    pool.submit(1, ("nap", 600))
    pool.wait(0.05)
    below = descendants(os.getpid()) - before
    pool.close(0.1)
    assert not any(alive(pid) for pid in below)
    assert pool.wait() == []


def test_a_pool_that_nobody_closed_ends_with_its_last_reference() -> None:
    pool = WorkerPool(act, workers=2)
    ends(pool, [("double", 1)])
    del pool  # the rest is counted after each test


def test_no_descriptors_left_for_a_worker_is_told() -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with WorkerPool(act, workers=1, retries=5) as pool:
        ends(pool, [("double", 1)])
        (member,) = pool._crew.members.values()
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        hold = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(hold) + 1, limits[1]))
            pool.submit(0, ("nap", 60))
            pool._crew.kill(member)
            with pytest.raises(WorkerError, match="a worker could not be started"):
                gather(pool, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for descriptor in hold:
                os.close(descriptor)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_ways_to_start(method: str) -> None:
    with WorkerPool(act, workers=2, data={"a": 1}, start_method=method, retries=1) as pool:
        first, second = ends(pool, [("kill_self", 2), ("double", 2)])
        assert (first.result, second.result) == (2, 4)
        pids = [event.result for event in ends(pool, [("process",)] * 20)]
        assert os.getpid() not in pids
    assert not any(alive(pid) for pid in pids)


def test_deaths_are_heard_of_where_the_parent_blocks_their_signal() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        with WorkerPool(act, workers=1) as pool:
            assert ends(pool, [("kill_self", 2)])[0].result == 2
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_deaths_are_heard_of_whatever_an_import_does_to_their_signal(tmp_path: Path) -> None:
    (tmp_path / "module_of_signals.py").write_text(
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nsignal.set_wakeup_fd(-1)\n",
        encoding="utf-8",
    )
    before = list(sys.path)
    sys.path.insert(0, str(tmp_path))
    try:
        with WorkerPool(act, workers=1, preload=["module_of_signals"]) as pool:
            assert ends(pool, [("kill_self", 2)])[0].result == 2
    finally:
        sys.path[:] = before


def test_a_system_without_a_free_process_is_told() -> None:
    def warm_up(data: Any) -> None:
        raise AssertionError("no worker was to be there")

    with pytest.MonkeyPatch.context() as patch:
        # Only the starter has this: nothing else is to be without processes.
        patch.setattr("optimizer.workers.starter.interpreter", starter_without_processes)
        pool = WorkerPool(act, workers=2, warm_up=warm_up)
    with pool:
        pool.submit(0, ("double", 1))
        with pytest.raises(WorkerError, match=r"a worker could not be started \(.*no process left"):
            gather(pool, 1)


def starter_without_processes(path: list[str], module: str, call: str) -> list[str]:
    code = (
        f"import os, sys; sys.path[:] = {path!r}\n"
        "def fork(): raise BlockingIOError(11, 'no process left')\n"
        f"os.fork = fork\nfrom optimizer.workers import {module}; {call}"
    )
    return [sys.executable, "-c", code]
