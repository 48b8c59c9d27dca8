"""Whatever is wrong with the file: one clear error, and the file stays byte for byte as it was."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import (
    ForeignFileError,
    NewerSchemaError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StorePathError,
)
from optimizer.stores import _faults, _schema
from optimizer.stores._connection import Database
from optimizer.stores.guard import NoDupeGuard


def sig(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


def state_of(folder: Path) -> tuple[list[str], bytes]:
    # In a process of its own: closing a file here would drop the locks this process has on it.
    names = [name for name in sorted(os.listdir(folder)) if not name.endswith("-shm")]
    files = [folder / name for name in names if (folder / name).is_file()]
    hashes = subprocess.run(["cksum", *files], capture_output=True, check=True, input=b"").stdout
    return names, hashes


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Every file of the folder has the same bytes afterwards, and none came or went.

    Not the shared-memory file: it is scratch space of the processes that are running.
    """

    before = state_of(folder)
    yield
    assert state_of(folder) == before


def refuse(path: Path, error: type[StoreError], match: str, study: str = "default") -> None:
    with unchanged(path.parent), pytest.raises(error, match=match) as caught:
        NoDupeGuard(path, timeout_s=0.05, study=study)
    assert repr(str(path)) in str(caught.value)


def whole_store(path: Path, number: int = 5_000) -> bytes:
    rng = random.Random(7)
    with NoDupeGuard(path) as guard:
        guard.add_batch(rng.randbytes(16) for _ in range(number))
    assert os.listdir(path.parent) == [path.name]
    return path.read_bytes()


# --- not ours


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("application_id", [0, 1, -5, 0x4F505457])
def test_sqlite_file_of_another_program(path: Path, journal_mode: str, application_id: int) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA journal_mode = {journal_mode}")
        raw.execute(f"PRAGMA application_id = {application_id}")
        raw.execute("CREATE TABLE signatures (x)")
        raw.commit()
    refuse(path, ForeignFileError, "SQLite file of another program")


