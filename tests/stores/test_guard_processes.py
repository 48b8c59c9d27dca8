"""NoDupeGuard across forks, spawned workers and many processes at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from contract_opening import sig
from guard_probes import open_files

from optimizer.stores import _connection
from optimizer.stores.guard import NoDupeGuard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


def test_a_child_keeps_its_rows_when_the_parent_closes(run: Callable[..., str], path: Path) -> None:
    # With an inherited connection open, a child holds no true lock: SQLite deletes its log.
    run(
        """
guard = NoDupeGuard(path)
guard.add(sig(0))
to_child, from_child = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    guard.add(sig(1))
    os.write(from_child[1], b"x")
    os.read(to_child[0], 1)
    new = [guard.add(sig(i)) for i in range(2, 100)]
    os._exit(0 if all(new) else 1)
guard.add(sig(1000))
os.read(from_child[0], 1)
guard.close()
os.write(to_child[1], b"x")
assert os.waitpid(child, 0)[1] == 0
with NoDupeGuard(path) as guard:
    assert all(guard.seen_batch(map(sig, range(100))))
    assert len(guard) == 101
    guard.check()
""",
        path,
    )


def test_children_that_end_like_programs_do_no_harm(run: Callable[..., str], path: Path) -> None:
    # sys.exit runs the interpreter's whole shutdown, unlike os._exit.
    run(
        """
guard = NoDupeGuard(path)
for number in range(4):
    guard.add(sig(number))
    child = os.fork()
    if child == 0:
        guard.add(sig(100 + number))
        sys.exit(0)
    guard.add(sig(200 + number))
    assert os.waitpid(child, 0)[1] == 0
assert len(guard) == 12
guard.check()
guard.close()
assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
""",
        path,
    )


def test_fork_waits_for_calls_in_other_threads(run: Callable[..., str], path: Path) -> None:
    run(
        """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on fork with threads
guard = NoDupeGuard(path)
stop = threading.Event()
counts = []
def work(first):
    number = first
    while not stop.is_set():
        assert guard.add_batch(sig(number + i) for i in range(50)) == 50
        number += 50
    counts.append(number - first)
threads = [threading.Thread(target=work, args=(10**6 * i,)) for i in (1, 2)]
for thread in threads: thread.start()
for number in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if guard.add(sig(number)) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
assert counts and len(guard) == 10 + sum(counts), (len(guard), counts)
guard.check()
""",
        path,
    )


def test_a_fork_in_the_middle_of_a_call_is_owned_up_to(run: Callable[..., str], path: Path) -> None:
    run(
        """
