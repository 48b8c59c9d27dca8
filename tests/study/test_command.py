"""`python -m optimizer demo` and `run`: what they tell, exit codes, resuming, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

import optimizer
from optimizer import SQLiteStorage
from optimizer import __main__ as command_line
from optimizer.report import page
from optimizer.study import command

ROOT = Path(optimizer.__file__).parents[1]
BOWL = """
def objective(params):
    return (params["x"] - 1.0) ** 2
space = {"x": {"type": "float", "min": -5, "max": 5}}
"""
RAISES = """
def objective(params):
    if params["x"] > 0.0:
        raise ValueError("x is\\ntoo large")
    return params["x"]
space = {"x": {"type": "float", "min": -5, "max": 5}}
"""
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    modules, path, level = set(sys.modules), list(sys.path), optuna.logging.get_verbosity()
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("_optimizer_script"):
            del sys.modules[name]
    sys.path[:] = path
    optuna.logging.set_verbosity(level)


def written(folder: Path, text: str, name: str = "study.py") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def main(*arguments: object) -> int:
    return command_line.main([*map(str, arguments), "--quiet"])


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "optimizer", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finished(path: Path, name: str = "study") -> int:
    storage = SQLiteStorage(path)
    try:
        trials = optuna.load_study(study_name=name, storage=storage).trials
        return sum(trial.state.is_finished() for trial in trials)
    finally:
        storage.close()


# --- a study of a script


def test_a_study_tells_its_best_and_where_the_time_went(tmp_path: Path, capsys: Captured) -> None:
    assert main("run", written(tmp_path, BOWL), "--trials", 25, "--seed", 1) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("best value ")
    assert lines[1].startswith("  x = ")
    assert "trials                 25 (25 complete)" in lines
    assert any(line.startswith("objective ") for line in lines)
    assert err == ""


def test_the_same_command_goes_on(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "study.db"
    arguments = ("run", written(tmp_path, BOWL), "--storage", file, "--trials")
    assert main(*arguments, 10) == 0
    assert "10 (10 complete)" in capsys.readouterr().out
    assert main(*arguments, 25) == 0
    assert "15 (15 complete)" in capsys.readouterr().out
    assert finished(file) == 25
    assert main(*arguments, 25) == 0
    assert capsys.readouterr().out == ("study 'study' has 25 trials already; pass more --trials\n")
    assert main(*arguments, 5, "--study", "other") == 0
    assert (finished(file), finished(file, "other")) == (25, 5)


def test_a_study_that_begins_beside_others(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "study.db"
    arguments = ("run", written(tmp_path, BOWL), "--storage", file, "--trials")
    space = {"x": {"type": "float", "min": -5, "max": 5}}
    optimizer.optimize(lambda params: params["x"], space, n_trials=2, storage=file)
    assert main(*arguments, 1) == 0
    said = f"python -m optimizer: study 'study' is new in {str(file)!r}, beside "
    assert capsys.readouterr().err == f"{said}'default' (2 trials); --study NAME chooses another\n"
    assert main(*arguments, 2) == 0
    assert capsys.readouterr().err == ""  # it goes on
    for name in ("a", "b"):
        assert main(*arguments, 1, "--study", name) == 0
    err = capsys.readouterr().err.splitlines()
    assert [line.partition("beside ")[2].partition(";")[0] for line in err] == [
        "'default' (2 trials), 'study' (2 trials)",
        "'default' (2 trials), 'study' (2 trials), 'a' (1 trial)",
    ]
    assert main(*arguments, 1, "--study", "c") == 0
    assert "'a' (1 trial), 1 more; --study NAME" in capsys.readouterr().err


def test_trials_that_failed_are_made_up_for(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    script = written(tmp_path, RAISES)
    arguments = ("run", script, "--storage", file, "--trials", 20)
    assert main(*arguments) == command.ENDED_EARLY
    before = finished(file)
    assert main(*arguments, "--go-on") == 0
    assert finished(file) > 20  # those that failed stay, beside
    written(tmp_path, RAISES.replace("> 0.0", "> 9.0"))
    assert main(*arguments) == 0
    storage = SQLiteStorage(file)
    trials = optuna.load_study(study_name="study", storage=storage).trials
    storage.close()
    assert sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials) == 20
    assert before >= 1


def test_a_study_of_the_other_direction_is_refused(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "study.db"
    assert main("run", written(tmp_path, BOWL), "--storage", file, "--trials", 2) == 0
    other = written(tmp_path, BOWL + "direction = 'maximize'\n")
    assert main("run", other, "--storage", file, "--trials", 4) == command.USAGE
    assert "has minimize, and the script maximize" in capsys.readouterr().err
    assert finished(file) == 2


def test_an_objective_of_a_trial_and_several_directions(tmp_path: Path, capsys: Captured) -> None:
    text = """
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    return x, 1 - x
direction = ["minimize", "minimize"]
"""
    assert main("run", written(tmp_path, text), "--trials", 6) == 0
    assert capsys.readouterr().out.startswith("6 trials that no other is better than")


def test_data_and_mode_of_the_script(tmp_path: Path, capsys: Captured) -> None:
    text = """
