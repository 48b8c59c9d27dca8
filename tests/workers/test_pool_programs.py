"""Whole programs that use a pool: unguarded scripts, Ctrl-C, kill -9, forks, threads, pools."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from worker_counts import alive, descendants, ends, gather, until
from worker_counts import nothing_is_left as nothing_is_left  # after each test
from worker_tasks import act

from optimizer.errors import WorkerError
from optimizer.workers.events import Done, Event
from optimizer.workers.pool import WorkerPool

ROOT = Path(__file__).resolve().parent.parent.parent


def program(folder: Path, text: str, *options: str) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(textwrap.dedent(text), encoding="utf-8")
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, *options, str(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def outcome(running: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_a_script_without_a_guard(tmp_path: Path, method: str) -> None:
    (tmp_path / "beside.py").write_text("BY = 100\n", encoding="utf-8")
    running = program(
        tmp_path,
        f"""
        from dataclasses import dataclass
        import beside
        from optimizer.workers.pool import WorkerPool

        print("main runs", flush=True)
        BASE = 7

        @dataclass
        class Answer:
            value: int

        class OwnError(Exception):
            pass

        def shifted(x):
            return x + BASE + beside.BY

        def objective(payload, task):
            if payload.value < 0:
                raise OwnError(payload.value)
            return Answer(shifted(payload.value))

        with WorkerPool(objective, workers=2, start_method={method!r}) as pool:
            pool.submit(0, Answer(1))
            pool.submit(1, Answer(-1))
            events = []
            while len(events) < 2:
                events += pool.wait()
        events.sort(key=lambda event: event.task)
        print(events[0].result == Answer(108), type(events[1].error) is OwnError)
        """,
    )
    assert outcome(running) == (0, "main runs\nTrue True\n", "")


BUSY = """
    import os, sys, time
    from optimizer.workers.pool import WorkerPool

    def objective(payload, task):
        assert len(task.data["x"]) == 1_000_000
        until = time.monotonic() + 600
        while time.monotonic() < until:
            pass

    pool = WorkerPool(objective, workers=2, data={"x": bytes(1_000_000)})
    pool.submit(0, 0)
    pool.submit(1, 1)
    while len(pool._traffic.running) < 2:
        pool.wait(0.05)
    print("busy", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_parent_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    running = program(tmp_path, BUSY + "    pool.wait()\n")
    assert running.stdout is not None
    assert running.stdout.readline() == "busy\n"
    below = descendants(running.pid)
    assert len(below) == 3
    running.send_signal(number)
    assert outcome(running)[0] == -number
    until(lambda: not any(alive(process) for process in below), "the workers gone")


def test_ctrl_c_closes_a_pool(tmp_path: Path) -> None:
    running = program(tmp_path, BUSY + "    with pool:\n        pool.wait()\n")
    assert running.stdout is not None
    assert running.stdout.readline() == "busy\n"
    below = descendants(running.pid)
    running.send_signal(signal.SIGINT)
    code, _, err = outcome(running)
    assert code == -signal.SIGINT
    assert err.endswith("KeyboardInterrupt\n")
    assert "Resource" not in err
    assert not any(alive(process) for process in below)


def test_development_mode_finds_nothing(tmp_path: Path) -> None:
    running = program(tmp_path, BUSY + "    pool.close(0)\n", "-X", "dev")
    code, _, err = outcome(running)
    assert (code, err) == (0, "")


def test_a_program_that_just_ends(tmp_path: Path) -> None:
    running = program(
        tmp_path, BUSY + "    below = pool._crew._launch._process\n    print(below)\n"
    )
    code, out, err = outcome(running)
    assert (code, err) == (0, "")
    assert not alive(int(out.split()[-1]))


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


def test_a_forked_copy_of_the_parent_cannot_use_the_pool() -> None:
    with WorkerPool(act, workers=1) as pool:
        ends(pool, [("double", 1)])
        copy = os.fork()
        if copy == 0:
            try:
                pool.submit(0, ("double", 1))
            except WorkerError as error:
                pool.close()
                os._exit(0 if "belongs to the process that made it" in str(error) else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0
        assert ends(pool, [("double", 2)])[0].result == 4


def test_a_copy_that_stays_keeps_no_worker_alive() -> None:
    with WorkerPool(act, workers=1) as pool:
        ends(pool, [("double", 1)])
        copy = os.fork()
        if copy == 0:
            time.sleep(60)
            os._exit(0)
        start_s = time.monotonic()
        pool.close(30)  # workers end by themselves: nobody else holds the other side open
        assert time.monotonic() - start_s < 25
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)


def test_a_pool_in_a_thread() -> None:
    results: list[int] = []

    def use() -> None:
        with WorkerPool(act, workers=2) as pool:
            results.extend(event.result for event in ends(pool, [("double", n) for n in range(9)]))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(60)
    assert results == [0, 2, 4, 6, 8, 10, 12, 14, 16]


def test_two_pools_side_by_side_and_one_within() -> None:
    with WorkerPool(act, workers=1) as first, WorkerPool(act, workers=1) as second:
        first.submit(0, ("inner_pool", 21))
        second.submit(0, ("double", 4))
        (outer,), (plain,) = gather(first, 1), gather(second, 1)
        assert isinstance(outer, Done)
        assert isinstance(plain, Done)
        assert (outer.result, plain.result) == (42, 8)


@pytest.mark.parametrize("method", ["forkserver", "fork"])
@pytest.mark.parametrize("closed", ["0", "1", "2", "0, 1, 2"])
def test_a_program_without_standard_streams(tmp_path: Path, closed: str, method: str) -> None:
    """The numbers of the missing ones must not be those of what the pool opens."""
    running = program(
        tmp_path,
        f"""
        import os
        from optimizer.workers.pool import WorkerPool

        for number in ({closed},):
            os.close(number)

        def objective(payload, task):
            os.system("echo from a program that this one starts")
            return payload + sum(task.data["x"])

        pool = WorkerPool(objective, workers=1, data={{"x": bytes(100)}}, start_method={method!r})
        with pool:
            pool.submit(0, 14)
            events = pool.wait(50)
            pool.submit(1, 15)
            events += pool.wait(50)
        answer = os.open("answer", os.O_WRONLY | os.O_CREAT)
        os.write(answer, repr([event.result for event in events]).encode())
        os._exit(0)
        """,
    )
    assert outcome(running)[0] == 0
    assert (tmp_path / "answer").read_text(encoding="utf-8") == "[14, 15]"


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_module_that_makes_a_pool_when_imported_is_told(tmp_path: Path, method: str) -> None:
    """Its workers would import it and make one each, whose workers would, and so on."""
    (tmp_path / "study_module.py").write_text(
        textwrap.dedent(f"""
        from optimizer.workers.pool import WorkerPool

        with open("imports", "a") as file:
            file.write(".")
        with open("imports") as file:
            assert len(file.read()) < 20

        def objective(payload, task):
            return payload

        with WorkerPool(objective, workers=1, start_method={method!r}) as pool:
            pool.submit(0, 14)
            print(pool.wait(50))
        """),
        encoding="utf-8",
    )
    code, out, err = outcome(program(tmp_path, "import study_module\n"))
    assert (code, out) == (1, "")
    assert "a worker could not start: WorkerError: a module makes a WorkerPool when it is" in err
    assert (tmp_path / "imports").read_text(encoding="utf-8") in ("..", "...")