guard = NoDupeGuard(path)
with guard._database.transaction() as raw:
    raw.execute("INSERT INTO signatures VALUES (?, ?)", (guard._study_id, sig(1)))
    child = os.fork()
    if child == 0:
        try:
            guard.add(sig(2))
        except StoreClosedError as error:
            # The shutdown must not close the inherited connection either.
            sys.exit(0 if "forked in the middle" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
assert guard.seen(sig(1)) and len(guard) == 1
try:
    with guard._database.transaction() as raw:
        child = os.fork()
except StoreClosedError as error:
    os._exit(0 if child == 0 else 1)  # the child must not commit for the parent
assert child and os.waitpid(child, 0)[1] == 0
guard.check()
guard.close()
""",
        path,
    )


def test_spawned_workers_get_the_guard_by_pickle(
    run: Callable[..., str], path: Path, tmp_path: Path
) -> None:
    script = tmp_path / "spawn.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from optimizer.stores.guard import NoDupeGuard\n"
        "def work(task):\n"
        "    guard, number = task\n"
        "    return guard.add_batch((number + i).to_bytes(16, 'big') for i in range(10))\n"
        "if __name__ == '__main__':\n"
        "    guard = NoDupeGuard(sys.argv[1])\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "        new = pool.map(work, [(guard, number) for number in (0, 5, 10)])\n"
        "    assert sum(new) == len(guard) == 20, new\n"
    )
    run("import runpy; runpy.run_path(sys.argv[2], run_name='__main__')", path, script)


def test_processes_that_create_one_file_at_once(run: Callable[..., str], tmp_path: Path) -> None:
    run(
        """
def create(name, start):
    os.read(start, 1)
    with NoDupeGuard(name) as guard, NoDupeGuard(name, study="other") as other:
        guard.add(sig(os.getpid())); other.add(sig(0))
for number in range(5):
    name = os.path.join(path, f"{number}.db")
    start, go = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            try:
                create(name, start)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.write(go, b"x" * 8)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    with NoDupeGuard(name) as guard, NoDupeGuard(name, study="other") as other:
        assert (len(guard), len(other)) == (8, 1)
        guard.check()
""",
        tmp_path,
    )


def test_a_file_made_while_it_is_looked_at_is_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    look = os.path.getsize
    made: list[NoDupeGuard] = []
    looked: list[str] = []

    def another_makes_it_after_the_first_look(name: str) -> int:
        size_bytes = look(name)
        looked.append(name)
        if len(looked) == 1:
            made.append(NoDupeGuard(path))
            made[0].add(sig(1))
        return size_bytes

    monkeypatch.setattr(os.path, "getsize", another_makes_it_after_the_first_look)
    with NoDupeGuard(path) as guard:
        assert guard.seen(sig(1))
    made[0].close()


def test_fork_hooks_leave_no_lock_behind(path: Path) -> None:
    guard = NoDupeGuard(path)
    _connection._before_fork()
    assert open_files(path) == []
    _connection._release_after_fork()
    assert guard.add(sig(1))
    guard.close()


@pytest.mark.parametrize("busy_lock", ["call", "registry"])
def test_an_interrupt_while_a_fork_waits_leaves_no_connection_to_the_child(
    run: Callable[..., str], path: Path, busy_lock: str
) -> None:
    script = """
import signal, threading, warnings
from optimizer.stores import _connection
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on fork with threads
sys.unraisablehook = lambda unraisable: dropped.append(unraisable.exc_type)
dropped = []
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
guards = [NoDupeGuard(path + str(number)) for number in range(8)]
busy = guards[3]
inside, done = threading.Event(), threading.Event()
def work():
    registry = sys.argv[2] == "registry"
    with _connection._registry_lock if registry else busy._database.transaction():
        inside.set()
        done.wait(20)
thread = threading.Thread(target=work)
thread.start()
inside.wait()
signal.setitimer(signal.ITIMER_REAL, 0.3)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20)
    for number, guard in enumerate(guards):
        try:
            guard.add(sig(number))
        except StoreError as error:
            assert "forked in the middle" in str(error), error
    os._exit(0)
done.set()
thread.join()
assert dropped == [KeyboardInterrupt], dropped
status = os.waitpid(child, 0)[1]
assert status == 0, status
assert not _connection._fork_waits and not _connection._registry_lock.locked()
for number, guard in enumerate(guards):
    guard.add(sig(100 + number))
    guard.check()
    assert guard.seen(sig(100 + number))
again = os.fork()
if again == 0:
    os._exit(0 if guards[3].add(sig(7)) else 1)
assert os.waitpid(again, 0)[1] == 0
assert guards[3].seen(sig(7))
"""
    run(script, path, busy_lock)


def test_a_busy_thread_lets_a_fork_pass(path: Path) -> None:
    # Locks are not fair: without the gate, calls one after another would keep the fork waiting.
    with NoDupeGuard(path) as guard:
        kept = guard._database._here.kept
        waiting, passed = threading.Event(), threading.Event()

        def fork() -> None:
            _connection._before_fork()
            passed.set()
            _connection._release_after_fork()

        with kept.lock:  # as inside a call
            thread = threading.Thread(target=fork)
            thread.start()
            while not _connection._fork_waits:
                waiting.wait(0.001)
            guard._database._ready(kept)
            assert passed.is_set()
        thread.join()
        assert guard.add(sig(1))


def test_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with NoDupeGuard(Path("x.db")) as guard:
        assert guard.path == str(tmp_path / "x.db")
