"""A file of an older schema is carried on, by whichever part opens it first."""

from __future__ import annotations

import base64
import os
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from contract_opening import sig
from whole_stores import PARTS, Open, fill

from optimizer.errors import StoreError
from optimizer.stores import _schema
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.sqlite import SqliteStore

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


@pytest.fixture(params=PARTS, ids=lambda part: str(part.__name__))
def opened(request: pytest.FixtureRequest) -> Open:
    part: Open = request.param
    return part


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


def test_a_log_that_another_process_removes_meanwhile_is_no_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who closes the file last removes its log, after somebody else saw it."""
    guard_of_schema_1(path, 3)
    there = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda name: str(name).endswith("-wal") or there(name))
    _schema.inspect(str(path), 1.0)


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
