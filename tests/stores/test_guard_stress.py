"""Kills, many writers, full disks: full size under `-m stress`, a small slice always."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.stores.guard import NoDupeGuard


def sig(number: int) -> bytes:
    return number.to_bytes(16, "big")


FULL_SIZE = pytest.mark.stress

WRITER = """
import random
worker, count, stride = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
mine = [sig(i) for i in range(worker * stride, worker * stride + count)]
random.Random(worker).shuffle(mine)
new = 0
with NoDupeGuard(path) as guard:
    print("ready", flush=True)
    sys.stdin.readline()
    for start in range(0, count, 100):
        part = mine[start : start + 100]
        # By turns one by one and as a batch, so that both compete.
        new += guard.add_batch(part) if start % 200 else sum(map(guard.add, part))
print(new)
"""


@pytest.mark.parametrize(
    ("writers", "count"),
    [(4, 500), pytest.param(8, 20_000, marks=FULL_SIZE)],
)
def test_many_writers_leave_exactly_the_union(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, writers: int, count: int
) -> None:
    path = tmp_path / "seen.db"
    stride = count // 2  # every signature but those at the ends is added by two processes
    processes = [start(WRITER, path, worker, count, stride) for worker in range(writers)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began_s = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=600) for process in processes]
    print(f"{writers} writers x {count}: {time.monotonic() - began_s:.1f} s")
    assert [err for _, err in ended] == [""] * writers
    union = (writers - 1) * stride + count
    assert sum(int(out) for out, _ in ended) == union  # new to exactly one of them
    with NoDupeGuard(path) as guard:
        assert len(guard) == union
        assert all(guard.seen_batch(map(sig, range(union))))
        guard.check()


VICTIM = """
number, step = int(sys.argv[2]), 0
guard = NoDupeGuard(path, durability=sys.argv[3])
out = sys.stdout.buffer
while True:
    size = (1, 1, 1, 7, 100, 600)[step % 6]
    batch = [sig(number + i) for i in range(size)]
    assert (guard.add(batch[0]) if size == 1 else guard.add_batch(batch)) == size
    number += size
    step += 1
    out.write(b"%d\\n" % number)  # everything below this number is acknowledged
    out.flush()
"""


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=FULL_SIZE)])
def test_killed_writers_lose_nothing_acknowledged(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, kills: int
) -> None:
    path, rng, first = tmp_path / "seen.db", random.Random(kills), 0
    for kill in range(kills):
        victim = start(VICTIM, path, first, ("process", "power")[kill % 2])
        assert victim.stdout is not None
        assert victim.stderr is not None
        first_line = victim.stdout.readline()
        assert first_line, victim.stderr.read()
        time.sleep(rng.uniform(0, 0.25))
        victim.kill()
        rest = victim.stdout.read()  # `communicate` would leave out what came with the first line
        _, err = victim.communicate()
        assert victim.returncode == -9, err
        lines = (first_line + rest).split("\n")
        acknowledged = int(lines[-2])  # the last one may be cut off
        with NoDupeGuard(path) as guard:
            guard.check()
            count = len(guard)
            assert all(guard.seen_batch(map(sig, range(first, acknowledged))))
            # At most the one call under way came on top, and came whole.
            assert count - acknowledged in (0, 1, 7, 100, 600)
            first = count
    print(f"{kills} kills, {first} signatures")


CREATOR = """
print("up", flush=True)
for number in range(1000):
    NoDupeGuard(os.path.join(path, f"{number}.db")).close()
"""


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=FULL_SIZE)])
def test_killed_creators_leave_files_that_open(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, kills: int
) -> None:
    rng = random.Random(kills)
    for kill in range(kills):
        folder = tmp_path / str(kill)
        folder.mkdir()
        creator = start(CREATOR, folder)
        assert creator.stdout is not None
        creator.stdout.readline()
        time.sleep(rng.uniform(0, 0.06))
        creator.kill()
        creator.communicate()
        last = {name.split(".")[0] for name in os.listdir(folder)}
        for name in last:
            with NoDupeGuard(folder / f"{name}.db") as guard:
                guard.check()
                assert guard.add(sig(1))


@FULL_SIZE
def test_full_disk(
    start: Callable[..., subprocess.Popen[str]], run: Callable[..., str], tmp_path: Path
) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        script = """
import subprocess
def digest():
    return subprocess.run(["cksum", path], capture_output=True, check=True).stdout
ballast = os.path.join(os.path.dirname(path), "ballast")
with open(ballast, "wb") as file:
    file.write(bytes(131_072))
guard = NoDupeGuard(path)
guard.add_batch(sig(i) for i in range(100))
before = digest()
for call in range(5):
    try:
        guard.add_batch(sig(i) for i in range(50, 50_000))
    except StoreFullError as error:
        assert "no room left" in str(error)
    else:
        raise SystemExit("not refused")
    assert len(guard) == 100
assert digest() == before
stored = 100
try:
    while True:
        stored += guard.add(sig(10**6 + stored))
except StoreFullError:
    pass
assert len(guard) == stored, (len(guard), stored)
guard.check()
try:
    NoDupeGuard(path, study="another").add_batch(map(sig, range(9_000)))
except StoreFullError:
    pass
else:
    raise SystemExit("not refused")
try:
    NoDupeGuard(path + ".new")
except StoreFullError:
    pass
else:
    raise SystemExit("not refused")
os.remove(ballast)
guard.close()
with NoDupeGuard(path) as guard, NoDupeGuard(path + ".new") as new:
    assert len(guard) == stored and new.add(sig(1))
    guard.check()
    print(stored)
"""
        print("stored until full:", run(script, folder / "seen.db"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@FULL_SIZE
def test_read_only_disk(run: Callable[..., str], tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a read-only disk needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    with NoDupeGuard(folder / "seen.db") as guard:
        guard.add(sig(1))
    bind = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True)
    if bind.returncode != 0:
        pytest.skip("this machine does not let root mount a folder")
    try:
        script = """
def refused():
    try:
        NoDupeGuard(path)
    except StoreReadOnlyError as error:
        assert "is read-only" in str(error)
        return True
import subprocess
remount = lambda how: subprocess.run(
    ["mount", "-o", "remount,bind," + how, os.path.dirname(path)], check=True)
remount("ro")
assert refused()
path += ".new"
assert refused()
"""
        run(script, folder / "seen.db")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert os.listdir(folder) == ["seen.db"]