import numpy as np
data = {"y": np.ones(100)}
mode = "fast"
direction = "maximize"
space = {"x": {"type": "float", "min": 0, "max": 1}}
def objective(params, context):
    return params["x"] * len(context.data["y"])
"""
    script = written(tmp_path, text)
    assert main("run", script, "--trials", 12, "--workers", 1) == 0
    out = capsys.readouterr().out
    assert "on a part of the data only" in out
    assert 20.0 < float(out.split()[2].rstrip(",")) <= 100.0
    assert main("run", script, "--trials", 12, "--workers", 1, "--mode", "thorough") == 0
    assert "on a part of the data only" not in capsys.readouterr().out


def test_in_workers_with_a_module_beside_the_script(tmp_path: Path, capsys: Captured) -> None:
    written(tmp_path, "def f(x):\n    return x * x\n", "beside_the_script.py")
    text = "import beside_the_script\n" + BOWL.replace(
        '(params["x"] - 1.0) ** 2', 'beside_the_script.f(params["x"])'
    )
    assert main("run", written(tmp_path, text), "--trials", 8, "--workers", 2) == 0
    assert "8 (8 complete)" in capsys.readouterr().out


# --- what goes wrong


@pytest.mark.parametrize("workers", [1, 2])
def test_an_objective_that_raises(tmp_path: Path, capsys: Captured, workers: int) -> None:
    arguments = ("run", written(tmp_path, RAISES), "--seed", 1, "--workers", workers)
    assert main(*arguments) == command.ENDED_EARLY
    out, err = capsys.readouterr()
    assert out == ""
    assert " raised ValueError: x is too large (study.py, line 4)\n" in err
    assert err.endswith("the study has ended; with --go-on such a trial fails alone\n")
    assert len(err.splitlines()) == 2


def test_go_on(tmp_path: Path, capsys: Captured) -> None:
    arguments = ("run", written(tmp_path, RAISES), "--seed", 1, "--trials", 15, "--go-on")
    assert main(*arguments) == 0
    out, err = capsys.readouterr()
    assert "complete" in out
    assert " trials failed; the last: trial " in err
    assert len(err.splitlines()) == 1


def test_failures_that_raise_nothing_are_told(tmp_path: Path, capsys: Captured) -> None:
    text = BOWL.replace('(params["x"] - 1.0) ** 2', "float('nan') if params['x'] > 0 else 1.0")
    assert main("run", written(tmp_path, text), "--trials", 20, "--seed", 1) == 0
    err = capsys.readouterr().err
    assert " trials failed; the last: trial " in err
    assert err.endswith(": The value nan is not acceptable\n")
    text = BOWL.replace(
        "    return", "    import os\n    if params['x'] > 0: os._exit(3)\n    return"
    )
    arguments = ("--trials", 6, "--seed", 1, "--workers", 2)
    assert main("run", written(tmp_path, text), *arguments) == 0
    err = capsys.readouterr().err
    assert " trials failed; the last: trial " in err
    assert "worker" in err
    assert len(err.splitlines()) == 1


def test_a_trial_that_takes_too_long(tmp_path: Path, capsys: Captured) -> None:
    # Trial 1 hangs: it sleeps far longer than its limit, and is ended.
    text = "import time\n" + BOWL.replace("(params)", "(params, context)").replace(
        "    return", "    time.sleep(600.0 * (context.number == 1))\n    return"
    )
    arguments = ("--trials", 4, "--workers", 1, "--trial-timeout", 1)
    assert main("run", written(tmp_path, text), *arguments) == 0
    out, err = capsys.readouterr()
    assert "trials                 4 (3 complete, 1 fail)" in out
    assert "the last: trial 1: task 1 was tried 2 times, the last one took longer than 1 s" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "has no `objective`"),
        ("import nothing_of_this_name", "cannot be run: ModuleNotFoundError"),
        ("def objective(params): return 1", "no space"),
        (BOWL + "mode = 'turbo'", "mode is 'turbo'"),
        (BOWL.replace('"max": 5', '"max": "a"'), "the space of "),
    ],
)
def test_a_script_that_cannot_be_used(
    tmp_path: Path, capsys: Captured, text: str, said: str
) -> None:
    assert main("run", written(tmp_path, text)) == command.USAGE
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err


def test_files_that_cannot_be_used(tmp_path: Path, capsys: Captured) -> None:
    script = written(tmp_path, BOWL)
    assert main("run", tmp_path / "no.py") == command.USAGE
    assert main("run", script, "--storage", script) == command.NO_STORE
    assert main("run", script, "--storage", tmp_path / "no" / "study.db") == command.NO_STORE
    assert main("run", script, "--storage", "mysql://host/db") == command.USAGE
    assert main("run", script, "--html", tmp_path) == command.NO_REPORT
    assert main("run", script, "--html", tmp_path / "no" / "report.html") == command.NO_REPORT
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 6)
    assert "Traceback" not in err
    assert Path(script).read_text() == BOWL


def test_a_defect_of_ours_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(command, "_optimize", broken)
    with pytest.raises(RuntimeError, match="ours"):
        main("run", written(tmp_path, BOWL))


# --- reports


def test_html(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plotly")
    monkeypatch.setattr(page, "_plots", lambda study: [])  # the slow part has tests of its own
    file = tmp_path / "report.html"
    assert main("run", written(tmp_path, BOWL), "--trials", 3, "--html", file) == 0
    assert capsys.readouterr().out.endswith(f"report with plots: {file}\n")
    assert "<title>Study study</title>" in file.read_text(encoding="utf-8")


def test_html_without_plotly(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    script = written(tmp_path, BOWL)
    assert main("run", script, "--html", tmp_path / "r.html") == command.NO_REPORT
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)  # before the study, not after it
    assert "pip install 'optuna-velocity[report]'" in err


def test_the_demonstration(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "demo.db"
    assert main("demo", "--trials", 6, "--workers", 1, "--storage", file) == 0
    out = capsys.readouterr().out
    assert "  lookback_months = " in out
    assert finished(file, "demo") == 6


# --- in processes of their own


def test_a_small_space_is_capped_in_one_line(tmp_path: Path) -> None:
    text = BOWL.replace('"float", "min": -5, "max": 5', '"int", "min": 1, "max": 4')
    process = start("run", written(tmp_path, text), "--trials", 100)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "4 (4 complete)" in out
    assert err == (
        "python -m optimizer: Parameter space has only 4 unique combinations but 100 trials were"
        " requested. Capping to 4.\n"
    )


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.stress), 2])
def test_ctrl_c(tmp_path: Path, workers: int) -> None:
    slow = BOWL.replace("def objective", "import time\nprint('ready', flush=True)\ndef objective")
    slow = slow.replace("    return", "    time.sleep(0.02)\n    return")
    file, script = tmp_path / "study.db", written(tmp_path, slow)
    arguments = ("run", script, "--storage", file, "--workers", workers, "--trials")
    process = start(*arguments, 100_000)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until_s = time.monotonic() + 120.0
        while not file.exists() or stored(file) < 5:
            assert process.poll() is None
            assert time.monotonic() < until_s, "no trial came to its end"
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == command.INTERRUPTED, err
    assert err.splitlines()[-1] == (
        f"python -m optimizer: interrupted; study 'study' is stored in {str(file)!r};"
        " run the same command to go on"
    )
    assert "Traceback" not in err
    assert "best value" in out
    told = finished(file)
    assert told >= 5
    assert main("run", script, "--storage", file, "--trials", told + 3) == 0
    assert finished(file) >= told + 3


def stored(file: Path) -> int:
    try:
        return finished(file)
    except (KeyError, optimizer.OptimizerError):  # it is being made
        return 0


def test_ctrl_c_without_a_storage(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = BOWL.replace("return", "return 1.0 if params['x'] < 4.0 else stop()\n    return")
    text += "\ndef stop():\n    raise KeyboardInterrupt\n"
    assert main("run", written(tmp_path, text), "--seed", 1) == command.INTERRUPTED
    out, err = capsys.readouterr()
    assert out.startswith("best value 1")
    assert err.endswith("interrupted; nothing is stored; --storage FILE keeps a study\n")
