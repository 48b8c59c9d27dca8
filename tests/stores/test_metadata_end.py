"""Metadata when the process ends: exits, signals, kill -9, forks; each in a process of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import optimizer
from optimizer.reference.records import read_json
from optimizer.stores.metadata import MetadataTable

ROOT = Path(optimizer.__file__).parents[1]
FULL_SIZE = pytest.mark.stress

PRELUDE = """
import os, signal, sys, threading, time
from optimizer.stores import metadata_batch
from optimizer.stores.metadata import MetadataFile, MetadataTable
path = sys.argv[1]
if path.endswith(".db"):
    open_it = lambda **more: MetadataTable(path, **more)
else:
    open_it = lambda **more: MetadataFile(path, **more)
"""
FORMS = pytest.mark.parametrize("name", ["study.json", "study.db"])


def start(script: str, path: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(path), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(script: str, path: Path, code: int = 0) -> str:
    process = start(script, path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out + err


def values_of(path: Path) -> Any:
    if path.suffix == ".json":
        return read_json(path) if path.exists() else {}
    with MetadataTable(path) as table:
        return table.all()


@FORMS
@pytest.mark.parametrize(
    "end", ["pass", "sys.exit(0)", "metadata = None; import gc; gc.collect()", "sys.exit()"]
)
def test_an_exit_writes_what_waits(tmp_path: Path, name: str, end: str) -> None:
    run(f"metadata = open_it()\nmetadata.set('a', 1)\n{end}", tmp_path / name)
    assert values_of(tmp_path / name) == {"a": 1}


@FORMS
def test_an_error_that_ends_the_process_writes_too(tmp_path: Path, name: str) -> None:
    said = run("m = open_it()\nm.set('a', 1)\nraise KeyError('x')", tmp_path / name, code=1)
    assert "KeyError" in said
    assert values_of(tmp_path / name) == {"a": 1}


@FORMS
def test_sigterm_writes_and_ends_as_it_would_have(tmp_path: Path, name: str) -> None:
    script = "m = open_it()\nm.set('a', 1)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)"
    assert run(script, tmp_path / name, code=-signal.SIGTERM) == ""
    assert values_of(tmp_path / name) == {"a": 1}


@FORMS
@pytest.mark.parametrize(
    ("handler", "code", "out"),
    [
        ("lambda *_: (print('mine', flush=True), sys.exit(7))", 7, "mine\n"),
        ("lambda *_: print('mine', flush=True)", 0, "mine\nwent on\n"),
        ("signal.SIG_IGN", 0, "went on\n"),
    ],
)
def test_sigterm_is_passed_on(tmp_path: Path, name: str, handler: str, code: int, out: str) -> None:
    script = f"""
signal.signal(signal.SIGTERM, {handler})
metadata = open_it()
metadata.set("a", 1)
os.kill(os.getpid(), signal.SIGTERM)
print("went on")
metadata_batch._unwritten.clear()  # the end must have nothing left to do
"""
    assert run(script, tmp_path / name, code=code) == out
    assert values_of(tmp_path / name) == {"a": 1}


@FORMS
def test_made_in_another_thread_it_leaves_signals_alone(tmp_path: Path, name: str) -> None:
    script = """
def work():
    global metadata
    metadata = open_it()
    metadata.set("a", 1)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
"""
    run(script, tmp_path / name)
    assert values_of(tmp_path / name) == {"a": 1}


@FORMS
def test_a_signal_in_the_middle_of_a_call_waits_for_its_end(tmp_path: Path, name: str) -> None:
    script = """
class InTheMiddle:
    def __init__(self, target):
        self.target = target
    def update(self, values):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)  # the handler ran
        print("wrote", flush=True)
        self.target.update(values)
metadata = open_it(max_updates=2)
metadata._batch._target = InTheMiddle(metadata._target)
metadata.set("a", 1)
metadata.set("b", 2)
print("went on")
"""
    assert run(script, tmp_path / name, code=-signal.SIGTERM) == "wrote\n"
    assert values_of(tmp_path / name) == {"a": 1, "b": 2}


def test_signals_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    """Dozens of signals that go on, between and inside of updates by two threads."""
    script = """
