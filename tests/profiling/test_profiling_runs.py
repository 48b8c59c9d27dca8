"""The profilers as a user runs them, on small studies."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.end_to_end
SCRIPTS = Path(__file__).resolve().parents[2] / "profiling"
needs_py_spy = pytest.mark.skipif(
    shutil.which("py-spy", path=str(Path(sys.executable).parent)) is None
    and shutil.which("py-spy") is None,
    reason="py-spy is not installed",
)
needs_memray = pytest.mark.skipif(
    importlib.util.find_spec("memray") is None, reason="memray is not installed"
)
PROFILERS = [
    pytest.param("study_time", marks=[needs_py_spy, pytest.mark.stress]),
    pytest.param("study_memory", marks=needs_memray),
]
PAGE = "report.html"
BESIDE = {
    "study_time": {"profile.json", "run.json", "speedscope.json", "samples.speedscope.json"},
    "study_memory": {"profile.json", "run.json", "memory.bin"},
}

STUDY = """
import hashlib, multiprocessing, os, pickle, signal, sys, time

class OfMain: pass

BLOCK = bytes(2_000_000)

def spin_in_the_study(seconds):
    kept, end = [bytes(1000) for _ in range(1000)], time.monotonic() + seconds
    while time.monotonic() < end:
        hashlib.sha256(BLOCK).digest()
    return kept

def spin_in_a_worker(seconds):
    return len(spin_in_the_study(seconds))

if __name__ == "__main__":
    print(sys.argv[1:], os.path.basename(sys.path[0]), flush=True)
    assert type(pickle.loads(pickle.dumps(OfMain()))) is OfMain
    spin_in_the_study(0.4)
    if "workers" in sys.argv:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.map(spin_in_a_worker, [0.5]), sys.stdin.read(), flush=True)
    if "exit" in sys.argv:
        sys.exit(7)
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    if "raise" in sys.argv:
        raise ValueError("as planned")
    if "wait" in sys.argv:
        try:
            print("waiting", flush=True)
            time.sleep(60)
        finally:
            time.sleep(0.2)
            print("cleaned up", flush=True)
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "my stüdies"
    folder.mkdir()
    script = folder / "a stüdy.py"
    script.write_text(STUDY, encoding="utf-8")
    return script


def command(profiler: str, *words: str, python: str = sys.executable) -> list[str]:
    return [sys.executable, str(SCRIPTS / f"{profiler}.py"), "--python", python, *words]


