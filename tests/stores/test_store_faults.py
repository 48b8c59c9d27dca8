"""Files that are not ours, locks, permissions: one clear error from every part of a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from contract_opening import ONE, sig
from faulty_files import AS_ANOTHER_USER, killed_copy, unchanged
from whole_stores import PARTS, Open, whole_store

from optimizer.errors import (
    ForeignFileError,
    NewerSchemaError,
    StoreError,
    StoreLockedError,
    StorePathError,
)
from optimizer.protocols import Claim
from optimizer.stores import _schema
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.sqlite import SqliteStore


@pytest.fixture(params=PARTS, ids=lambda part: str(part.__name__))
def opened(request: pytest.FixtureRequest) -> Open:
    part: Open = request.param
    return part


def refuse(opened: Open, path: Path, error: type[StoreError], match: str) -> None:
    with unchanged(path.parent), pytest.raises(error, match=match) as caught:
        opened(path, timeout_s=0.05)
    assert repr(str(path)) in str(caught.value)


# --- not ours, or not yet


def test_file_of_another_program(opened: Open, path: Path) -> None:
    killed_copy(path, ["CREATE TABLE evaluations (x)", "INSERT INTO evaluations VALUES (1)"])
    refuse(opened, path, ForeignFileError, "SQLite file of another program")


@pytest.mark.parametrize("content", [b"x", b"seen\n" * 1_000, bytes(4096)])
def test_file_that_is_not_sqlite(opened: Open, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refuse(opened, path, ForeignFileError, "not an SQLite file")


def test_newer_schema(opened: Open, path: Path) -> None:
    whole_store(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {_schema.VERSION + 1}")
    refuse(opened, path, NewerSchemaError, f"has schema {_schema.VERSION + 1}.*Upgrade")


def test_path_is_a_folder(opened: Open, tmp_path: Path) -> None:
    refuse(opened, tmp_path, StorePathError, "is a folder")


# --- locks


def test_locked_by_another(path: Path) -> None:
    whole_store(path, 3)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as raw,
        SqliteStore(path, timeout_s=0.05) as store,
    ):
        evaluations, claims = store.evaluations(ONE, maxsize=2), store.claims(ONE)
        bounded = EvaluationCache(path, ONE, maxsize=9, uses_per_write=1, timeout_s=0.05)
        claim = claims.claim({"x": -2})
        assert isinstance(claim, Claim)
        raw.execute("BEGIN IMMEDIATE")
        calls: tuple[Callable[[], object], ...] = (
            lambda: evaluations.put(sig(7), 1.0),
            lambda: evaluations.forget(sig(1)),
            lambda: claims.claim(sig(8)),
            lambda: claims.fulfil(claim, 1.0),
            lambda: claims.release(claim),
            lambda: store.metadata.update({"a": 1}),
        )
        for call in calls:
            with pytest.raises(StoreLockedError, match=r"timeout_s=0\.05"):
                call()
        found = evaluations.get(sig(1))  # readers never wait
        assert found is not None
        assert found.value == 1.0
        assert bounded.get(sig(1)) == found  # nor does a use that cannot be written spoil it
        raw.execute("ROLLBACK")
        bounded.close()
        assert claims.fulfil(claim, 1.0).value == 1.0


def test_uses_that_cannot_be_written_are_not_tried_again_at_every_hit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as raw,
        EvaluationCache(path, ONE, maxsize=6, uses_per_write=3, timeout_s=0.01) as bounded,
    ):
        bounded.put_batch((sig(i), float(i)) for i in range(6))
        write = bounded._write_uses

        def counted() -> None:
            attempts.append(1)
            write()

        monkeypatch.setattr(bounded, "_write_uses", counted)
        raw.execute("BEGIN IMMEDIATE")
        for i in (3, 4, 5, 0, 0, 0, 3, 1):  # three others, five times
            assert bounded.get(sig(i)) is not None
        assert len(attempts) == 2
        raw.execute("ROLLBACK")
        bounded.get_batch([sig(4), sig(5), sig(4)])
        assert len(attempts) == 2
        # All uses count at the next write, in their order: 2 was never used, 0 longest ago.
        bounded.put_batch((sig(i), float(i)) for i in (6, 7))
        assert [i for i in range(8) if sig(i) not in bounded] == [0, 2]


# --- permissions


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "match"),
    [
        (0o444, 0o777, "no permission to read and write the file"),
        (0o666, 0o555, "no permission to create files beside it"),
    ],
)
def test_read_only(
    run: Callable[..., str],
    open_folder: Path,
    file_mode: int,
    folder_mode: int,
    match: str,
) -> None:
    path = open_folder / "study.db"
    whole_store(path, 3)
    path.chmod(file_mode)
    open_folder.chmod(folder_mode)
    script = AS_ANOTHER_USER.replace(
        "NoDupeGuard(path).add(sig(1))", "SqliteStore(path).evaluations(bytes(16)).put(sig(9), 1.0)"
    )
    script = "from optimizer.stores.sqlite import SqliteStore\n" + script
    with unchanged(open_folder):
        assert match in run(script + "print(attempt())", path)
    path.chmod(0o666)
    open_folder.chmod(0o777)
