"""Ctrl-C and kill -9, sent to real processes: what was told is stored, and nothing runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import optimizer
from optimizer.errors import StudyInterrupted

INTERRUPTED = """
import threading
from optimizer.study.ending import INTERRUPTED
workers, here = int(sys.argv[2]), os.path.dirname(path)
def mark(name):
    open(os.path.join(here, name), "a").close()
def objective(params, context):
    if context.number >= 3:
        mark("begun")
        time.sleep(60)
    return params["x"]
def told(study, trial):  # the first three, in any order: one worker may be later than the other
    if sum(t.state.is_finished() for t in study.trials) == 3:
        mark("told")
def pids():
    import subprocess
    found = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "pid="], capture_output=True,
                           text=True).stdout.split()
    return len(found) - 1  # ps itself
try:
    optimizer.optimize(objective, FLOAT, n_trials=50, workers=workers, storage=path, seed=1,
                       callbacks=[told])
except KeyboardInterrupt as interrupt:
    print(type(interrupt).__name__, [t.state.name for t in interrupt.result.study.trials])
    print(interrupt.result.run.trials, "told", pids())
    marked = [t.number for t in interrupt.result.study.trials if INTERRUPTED in t.user_attrs]
    failed = [t.number for t in interrupt.result.study.trials if t.state.name == "FAIL"]
    print(marked == failed, len(marked) == interrupt.result.run.interrupted, interrupt)
    import traceback
    shown = traceback.format_exception(interrupt)
    print(sum(line.startswith("Traceback") for line in shown), "in objective" in "".join(shown))
"""

KILLED = """
def objective(params):
    print(".", flush=True)
    time.sleep(0.001)
    return params["x"]
