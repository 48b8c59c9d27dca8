"""The parts of the profilers that need no study: options, interpreters, folders, messages."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
import threading
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looking import until
from script_modules import ROOT, SCRIPTS, script_module

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


launch = script_module("_launch")
interpreter = script_module("_interpreter")
record = script_module("_record")
study_time = script_module("study_time")
py_spy = script_module("_py_spy")
ways = script_module("_ways")
study_end = script_module("_study_end")
study_memory = script_module("study_memory")


def executable(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_python(folder: Path, name: str = "python3") -> str:
    return str(executable(folder / name, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'))


def job_of(*words: str, profiler: Any = None) -> Any:
    profiler = profiler or study_time.Time()
    return launch.job_of(launch.parser_of(profiler).parse_args(list(words)), profiler)


# --- a package named `profiling` is coming to the standard library


def test_the_folder_is_no_package() -> None:
    assert not (SCRIPTS / "__init__.py").exists()
    importing = re.compile(r"^\s*(import profiling|from profiling[. ])", re.MULTILINE)
    sources = [*ROOT.glob("optimizer/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    assert [
        path for path in [*sources, *SCRIPTS.glob("*.py")] if importing.search(path.read_text())
    ] == []


# --- which interpreter


def test_the_active_environment_wins_over_path(tmp_path: Path) -> None:
    active, other = tmp_path / "active", tmp_path / "other"
    expected = fake_python(active / "bin", "python")
    fake_python(other)
    environ = {"VIRTUAL_ENV": str(active), "PATH": str(other)}
    path, origin = interpreter.choose(environ, sys.prefix)
    assert path == expected
    assert "VIRTUAL_ENV" in origin


@pytest.mark.parametrize("name", ["python3", "python"])
def test_without_one_it_is_the_python_on_path(tmp_path: Path, name: str) -> None:
    expected = fake_python(tmp_path, name)
    path, origin = interpreter.choose({"PATH": str(tmp_path)}, sys.prefix)
    assert path == expected
    assert origin == f"{name} on PATH"


def nox_environ(session: Path, rest: Path) -> dict[str, str]:
    return {
        "NOX_CURRENT_SESSION": "profile",
        "VIRTUAL_ENV": str(session),
        "PATH": f"{session / 'bin'}:{rest}",
        "LANG": "C",
    }


def test_under_nox_the_session_is_not_the_callers_environment(tmp_path: Path) -> None:
    session, rest = tmp_path / "session", tmp_path / "rest"
    fake_python(session / "bin", "python")
    expected = fake_python(rest)
    environ = nox_environ(session, rest)
    assert interpreter.choose(environ, str(session))[0] == expected
    cleaned = interpreter.callers_environ(environ, str(session))
    assert cleaned == {"NOX_CURRENT_SESSION": "profile", "PATH": str(rest), "LANG": "C"}


def test_outside_nox_an_own_environment_is_a_callers_choice(tmp_path: Path) -> None:
    environ = nox_environ(tmp_path / "own", tmp_path / "rest")
    del environ["NOX_CURRENT_SESSION"]
    assert interpreter.callers_environ(environ, str(tmp_path / "own")) == environ


@pytest.mark.parametrize("environ", [{"PATH": "/nowhere"}, {"VIRTUAL_ENV": "/nowhere", "PATH": ""}])
def test_no_interpreter_is_said(environ: dict[str, str]) -> None:
    with pytest.raises(interpreter.InterpreterError, match=r"--python|environment"):
        interpreter.choose(environ, sys.prefix)


def test_a_launcher_in_front_is_seen_through(tmp_path: Path) -> None:
    launcher = fake_python(tmp_path)
    found = interpreter.probe(launcher, "a test", {}, "no_such_package_anywhere")
    assert Path(found.path) == Path(sys.executable)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.package_version is None
    assert interpreter.probe(launcher, "a test", {}, "pytest").package_version == pytest.__version__


def test_a_program_that_is_no_python_is_said(tmp_path: Path) -> None:
    program = executable(tmp_path / "python", "#!/bin/sh\necho hello\n")
    with pytest.raises(interpreter.InterpreterError, match="does not answer as a Python 3"):
        interpreter.probe(str(program), "a test", {})


# --- the command line


def test_everything_after_the_script_is_the_studys(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.touch()
    words = [str(script), "--rate", "7", "--", "-x", "--help", "--", "y"]
    job = job_of("--rate", "50", "--python", sys.executable, *words)
    assert job.options.rate == 50
    assert job.words == words
    assert job.command == [job.python.path, *words]
    assert job.name == "study"
    assert job_of("--python", sys.executable, "--", *words).words == words


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("profiler", [study_time.Time, study_memory.Memory])
def test_a_hot_path_is_driven_from_the_repository(profiler: Any, side: str) -> None:
    job = job_of("--hot-path", "stores.AddBatch", side, profiler=profiler())
    driven = ["-m", "benchmarks", "drive", "stores.AddBatch", side, "--seconds", "5"]
    assert job.words == driven
    assert job.folder == ROOT
    assert Path(job.python.path) == Path(sys.executable)
    assert record.folder_name(job.name) == f"stores.AddBatch-{side}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which script"),
        (["no such study.py"], "there is no script no such study.py"),
        (["/"], "is a folder"),
        (["--hot-path", "a.B", "sideways"], "either before or after"),
        (["--hot-path", "a.B", "after", "study.py"], "takes no study.py"),
        (["--hot-path", "a.B", "after", "--python", "x"], "takes no --python"),
        (["--hot-path", "a.B", "after"], "no hot path is called a.B"),
        (["--python", "/no/python", __file__], "--python /no/python: there is no such program"),
        (["--output", f"{__file__}/x", "--python", sys.executable, __file__], "cannot write to"),
    ],
)
def test_bad_usage_is_one_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main(Checked(), words) == launch.BAD_USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("rate", ["0", "1001", "-1", "1.5", "fast", "²"])
def test_a_rate_out_of_range_is_refused(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        launch.main(study_time.Time(), [f"--rate={rate}", __file__])
    assert refused.value.code == launch.BAD_USAGE
    assert "is not a whole number from 1 to 1000" in capsys.readouterr().err


class Checked(study_time.Time):  # type: ignore[misc, name-defined]  # scripts have no types here
    """A profiler whose tool is always there and that must never come to record."""

    def check(self, job: Any) -> str:
        return "checked"

    def record(self, job: Any, recording: Any) -> Any:
        raise AssertionError("the study was started")


# --- folders and files


def test_a_second_recording_in_the_same_second_gets_its_own_folder(tmp_path: Path) -> None:
    made = [record.Recording.create(tmp_path / "x", "study", NOW).folder for _ in range(3)]
    stem = "study-20260102T030405Z"
    assert [folder.name for folder in made] == [stem, f"{stem}-2", f"{stem}-3"]


@given(st.text(st.characters(), min_size=0, max_size=200))
def test_any_name_becomes_a_safe_folder_name(name: str) -> None:
    comp = record.folder_name(name)
    assert re.fullmatch(r"\w[\w.-]*", comp)
    assert len(comp.encode("utf-8")) <= 60
    assert record.folder_name(comp) == comp


def test_drafts_become_files_or_vanish(tmp_path: Path) -> None:
    recording = record.Recording.create(tmp_path, "study", NOW)
    recording.draft("whole.txt").write_text("whole", encoding="utf-8")
    recording.draft("torn.txt").write_text("to", encoding="utf-8")
    recording.keep("whole.txt")
    recording.write_json("run.json", {"command": ["stüdy\udcff.py"]})
    recording.sweep()
    assert sorted(path.name for path in recording.folder.iterdir()) == ["run.json", "whole.txt"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"study_code": 0, "product": Path("x")}, 0),
        ({"study_code": 0}, 5),
        ({"study_code": 7, "product": Path("x")}, 3),
        ({"study_code": 7}, 3),
        ({"study_code": None, "product": Path("x")}, 5),
        ({"study_code": 0, "profile": object()}, 0),
        ({"study_code": 0, "profile": object(), "too_few": True}, 5),
        ({"study_code": 0, "profile": object(), "lost": True}, 7),
        ({"study_code": 7, "profile": object(), "lost": True}, 3),
        ({"study_code": 0, "product": Path("x"), "received": signal.SIGINT}, 130),
        ({"study_code": 1, "received": signal.SIGTERM}, 143),
    ],
)
def test_exit_codes(outcome: dict[str, Any], code: int) -> None:
    assert launch._exit_code(launch.Outcome(**outcome)) == code


# --- py-spy's ways to fail


def test_py_spy_is_looked_for_beside_the_interpreter_first(tmp_path: Path) -> None:
    beside = executable(tmp_path / "bin" / "py-spy", "#!/bin/sh\n")
    on_path = executable(tmp_path / "path" / "py-spy", "#!/bin/sh\n")
    find = py_spy.find_py_spy
    assert find(str(tmp_path / "bin" / "python"), str(on_path.parent)) == str(beside)
    assert find(str(tmp_path / "else" / "python"), str(on_path.parent)) == str(on_path)
    assert find(str(tmp_path / "else" / "python"), str(tmp_path)) is None


def test_a_missing_py_spy_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_spy, "find_py_spy", lambda *_: None)
    with pytest.raises(launch.Refusal, match="-m pip install py-spy") as refused:
        ways.for_study(Namespace(options=Namespace(pause=True)))
    assert refused.value.code == launch.TOOL_MISSING


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Error: Permission Denied: Try running again with elevated permissions", "SYS_PTRACE"),
        (
            "Error: Failed to suspend process\nReason: EPERM: Operation not permitted",
            "ptrace_scope",
        ),
        ("Error: Unsupported version of Python: 3.99.0", "3.99.0.*newer py-spy"),
    ],
)
def test_a_refusal_of_py_spy_is_explained(tmp_path: Path, said: str, advice: str) -> None:
    program = executable(tmp_path / "py-spy", f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    python = interpreter.Interpreter(sys.executable, "3.11.0", "a test")
    job = launch.Job("study", ["study.py"], python, {}, tmp_path, Namespace(rate=100))
    with pytest.raises(launch.Refusal, match=f"(?s){advice}") as refused:
        py_spy.try_py_spy(str(program), job)
    assert refused.value.code == launch.TOOL_MISSING


def test_a_py_spy_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_spy, "TRIAL_TIMEOUT_S", 0.2)
    program = executable(tmp_path / "py-spy", "#!/bin/sh\nexec sleep 30\n")
    python = interpreter.Interpreter(sys.executable, "3.11.0", "a test")
    job = launch.Job("study", ["study.py"], python, {}, tmp_path, Namespace(rate=100))
    with pytest.raises(launch.Refusal, match="did not end within") as caught:
        py_spy.try_py_spy(str(program), job)
    assert caught.value.code == launch.TOOL_MISSING


def test_on_macos_root_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 501)
    assert "with sudo in front" in py_spy.explain("denied", None, "darwin")


@pytest.mark.parametrize("study_code", ["0", "7"])
def test_a_study_too_short_for_a_sample_is_said(tmp_path: Path, study_code: str) -> None:
    recording = record.Recording.create(tmp_path, "study", NOW)
    recording.draft("log").write_text("Error: No python processes found in process 5\n\nStack")
    (recording.folder / ".code").write_text(study_code)
    job = Namespace(options=Namespace(rate=100, pause=False))
    supervisor = record.Supervisor(lambda _: None)
    outcome = study_time.Time()._outcome(job, recording, supervisor, 1)
    assert outcome.study_code == int(study_code)
    assert outcome.product is None
    assert "before the sampler could take a sample" in outcome.reason


def test_py_spy_losing_its_child_after_it_wrote_is_no_failure() -> None:
    wrote = "py-spy> Wrote raw flamegraph data to 'x'. Samples: 32 Errors: 0\n"
    lost = "Error: No child process (os error 10)\n"
    assert py_spy.wrote_its_product(wrote + lost)
    assert py_spy.wrote_its_product(wrote)  # it may also fail without a word
    assert not py_spy.wrote_its_product(lost)
    assert not py_spy.wrote_its_product("Error: Permission denied\n")


# --- the study's exit code


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_the_code_of_an_ended_study_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".pid").write_text(f"{ended_pid()}\n")
    late = threading.Timer(0.2, (tmp_path / ".code").write_text, ["7\n"])
    late.start()
    assert study_end.accompany(tmp_path, print) == 7
    late.join()


def test_the_code_is_kept_when_py_spy_kills_its_child(tmp_path: Path) -> None:
    """As py-spy does at its end, if the shell it started has not ended by then."""
    study = [sys.executable, "-S", "-c", "import sys; sys.stdin.read(); sys.exit(7)"]
    words = [*study_time._OUTER_SHELL, str(study_time._SHELL), str(tmp_path), "1", "2", *study]
    shell = subprocess.Popen(words, stdin=subprocess.PIPE)
    assert shell.stdin is not None
    until(lambda: study_end.number(tmp_path / ".pid") is not None)
    shell.kill()
    shell.wait()
    shell.stdin.close()  # only now the study ends
    assert study_end.accompany(tmp_path, print) == 7