def killed_copy(path: Path, statements: list[str]) -> None:
    """A file whose last changes lie in its write-ahead log, as a killed program leaves it."""
    living = path.with_name("living.db")
    if path.exists():
        path.rename(living)
    with closing(sqlite3.connect(living, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        for statement in statements:
            raw.execute(statement)
        shutil.copy(living, path)
        shutil.copy(f"{living}-wal", f"{path}-wal")
    living.unlink()


def test_file_of_another_program_that_was_killed(path: Path) -> None:
    killed_copy(path, ["CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)"])
    refuse(path, ForeignFileError, "SQLite file of another program")


def test_file_of_another_program_in_use(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE theirs (x)")
        refuse(path, ForeignFileError, "SQLite file of another program")


@pytest.mark.parametrize("content", [b"x", b"seen\n" * 10_000, bytes(4096), b"SQLite format 2\0"])
def test_file_that_is_not_sqlite(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refuse(path, ForeignFileError, "not an SQLite file, or its header is damaged")


def test_newer_schema(path: Path) -> None:
    whole_store(path, 10)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {_schema.VERSION + 1}")
    refuse(path, NewerSchemaError, f"has schema {_schema.VERSION + 1}.*Upgrade optuna-velocity")


def test_newer_schema_that_is_only_in_the_log(path: Path) -> None:
    whole_store(path, 10)
    killed_copy(path, [f"PRAGMA user_version = {_schema.VERSION + 1}"])
    refuse(path, NewerSchemaError, f"has schema {_schema.VERSION + 1}")


def test_file_without_bytes_is_new(path: Path) -> None:
    path.touch()
    with NoDupeGuard(path) as guard:
        assert guard.add(sig(1))


def test_creation_that_fails_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*_schema.MIGRATIONS, ("CREATE TABLE half (x)", "SELECT no_such_function()"))
    monkeypatch.setattr(_schema, "MIGRATIONS", broken)
    monkeypatch.setattr(_schema, "VERSION", len(broken))
    with pytest.raises(StoreError, match="no_such_function"):
        NoDupeGuard(path)
    monkeypatch.undo()
    assert path.read_bytes() == b""
    with NoDupeGuard(path) as guard:
        guard.check()


def test_older_schema_is_migrated_and_keeps_its_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_store(path, 10)
    newer = (*_schema.MIGRATIONS, ("CREATE TABLE extra (x)",))
    monkeypatch.setattr(_schema, "MIGRATIONS", newer)
    monkeypatch.setattr(_schema, "VERSION", len(newer))
    for _ in range(2):
        with NoDupeGuard(path) as guard:
            assert len(guard) == 10
            guard.check()
    monkeypatch.undo()
    refuse(path, NewerSchemaError, f"has schema {len(newer)}")


# --- the path


def test_path_is_a_folder(tmp_path: Path) -> None:
    refuse(tmp_path, StorePathError, "is a folder, expected a file")


def test_a_file_that_vanishes_while_it_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, opened = Database._connect, []

    def connect_and_lose(self: Database, mode: str) -> sqlite3.Connection:
        opened.append(connect(self, mode))
        path.unlink()
        return opened[-1]

    monkeypatch.setattr(Database, "_connect", connect_and_lose)
    with pytest.raises(StorePathError, match="deleted or moved while it was opened"):
        NoDupeGuard(path)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_path_is_a_pipe(path: Path) -> None:
    os.mkfifo(path)
    refuse(path, StorePathError, "is a device, pipe or socket")


def test_parent_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StorePathError, match=r"the folder .*no.* is not there"):
        NoDupeGuard(tmp_path / "no" / "seen.db")
    assert os.listdir(tmp_path) == []


def test_parent_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorePathError, match="is not there"):
        NoDupeGuard(tmp_path / "file" / "seen.db")


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b", b":memory:", None, 3])
def test_path_names_no_file(path: object) -> None:
    with pytest.raises(StorePathError, match=r"a file|names a file"):
        NoDupeGuard(path)  # type: ignore[arg-type]  # wrong on purpose


# --- locks


def test_locked_by_another_process(start: Callable[..., subprocess.Popen[str]], path: Path) -> None:
    whole_store(path, 10)
    holder = start(
        "import sqlite3\n"
        "raw = sqlite3.connect(path, isolation_level=None)\n"
        "raw.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()",
        path,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with NoDupeGuard(path, timeout_s=0.05) as guard, unchanged(path.parent):
            named = (
                f"by process {holder.pid}"
                if _faults.lock_holders(str(path))
                else "by an unknown process"
            )
            calls: tuple[Callable[[], object], ...] = (
                partial(guard.add, sig(1)),
                partial(guard.add_batch, [sig(1), sig(2)]),
                partial(guard.remove, sig(1)),
            )
            for call in calls:
                with pytest.raises(StoreLockedError, match=rf"timeout_s=0\.05, {named}"):
                    call()
            assert not guard.seen(sig(1))  # readers never wait
            refuse(path, StoreLockedError, named, study="a new one")
            holder.communicate()
        with NoDupeGuard(path, timeout_s=0.05) as guard:
            assert guard.add_batch([sig(1), sig(2)]) == 2


def test_locked_by_this_process(path: Path) -> None:
    whole_store(path, 10)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as raw,
        NoDupeGuard(path, timeout_s=0) as guard,
    ):
        raw.execute("BEGIN IMMEDIATE")
        holder = "this process" if os.path.exists("/proc/locks") else "an unknown process"
        with pytest.raises(StoreLockedError, match=holder):
            guard.add(sig(1))


def test_locked_while_it_is_opened(path: Path) -> None:
    whole_store(path, 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA locking_mode = EXCLUSIVE")
        raw.execute("BEGIN EXCLUSIVE")
        refuse(path, StoreLockedError, "stayed locked")


def test_waits_for_the_time_out(start: Callable[..., subprocess.Popen[str]], path: Path) -> None:
    whole_store(path, 10)
    holder = start(
        "import sqlite3, time\n"
        "raw = sqlite3.connect(path, isolation_level=None)\n"
        "raw.execute('BEGIN IMMEDIATE'); print('held', flush=True)\n"
        "time.sleep(0.3); raw.execute('COMMIT')",
        path,
    )
    with holder, NoDupeGuard(path, timeout_s=30) as guard:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert guard.add(sig(1))
        assert guard.add_batch([sig(1), sig(2)]) == 1
        holder.communicate()


# --- permissions: root may write anywhere, so a process of another user tries

AS_ANOTHER_USER = """
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
def attempt():
    try:
        NoDupeGuard(path).add(sig(1))
    except StoreReadOnlyError as error:
        assert repr(path) in str(error)
        return str(error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "match"),
    [
        (0o444, 0o777, "no permission to read and write the file"),
        (0o222, 0o777, "no permission to read and write the file"),
        (0o666, 0o555, "no permission to create files beside it"),
        (None, 0o555, "no permission to create files beside it"),
    ],
)
def test_read_only(
    run: Callable[..., str], open_folder: Path, file_mode: int | None, folder_mode: int, match: str
) -> None:
    path = open_folder / "seen.db"
    if file_mode is not None:
        whole_store(path, 10)
        path.chmod(file_mode)
    open_folder.chmod(folder_mode)
    with unchanged(open_folder):
        assert match in run(AS_ANOTHER_USER + "print(attempt())", path)


def test_folder_that_may_not_be_entered(run: Callable[..., str], open_folder: Path) -> None:
    path = open_folder / "inner" / "seen.db"
    path.parent.mkdir()
    whole_store(path, 10)
    path.parent.chmod(0o600)
    script = AS_ANOTHER_USER.replace("StoreReadOnlyError", "StorePathError")
    assert "cannot be reached" in run(script + "print(attempt())", path)
    path.parent.chmod(0o777)


# --- damage


def test_truncated(path: Path) -> None:
    content = whole_store(path)
    for size in (len(content) // 2, len(content) - 1, 4096, 4095, 600, 50):
        path.write_bytes(content[:size])
        refuse(path, StoreCorruptError, "damaged or truncated")


def test_scrambled_header(path: Path) -> None:
    content = whole_store(path)
    path.write_bytes(random.Random(1).randbytes(100) + content[100:])
    refuse(path, ForeignFileError, "header is damaged")


def test_scrambled_first_page(path: Path) -> None:
    content = whole_store(path)
    path.write_bytes(content[:100] + random.Random(1).randbytes(3996) + content[4096:])
    refuse(path, StoreCorruptError, "damaged or truncated")


def test_scrambled_middle_pages(path: Path) -> None:
    content = whole_store(path)
    middle = len(content) // 2 // 4096 * 4096
    rng = random.Random(1)
    scrambled = rng.randbytes(8192)
    path.write_bytes(content[:middle] + scrambled + content[middle + 8192 :])
    with unchanged(path.parent), NoDupeGuard(path) as guard:
        with pytest.raises(StoreCorruptError, match="damaged or truncated"):
            guard.check()
        signatures = [rng.randbytes(16) for _ in range(2_000)]
        for call in (guard.seen_batch, guard.add_batch):
            with pytest.raises(StoreCorruptError, match="damaged or truncated"):
                call(signatures)


def test_missing_table(path: Path) -> None:
    whole_store(path, 10)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE signatures")
    with (
        unchanged(path.parent),
        NoDupeGuard(path) as guard,
        pytest.raises(StoreCorruptError, match="no such table"),
    ):
        guard.add(sig(1))


_WHOLE: list[bytes] = []


@given(st.integers(0, 2**31), st.binary(min_size=1, max_size=300), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_any_damage_ends_in_one_of_our_errors_or_none(
    place: int, damage: bytes, pages: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seen.db"
        if not _WHOLE:
            _WHOLE.append(whole_store(path, 600))
        content = _WHOLE[0]
        # Half of the examples aim at the headers of pages, where most bytes have a meaning.
        at = place % len(content) if pages == 0 else place % (len(content) // 4096) * 4096
        path.write_bytes((content[:at] + damage + content[at + len(damage) :])[: len(content)])
        try:
            with NoDupeGuard(path, timeout_s=0.05) as guard:
                guard.seen_batch(sig(i) for i in range(20))
                guard.add_batch(sig(i) for i in range(20))
                guard.remove(sig(3))
                guard.check()
        except StoreError as error:
            assert str(path) in str(error)  # noqa: PT017 - no error at all is fine too


# --- no room

LIMITED = """
import resource, subprocess
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def digest():
    return subprocess.run(["cksum", path], capture_output=True, check=True).stdout
"""


def test_no_room_for_a_batch(run: Callable[..., str], path: Path) -> None:
    script = """
guard = NoDupeGuard(path)
guard.add_batch(sig(i) for i in range(100))
before = digest()
limit(100_000)
for _ in range(3):
    try:
        guard.add_batch(sig(i) for i in range(50, 20_000))
    except StoreFullError as error:
        assert "no room left" in str(error) and path in str(error), error
    else:
        raise SystemExit("not refused")
    assert len(guard) == 100 and guard.add(sig(0)) is False
assert digest() == before
limit(resource.RLIM_INFINITY)
assert guard.add_batch(sig(i) for i in range(50, 20_000)) == 19_900
guard.check()
"""
    run(LIMITED + script, path)


@pytest.mark.parametrize("size", [0, 1_000, 5_000, 10_000, 20_000, 30_000])
def test_no_room_to_create(run: Callable[..., str], path: Path, size: int) -> None:
    script = """
limit(int(sys.argv[2]))
try:
    guard = NoDupeGuard(path)
    guard.add_batch(sig(i) for i in range(2_000))
except StoreFullError as error:
    assert "no room left" in str(error)
else:
    raise SystemExit("not refused")
limit(resource.RLIM_INFINITY)
with NoDupeGuard(path) as guard:
    assert len(guard) == 0 and guard.add(sig(1))
    guard.check()
"""
    run(LIMITED + script, path, size)


def test_no_room_says_that_nothing_was_stored_one_by_one(
    run: Callable[..., str], path: Path
) -> None:
    script = """
guard = NoDupeGuard(path)
limit(200_000)
stored = []
for number in range(100_000):
    try:
        if guard.add(sig(number)):
            stored.append(number)
    except StoreFullError:
        break
limit(resource.RLIM_INFINITY)
assert 0 < len(stored) == len(guard) < 100_000
assert not guard.seen(sig(number)) and guard.add(sig(number))
guard.check()
"""
    run(LIMITED + script, path)


def test_many_open_files_are_told_apart(run: Callable[..., str], path: Path) -> None:
    script = """
import resource
guard = NoDupeGuard(path)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 1, 4096))
import threading
found = []
def work():
    try:
        guard.add(sig(1))
    except StoreError as error:
        found.append(error)
thread = threading.Thread(target=work); thread.start(); thread.join()
assert "free file descriptor" in str(found[0]), found
assert guard.add(sig(1))
"""
    run(script, path)
