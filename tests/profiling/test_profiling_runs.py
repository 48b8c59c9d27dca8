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

SCRIPTS = Path(__file__).resolve().parents[2] / "profiling"
needs_py_spy = pytest.mark.skipif(
    shutil.which("py-spy", path=str(Path(sys.executable).parent)) is None
    and shutil.which("py-spy") is None,
    reason="py-spy is not installed",
)
needs_memray = pytest.mark.skipif(
    importlib.util.find_spec("memray") is None, reason="memray is not installed"
)
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
PROFILERS = [
    pytest.param("study_time", marks=needs_py_spy),
    pytest.param("study_memory", marks=needs_memray),
]
PRODUCTS = {"study_time": "flamegraph.svg", "study_memory": "memory.html"}

STUDY = """
import multiprocessing, os, pickle, signal, sys, time

class OfMain: pass

def spin_in_the_study(seconds):
    kept, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        kept = [bytes(1000) for _ in range(1000)]
    return kept

def spin_in_a_worker(seconds):
    return len(spin_in_the_study(seconds))

if __name__ == "__main__":
    print(sys.argv[1:], os.path.basename(sys.path[0]), flush=True)
    assert type(pickle.loads(pickle.dumps(OfMain()))) is OfMain
    spin_in_the_study(1.5)  # on a busy machine py-spy needs a while to find its study
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


def product(profiler: str, study: Path, err: str) -> str:
    """The text of the one profile that was made; checks what lies around it."""
    (folder,) = (study.parent / ".profiles").iterdir()
    assert re.fullmatch(r"a_stüdy-\d{8}T\d{6}Z", folder.name)
    path = folder / PRODUCTS[profiler]
    assert err.splitlines()[-1] == f"profile: {path}"
    raw = {"memory.bin"} if profiler == "study_memory" else set()
    assert {entry.name for entry in folder.iterdir()} == {path.name, "run.json"} | raw
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
    picture = product("study_time", study, done.stderr)
    assert picture.rstrip().endswith("</svg>")
    assert "spin_in_the_study" in picture
    assert "spin_in_a_worker" in picture
    known = facts(study)
    assert known["command"][1:] == [str(study), "workers", "--rate", "--"]
    assert (known["study_exit_code"], known["exit_code"], known["rate_hz"]) == (0, 0, 100)
    assert known["samples"] > 10


@needs_memray
def test_memory_of_a_study(study: Path) -> None:
    done = profile("study_memory", study, "workers", "--")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['workers', '--'] my stüdies", "[1000] from stdin"]
    assert "not its worker processes" in done.stderr
    page = product("study_memory", study, done.stderr)
    assert "spin_in_the_study" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=[\"']?https?://[^>]+\.(js|css)", page)


@pytest.mark.parametrize(
    ("profiler", "manner", "code"),
    [
        pytest.param("study_time", "exit", 7, marks=needs_py_spy),
        pytest.param("study_time", "kill", 137, marks=needs_py_spy),
        pytest.param("study_memory", "exit", 7, marks=needs_memray),
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


@needs_proc
def test_a_study_does_not_run_on_when_py_spy_gives_up(study: Path, tmp_path: Path) -> None:
    study.write_text(
        "import os, time\n"
        "open('part', 'w').write(str(os.getpid())); os.rename('part', 'pid')\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    giving_up = tmp_path / "py-spy"
    giving_up.write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift\n"$@" &\n'
        "while [ ! -e pid ]; do sleep 0.05; done\necho 'Error: enough' >&2\nexit 1\n"
    )
    giving_up.chmod(0o755)
    driver = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _launch, study_time\n"
        "study_time.find_py_spy = lambda *_: sys.argv[2]\n"
        "study_time.try_py_spy = lambda *_: 'a py-spy'\n"
        "sys.exit(_launch.main(study_time.Time(), sys.argv[3:]))\n"
    )
    line = [sys.executable, "-c", driver, str(SCRIPTS), str(giving_up), str(study)]
    done = subprocess.run(line, cwd=study.parent, capture_output=True, text=True, timeout=50)
    assert done.returncode == 5
    assert "py-spy failed: Error: enough" in done.stderr
    assert not _runs(int((study.parent / "pid").read_text()))


def _runs(pid: int) -> bool:
    """Whether a process is still alive a moment after its end was ordered."""
    for _ in range(50):
        try:
            state = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
            )
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


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
