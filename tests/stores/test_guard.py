"""NoDupeGuard does what a set does, for threads, forks and processes alike."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from optimizer.errors import (
    SignatureError,
    StoreArgumentError,
    StoreClosedError,
    StoreCorruptError,
    StorePathError,
)
from optimizer.protocols import SignatureGuard
from optimizer.reference.guard import ConnectPerCallGuard, SetGuard
from optimizer.stores import _connection
from optimizer.stores.guard import NoDupeGuard


def sig(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


def raw_of(guard: NoDupeGuard) -> sqlite3.Connection:
    raw = guard._database._here.kept.raw
    assert raw is not None
    return raw


def open_files(path: Path) -> list[str]:
    """Descriptors of this process that point at the file or its side files."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found


# --- the same as a set


small = st.integers(0, 40).map(sig)
batches = st.lists(small, max_size=60)
studies = st.sampled_from(["default", "a'; DROP TABLE studies; --", "\N{SNOWMAN} %s ?"])


class GuardMachine(RuleBasedStateMachine):
    """Random calls on three studies of one file, against three sets."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "seen.db")
        self.comp: dict[str, NoDupeGuard] = {}
        self.ref: dict[str, SetGuard] = {}

    def pair(self, study: str) -> tuple[NoDupeGuard, SetGuard]:
        if study not in self.comp:
            self.comp[study] = NoDupeGuard(self.path, study=study)
            self.ref.setdefault(study, SetGuard())
        return self.comp[study], self.ref[study]

    @rule(study=studies, signature=small)
    def add(self, study: str, signature: bytes) -> None:
        comp, ref = self.pair(study)
        assert comp.add(signature) is ref.add(signature)

    @rule(study=studies, signature=small)
    def seen(self, study: str, signature: bytes) -> None:
        comp, ref = self.pair(study)
        assert comp.seen(signature) is ref.seen(signature)
        assert (signature in comp) is (signature in ref)

    @rule(study=studies, signatures=batches)
    def add_batch(self, study: str, signatures: list[bytes]) -> None:
        comp, ref = self.pair(study)
        assert comp.add_batch(iter(signatures)) == ref.add_batch(signatures)

    @rule(study=studies, signatures=batches)
    def seen_batch(self, study: str, signatures: list[bytes]) -> None:
        comp, ref = self.pair(study)
        assert comp.seen_batch(iter(signatures)) == ref.seen_batch(signatures)

    @rule(study=studies, signature=small)
    def remove(self, study: str, signature: bytes) -> None:
        comp, ref = self.pair(study)
        assert comp.remove(signature) is ref.remove(signature)

    @rule(study=studies)
    def clear(self, study: str) -> None:
        comp, ref = self.pair(study)
        assert comp.clear() == ref.clear()

    @rule(study=studies)
    def reopen(self, study: str) -> None:
        comp, _ = self.pair(study)
        comp.close()
        del self.comp[study]

    @invariant()
    def lengths_agree(self) -> None:
        for study, comp in self.comp.items():
            assert len(comp) == len(self.ref[study])

    def teardown(self) -> None:
        for study in self.ref:
            self.pair(study)[0].check()
        for comp in self.comp.values():
            comp.close()
        self.folder.cleanup()


GuardMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestGuardMachine = GuardMachine.TestCase


@pytest.mark.parametrize("number", [0, 1, 499, 500, 501, 1_000, 1_237])
def test_batches_around_the_chunk_size(path: Path, number: int) -> None:
    ref = SetGuard()
    with NoDupeGuard(path) as comp:
        added = [sig(3 * i) for i in range(number)]
        assert comp.add_batch(added) == ref.add_batch(added) == number
        asked = [sig(i) for i in range(2 * number)][::-1]
        assert comp.seen_batch(asked) == ref.seen_batch(asked)
        assert comp.add_batch(added[::2] + added[::2]) == 0


@given(batches, batches)
@settings(max_examples=15, deadline=None)
def test_reports_guard_agrees_with_the_set(added: list[bytes], asked: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        comp, ref = ConnectPerCallGuard(os.path.join(folder, "old.db")), SetGuard()
        other = ConnectPerCallGuard(os.path.join(folder, "old.db"), study="other")
        assert comp.add_batch(added[:8]) == ref.add_batch(added[:8])
        assert comp.seen_batch(asked) == ref.seen_batch(asked)
        assert len(comp) == len(ref)
        assert len(other) == 0
        for signature in asked[:4]:
            assert comp.remove(signature) is ref.remove(signature)
        assert comp.clear() == ref.clear()


def test_all_guards_keep_the_promise_of_the_protocol(path: Path, tmp_path: Path) -> None:
    with NoDupeGuard(path) as guard:
        for one in (guard, SetGuard(), ConnectPerCallGuard(tmp_path / "old.db")):
            assert isinstance(one, SignatureGuard)


# --- arguments


NOT_SIGNATURES = st.one_of(
    st.binary(max_size=40).filter(lambda value: len(value) != 16),
    st.binary(min_size=16, max_size=16).map(bytearray),
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.none(),
    st.lists(st.binary(), max_size=2),
)


@given(NOT_SIGNATURES, st.integers(0, 5))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_not_a_signature_is_named(
    tmp_path_factory: pytest.TempPathFactory, wrong: object, index: int
) -> None:
    guard = NoDupeGuard(tmp_path_factory.getbasetemp() / "arguments.db")
    with guard:
        for call in (guard.seen, guard.add, guard.remove, guard.__contains__):
            with pytest.raises(SignatureError, match=f"found {type(wrong).__name__}"):
                call(wrong)  # type: ignore[arg-type]  # wrong on purpose
        batch = [sig(i) for i in range(5)]
        batch.insert(index, wrong)  # type: ignore[arg-type]  # wrong on purpose
        for call_batch in (guard.seen_batch, guard.add_batch):
            with pytest.raises(SignatureError, match=f"at index {index} of the batch"):
                call_batch(batch)
        assert len(guard) == 0


@pytest.mark.parametrize("whole", [bytes(16), bytearray(16), "x" * 16])
def test_one_signature_is_no_batch(path: Path, whole: bytes | bytearray | str) -> None:
    with NoDupeGuard(path) as guard, pytest.raises(SignatureError, match="Wrap a single one"):
        guard.add_batch(whole)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("study", ["", None, 3, b"study", "\ud800"])
def test_study_names_refused(path: Path, study: object) -> None:
    with pytest.raises(StoreArgumentError, match="the study"):
        NoDupeGuard(path, study=study)  # type: ignore[arg-type]  # wrong on purpose
    assert not path.exists()


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf"), "soon", None])
def test_time_outs_refused(path: Path, timeout_s: object) -> None:
    with pytest.raises(StoreArgumentError, match="timeout_s"):
        NoDupeGuard(path, timeout_s=timeout_s)  # type: ignore[arg-type]  # wrong on purpose
    assert not path.exists()


def test_unknown_durability_is_refused(path: Path) -> None:
    with pytest.raises(StoreArgumentError, match="'process', 'power'"):
        NoDupeGuard(path, durability="memory")
    assert not path.exists()


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
def test_settings_in_force_on_every_connection(
    path: Path, durability: str, synchronous: int
) -> None:
    def settings_of(_: object = None) -> list[object]:
        guard.seen(sig(0))
        return [
            raw_of(guard).execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "cache_size", "busy_timeout")
        ]

    expected = [synchronous, "wal", -10 * 1024, 2500]
    with NoDupeGuard(path, durability=durability, timeout_s=2.5) as guard:
        assert settings_of() == expected
        with ThreadPoolExecutor(1) as threads:
            assert list(threads.map(settings_of, [0])) == [expected]


@pytest.mark.parametrize("name", ["a b.db", "ü?mode=ro.db", "100%41#x.db", "file:x.db"])
def test_any_file_name_is_taken_literally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with NoDupeGuard(name) as guard:
        guard.add(sig(1))
        assert (tmp_path / name).is_file()
        monkeypatch.chdir("/")
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(guard.seen, sig(1)).result()
    assert os.listdir(tmp_path) == [name]


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


# --- processes


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
