"""Whole programs that use a pool: unguarded scripts, kill -9, forks, threads, pools in pools."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from worker_counts import alive, descendants, ends, gather, until
from worker_counts import nothing_is_left as nothing_is_left  # after each test
from worker_tasks import act

from optimizer.errors import WorkerError
from optimizer.workers.events import Done
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