def profile(
    profiler: str, study: Path, *words: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    line = command(profiler, str(study), *words, **options)
    return subprocess.run(
        line, cwd=study.parent, input="from stdin", capture_output=True, text=True, timeout=60
    )


def profile_with(
    profiler: str, options: list[str], study: Path
) -> subprocess.CompletedProcess[str]:
    line = [*command(profiler, *options), str(study)]
    return subprocess.run(line, cwd=study.parent, capture_output=True, text=True, timeout=60)


def product(profiler: str, study: Path, err: str) -> str:
    """The text of the one profile that was made; checks what lies around it."""
    (folder,) = (study.parent / ".profiles").glob("a_*")
    assert re.fullmatch(r"a_stüdy-\d{8}T\d{6}Z", folder.name)
    path = folder / PAGE
    assert err.splitlines()[-1] == f"profile: {path}"
    names = {entry.name for entry in folder.iterdir()}
    workers = {name for name in names if re.fullmatch(r"memory-\w+-\d+\.bin", name)}
    assert names - workers == {path.name} | BESIDE[profiler]
    return path.read_text(encoding="utf-8")


def facts(study: Path) -> dict[str, Any]:
    (path,) = (study.parent / ".profiles").glob("*/run.json")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@needs_py_spy
def test_time_of_a_study_and_its_workers(study: Path) -> None:
    done = profile("study_time", study, "workers", "--rate", "--")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['workers', '--rate', '--'] my stüdies",
        "[1000] from stdin",
    ]
    assert done.stderr.splitlines()[0].startswith(f"interpreter: {sys.executable} (Python ")
    assert "py-spy>" not in done.stdout + done.stderr
    page = product("study_time", study, done.stderr)
    assert "spin_in_the_study" in page
    assert "spin_in_a_worker" in page
    known = facts(study)
    assert known["command"][1:] == [str(study), "workers", "--rate", "--"]
    assert (known["study_exit_code"], known["exit_code"], known["rate_hz"]) == (0, 0, 200)
    assert known["samples"] > 10
    assert ("beside_processors" in known) == Path("/proc/self/stat").exists()
    (path,) = (study.parent / ".profiles").glob("*/profile.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["trials_absent"] == "no trial of Optuna began"
    assert len({lane["pid"] for lane in found["lanes"]}) == 2
    assert "objective" in [phase["name"] for phase in found["phases"][:2]]
    assert "_witness.py" not in page  # what is sampled beside the study is no part of it


@needs_py_spy
@pytest.mark.stress
def test_trials_of_a_study_and_its_forked_workers(tmp_path: Path) -> None:
    marked = Path(__file__).with_name("marked_study.py")
    line = [*command("study_time", "--output", str(tmp_path)), str(marked), "fork"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 7), done.stderr  # workers this short may be missed, and are told
    (path,) = tmp_path.glob("*/profile.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["trials_absent"] == ""
    main, *workers = (int(word) for word in done.stdout.split())
    states = [trial["state"] for trial in found["trials"] if trial["pid"] == main]
    assert states == ["complete", "pruned", "fail", "complete"]
    assert {trial["pid"] for trial in found["trials"]} == {main, *workers}
    sampled = {lane["pid"] for lane in found["lanes"]}
    lost = [pid for pid in workers if any(str(pid) in remark for remark in found["remarks"])]
    assert main in sampled
    assert (done.returncode == 7) == bool(lost)


@needs_memray
def test_memory_of_a_study(study: Path) -> None:
    done = profile("study_memory", study, "workers", "--")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['workers', '--'] my stüdies", "[1000] from stdin"]
    assert "spin_in_the_study" in product("study_memory", study, done.stderr)
    (worker,) = (study.parent / ".profiles").glob("*/memory-spawn-*.bin")
    assert worker.stat().st_size > 0


@needs_memray
@pytest.mark.stress
def test_memrays_own_page_is_drawn_when_asked_for_and_needs_no_network(study: Path) -> None:
    done = profile_with("study_memory", ["--memray-page"], study)
    assert done.returncode == 0, done.stderr
    (path,) = (study.parent / ".profiles").glob("*/memory.html")
    page = path.read_text(encoding="utf-8")
    assert "spin_in_the_study" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=[\"']?https?://[^>]+\.(js|css)", page)


@pytest.mark.parametrize(
    ("profiler", "manner", "code"),
    [
        pytest.param("study_time", "exit", 7, marks=[needs_py_spy, pytest.mark.stress]),
        pytest.param("study_time", "kill", 137, marks=[needs_py_spy, pytest.mark.stress]),
        pytest.param("study_memory", "exit", 7, marks=needs_memray),
        pytest.param("study_memory", "kill", 137, marks=[needs_memray, pytest.mark.stress]),
    ],
)
def test_a_failing_study_keeps_its_profile(
    profiler: str, manner: str, code: int, study: Path
) -> None:
    done = profile(profiler, study, manner)
    assert done.returncode == 3
    assert f"failed with exit code {code}" in done.stderr
    assert "spin_in_the_study" in product(profiler, study, done.stderr)
    assert facts(study)["study_exit_code"] == code


@needs_py_spy
@pytest.mark.stress
def test_the_studys_own_traceback_is_untouched(study: Path) -> None:
    alone = subprocess.run(
        [sys.executable, str(study), "raise"], input="", capture_output=True, text=True
    )
    done = profile("study_time", study, "raise")
    assert done.returncode == 3
    assert alone.stderr.startswith("Traceback")
    assert alone.stderr in done.stderr


@pytest.mark.parametrize("profiler", PROFILERS)
def test_ctrl_c_ends_the_study_and_keeps_the_profile(profiler: str, study: Path) -> None:
    running = subprocess.Popen(
        command(profiler, str(study), "wait"),
        cwd=study.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)][1] == "waiting\n"
        time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == "cleaned up\n"
    assert "interrupted" in err
    assert "spin_in_the_study" in product(profiler, study, err)


def test_a_missing_memray_is_said_before_the_study_starts(study: Path) -> None:
    bare = study.parent / "bare python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    done = profile("study_memory", study, python=str(bare))
    assert done.returncode == 4
    assert done.stderr.endswith(f"  {sys.executable} -m pip install memray\n")
    assert done.stdout == ""
    assert not (study.parent / ".profiles").exists()


@pytest.mark.parametrize("profiler", ["study_time", "study_memory"])
def test_help_shows_an_example(profiler: str) -> None:
    line = [sys.executable, str(SCRIPTS / f"{profiler}.py"), "--help"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert f"python profiling/{profiler}.py study.py --trials 100" in text
    assert "exit codes:" in text
