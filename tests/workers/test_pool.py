"""A pool of healthy workers: what goes in, what comes out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from worker_counts import ends, gather, until
from worker_counts import nothing_is_left as nothing_is_left  # after each test
from worker_tasks import Locked, Stubborn, act, warm, warm_raises

from optimizer.errors import RemoteError, SharedDataError, WorkerError
from optimizer.workers.events import Done, Failed, Message
from optimizer.workers.pool import WorkerPool


@pytest.fixture(scope="module", name="pool")
def _pool() -> Iterator[WorkerPool]:
    data = {"close": np.arange(6.0), "unit": "EUR"}
    with WorkerPool(act, workers=2, data=data, warm_up=warm) as pool:
        # Both are there before anything is counted.
        naps = [("nap", 0.01)] * 4
        until(lambda: {event.worker for event in ends(pool, naps)} == {0, 1}, "both workers")
        yield pool
        pool.check()


def test_each_task_ends_once(pool: WorkerPool) -> None:
    events = ends(pool, [("double", n) for n in range(200)])
    assert [event.result for event in events] == [2 * n for n in range(200)]
    assert pool.wait() == []  # nothing in flight: there is nothing to wait for
    assert pool.idle == 2


def test_an_event_says_what_it_took(pool: WorkerPool) -> None:
    (done,) = ends(pool, [("nap", 0.02)])
    assert isinstance(done, Done)
    assert done.seconds >= 0.02 > done.cpu_s >= 0
    assert done.started_s > 1.7e9
    assert done.attempt == 1


def test_a_task_knows_itself(pool: WorkerPool) -> None:
    pool.submit(-7, ("seen",))
    (done,) = gather(pool, 1)
    assert isinstance(done, Done)
    assert done.result == (-7, 1, done.worker)


def test_warm_up_came_first(pool: WorkerPool) -> None:
    (done,) = ends(pool, [("environment", "OPTIMIZER_TEST_WARM")])
    assert done.result == "close,unit"


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"])
def test_workers_compute_with_one_thread(pool: WorkerPool, name: str) -> None:
    (done,) = ends(pool, [("environment", name)])
    assert done.result == os.environ.get(name, "1")


def test_workers_draw_different_numbers(pool: WorkerPool) -> None:
    events = ends(pool, [("numbers",) for _ in range(8)])
    assert len({event.result for event in events}) == 8


def test_nobody_loads_what_nobody_needs(pool: WorkerPool) -> None:
    events = ends(pool, [("loaded", name) for name in ("numpy", "optuna", "pandas", "pytest")])
    assert [event.result for event in events] == [True, False, False, False]


def test_shared_data_is_read_only(pool: WorkerPool) -> None:
    read, wrote = ends(pool, [("total", "close"), ("touch", "close", 1.0)])
    assert read.result == 15.0
    assert isinstance(wrote, Failed)
    assert str(wrote.error) == "assignment destination is read-only"


def test_an_exception_comes_back_as_itself(pool: WorkerPool) -> None:
    (failed,) = ends(pool, [("raises", KeyError, "close")])
    assert isinstance(failed, Failed)
    assert type(failed.error) is KeyError
    assert failed.error.args == ("close",)
    assert "in raises\n    raise kind(*args)" in failed.traceback
    assert "worker.py" not in failed.traceback


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exit_is_the_tasks_own(pool: WorkerPool, kind: type[BaseException]) -> None:
    before = pool.counters.started
    failed, done = ends(pool, [("raises", kind, 3), ("double", 3)])
    assert type(failed.error) is kind
    assert done.result == 6
    assert pool.counters.started == before


@pytest.mark.parametrize(
    ("kind", "args", "text"),
    [(Stubborn, ("a", "b"), "a and b"), (Locked, ("no way",), "no way")],
)
def test_an_exception_that_cannot_travel_is_told(
    pool: WorkerPool, kind: type[BaseException], args: tuple[str, ...], text: str
) -> None:
    (failed,) = ends(pool, [("raises", kind, *args)])
    assert isinstance(failed.error, RemoteError)
    assert failed.error.type_name == f"worker_tasks.{kind.__name__}"
    assert failed.error.text == text
    assert failed.error.traceback == failed.traceback
    assert "in raises" in failed.traceback
    assert str(failed.error).startswith(f"worker_tasks.{kind.__name__}: {text} (in a worker")


def test_a_result_that_cannot_travel_fails_its_task(pool: WorkerPool) -> None:
    (failed,) = ends(pool, [("no_pickle",)])
    assert isinstance(failed.error, WorkerError)
    assert str(failed.error).startswith("the result of task 0 (of type lock) cannot be pickled")


def test_a_payload_that_cannot_travel_is_refused(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match=r"^the payload of task 4 \(of type lock\) cannot be"):
        pool.submit(4, threading.Lock())
    assert pool.idle == 2
    pool.submit(4, ("double", 4))
    assert gather(pool, 1)[0].task == 4


@pytest.mark.parametrize("size", [65_000, 65_480, 65_536, 3_000_000])
def test_messages_of_every_size(pool: WorkerPool, size: int) -> None:
    payloads = [("large", size), ("length", b"z" * size)] * 3
    results = [event.result for event in ends(pool, payloads)]
    assert results == [b"z" * size, size] * 3


def test_large_messages_both_ways_at_once(pool: WorkerPool) -> None:
    size = 4_000_000
    payloads: list[Any] = [("double", b"y" * size) for _ in range(4)]
    assert [len(event.result) for event in ends(pool, payloads)] == [2 * size] * 4


def test_functions_by_value_and_things_of_the_main_module() -> None:
    offset = 10

    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    def function(payload: Local, task: Any) -> Local:
        return Local(payload.value + offset + task.data["by"])

    with WorkerPool(function, workers=1, data={"by": 1}) as pool:
        (done,) = ends(pool, [Local(5)])
    assert type(done.result) is Local
    assert done.result.value == 16


def test_questions_are_answered_in_turn(pool: WorkerPool) -> None:
    pool.submit(1, ("ask", "a", "b"))
    for content in ("a", "b"):
        (message,) = gather(pool, 1)
        assert message == Message(1, content)
        pool.check()
        pool.reply(1, content.upper() * 50_000)
    (done,) = gather(pool, 1)
    assert isinstance(done, Done)
    assert done.result == ["A" * 50_000, "B" * 50_000]
    pool.reply(1, "too late")  # nobody is there: nothing happens


def test_a_question_that_cannot_travel_fails_its_task(pool: WorkerPool) -> None:
    pool.submit(2, ("no_question",))
    (event,) = gather(pool, 1)
    assert isinstance(event, Failed)
    assert type(event.error) is WorkerError
    assert "the question of task 2 (of type lock) cannot be pickled" in str(event.error)


def test_a_question_that_cannot_be_read_here_fails_its_task() -> None:
    with WorkerPool(act, workers=1) as pool:
        (failed,) = ends(pool, [("unreadable_question", os.getpid())])
        assert "the question of task 0 cannot be read in the parent: Look" in str(failed.error)
        assert pool.counters.tasks == 1


def test_only_the_tasks_own_process_asks(pool: WorkerPool) -> None:
    (done,) = ends(pool, [("ask_from_a_copy",)])
    assert done.result.startswith("a process that task 0 started asks; expected questions of")


def test_counters_count(pool: WorkerPool) -> None:
    before = pool.counters
    ends(pool, [("nap", 0.01), ("raises", ValueError, "x")])
    after = pool.counters
    assert (after.workers, after.started, after.died) == (2, 2, 0)
    assert after.tasks - before.tasks == 2
    assert sum(after.busy_s) - sum(before.busy_s) >= 0.01
    assert after.transport_s > before.transport_s
    assert all(peak > 1_000_000 for peak in after.peak_rss_bytes)
    assert after.shared_bytes > 48


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"workers": 0}, "workers is 0; expected a whole number from 1 to 65,535"),
        ({"workers": True}, "workers is True"),
        ({"retries": -1}, "retries is -1"),
        ({"start_timeout_s": 0}, "start_timeout_s is 0; expected seconds above 0"),
        ({"timeout_s": 0}, "timeout_s is 0; expected seconds above 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"start_method": "threads"}, "start_method is 'threads'; expected one of forkserver"),
        ({"warm_up": 3}, "warm_up is 3"),
        ({"data": [3]}, "data is [3]; expected a mapping of names to objects"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(WorkerError) as caught:
        WorkerPool(act, **{"workers": 1, **arguments})
    assert str(caught.value).startswith(line)


def test_a_function_or_data_that_cannot_travel_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(WorkerError, match=r"^function \(of type function\) cannot be pickled: "):
        WorkerPool(lambda payload, task: lock, workers=1)
    with pytest.raises(SharedDataError, match=r"^data\['book'\] \(of type lock\) cannot be"):
        WorkerPool(act, workers=1, data={"fine": 1, "book": lock})


@pytest.mark.parametrize("task", [2**63, "3", 1.0, True])
def test_numbers_of_tasks(pool: WorkerPool, task: Any) -> None:
    with pytest.raises(WorkerError, match="expected a 64-bit integer"):
        pool.submit(task, ("double", 1))


def test_a_number_in_flight_is_taken(pool: WorkerPool) -> None:
    pool.submit(3, ("nap", 0.01))
    with pytest.raises(WorkerError, match="task 3 is in flight"):
        pool.submit(3, ("double", 1))
    gather(pool, 1)


def test_warm_up_that_raises_is_told() -> None:
    with WorkerPool(act, workers=2, warm_up=warm_raises) as pool:
        pool.submit(0, ("double", 1))
        with pytest.raises(WorkerError, match="LookupError: no table of coefficients") as caught:
            gather(pool, 1)
        assert isinstance(caught.value.__cause__, LookupError)
        assert "in warm_raises" in caught.value.__notes__[0]
        with pytest.raises(WorkerError, match="no table"):
            pool.submit(1, ("double", 1))


def test_a_function_that_workers_cannot_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_up")
    exec("def function(payload, task): return 1", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_up", module)
    with WorkerPool(module.function, workers=1) as pool:
        pool.submit(0, 0)
        with pytest.raises(WorkerError, match="could not start: ModuleNotFoundError: No module"):
            gather(pool, 1)


def test_a_result_that_cannot_be_read_here_fails_its_task() -> None:
    def function(payload: Any, task: Any) -> Any:
        class OnlyThere:
            def __reduce__(self) -> Any:
                return exec, (
                    f"if __import__('os').getpid() == {payload}: raise LookupError('not here')",
                )

        return OnlyThere()

    with WorkerPool(function, workers=1) as pool:
        (failed,) = ends(pool, [os.getpid()])
    assert isinstance(failed.error, WorkerError)
    assert "the result of task 0 cannot be read in the parent: LookupError: not here" in str(
        failed.error
    )


def test_a_module_that_is_not_there_is_told() -> None:
    with WorkerPool(act, workers=1, preload=["json", "optimizer.nowhere"]) as pool:
        pool.submit(0, ("double", 1))
        with pytest.raises(WorkerError, match=r"preload names 'optimizer\.nowhere'.*No module"):
            gather(pool, 1)


def test_a_closed_pool_says_so() -> None:
    pool = WorkerPool(act, workers=1)
    pool.submit(0, ("double", 1))
    while not pool.wait():
        pass
    pool.close()
    pool.close()
    assert pool.wait(0) == []
    with pytest.raises(WorkerError, match="this pool is closed; expected an open one"):
        pool.submit(1, ("double", 1))


def test_a_second_call_at_a_time_is_refused() -> None:
    with WorkerPool(act, workers=1) as pool:
        pool.submit(0, ("nap", 0.3))
        came: list[int] = []
        thread = threading.Thread(target=lambda: came.append(len(gather(pool, 1))))
        thread.start()
        until(lambda: bool(pool._whole._held), "the thread waiting")
        with pytest.raises(WorkerError, match="in the middle of another call"):
            pool.submit(2, ("double", 1))
        thread.join()
        assert came == [1]
