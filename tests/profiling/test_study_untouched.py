"""The study runs as it would alone: its variables, its descriptors, what it shows to others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from script_modules import script_module
from test_profiling_refusals import Checked

blanked: Any = script_module("_blanked")
facts: Any = script_module("_facts")
interpreter: Any = script_module("_interpreter")
launch: Any = script_module("_launch")
record: Any = script_module("_record")
selfcheck: Any = script_module("selfcheck")
py_spy: Any = script_module("_py_spy")
study_time: Any = script_module("study_time")
ways: Any = script_module("_ways")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "s3cret"


def test_variables_that_a_shell_drops_reach_the_study(tmp_path: Path) -> None:
    environ = {**os.environ, "my.key": "a b", "other-key": "two\nlines", "PLAIN": "1"}
    prepared = study_time.armed(environ, tmp_path, tmp_path / "no log")
    program = (
        "import os; print([os.environ[n] for n in ('my.key', 'other-key', 'PLAIN')], "
        "'VELOCITY_PROFILE_NAMES' in os.environ)"
    )
    line = ["/bin/sh", "-c", 'exec "$@"', "sh", sys.executable, "-c", program]
    done = subprocess.run(line, env=prepared, capture_output=True, text=True, timeout=60)
    assert done.stdout == "['a b', 'two\\nlines', '1'] False\n", done.stderr


def test_an_ordinary_environment_takes_no_file(tmp_path: Path) -> None:
    assert "VELOCITY_PROFILE_NAMES" not in study_time.armed({"A": "1"}, tmp_path, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_the_copies_of_its_streams_are_closed_in_the_study(tmp_path: Path) -> None:
    program = (
        "import os\n"
        "for fd in (3, 4):\n"
        "    try:\n        os.fstat(fd); print('open', fd)\n"
        "    except OSError:\n        pass\n"
        "print('ran')\n"
    )
    study = [sys.executable, "-S", "-c", program]
    words = ["/bin/sh", str(study_time._SHELL), str(tmp_path), "3", "4", *study]
    line = ["/bin/sh", "-c", 'exec "$@" 3>&1 4>&2 >/dev/null', "sh", *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ran\n", "")
    assert (tmp_path / ".code").read_text() == "0\n"


def test_taken_descriptors_are_said_before_the_study_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("no free file descriptor")

    monkeypatch.setattr(ways, "for_study", lambda job: (ways.own(), ""))
    monkeypatch.setattr(study_time, "_own_streams", fail)
    with pytest.raises(launch.Refusal, match="no free file descriptor"):
        study_time.Time().check(Namespace())


# --- what is shown and stored


@pytest.mark.parametrize(
    "words",
    [
        ["--storage", f"mysql://me:{SECRET}@db/x"],
        [f"--storage=postgresql+psycopg2://me:{SECRET}@db:5432/x"],
        ["--password", SECRET],
        [f"--db-password={SECRET}"],
        ["--api-key", SECRET],
        [f"TOKEN={SECRET}"],
        ["-secret", SECRET],
    ],
)
def test_secrets_are_blanked(words: list[str]) -> None:
    comp = blanked.words(["study.py", *words, "--trials", "100"])
    assert SECRET not in " ".join(comp)
    assert comp[0] == "study.py"
    assert comp[-2:] == ["--trials", "100"]
    assert SECRET not in launch.shell_line(["python", *words])


def test_other_words_stay() -> None:
    plain = ["study.py", "sqlite:///a.db", "http://host/x", "--keys", "3", "x@y", "monkey.py"]
    assert blanked.words(plain) == plain


def test_run_json_holds_no_secret(tmp_path: Path) -> None:
    python = interpreter.Interpreter(sys.executable, "3.11.0", "a test")
    job = launch.Job("study", ["study.py", "--password", SECRET], python, {}, tmp_path, Namespace())
    found = facts.of("study_time", job, launch.Outcome(0), NOW, 0)
    assert found["command"] == [sys.executable, "study.py", "--password", "***"]


def test_command_lines_in_a_file_of_py_spys_are_blanked_in_place(tmp_path: Path) -> None:
    path = tmp_path / "x"
    text = (
        '{"frames": [{"name": "process 7:\\"python s.py --password %s mysql://me:%s@db/x\\""},'
        ' {"name": "f", "file": "/home/me/--password keep.py"}]}'
    )
    path.write_text(text % (SECRET, SECRET), encoding="utf-8")
    blanked.in_file(path)
    assert path.read_text(encoding="utf-8") == text % ("******", "******")
    (tmp_path / "empty").touch()
    blanked.in_file(tmp_path / "empty")


def test_a_recording_is_its_owners_and_no_part_of_a_repository(tmp_path: Path) -> None:
    parent = tmp_path / record.DEFAULT_PARENT
    made = record.Recording.create(parent, "study", NOW).folder
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert (parent / ".gitignore").read_text() == "*\n"
    (parent / ".gitignore").write_text("mine\n")
    record.Recording.create(parent, "study", NOW)
    assert (parent / ".gitignore").read_text() == "mine\n"
    record.Recording.create(tmp_path / "asked for", "study", NOW)
    assert not (tmp_path / "asked for" / ".gitignore").exists()


# --- no tracebacks


def test_a_script_that_cannot_be_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    for name, said in (("x" * 5000, "too long"), (__file__, "No such file")):
        if name == __file__:
            monkeypatch.chdir(gone)
            gone.rmdir()
        assert launch.main(Checked(), ["--python", sys.executable, name]) == launch.BAD_USAGE
        assert said in capsys.readouterr().err


def test_a_py_spy_that_says_no_utf_8_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "py-spy"
    program.write_bytes(b"#!/bin/sh\nprintf 'Error: \\377\\n' >&2\nexit 1\n")
    program.chmod(0o755)
    python = interpreter.Interpreter(sys.executable, "3.11.0", "a test")
    job = launch.Job("study", ["study.py"], python, dict(os.environ), tmp_path, Namespace(rate=100))
    with pytest.raises(launch.Refusal):
        py_spy.try_py_spy(str(program), job)


def test_a_selfcheck_that_cannot_run_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*unused: object) -> None:
        raise RuntimeError("tpe_memory: exit code 4")

    monkeypatch.setattr(selfcheck, "check", fail)
    assert selfcheck.main(["tpe_memory"]) == selfcheck.NO_CHECK
    assert "tpe_memory: exit code 4" in capsys.readouterr().err


# --- how long py-spy looks


def test_a_recording_has_an_end() -> None:
    parser = launch.parser_of(study_time.Time())
    for words, seconds in (([], 3600), (["--rate", "20"], 36_000), (["--most", "30"], 30)):
        assert study_time.most_s(parser.parse_args([*words, "study.py"])) == seconds
    assert "0.2 GB an hour" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("most", ["0", "-1", "1.5", "x"])
def test_no_time_to_look_is_refused(most: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        launch.parser_of(study_time.Time()).parse_args([f"--most={most}", "study.py"])
    assert refused.value.code == launch.BAD_USAGE
    assert "not a whole number of seconds" in capsys.readouterr().err
