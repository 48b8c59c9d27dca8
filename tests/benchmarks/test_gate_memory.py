"""The memory witness on bodies whose memory is known by hand, each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate import memory

ROOT = Path(__file__).resolve().parents[2]

POINTER = 8  # an item of a list
BYTES = 33  # a bytes object, besides its bytes
OVERHEAD = 2_000  # frames, the list itself and the like
N = 1_000

needs_memray = pytest.mark.skipif(memory.unavailable() != "", reason=memory.unavailable())

# Counts the bodies named on the command line, and prints what it found as JSON.
SCRIPT = """
import gc, itertools, json, mmap, sys, threading
from benchmarks.gate.memory import MemoryTracker

N = 1_000

def work(n):
    return [bytes(47) for _ in itertools.repeat(None, n)]

class Body:
    kept = None
    freshened = 0

    def fresh(self):
        self.freshened += 1
        self.before_call = bytes(10_000_000)  # never counted
        self.cleared = []

class Nothing(Body):
    def after(self): return None

class Blocks(Body):
    def after(self): return work(N)

class MoreBlocks(Body):
    def after(self): return work(N + N // 20)

class TwoAllocations(Body):
    def after(self): return work(N), bytes(600), bytes(600)

class Passing(Body):
    '''Takes a megabyte twice, never both at once.'''
    def after(self):
        for _ in range(2):
            block = bytes(1_000_000)
            del block

class Mapped(Body):
    def after(self): mmap.mmap(-1, 4_000_000).close()

class InAThread(Body):
    def after(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(bytes(1_000_000)))
        thread.start()
        thread.join()
        return found

class Replaces(Body):
    '''Frees what an earlier call left; that does not make its own memory less.'''
    def after(self):
        self.kept = None
        self.kept = bytes(1_000_000)

class Cycles(Body):
    '''Garbage that only a collection frees.'''
    def after(self):
        for _ in range(100):
            cycle = [bytes(1_000)]
            cycle.append(cycle)

class Sawtooth(Body):
    def after(self): return bytes({1: 0, 3: 100_000}.get(self.freshened, 300_000))

class Raises(Body):
    def after(self): raise ValueError("broken")

class Sorting(Body):
    '''Memory that a library takes belongs to the line that called it.'''
    def after(self): return json.loads(TEXT)

TEXT = json.dumps([str(i) * 10 for i in range(N)])

tracker, answers = MemoryTracker(), {}
for name in sys.argv[1:]:
    body = globals()[name]()
    gc.collect(); gc.freeze(); gc.disable()
    try:
        answer = tracker.count(body)
        answer["calls"] = body.freshened
        answer["details"] = tracker.details(body)
    except ValueError as error:
        answer = {"raised": str(error)}
    gc.enable()
    answers[name] = answer
print(json.dumps(answers))
"""


def run(folder: Path, *bodies: str) -> dict[str, Any]:
    script = folder / "bodies.py"
    script.write_text(SCRIPT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, str(script), *bodies]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


ALL = (
    *("Nothing", "Blocks", "MoreBlocks", "TwoAllocations", "Passing", "Mapped", "InAThread"),
    *("Replaces", "Cycles", "Sawtooth", "Raises", "Sorting"),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("memory"), *ALL)


@needs_memray
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Nothing", 0),
        ("Blocks", N * (47 + BYTES + POINTER)),
        ("Passing", 1_000_000 + BYTES),
        ("Mapped", 4_000_000),
        ("InAThread", 1_000_000 + BYTES),
        ("Replaces", 1_000_000 + BYTES),
        ("Sawtooth", 100_000 + BYTES),  # the lowest call; the first does not count
        ("Cycles", 100 * (1_000 + BYTES + 56 + 4 * POINTER)),
    ],
)
def test_peaks_known_by_hand(found: dict[str, Any], body: str, expected: int) -> None:
    assert 0 <= found[body]["peak_bytes"] - expected <= OVERHEAD + expected // 10


@needs_memray
def test_allocations_known_by_hand(found: dict[str, Any]) -> None:
    nothing, blocks, more, two = (
        found[name]["allocations"] for name in ("Nothing", "Blocks", "MoreBlocks", "TwoAllocations")
    )
    assert N <= blocks - nothing <= N + 50  # the list grows in steps
    assert N // 20 <= more - blocks <= N // 20 + 5
    assert two - blocks in {2, 3}  # and perhaps the tuple of the answer


@needs_memray
def test_one_twentieth_more_shows(found: dict[str, Any]) -> None:
    before, now = (found[name]["peak_bytes"] for name in ("Blocks", "MoreBlocks"))
    assert now / before > 1.03


@needs_memray
def test_every_tracked_call_starts_fresh(found: dict[str, Any]) -> None:
    assert found["Blocks"]["calls"] == memory.CALLS


@needs_memray
def test_two_processes_count_the_same(found: dict[str, Any], tmp_path: Path) -> None:
    named = ("Blocks", "Passing", "Cycles", "Sorting")
    again = run(tmp_path, *named)  # in another process, not after the same bodies
    for name in named:
        ref, comp = found[name], again[name]
        assert comp["peak_bytes"] == pytest.approx(ref["peak_bytes"], rel=0.002)
        assert abs(comp["allocations"] - ref["allocations"]) <= 1


@needs_memray
def test_details_name_the_line_and_no_absolute_path(found: dict[str, Any]) -> None:
    places = found["MoreBlocks"]["details"]["allocated at peak"]
    largest, size = next(iter(places.items()))
    assert largest.endswith(" bodies.py: return [bytes(47) for _ in itertools.repeat(None, n)]")
    assert size >= (N + N // 20) * (47 + BYTES + POINTER)
    files = [place.split(": ")[0].split()[-1] for place in places]
    assert not any(os.path.isabs(file) for file in files)
    assert len(places) <= memory.LARGEST


@needs_memray
def test_what_a_library_takes_belongs_to_its_caller(found: dict[str, Any]) -> None:
    places = found["Sorting"]["details"]["allocated at peak"]
    assert next(iter(places)) == "after bodies.py: def after(self): return json.loads(TEXT)"


@needs_memray
def test_a_body_that_raises_leaves_no_tracker_behind(found: dict[str, Any]) -> None:
    assert found["Raises"] == {"raised": "broken"}
    assert found["Sorting"]["peak_bytes"] > 0  # memray allows one tracker at a time


def test_places_below_the_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/stage/one", "/stage", str(Path(json.__file__).parents[1])])
    own = ("run", "/stage/one/package/module.py", 3)
    assert memory.place([own]) == "run package/module.py"
    assert memory.place([("f", "/elsewhere/module.py", 3)]) == "f module.py"
    library = ("loads", json.__file__, 10**6)  # no such line: it has no text
    gate = ("count", memory.__file__, 1)
    assert memory.place([library, own, gate]) == "run package/module.py"
    assert memory.place([("<lambda>", "<string>", 1), own]) == "run package/module.py"
    assert memory.place([library, gate, own]) == "loads json/__init__.py"
    assert memory.place([gate, own]) == "the gate itself"


def test_it_says_why_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert memory.unavailable() == "memray is not installed: python -m pip install memray"
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Linux and macOS only" in memory.unavailable()


@needs_memray
def test_identity_names_versions() -> None:
    identity = memory.identity()
    assert identity.startswith(f"{memory.VERSION}; memray ")
    assert sys.version in identity
