"""The commands around the profilers: two runs, hot paths, and what `nox -s profile` chooses."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from looking import until
from script_modules import ROOT, SCRIPTS, script_module

both = script_module("study_both")
hot_paths = script_module("hot_paths")
launch = script_module("_launch")
resident = script_module("_resident")
target = script_module("_target")


# --- what nox chooses


def chooser() -> Any:
    """`_profiler` of noxfile.py, without nox."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    (function,) = [
        one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "_profiler"
    ]
    names: dict[str, Any] = {}
    exec(compile(ast.Module([function], []), "noxfile.py", "exec"), names)
    return names["_profiler"]


@pytest.mark.parametrize(
    ("words", "script", "rest"),
    [
        ("study.py --memory", "study_time.py", "study.py --memory"),
        ("--rate 50 study.py", "study_time.py", "--rate 50 study.py"),
        ("--hot-path a.B after", "study_time.py", "--hot-path a.B after"),
        ("--memory study.py --pid 3", "study_memory.py", "study.py --pid 3"),
        ("--memory --hot-path a.B after", "study_memory.py", "--hot-path a.B after"),
        ("--both study.py x", "study_both.py", "study.py x"),
        ("--pid 4711 --duration 30", "attach.py", "--pid 4711 --duration 30"),
        ("--pid=4711 --memory", "attach.py", "--pid=4711 --memory"),
        ("--memory --pid 4711", "attach.py", "--memory --pid 4711"),
        ("--memory --pid=4711", "attach.py", "--memory --pid=4711"),
        ("--arm study.py", "attach.py", "--arm study.py"),
        ("--compare a b", "compare.py", "a b"),
        ("", "study_time.py", ""),
    ],
)
def test_the_first_word_chooses_the_script(words: str, script: str, rest: str) -> None:
    assert chooser()(words.split()) == (script, rest.split())
    assert (SCRIPTS / script).exists()


# --- two runs


def runs(
    monkeypatch: pytest.MonkeyPatch,
    codes: dict[str, int],
    refused: dict[str, Any] | None = None,
) -> list[tuple[str, list[str]]]:
    started: list[tuple[str, list[str]]] = []

    def run(script: str, words: list[str]) -> int:
        started.append((script, words))
        return codes[script]

    monkeypatch.setattr(both, "_run", run)
    monkeypatch.setattr(both, "_refusal", lambda script, words: (refused or {}).get(script))
    return started


def test_both_says_first_that_the_script_runs_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = runs(monkeypatch, {"study_time": 0, "study_memory": 0})
    assert both.main(["study.py", "-x"]) == 0
    assert started == [("study_time", ["study.py", "-x"]), ("study_memory", ["study.py", "-x"])]
    lines = capsys.readouterr().err.splitlines()
    assert "the script runs twice" in lines[0]
    assert "continues it twice" in lines[1]


