"""Compiled kernels carried over to a new stage: really hit, and never stale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate import callgrind
from benchmarks.gate.compiled import carry_over

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.end_to_end
KERNEL = """
import numba

@numba.njit(cache=True)
def double(x):
    return 2 * x
"""
MIXED = """
import numba
from pkg.helper import step

@numba.njit(cache=True)
def walk(x):
    return x + step(x)
"""
HELPER = """
import numba
from pkg import size

@numba.njit
def step(x):
    return size.SIZE
"""
FILES = {"__init__": "", "kernel": KERNEL, "mixed": MIXED, "helper": HELPER, "size": "SIZE = 10\n"}

RUN = """
import json
from pkg import kernel, mixed
def hits(f): return sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values())
answers = kernel.double(21), mixed.walk(1)
print(json.dumps([*answers, *hits(kernel.double), *hits(mixed.walk)]))
"""

TARGET = """
import json
from benchmarks.gate.worker import Worker
print(json.dumps(Worker(None).compiles_for()))
"""


def write(scratch: Path, digit: str, **changes: str) -> Path:
    """A stage whose name is the digit, 40 times."""
    stage = scratch / (digit * 40)
    (stage / "pkg").mkdir(parents=True)
    for name, text in (FILES | changes).items():
        (stage / "pkg" / f"{name}.py").write_text(text, encoding="utf-8")
    return stage


def run(stage: Path, *prefix: str, script: str = RUN, **environment: str) -> Any:
    """Answers of `double` and `walk`, then hits and misses of each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(stage), str(ROOT)]), "PYTHONSAFEPATH": "1"}
    command = [*prefix, sys.executable, "-c", script]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_hit_in_the_next_stage_and_never_stale(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    first = write(tmp_path, "a")
    assert run(first) == [42, 11, 0, 1, 0, 1]
    same = write(tmp_path, "b")
    assert carry_over(tmp_path, same) == 4  # an index and a kernel, twice
    assert run(same) == [42, 11, 1, 0, 1, 0]
    other = write(tmp_path, "c", kernel=KERNEL.replace("2 *", "3 *"), size="SIZE = 20\n")
    assert carry_over(tmp_path, other) == 0
    assert run(other) == [63, 21, 0, 1, 0, 1]


def test_kernels_compiled_ahead_are_hit_under_valgrind(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    if callgrind.unavailable():
        pytest.skip(callgrind.unavailable())
    stage, valgrind = write(tmp_path, "a"), callgrind.prefix(tmp_path / "log")
    target = run(stage, *valgrind, script=TARGET)
    assert run(stage, **target) == [42, 11, 0, 1, 0, 1]
    assert run(stage, *valgrind) == [42, 11, 1, 0, 1, 0]
    assert run(stage) == [42, 11, 0, 1, 0, 1]  # the real processor's are others


def cache(stage: Path, *names: str) -> None:
    """Files as numba would name them."""
    folder = stage / "pkg" / "__pycache__"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(stage.name.encode() + name.encode())


def cached(stage: Path) -> set[str]:
    return {file.name for file in (stage / "pkg").glob("__pycache__/*")}


DOUBLE = ("kernel.double-4.py311.nbi", "kernel.double-4.py311.1.nbc")
WALK = ("mixed.walk-5.py311.nbi", "mixed.walk-5.py311.1.nbc")


@pytest.mark.parametrize(
    ("changes", "carried"),
    [
        ({}, {*DOUBLE, *WALK}),
        ({"kernel": KERNEL + "\n"}, {*WALK}),
        ({"mixed": MIXED + "\n"}, {*DOUBLE}),
        ({"helper": HELPER + "\n"}, {*DOUBLE}),
        ({"size": "SIZE = 20\n"}, {*DOUBLE}),  # two imports away
    ],
)
def test_only_what_reads_no_changed_file(
    tmp_path: Path, changes: dict[str, str], carried: set[str]
) -> None:
    cache(write(tmp_path, "a"), *DOUBLE, *WALK)
    stage = write(tmp_path, "b", **changes)
    assert carry_over(tmp_path, stage) == len(carried)
    assert cached(stage) == carried


def test_the_source_gets_the_time_that_older_numba_compares(tmp_path: Path) -> None:
    first = write(tmp_path, "a")
    cache(first, *DOUBLE)
    os.utime(first / "pkg" / "kernel.py", ns=(1_000_000_007, 1_000_000_007))
    stage = write(tmp_path, "b")
    carry_over(tmp_path, stage)
    assert (stage / "pkg" / "kernel.py").stat().st_mtime_ns == 1_000_000_007


def test_the_stage_with_most_caches_serves(tmp_path: Path) -> None:
    cache(write(tmp_path, "a"), *DOUBLE)
    cache(write(tmp_path, "b"), *DOUBLE, "kernel.double-4.py311.2.nbc")  # two processors
    cache(write(tmp_path, "c"), *DOUBLE)
    stage = write(tmp_path, "d")
    assert carry_over(tmp_path, stage) == 3
    content = (stage / "pkg" / "__pycache__" / DOUBLE[0]).read_bytes()
    assert content.startswith(b"b" * 40)


def test_only_finished_stages_serve(tmp_path: Path) -> None:
    for name in ("unfinished-1", "A" * 40, "a" * 39):
        (write(tmp_path, "a")).rename(tmp_path / name)
        cache(tmp_path / name, *DOUBLE)
    (tmp_path / ("e" * 40)).symlink_to(tmp_path / "unfinished-1")
    stage = write(tmp_path, "b")
    assert carry_over(tmp_path, stage) == 0
    assert cached(stage) == set()
    cache(stage, *DOUBLE)
    assert carry_over(tmp_path, stage) == 0  # nor does it serve itself


def test_without_a_package_every_file_counts(tmp_path: Path) -> None:
    cache(write(tmp_path, "a"), *DOUBLE)
    (tmp_path / ("a" * 40) / "pkg" / "__init__.py").unlink()
    for digit, size, carried in (("b", "SIZE = 10\n", 2), ("c", "SIZE = 20\n", 0)):
        stage = write(tmp_path, digit, size=size)
        (stage / "pkg" / "__init__.py").unlink()
        assert carry_over(tmp_path, stage) == carried


def test_a_linked_source_is_left_alone(tmp_path: Path) -> None:
    first = write(tmp_path, "a")
    cache(first, *DOUBLE)
    stage = write(tmp_path, "b")
    (stage / "pkg" / "kernel.py").unlink()
    (stage / "pkg" / "kernel.py").symlink_to(first / "pkg" / "kernel.py")
    assert carry_over(tmp_path, stage) == 0
