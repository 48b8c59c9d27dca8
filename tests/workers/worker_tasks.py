"""What workers run in the tests; nothing here imports pytest, so that workers start quickly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer.workers.pool import WorkerPool
from optimizer.workers.worker import Task


class Stubborn(Exception):
    """Can be pickled, but not loaded again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Locked(Exception):
    """Cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def act(payload: Any, task: Task) -> Any:
    """Does what the payload names."""
    name, *rest = payload
    return ACTS[name](task, *rest)


def double(task: Task, value: Any) -> Any:
    return value * 2


def seen(task: Task) -> tuple[int, int, int]:
    return task.number, task.attempt, task.worker


def raises(task: Task, kind: type[BaseException], *args: Any) -> None:
    raise kind(*args)


def leave(task: Task, code: int) -> None:
    os._exit(code)


def kill_self(task: Task, until_attempt: int) -> int:
    if task.attempt < until_attempt:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.attempt


def half_a_message(task: Task, until_attempt: int) -> int:
    """Writes the start of an answer, as if killed in the middle of it."""
    if task.attempt < until_attempt:
        assert task._ask is not None
        line = task._ask.__self__._line  # type: ignore[attr-defined]  # it is the worker's method
        from optimizer.workers import frames

        line.sendall(
            frames.UP.pack(frames.RETURNED, 0, task.number, 1 << 20, 0, 0, 0, 0) + b"x" * 99_999
        )
        os.kill(os.getpid(), signal.SIGKILL)
    return task.attempt


def half_an_answer(task: Task, until_attempt: int) -> int:
    """Writes the start of an answer, and no more."""
    if task.attempt < until_attempt:
        assert task._ask is not None
        line = task._ask.__self__._line  # type: ignore[attr-defined]
        from optimizer.workers import frames

        line.sendall(frames.UP.pack(frames.RETURNED, 0, task.number, 999, 0, 0, 0, 0) + b"x")
        time.sleep(60)
    return task.attempt


def endless_answer(task: Task, until_attempt: int) -> int:
    """Announces an answer that no memory holds."""
    if task.attempt < until_attempt:
        assert task._ask is not None
        line = task._ask.__self__._line  # type: ignore[attr-defined]
        from optimizer.workers import frames

        line.sendall(frames.UP.pack(frames.RETURNED, 0, task.number, 2**64 - 1, 0, 0, 0, 0))
        time.sleep(60)
    return task.attempt


def ask_from_a_copy(task: Task) -> str:
    """What comes of a question of a copy of the process."""
    heard, tell = os.pipe()
    copy = os.fork()
    if copy == 0:
        try:
            task.ask("from a copy")
        except Exception as error:
            os.write(tell, str(error).encode())
        os._exit(0)
    os.close(tell)
    os.waitpid(copy, 0)
    with os.fdopen(heard) as file:
        return file.read()


def unreadable_question(task: Task, parent: int) -> Any:
    class OnlyHere:
        def __reduce__(self) -> Any:
            return exec, (f"if __import__('os').getpid() == {parent}: raise LookupError('no')",)

    return task.ask(OnlyHere())


def nonsense(task: Task, until_attempt: int) -> int:
    """Writes what is no message over the line."""
    if task.attempt < until_attempt:
        assert task._ask is not None
        task._ask.__self__._line.sendall(b"?" * 100)  # type: ignore[attr-defined]
        time.sleep(60)
    return task.attempt


def close_all(task: Task, until_attempt: int) -> int:
    if task.attempt < until_attempt:
        os.closerange(3, 256)
        time.sleep(60)
    return task.attempt


def nap(task: Task, seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def hang_once(task: Task) -> int:
    if task.attempt == 1:
        time.sleep(60)
    return task.attempt


def large(task: Task, size: int) -> bytes:
    return b"z" * size


def length(task: Task, content: bytes) -> int:
    return len(content)


def no_pickle(task: Task) -> Any:
    return threading.Lock()


def ask(task: Task, *contents: Any) -> list[Any]:
    return [task.ask(content) for content in contents]


def no_question(task: Task) -> Any:
    return task.ask(threading.Lock())


def ask_and_die(task: Task) -> Any:
    answer = task.ask(("attempt", task.attempt))
    if task.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def ask_then_wait(task: Task, seconds: float) -> Any:
    answer = task.ask("late?")
    time.sleep(seconds)
    return answer


def nap_ask_nap(task: Task, seconds: float) -> Any:
    time.sleep(seconds)
    answer = task.ask("now?")
    time.sleep(seconds)
    return answer


def process(task: Task) -> int:
    return os.getpid()


def environment(task: Task, name: str) -> str | None:
    return os.environ.get(name)


def numbers(task: Task) -> float:
    import numpy as np

    return float(np.random.random())


def loaded(task: Task, name: str) -> bool:
    return name in sys.modules


def fork_and_return(task: Task) -> str:
    """Both the process and its copy return."""
    return "parent" if os.fork() else "copy"


def start_sleepers(task: Task, folder: str) -> list[int]:
    """A child, and one in a session of its own; then waits to be killed."""
    call = [sys.executable, "-c", "import time; time.sleep(600)"]
    plain = subprocess.Popen(call)
    apart = subprocess.Popen(call, start_new_session=True)
    (Path(folder) / "sleepers").write_text(f"{plain.pid} {apart.pid}", encoding="utf-8")
    time.sleep(60)
    return []


def touch(task: Task, name: str, value: float) -> None:
    task.data[name][0] = value


def total(task: Task, name: str) -> float:
    return float(task.data[name].sum())


def inner_pool(task: Task, value: int) -> int:
    with WorkerPool(act, workers=1) as pool:
        pool.submit(0, ("double", value))
        result: int = pool.wait()[0].result  # type: ignore[union-attr]
    return result


ACTS: dict[str, Any] = {
    function.__name__: function
    for function in (
        double, seen, raises, leave, kill_self, half_a_message, half_an_answer,
        endless_answer, ask_from_a_copy, unreadable_question, nonsense, close_all, nap,
        hang_once, large, length, no_pickle, ask, no_question, ask_and_die, ask_then_wait,
        nap_ask_nap, process, environment, numbers, loaded, fork_and_return,
        start_sleepers, touch, total, inner_pool,
    )
}  # fmt: skip


def warm(data: Mapping[str, Any]) -> None:
    os.environ["OPTIMIZER_TEST_WARM"] = ",".join(data)


def warm_raises(data: Mapping[str, Any]) -> None:
    raise LookupError("no table of coefficients")


def warm_dies(data: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def warm_hangs(data: Mapping[str, Any]) -> None:
    time.sleep(600)


def warm_leaves(data: Mapping[str, Any]) -> None:
    os._exit(7)