optimizer.optimize(objective, FLOAT, n_trials=10_000, workers=int(sys.argv[2]), storage=path)
"""


def wait_for(path: Path, process: subprocess.Popen[str], longest_s: float = 60.0) -> None:
    ends_s = time.monotonic() + longest_s
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends_s, "the trial to be interrupted never started"
        time.sleep(0.01)


def trials_of(path: Path) -> list[optuna.trial.FrozenTrial]:
    with optimizer.SQLiteStorage(path) as storage:
        storage.check()
        return storage.get_all_trials(storage.get_study_id_from_name("default"))


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_the_study_and_keeps_what_was_told(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], workers: int
) -> None:
    path = tmp_path / "study.db"
    process = start(INTERRUPTED, path, workers)
    wait_for(tmp_path / "told", process)
    wait_for(tmp_path / "begun", process)
    sent_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    took_s = time.monotonic() - sent_s
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("StudyInterrupted ['COMPLETE', 'COMPLETE', 'COMPLETE', 'FAIL'")
    assert lines[1].endswith("told 0")  # no process is left
    assert lines[2].startswith("True True interrupted after ")
    assert " under way failed by that; all that were told are stored" in lines[2]
    # The place in the objective is worth a traceback of its own, the one in our waiting is not.
    assert lines[3] == ("2 True" if workers == 1 else "1 False")
    states = [trial.state for trial in trials_of(path)]
    assert states[:3] == [TrialState.COMPLETE] * 3
    assert set(states[3:]) == {TrialState.FAIL}
    assert took_s < 30  # it does not wait for the objective; how fast it is, is measured elsewhere


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.stress)])
def test_a_study_goes_on_after_kill_9(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], workers: int
) -> None:
    path = tmp_path / "study.db"
    process = start(KILLED, path, workers)
    assert process.stdout is not None
    if workers == 1:
        for _ in range(20):
            assert process.stdout.readline() == ".\n"
    else:
        ends_s = time.monotonic() + 60
        while not path.exists() or len(trials_of_running(path)) < 20:
            assert time.monotonic() < ends_s, "20 trials take no minute"
            time.sleep(0.05)
    process.kill()
    process.communicate()
    before = trials_of(path)
    complete = [trial for trial in before if trial.state == TrialState.COMPLETE]
    assert len(complete) >= 15
    seen: list[float] = []

    def objective(params: dict[str, float]) -> float:
        seen.append(params["x"])
        return params["x"]

    result = optimizer.optimize(
        objective,
        {"x": {"type": "float", "min": -5, "max": 5}},
        n_trials=10,
        storage=path,
        version="1",
    )
    after = result.study.trials
    assert len(after) == len(before) + 10
    assert [t.values for t in after[: len(before)]] == [t.values for t in before]
    assert len(seen) == 10


def trials_of_running(path: Path) -> list[optuna.trial.FrozenTrial]:
    try:
        return trials_of(path)
    except (KeyError, optimizer.OptimizerError):  # the study is about to be created
        return []


def test_a_ctrl_c_between_two_trials_waits_for_the_next_safe_point() -> None:
    def ctrl_c(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StudyInterrupted) as caught:
        optimizer.optimize(
            lambda params: params["x"],
            {"x": {"type": "float", "min": -5, "max": 5}},
            n_trials=50,
            callbacks=[ctrl_c],
        )
    result = caught.value.result
    assert [trial.state for trial in result.study.trials] == [TrialState.COMPLETE] * 3
    assert result.run.interrupted == 0
    assert str(caught.value).startswith("interrupted after 3 trials; all ")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def interrupted_in_threads(
    objective: Callable[..., float], callback: Callable[..., None]
) -> optimizer.Result:
    """What a study by two threads had come to when Ctrl-C ended it."""
    threads = optimizer.EfficiencyConfig(use_process_pool=False, enable_data_subsampling=False)
    with pytest.raises(StudyInterrupted) as caught:
        optimizer.optimize(
            objective,
            {"x": {"type": "float", "min": -5, "max": 5}},
            n_trials=500,
            workers=2,
            mode=threads,
            callbacks=[callback],
        )
    result: optimizer.Result = caught.value.result
    return result


def test_a_ctrl_c_that_waited_leaves_no_trial_running_in_workers() -> None:
    def ctrl_c(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number == 4:
            os.kill(os.getpid(), signal.SIGINT)

    ended = threading.Event()

    def objective(params: dict[str, float], context: optimizer.Context) -> float:
        if context.number > 4:
            ended.wait(60)
        return params["x"]

    result = interrupted_in_threads(objective, ctrl_c)
    ended.set()
    assert not [t.number for t in result.study.trials if not t.state.is_finished()]
    assert result.run.trials == len(result.study.trials)


def test_callbacks_hear_of_a_trial_that_came_to_its_end_with_the_ctrl_c() -> None:
    go = threading.Event()
    called = []

    def ctrl_c(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        called.append(trial.number)
        if trial.number == 0:
            go.set()
            time.sleep(0.3)  # the other one comes to its end meanwhile
            os.kill(os.getpid(), signal.SIGINT)

    def objective(params: dict[str, float], context: optimizer.Context) -> float:
        if context.number == 1:
            go.wait(60)
        return params["x"]

    trials = interrupted_in_threads(objective, ctrl_c).study.trials
    assert called == [t.number for t in trials if t.state == TrialState.COMPLETE]
    assert called[:2] == [0, 1]


def test_a_ctrl_c_in_the_objective_fails_its_trial() -> None:
    def objective(params: dict[str, float], context: object) -> float:
        if context.number == 2:  # type: ignore[attr-defined]  # a Context
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        return params["x"]

    with pytest.raises(StudyInterrupted) as caught:
        optimizer.optimize(objective, {"x": {"type": "float", "min": -5, "max": 5}}, n_trials=50)
    states = [trial.state.name for trial in caught.value.result.study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "3 (2 complete, 1 interrupted)" in caught.value.result.report()


def test_a_ctrl_c_while_the_study_ends_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(self: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(optuna.storages.InMemoryStorage, "remove_session", late)
    with pytest.raises(StudyInterrupted) as caught:
        optimizer.optimize(
            lambda params: params["x"], {"x": {"type": "float", "min": 0, "max": 1}}, n_trials=2
        )
    assert len(caught.value.result.study.trials) == 2
