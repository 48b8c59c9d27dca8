"""NoDupeGuard's connections: one per thread, kept and closed; its calls are all or nothing."""

from __future__ import annotations

import gc
import pickle
import signal
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from contract_opening import sig
from guard_probes import open_files, raw_of

from optimizer.errors import StoreClosedError, StoreCorruptError, StorePathError
from optimizer.stores.guard import NoDupeGuard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


# --- connections


def test_statements_per_call(path: Path) -> None:
    with NoDupeGuard(path) as guard:
        seen: list[str] = []
        raw_of(guard).set_trace_callback(lambda text: seen.append(text.partition(" (")[0]))
        insert = "INSERT INTO signatures"
        expected: dict[str, tuple[Callable[[], object], list[str]]] = {
            "add": (partial(guard.add, sig(1)), [insert]),
            "seen": (partial(guard.seen, sig(1)), ["SELECT"]),
            "seen_batch": (partial(guard.seen_batch, [sig(i) for i in range(501)]), ["SELECT"] * 2),
            "remove": (partial(guard.remove, sig(1)), ["DELETE"]),
        }
        for call, statements in expected.values():
            seen.clear()
            call()
            assert [text if text == insert else text.split()[0] for text in seen] == statements
        seen.clear()
        guard.add_batch([sig(i) for i in range(3)])
        assert seen == ["BEGIN IMMEDIATE", insert, insert, insert, "COMMIT"]


def test_connection_is_kept_and_closed_with_its_thread(path: Path) -> None:
    with NoDupeGuard(path) as guard:
        first = raw_of(guard)
        guard.add(sig(1))
        assert raw_of(guard) is first
        before = len(open_files(path))
        for number in range(10):
            thread = threading.Thread(target=guard.add, args=(sig(number),))
            thread.start()
            thread.join()
            assert len(guard._database._everyone) == 1
        # SQLite keeps one descriptor for its next connection: closing it would drop our locks.
        assert len(open_files(path)) <= before + 1
    assert open_files(path) == []


def test_close_closes_the_connections_of_living_threads(path: Path) -> None:
    guard = NoDupeGuard(path)
    opened, finish = threading.Event(), threading.Event()
    errors = []

    def work() -> None:
        guard.add(sig(1))
        opened.set()
        finish.wait()
        try:
            guard.add(sig(2))
        except StoreClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait()
    guard.close()
    guard.close()
    assert open_files(path) == []
    finish.set()
    thread.join()
    assert len(errors) == 1
    for call in (guard.check, guard.clear, guard.__len__):
        with pytest.raises(StoreClosedError, match="it was closed"):
            call()


def test_a_forgotten_guard_closes_itself(path: Path) -> None:
    NoDupeGuard(path).add(sig(1))
    gc.collect()
    assert open_files(path) == []


def test_threads_share_a_guard(path: Path) -> None:
    with NoDupeGuard(path) as guard, ThreadPoolExecutor(8) as threads:
        wins = list(threads.map(lambda i: guard.add(sig(i % 50)), range(400)))
        counts = list(threads.map(lambda i: guard.add_batch(map(sig, range(i, i + 90))), range(40)))
        assert sum(wins) == 50
        assert sum(counts) == 40 + 89 - 50
        assert len(guard) == 129
        guard.check()


def test_pickled_guard_opens_the_same_study(path: Path) -> None:
    with NoDupeGuard(path, study="s", durability="power", timeout_s=3) as guard:
        guard.add(sig(1))
        with pickle.loads(pickle.dumps(guard)) as copy:
            assert copy.seen(sig(1))
            assert repr(copy) == repr(guard)


def test_file_deleted_or_replaced_under_an_open_guard(path: Path) -> None:
    with NoDupeGuard(path) as guard, ThreadPoolExecutor(1) as threads:
        path.rename(path.with_suffix(".away"))
        with pytest.raises(StorePathError, match="deleted or moved"):
            threads.submit(guard.add, sig(1)).result()
        with NoDupeGuard(path), pytest.raises(StorePathError, match="replaced"):
            threads.submit(guard.add, sig(1)).result()


# --- all or nothing


def test_an_error_inside_a_transaction_undoes_it(path: Path) -> None:
    with NoDupeGuard(path) as guard:
        guard.add(sig(0))
        insert = "INSERT INTO signatures VALUES (?, ?)"
        for end in (KeyboardInterrupt, SystemExit, ValueError):
            with pytest.raises(end), guard._database.transaction() as raw:  # noqa: PT012 - insert, then fail
                raw.execute(insert, (guard._study_id, sig(1)))
                raise end
            assert len(guard) == 1
        assert guard.add(sig(1))


def test_a_transaction_left_open_never_swallows_an_acknowledged_add(path: Path) -> None:
    with NoDupeGuard(path) as guard, NoDupeGuard(path) as other:
        raw_of(guard).execute("BEGIN IMMEDIATE")
        raw_of(guard).execute("INSERT INTO signatures VALUES (?, ?)", (guard._study_id, sig(1)))
        assert guard.add(sig(2))
        assert other.seen_batch([sig(1), sig(2)]) == [False, True]


def test_interrupts_at_any_moment_leave_all_or_nothing(path: Path) -> None:
    class Interrupt(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    batch = [sig(i) for i in range(2_000)]
    try:
        with NoDupeGuard(path) as guard:
            interrupted = 0
            for step in range(40):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-5 + step * 2e-4)
                    guard.add_batch(batch)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupt:
                    interrupted += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert len(guard) in (0, len(batch))
                guard.clear()
            assert interrupted > 0
            guard.check()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_check_finds_what_sqlite_does_not(path: Path) -> None:
    with NoDupeGuard(path) as guard:
        guard.add(sig(1))
        guard.check()
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("INSERT INTO signatures VALUES (?, ?)", (guard._study_id, b"short"))
        with pytest.raises(StoreCorruptError, match="1 signatures are not 16 bytes"):
            guard.check()
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE signatures SET study = 99")
        with pytest.raises(StoreCorruptError, match="2 rows belong to a study"):
            guard.check()