signal.signal(signal.SIGTERM, lambda *_: None)
metadata = open_it(max_updates=5, max_age_s=0.005)
def send():
    for _ in range(40):
        time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)
sender = threading.Thread(target=send)
other = threading.Thread(target=lambda: [metadata.set(f"t{i}", i) for i in range(300)])
sender.start()
other.start()
i = 0
while sender.is_alive() or other.is_alive():
    metadata.set("n", i)
    i += 1
metadata.close()
print(i)
"""
    out = run(script, tmp_path / "study.json")
    found = values_of(tmp_path / "study.json")
    assert found == {**{f"t{i}": i for i in range(300)}, "n": int(out) - 1}


def test_a_lock_of_what_was_interrupted_does_not_lose_it(tmp_path: Path) -> None:
    """The signal comes while the main thread holds the write lock of the same file."""
    script = """
from optimizer.stores._connection import Database
metadata = open_it(timeout_s=0.1)
metadata.set("a", 1)
with Database(path).transaction() as raw:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    said = run(script, tmp_path / "study.db", code=143)
    assert "could not be written at a signal" in said
    assert values_of(tmp_path / "study.db") == {"a": 1}


def test_what_cannot_be_written_at_the_end_is_told(tmp_path: Path) -> None:
    script = """
metadata = open_it()
metadata.set("a", 1)
os.mkdir(path)
"""
    said = run(script, tmp_path / "study.json")
    assert "optimizer: metadata was lost at exit" in said


@FORMS
def test_a_fork_writes_once(tmp_path: Path, name: str) -> None:
    script = """
import warnings
warnings.simplefilter("ignore")  # of a fork while there are threads
metadata = open_it(max_updates=1000, max_age_s=1000)
metadata.set("a", 1)
child = os.fork()
if child == 0:
    assert not metadata_batch._unwritten and not metadata._batch.waiting
    metadata.flush()
    assert metadata.get("a") is None
    if path.endswith(".db"):
        metadata.set("child", 1)
        metadata.flush()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert metadata.get("a") == 1
"""
    run(script, tmp_path / name)
    child = {"child": 1} if name.endswith(".db") else {}
    assert values_of(tmp_path / name) == {"a": 1, **child}


VICTIM = """
metadata = open_it(max_updates=10, max_age_s=0.02)
begin = int(sys.argv[2])
for number in range(begin, begin + 10_000_000):
    metadata.update({"n": number, "square": number * number, "text": "x" * (number % 3000)})
    if number % 10 == 0:
        metadata.flush()
        sys.stdout.write(f"{number}\\n")  # acknowledged
        sys.stdout.flush()
"""


@FORMS
@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=FULL_SIZE)])
def test_a_kill_leaves_a_whole_batch_and_all_that_was_flushed(
    tmp_path: Path, name: str, kills: int
) -> None:
    path, rng, begin = tmp_path / name, random.Random(kills), 0
    for _ in range(kills):
        victim = start(VICTIM, path, begin)
        assert victim.stdout is not None
        assert victim.stderr is not None
        first = victim.stdout.readline()
        assert first, victim.stderr.read()
        time.sleep(rng.uniform(0, 0.1))
        victim.kill()
        rest, _ = victim.communicate()
        acknowledged = int((first + rest).split("\n")[-2])  # the last line may be cut off
        found = values_of(path)
        assert found["n"] >= acknowledged
        assert found["square"] == found["n"] ** 2  # of one batch
        assert found["text"] == "x" * (found["n"] % 3000)
        begin = found["n"] + 1
    left = [file.name for file in tmp_path.iterdir() if file.suffix == ".tmp"]
    assert len(left) <= kills  # what a kill interrupted, and nothing reads
    assert all(part.startswith(f".{name}.") for part in left)


def test_what_a_kill_left_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / ".study.json.17-ab.tmp").write_text('{"half')
    run("metadata = open_it()\nmetadata.set('a', 1)", tmp_path / "study.json")
    assert json.loads((tmp_path / "study.json").read_text()) == {"a": 1}
