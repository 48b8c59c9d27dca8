"""Whatever is wrong with the file: one clear error from every part, and nothing is lost."""

from __future__ import annotations

import base64
import os
import random
import shutil
import sqlite3
import subprocess
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store_contract import ONE, sig
from test_guard_faults import (
    AS_ANOTHER_USER,
    LIMITED,
    killed_copy,
    open_folder,
    unchanged,
)

from optimizer.errors import (
    ForeignFileError,
    NewerSchemaError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StorePathError,
)
from optimizer.protocols import Claim, Trial
from optimizer.stores import _schema
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.named_values import NamedValues
from optimizer.stores.sqlite import SqliteStore

__all__ = ["open_folder"]  # a fixture

FULL_SIZE = pytest.mark.stress
SCHEMA_1 = (
    "CREATE TABLE studies (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE signatures (study INTEGER NOT NULL REFERENCES studies (id),"
    " signature BLOB NOT NULL, PRIMARY KEY (study, signature)) WITHOUT ROWID",
    "INSERT INTO studies VALUES (1, 'default')",
    f"PRAGMA application_id = {0x4F505456}",
    "PRAGMA user_version = 1",
)
# What the guard of schema 1 (commit 413fec5) wrote: `sig(0)` to `sig(39)` in the study "default",
# `sig(7)` in "mom'entum".
WRITTEN_BY_SCHEMA_1 = (
    "c-rmPJ#W)M9LMpq9hwJncYziHq$L+9w2@Lo1p^~VYiLABTGyeigcL&KqDXmw#*tv7h=CWtz`zS&VCV~AU|>Nk3=E762p"
    "AZP)PVsfjgk`mB_@VSzmMdnug><#@^Z^dxvJ}^jpk;(?5ayF!gQToRf;jDdz+693}0)#jTIK{Ta2c&3+oz}yUY;VOjhK"
    "3?*IS*00000@K0N_hCiA}XisL`^4*%#s@`jq-S(!_8l3s&EHiDJ%1&o;rW$lLty*ro@<?U#wt3yORK8%Vd@+|(mU+#z%"
    ">10W+#ONvjICCZslm-ElPhHUH>A{}mA#p^*3=DiO-*;7x^HkYsaCS~LZN6YtFV%tU)TK6SWMfR*qid+8+r%*@5v6{-k;"
    "^ZSEW>=Tz8ahuG)ji7xUSrqM4l0N22MN#;T2q^RV@x=B?^W<+j`GUYB|gF3t8%4DVA0I^UCb7U}XElRMrH000000000E"
    "u&{2hc)eMlavE;C9?}dJt2i6wcFhfS*Z<#{{N?Qc00000007`1<3?QTumAOs5ex2H|0lyAnEWX}%Xe~HzLd|TEAPmhyd"
    "o!MMEn*%#3%7qycRFSQ*mG177OCCP$JBC`B(mtzu~X=bN-mu_$r_07x_33gm=PUyhj2600000{4ZmMmePlsf7A%3hT0U"
    "-&J*n%(I$y@mS|^)mLQrUTAXO7i8evBaiYbDc8X{xiFSf$QKB6u+A*Sy5p9%cM~QZXXc3}Gq6wmLqJ@cem}nuQ1&J0Q8"
    "ud?(5bY4rd_*&drV~vg8v6qq2(G#"
)

Open = Callable[..., Any]


def cache(path: Path, **settings: Any) -> EvaluationCache:
    return EvaluationCache(path, ONE, **settings)


PARTS = [NoDupeGuard, cache, NamedValues, SqliteStore]


@pytest.fixture(params=PARTS, ids=lambda part: str(part.__name__))
def opened(request: pytest.FixtureRequest) -> Open:
    part: Open = request.param
    return part


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


def refuse(opened: Open, path: Path, error: type[StoreError], match: str) -> None:
    with unchanged(path.parent), pytest.raises(error, match=match) as caught:
        opened(path, timeout_s=0.05)
    assert repr(str(path)) in str(caught.value)


def fill(store: SqliteStore, first: int, number: int) -> None:
    evaluations = store.evaluations(ONE)
    for i in range(first, first + number):
        trial = Trial(i, "complete", {"x": i}, (float(i),))
        evaluations.put(sig(i), float(i), {"i": i}, trial=trial)
    store.signatures.add_batch(sig(i) for i in range(first, first + number))
    store.metadata.update({f"m{i}": i for i in range(first, first + number)})


def assert_whole(path: Path, number: int) -> None:
    with SqliteStore(path) as store:
        store.check()
        found = store.evaluations(ONE).get_batch(sig(i) for i in range(number + 1))
        assert [e and (e.value, e.attributes["i"]) for e in found] == [
            *((float(i), i) for i in range(number)),
            None,
        ]
        assert store.trials.load().keys() == set(range(number))
        assert len(store.signatures) == len(store.metadata.all()) == number


