"""A file that is not ours, a bad path, locks: one clear error, and every byte stays as it was."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from contract_opening import sig
from faulty_files import killed_copy, refuse, unchanged, whole_store

from optimizer.errors import (
    ForeignFileError,
    NewerSchemaError,
    StoreError,
    StoreLockedError,
    StorePathError,
)
from optimizer.stores import _faults, _schema
from optimizer.stores._connection import Database
from optimizer.stores.guard import NoDupeGuard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


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
