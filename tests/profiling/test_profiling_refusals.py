"""What the profilers refuse before a study starts, and what stops them not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from script_modules import SCRIPTS, script_module

launch: Any = script_module("_launch")
interpreter: Any = script_module("_interpreter")
study_time: Any = script_module("study_time")
ways: Any = script_module("_ways")


class Checked(study_time.Time):  # type: ignore[misc]  # scripts have no types here
    """A profiler whose tool is always there and that must never come to record."""

    def check(self, job: Any) -> str:
        return "checked"

    def record(self, job: Any, recording: Any) -> Any:
        raise AssertionError("the study was started")


def test_a_package_of_the_same_name_in_the_standard_library_is_found(tmp_path: Path) -> None:
    """As in Python 3.15, whose cProfile imports its package `profiling`."""
    package = tmp_path / "lib" / "profiling"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("WHOSE = 'of the library'\n", encoding="utf-8")
    path = os.pathsep.join([str(SCRIPTS.parent), str(package.parent)])  # this repository first
    environ = {**os.environ, "PYTHONPATH": path}
    for words, said in (
        (["-c", "import cProfile, profiling; print(profiling.WHOSE)"], "of the library"),
        ([str(SCRIPTS / "study_time.py"), "--help"], "exit codes:"),
    ):
        line = [sys.executable, *words]
        done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"x = 1\nprint 'no'\n", "line 2: "), (b"\0\1\2", "null byte"), (b"x = '\xff'\n", "utf-8")],
)
def test_a_file_that_is_no_script_is_refused(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "notes.txt"
    script.write_bytes(content)
    assert launch.main(Checked(), ["--python", sys.executable, str(script)]) == launch.BAD_USAGE
    err = capsys.readouterr().err
    assert f"{script} is not a script of Python 3" in err
    assert message in err


def test_archives_compiled_code_and_pipes_are_left_to_the_interpreter(tmp_path: Path) -> None:
    archive, compiled, pipe = tmp_path / "a.pyz", tmp_path / "b.pyc", tmp_path / "c"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("__main__.py", "x = 1\n")
    compiled.write_bytes(b"\0\1")
    os.mkfifo(pipe)  # to read it would wait for ever
    for script in (archive, compiled, pipe):
        assert interpreter.why_no_script(sys.executable, script, os.environ) == ""


def test_a_reader_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); import _launch\n"
        "for _ in range(3): _launch.say('x' * 100)\n"
        "open(sys.argv[2], 'w').close()\n"
    )
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-c", program, str(SCRIPTS), str(tmp_path / "whole")]
    try:
        done = subprocess.run(line, stdout=write, stderr=write, timeout=60)
    finally:
        os.close(write)
    assert done.returncode == 0
    assert (tmp_path / "whole").exists()


PAUSED = {"samples": 320, "missed": 7}


def test_how_the_samples_were_taken_is_said() -> None:
    known = {
        **PAUSED,
        "cpu_ratio": 0.031,
        "rate_hz": 200,
        "lowered_to_hz": 50.0,
        "unread": [[7, "Python 3.10.2"]],
    }
    said = ways.remarks(ways.own(), known)
    assert "3.1% of one processor" in said[0]
    assert "7 of 327 looks at a thread could not be read; what was seen before" in said[0]
    assert "down to 50 samples a second were taken instead of 200" in said[1]
    assert "process 7 could not be read and its time is missing (Python 3.10.2)" in said[2]
    busy = ways.remarks(ways.own(), {**PAUSED, "rate_hz": 200, "late_ratio": 0.05})
    assert "the machine was busy: 5.0% of the samples came late" in busy[1]
    (paused,) = ways.remarks(ways.by_py_spy("py-spy", "py-spy 0.4"), PAUSED)
    assert "paused the study" in paused
