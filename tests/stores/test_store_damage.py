"""Whatever is cut off, overwritten or missing: an error of ours, and nothing is lost."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from contract_opening import ONE, sig
from faulty_files import LIMITED
from whole_stores import PARTS, Open, assert_whole, fill, whole_store

from optimizer.errors import StoreCorruptError, StoreError
from optimizer.protocols import Claim
from optimizer.stores.sqlite import SqliteStore

FULL_SIZE = pytest.mark.stress


@pytest.fixture(params=PARTS, ids=lambda part: str(part.__name__))
def opened(request: pytest.FixtureRequest) -> Open:
    part: Open = request.param
    return part


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
