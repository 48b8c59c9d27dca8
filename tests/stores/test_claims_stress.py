"""Single flight across processes, some of which are killed: full size under `-m stress`."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from contract_opening import ONE, sig

from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache

FULL_SIZE = pytest.mark.stress
Start = Callable[..., "subprocess.Popen[str]"]

WORKER = """
import random, time
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache
seed, count, pause_s, lease_s = (float(text) for text in sys.argv[3:7])
log = os.open(sys.argv[2], os.O_APPEND | os.O_WRONLY | os.O_CREAT)
def objective(params):
    os.write(log, b"%d\\n" % params["x"])
    time.sleep(pause_s)  # the evaluation: long enough to be killed in
    return params["x"] / 4
order = list(range(int(count)))
random.Random(seed).shuffle(order)
with EvaluationCache(path, bytes(16)) as cache:
    claims = Claims(cache, lease_s=lease_s)
    print("ready", flush=True)
    sys.stdin.readline()
    for x in order:
        assert claims.evaluate_once(objective, {"x": x}).value == x / 4
        print(x, flush=True)
"""


def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    assert first == "ready\n", process.stderr.read()
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def assert_each_once(path: Path, count: int) -> int:
    """Every value is there; how many attempts it took."""
    with EvaluationCache(path, ONE) as cache:
        found = cache.get_batch({"x": x} for x in range(count))
        assert len(cache) == count
        cache.check()
    assert [e and e.value for e in found] == [x / 4 for x in range(count)]
    return sum(e.attempt for e in found if e)


@pytest.mark.parametrize(("workers", "count"), [(2, 60), pytest.param(4, 1_000, marks=FULL_SIZE)])
def test_processes_evaluate_each_exactly_once(
    start: Start, tmp_path: Path, workers: int, count: int
) -> None:
    path, log = tmp_path / "study.db", tmp_path / "starts.txt"
    processes = [start(WORKER, path, log, i // 2, count, 0.002, 60) for i in range(workers)]
    for process in processes:
        started(process)
    for process in processes:
        go(process)
    ended = [process.communicate(timeout=600) for process in processes]
    assert [err for _, err in ended] == [""] * workers
    assert Counter(log.read_text().split()) == Counter(map(str, range(count)))
    assert assert_each_once(path, count) == count


@pytest.mark.parametrize(
    ("workers", "count", "kills"), [(2, 50, 1), pytest.param(4, 1_000, 10, marks=FULL_SIZE)]
)
def test_killed_workers_cost_one_start_each(
    start: Start, tmp_path: Path, workers: int, count: int, kills: int
) -> None:
    path, log, rng = tmp_path / "study.db", tmp_path / "starts.txt", random.Random(kills)

    def worker(seed: int) -> subprocess.Popen[str]:
        process = started(start(WORKER, path, log, seed, count, 0.02, 2))
        go(process)
        return process

    others = [worker(i) for i in range(1, workers)]
    acknowledged: set[str] = set()
    for kill in range(kills):
        victim = worker(-kill)
        assert victim.stdout is not None
        first = victim.stdout.readline()
        time.sleep(rng.uniform(0, 0.2))  # so that each kill meets another moment of its work
        victim.kill()
        rest, err = victim.communicate()
        assert victim.returncode == -9, err  # else it had finished: make the work longer
        acknowledged |= set((first + rest).split()[:-1])  # the last may be cut off
    ended = [process.communicate(timeout=600) for process in others]
    assert [err for _, err in ended] == [""] * len(others)
    starts = Counter(log.read_text().split())
    assert starts.keys() == set(map(str, range(count)))
    print(f"{kills} kills, {starts.total()} starts of {count}")
    assert count <= starts.total() <= count + kills
    assert starts.total() <= assert_each_once(path, count) <= count + kills
    assert acknowledged <= set(map(str, range(count)))
    with EvaluationCache(path, ONE) as cache:
        assert None not in cache.get_batch({"x": int(x)} for x in acknowledged)


def test_a_forked_child_leaves_the_claims_of_its_parent(
    run: Callable[..., str], path: Path
) -> None:
    run(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on fork with threads
from optimizer.protocols import Busy, Claim
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache
cache = EvaluationCache(path, bytes(16), maxsize=5)
claims = Claims(cache, lease_s=1)
cache.put(sig(9), 9.0); cache.get(sig(9))
def objective(params):
    child = os.fork()
    if child == 0:
        busy = claims.claim(params)
        assert isinstance(busy, Busy) and f":{os.getppid()}:" in busy.owner, busy
        mine = claims.claim(sig(2))
        assert isinstance(mine, Claim) and f":{os.getpid()}:" in mine.owner
        assert claims.fulfil(mine, 2.0).value == cache.get(sig(2)).value == 2.0
        assert claims.evaluate_once(lambda params: 3.0, {"x": 3}).value == 3.0
        assert cache.get(sig(9)).value == 9.0
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return 1.0
assert claims.evaluate_once(objective, {"x": 1}).value == 1.0
assert cache.get(sig(2)).value == 2.0 and claims.claim({"x": 3}).value == 3.0
cache.check()
cache.close()
""",
        path,
    )


def test_heartbeats_end(path: Path) -> None:
    import threading

    with EvaluationCache(path, ONE) as cache:
        claims = Claims(cache, lease_s=0.1)
        before = threading.active_count()
        for number in range(5):
            claims.evaluate_once(lambda params: 1.0, {"x": number})
        assert threading.active_count() <= before + 1
        deadline_s = time.monotonic() + 20
        while threading.active_count() > before:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)  # a look every so often, until the deadline
        assert cache.get(sig(1)) is None
