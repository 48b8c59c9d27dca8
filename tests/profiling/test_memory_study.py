"""Memory of studies end to end: every worker is seen, a planted leak is found."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import SCRIPTS, script_module

model = script_module("_model")
HERE = Path(__file__).resolve().parent
pytestmark = [
    pytest.mark.end_to_end,
    # It records in the study's own Python, which need not have it: `nox -s end_to_end` does.
    pytest.mark.skipif(
        importlib.util.find_spec("memray") is None, reason="memray is not installed"
    ),
]


def profiled(folder: Path, script: str, *words: str, code: int = 0) -> tuple[Any, Any, str]:
    """(profile, what the study printed, what the profiler said)."""
    line = [sys.executable, str(SCRIPTS / "study_memory.py"), "--python", sys.executable]
    line += ["--output", str(folder), str(HERE / script), *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    (path,) = folder.glob("*/profile.json")
    return model.from_json(path.read_text("utf-8")), json.loads(done.stdout), done.stderr


def assert_all_are_seen(profile: Any, held: dict[str, list[list[int]]]) -> None:
    """Each process under its kind, with at least what it held, blamed on the line that held it."""
    processes = {one.pid: one for one in profile.memory.processes}
    for label, workers in held.items():
        kind = label.split()[0]
        for pid, size in workers:
            one = processes[pid]
            assert (one.kind, one.recorded, one.lost) == (kind, True, ""), label
            assert size <= one.peak_bytes < size + 8_000_000, label
            largest = max(
                (found for found in profile.memory.allocators if found.pid == pid),
                key=lambda found: found.bytes,
            )
            assert largest.bytes >= size, label
            assert "hold" in largest.function or kind == "other", label
            assert any(curve.pid == pid and curve.points for curve in profile.memory.curves)


@pytest.mark.stress
def test_workers_that_a_pool_terminates_are_seen(tmp_path: Path) -> None:
    profile, held, _ = profiled(
        tmp_path, "workers_study.py", "spawn", "forkserver", "fork", "briefly"
    )
    assert sorted(held) == ["fork pool", "forkserver pool", "spawn pool"]
    assert_all_are_seen(profile, held)
    assert any("forked process is charged" in remark for remark in profile.remarks)


@pytest.mark.stress
def test_every_worker_is_seen_however_it_starts_and_ends(tmp_path: Path) -> None:
    words = ["spawn", "forkserver", "fork", "terminate", "other"]
    profile, held, _ = profiled(tmp_path, "workers_study.py", *words)
    assert len(held) == 13
    assert_all_are_seen(profile, held)


@pytest.mark.stress
def test_a_capture_that_was_cut_off_and_one_that_is_missing_are_told(tmp_path: Path) -> None:
    profile, held, said = profiled(tmp_path, "workers_study.py", "cut", "unseen", code=7)
    ((cut, _),), ((unseen, _),) = held["cut"], held["unseen"]
    lost = {one.pid: one.lost for one in profile.memory.processes if not one.recorded}
    assert set(lost) == {cut, unseen}
    assert "cut off" in lost[cut]
    assert "did not load the hook" in lost[unseen]
    assert "the capture of worker processes is lost" in said


def assert_leak(profile: Any, truth: dict[str, int], width: float = 0.2) -> None:
    """The planted line, within 5% of what it really holds (its list's own growth included).

    width: of the interval at most, as a share of the truth.
    """
    found = profile.memory.leak
    per_100 = truth["bytes"] / truth["trials"] * 100
    assert found is not None, profile.memory.leak_absent
    assert (Path(found.file).name, found.line) == ("leaking_study.py", truth["line"])
    assert found.bytes_per_100_trials == pytest.approx(per_100, rel=0.05)
    assert found.low <= found.bytes_per_100_trials <= found.high
    assert found.high - found.low < width * per_100


def test_a_leak_of_small_objects_is_found_in_its_line(tmp_path: Path) -> None:
    profile, truth, _ = profiled(tmp_path, "leaking_study.py", "250", "small")
    assert 390_000 < truth["bytes"] / truth["trials"] * 100 < 450_000
    assert_leak(profile, truth, width=1.0)  # a busy machine makes it wider
    assert len(profile.trials) == 250


@pytest.mark.stress
@pytest.mark.parametrize("words", [("1000",), ("1000", "small")])
def test_leaks_of_every_kind_are_found(tmp_path: Path, words: tuple[str, ...]) -> None:
    profile, truth, _ = profiled(tmp_path, "leaking_study.py", *words)
    assert_leak(profile, truth)


@pytest.mark.stress
def test_a_leak_of_few_fast_trials_is_found(tmp_path: Path) -> None:
    """Between two looks of memray several of them end, so the interval is wider."""
    profile, truth, _ = profiled(tmp_path, "leaking_study.py", "60")
    assert_leak(profile, truth, width=0.5)