def whole_store(path: Path, number: int = 60) -> bytes:
    with SqliteStore(path) as store:
        fill(store, 0, number)
        claim = store.claims(ONE).claim({"x": -1})
        assert isinstance(claim, Claim)
    assert os.listdir(path.parent) == [path.name]
    return path.read_bytes()


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


def guard_of_schema_1(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in SCHEMA_1:
            raw.execute(statement)
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("BEGIN")
        raw.executemany("INSERT INTO signatures VALUES (1, ?)", ((sig(i),) for i in range(number)))
        raw.execute("COMMIT")


def test_a_guard_of_schema_1_is_carried_on(opened: Open, path: Path) -> None:
    guard_of_schema_1(path, 500)
    # A process of the older version has it open all the while.
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        assert older.execute("SELECT count(*) FROM signatures").fetchone() == (500,)
        opened(path).close()
        older.execute("INSERT INTO signatures VALUES (1, ?)", (sig(500),))
    with SqliteStore(path) as store:
        assert len(store.signatures) == 501
        fill(store, 501, 3)
        store.check()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (_schema.VERSION,)


def test_a_file_that_an_earlier_version_wrote_keeps_its_signatures(
    opened: Open, path: Path
) -> None:
    path.write_bytes(zlib.decompress(base64.b85decode(WRITTEN_BY_SCHEMA_1)))
    opened(path).close()
    for study, numbers in (("default", range(40)), ("mom'entum", range(7, 8))):
        with NoDupeGuard(path, study=study) as guard:
            assert guard.seen_batch(map(sig, range(50))) == [i in numbers for i in range(50)]
            assert guard.add(sig(99))
            guard.check()
    with SqliteStore(path) as store:
        fill(store, 200, 1)
        store.check()


def test_a_migration_that_fails_leaves_schema_1(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard_of_schema_1(path, 500)
    broken = (_schema.MIGRATIONS[0], (*_schema.MIGRATIONS[1], "SELECT no_such_function()"))
    monkeypatch.setattr(_schema, "MIGRATIONS", broken)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="no_such_function"):
        NoDupeGuard(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    with NoDupeGuard(path) as guard:
        assert len(guard) == 500
        guard.check()


def test_many_processes_migrate_at_once(run: Callable[..., str], path: Path) -> None:
    guard_of_schema_1(path, 500)
    run(
        """
from optimizer.stores.sqlite import SqliteStore
children = []
for number in range(6):
    child = os.fork()
    if child == 0:
        try:
            with SqliteStore(path) as store:
                store.evaluations(bytes(16)).put(sig(os.getpid()), 1.0)
                assert len(store.signatures) == 500
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
with SqliteStore(path) as store:
    store.check()
    assert len(store.evaluations(bytes(16))) == 6
""",
        path,
    )


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


# --- damage


def test_truncated_at_every_512_bytes(opened: Open, path: Path) -> None:
    content = whole_store(path)
    for size in range(512, len(content), 512):
        path.write_bytes(content[:size])
        with pytest.raises(StoreCorruptError, match="damaged or truncated") as caught:
            opened(path, timeout_s=0.05)
        assert repr(str(path)) in str(caught.value)
        assert path.read_bytes() == content[:size]
        assert os.listdir(path.parent) == [path.name]
    path.write_bytes(content)
    assert_whole(path, 60)


@pytest.mark.parametrize("step", [8_192 + 512, pytest.param(512, marks=FULL_SIZE)])
@pytest.mark.parametrize("more", [0, 1])
def test_truncated_with_the_log_of_a_killed_process_beside(
    path: Path, more: int, step: int
) -> None:
    living = path.with_name("living.db")
    with SqliteStore(living) as store:
        fill(store, 0, 60)
        with closing(sqlite3.connect(living)) as raw:
            raw.execute("PRAGMA wal_checkpoint")
        fill(store, 60, more)  # begins the log anew
        content, log = living.read_bytes(), Path(f"{living}-wal").read_bytes()
    living.unlink()
    outcomes = []
    for size in [*range(0, len(content), step), len(content)]:
        path.write_bytes(content[:size])
        Path(f"{path}-wal").write_bytes(log)
        try:
            assert_whole(path, 60 + more)  # the log may hold all that is missing
            outcomes.append("whole")
        except StoreCorruptError as error:
            assert repr(str(path)) in str(error)  # noqa: PT017 - one of the two happens
            outcomes.append("damaged")
        for name in os.listdir(path.parent):
            (path.parent / name).unlink()
    assert (outcomes[0], outcomes[-1]) == ("damaged", "whole")


@pytest.mark.parametrize("step", [20_480 + 512, pytest.param(512, marks=FULL_SIZE)])
def test_a_truncated_log_leaves_a_prefix(path: Path, step: int) -> None:
    living = path.with_name("living.db")
    with SqliteStore(living) as store:
        for number in range(8):
            fill(store, number, 1)
        names = ("", "-wal")
        contents = [Path(f"{living}{name}").read_bytes() for name in names]
    log = contents[1]
    most = -1
    for size in [*range(0, len(log), step), len(log)]:
        shutil.rmtree(path.parent / "copy", ignore_errors=True)
        copy = path.parent / "copy" / "study.db"
        copy.parent.mkdir()
        copy.write_bytes(contents[0])
        copy.with_name("study.db-wal").write_bytes(log[:size])
        with SqliteStore(copy) as store:
            store.check()
            trials = store.trials.load()
            found = store.evaluations(ONE).get_batch(sig(i) for i in range(8))
        assert [e is not None for e in found] == [i in trials for i in range(8)]  # never apart
        assert trials.keys() == set(range(len(trials)))
        assert len(trials) >= most
        most = len(trials)
    assert most == 8


def test_any_damage_ends_in_one_of_our_errors_or_none(path: Path) -> None:
    content, rng = whole_store(path), random.Random(3)
    for _ in range(25):
        at = rng.randrange(len(content) // 4096) * 4096 + rng.choice((0, 0, rng.randrange(4096)))
        damage = rng.randbytes(rng.randrange(1, 300))
        path.write_bytes((content[:at] + damage + content[at + len(damage) :])[: len(content)])
        try:
            with SqliteStore(path, timeout_s=0.05) as store:
                claims = store.claims(ONE)
                store.evaluations(ONE, maxsize=5, ttl_s=9).put(sig(1_000), 1.0)
                store.evaluations(ONE).get_batch(sig(i) for i in range(60))
                claims.claim({"x": 1})
                store.trials.load()
                store.metadata.all()
                store.check()
        except StoreError as error:
            assert str(path) in str(error)  # noqa: PT017 - no error at all is fine too
        for name in os.listdir(path.parent):
            (path.parent / name).unlink()


def test_missing_table(path: Path) -> None:
    for table in ("evaluations", "claims", "namespaces"):
        path.unlink(missing_ok=True)
        whole_store(path, 3)
        with SqliteStore(path) as store:
            claims = store.claims(ONE)
            claim = claims.claim(sig(99))
            assert isinstance(claim, Claim)
            with closing(sqlite3.connect(path)) as raw:
                raw.execute(f"DROP TABLE {table}")
            with pytest.raises(StoreCorruptError, match="no such table"):
                claims.fulfil(claim, 1.0)


# --- no room

FILL = """
from optimizer.stores.sqlite import SqliteStore
from optimizer.protocols import Trial
held = {}
def fill(store, first, last):
    '''How many were acknowledged.'''
    claims = store.claims(bytes(16))
    for i in range(first, last):
        try:
            claim = held[i] = held.get(i) or claims.claim(sig(i))
            trial = Trial(i, "complete", {"x": i}, (float(i),))
            claims.fulfil(claim, float(i), {"i": i}, trial=trial)
        except StoreFullError as error:
            assert "no room left" in str(error) and path in str(error), error
            return i
    return last
def verify(number):
    with SqliteStore(path) as store:
        store.check()
        found = store.evaluations(bytes(16)).get_batch(map(sig, range(number + 1)))
        assert [e and e.value for e in found] == [*map(float, range(number)), None], number
        assert list(store.trials.load()) == list(range(number))
"""


def test_no_room(run: Callable[..., str], path: Path) -> None:
    script = """
store = SqliteStore(path)
limit(200_000)
stored = fill(store, 0, 100_000)
assert 0 < stored < 100_000
assert fill(store, stored, stored + 1) == stored
limit(resource.RLIM_INFINITY)
verify(stored)
assert fill(store, stored, stored + 1) == stored + 1  # the claim is still held
store.close()
verify(stored + 1)
"""
    run(LIMITED + FILL + script, path)


@pytest.mark.parametrize("size", [0, 5_000, 20_000, 40_000])
def test_no_room_to_create(run: Callable[..., str], path: Path, size: int) -> None:
    script = """
limit(int(sys.argv[2]))
try:
    stored = fill(SqliteStore(path), 0, 10_000)
except StoreFullError as error:
    assert "no room left" in str(error)
    stored = 0
assert stored < 10_000
limit(resource.RLIM_INFINITY)
verify(stored)
"""
    run(LIMITED + FILL + script, path, size)


@FULL_SIZE
def test_full_disk(run: Callable[..., str], tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    script = """
ballast = os.path.join(os.path.dirname(path), "ballast")
with open(ballast, "wb") as file:
    file.write(bytes(262_144))
store = SqliteStore(path)
stored = fill(store, 0, 1_000_000)
assert stored < 1_000_000
for _ in range(3):
    assert fill(store, stored, stored + 1) == stored
    found = store.evaluations(bytes(16)).get_batch(map(sig, range(stored)))
    assert [e.value for e in found] == list(map(float, range(stored)))
os.remove(ballast)
store.close()
verify(stored)
print(stored)
"""
    try:
        print("stored until full:", run(FILL + script, folder / "study.db"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