@pytest.mark.parametrize(
    ("codes", "code", "count"),
    [
        ((3, 0), 3, 2),
        ((0, 7), 7, 2),
        ((5, 3), 5, 2),
        ((2, 0), 2, 1),
        ((4, 0), 4, 2),
        ((137, 0), 137, 1),
        ((130, 0), 130, 1),
    ],
)
def test_the_exit_code_of_two_runs(
    codes: tuple[int, int], code: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = runs(monkeypatch, dict(zip(("study_time", "study_memory"), codes, strict=True)))
    assert both.main(["study.py"]) == code
    assert len(started) == count


FORBIDDEN = launch.Refusal(launch.TOOL_MISSING, "tracing is forbidden")


@pytest.mark.parametrize(
    ("refused", "code", "started"),
    [
        ({"study_time": launch.Refusal(2, "no such script")}, 2, []),
        ({"study_memory": launch.Refusal(4, "memray is missing")}, 4, []),
        ({"study_memory": launch.Refusal(2, "no such option")}, 2, []),
        ({"study_time": FORBIDDEN}, 4, ["study_memory"]),
    ],
)
def test_what_either_run_refuses_is_said_before_the_first_one(
    refused: dict[str, Any],
    code: int,
    started: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun = runs(monkeypatch, {"study_time": 0, "study_memory": 0}, refused)
    assert both.main(["study.py"]) == code
    assert [script for script, _ in begun] == started
    said = capsys.readouterr().err
    assert str(next(iter(refused.values()))) in said
    assert ("for memory alone" in said) == bool(started)


def test_an_option_that_only_one_of_them_has_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "study.py"
    script.write_text("")
    monkeypatch.setattr(both.study_time.Time, "check", lambda self, job: "")
    monkeypatch.setattr(both.study_memory.Memory, "check", lambda self, job: "")

    def run(script: str, words: list[str]) -> int:
        raise AssertionError(f"{script} was started")

    monkeypatch.setattr(both, "_run", run)
    words = ["--python", sys.executable, str(script)]
    assert both._refusal("study_time", words) is None
    assert both._refusal("study_memory", words) is None
    assert both.main(["--rate", "100", *words]) == launch.BAD_USAGE


def test_a_profiler_that_was_killed_ends_both(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = [sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"]
    started = subprocess.Popen
    monkeypatch.setattr(both.subprocess, "Popen", lambda words: started(killed))
    assert both._run("study_time", []) == 128 + signal.SIGKILL


# --- hot paths


def shot(**changed: Any) -> Any:
    plain = {
        "path": "a.B",
        "side": "before",
        "kind": "time",
        "code": 0,
        "folder": "time/a",
        "said": "",
    }
    return hot_paths.Shot(**(plain | changed))


def test_the_index_puts_before_beside_after() -> None:
    page = hot_paths.index(
        [
            shot(
                said="12 calls, <storage> 60%",
                workload="n=100",
                phases=(("storage", 0.6), ("<x>", 0.4)),
            ),
            shot(kind="memory", code=5, folder="", said="it & failed"),
            shot(path="c.D", side="after", folder="time/c"),
        ]
    )
    assert page.count("<tr>") == 4  # two of them name the columns
    assert "n=100" in page
    assert '<i class="ph-storage" style="width:60%" title="storage 60%"></i>' in page
    assert 'title="&lt;x&gt; 40%"' in page
    assert '<a href="time/a/report.html">' in page
    assert "12 calls, &lt;storage&gt; 60%" in page
    assert "<b>no profile</b><small>it &amp; failed</small>" in page
    assert page.count("not yet") == 5
    assert "<script" not in page


def test_an_unknown_hot_path_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(launch, "declared_hot_paths", lambda: ["a.B"])
    assert hot_paths.main(["c.D", "--output", str(tmp_path)]) == launch.BAD_USAGE
    assert "no hot path is called c.D" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_profile_is_5_and_the_index_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launch, "declared_hot_paths", lambda: ["a.B", "c.D"])
    monkeypatch.setattr(
        hot_paths,
        "_shoot",
        lambda parent, name, side, kind, script: shot(
            path=name, side=side, kind=kind, folder="" if side == "after" else "x", said="no reason"
        ),
    )
    assert hot_paths.main(["a.B", "--output", str(tmp_path)]) == launch.NO_PROFILE
    (page,) = tmp_path.glob("hot-paths-*/index.html")
    text = page.read_text("utf-8")
    assert text.count("<b>no profile</b>") == 2
    assert "c.D" not in text


def test_the_profile_that_ctrl_c_cut_short_stands_in_the_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "declared_hot_paths", lambda: ["a.B", "c.D"])
    monkeypatch.setattr(hot_paths, "_shoot", lambda *_: shot(code=130, folder="time/kept"))
    assert hot_paths.main(["--output", str(tmp_path)]) == 130
    (page,) = tmp_path.glob("hot-paths-*/index.html")
    assert page.read_text("utf-8").count('<a href="time/kept/report.html">') == 1
    assert "interrupted" in capsys.readouterr().err


def test_an_index_that_cannot_be_written_is_a_line_and_5(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*details: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(launch, "declared_hot_paths", lambda: ["a.B"])
    monkeypatch.setattr(hot_paths, "_shoot", lambda *_: shot())
    monkeypatch.setattr(hot_paths, "_write", full)
    assert hot_paths.main(["--output", str(tmp_path)]) == launch.NO_PROFILE
    assert "the index was not written: no space left" in capsys.readouterr().err


@pytest.mark.stress
def test_a_hot_path_is_profiled_before_and_after(tmp_path: Path) -> None:
    line = [sys.executable, str(SCRIPTS / "hot_paths.py"), "signature.Warm"]
    done = subprocess.run([*line, "--output", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (page,) = tmp_path.glob("hot-paths-*/index.html")
    text = page.read_text("utf-8")
    assert text.count('<a href="') == 4
    for link in text.split('<a href="')[1:]:
        assert (page.parent / link.partition('"')[0]).exists()


def driven(pid: int) -> int | None:
    """The process below another that drives a hot path, as soon as it is at work."""
    for one, _ in resident.family(pid):
        if "-m benchmarks drive" in resident.command_of(one) and resident.is_python(one):
            return int(one)
    return None


@pytest.mark.stress
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
def test_ctrl_c_keeps_the_profile_and_leaves_no_hot_path_running(tmp_path: Path) -> None:
    line = [sys.executable, str(SCRIPTS / "hot_paths.py"), "signature.Warm", "--only", "time"]
    with subprocess.Popen(
        [*line, "--output", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        until(lambda: driven(running.pid) is not None or running.poll() is not None)
        pid = driven(running.pid)
        assert pid is not None
        time.sleep(1)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; what was recorded until now is kept" in said
    assert target.state(pid) in ("", "Z", "X")
    assert len(list(tmp_path.glob("hot-paths-*/time/*/report.html"))) == 1
