"""SQLiteStorage under kills, many writers, forks and threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.stores.optuna_storage import DURABILITIES

Run = Callable[..., str]

STUDY = """
import json, os, random, signal, sys, time
import optuna
from optuna.trial import TrialState
from optimizer.stores.optuna_storage import SQLiteStorage
optuna.logging.set_verbosity(optuna.logging.WARNING)
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.set_user_attr("pid", os.getpid())
    return x + trial.suggest_int("n", 1, 9)
def in_child(call):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        call()
        code = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    os._exit(code)
def ended(children):
    return [os.waitpid(child, 0)[1] for child in children]
"""

KILLS = (
    STUDY
    + """
rng = random.Random(7)
SQLiteStorage(path).create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
told, last = {}, set()
def work(out, durability):
    storage = SQLiteStorage(path, durability=durability)
    study = optuna.load_study(study_name="s", storage=storage)
    study.sampler = optuna.samplers.RandomSampler()
    while True:
        trial = study.ask()
        value = objective(trial)
        study.tell(trial, value)
        os.write(out, f"{trial.number} {value!r} {trial.params['x']!r}\\n".encode())
for _ in range(int(sys.argv[2])):
    ours, theirs = os.pipe()
    child = in_child(lambda: work(theirs, sys.argv[3]))
    os.close(theirs)
    lines = b""
    while lines.count(b"\\n") < 4:
        lines += os.read(ours, 65536)
    time.sleep(rng.random() * 0.08)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(ours, 65536):
        lines += more
    os.close(ours)
    for line in lines.decode().splitlines():
        number, value, x = line.split()
        told[int(number)] = float(value), float(x)
    last.add(int(number))
with SQLiteStorage(path) as storage:
    storage.check()
    trials = storage.get_all_trials(storage.get_study_id_from_name("s"), deepcopy=False)
assert [trial.number for trial in trials] == list(range(len(trials)))
for number, (value, x) in told.items():
    trial = trials[number]
    # An end is written with the start of the next trial at the latest.
    if sys.argv[3] == "batch" and number in last and trial.state == TrialState.RUNNING:
        continue
    assert trial.state == TrialState.COMPLETE, (number, trial)
    assert (trial.value, trial.params["x"]) == (value, x)
assert len(told) >= 4 * int(sys.argv[2]), len(told)
"""
)

WRITERS = (
    STUDY
    + """
writers, each = int(sys.argv[2]), int(sys.argv[3])
ask_expects_that = hasattr(optuna.exceptions, "UpdateFinishedTrialError")
storage = SQLiteStorage(path)
study = optuna.create_study(storage=storage, study_name="s")
for i in range(writers * each // 4):
    study.enqueue_trial({"x": i / 1000})
def work():
    with SQLiteStorage(path) as storage:
        study = optuna.load_study(study_name="s", storage=storage)
        study.sampler = optuna.samplers.RandomSampler()
        told = []
        while len(told) < each:
            try:
                study.optimize(objective, each - len(told), callbacks=[lambda *_: told.append(1)])
            except RuntimeError as error:
                # Older Optunas' own ask() ends so where a queued trial was told meanwhile.
                if ask_expects_that or "already finished" not in str(error):
                    raise
assert ended([in_child(work) for _ in range(writers)]) == [0] * writers
storage.check()
trials = study.get_trials(deepcopy=False)
assert [trial.number for trial in trials] == list(range(writers * each))
assert {trial.state for trial in trials} == {TrialState.COMPLETE}
fixed = [trial.params["x"] for trial in trials if "fixed_params" in trial.system_attrs]
assert fixed == [i / 1000 for i in range(writers * each // 4)]
assert len({trial._trial_id for trial in trials}) == writers * each
"""
)

FORKS = (
    STUDY
    + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer, at such a fork
storage = SQLiteStorage(path, delay_s=60.0)
study = optuna.create_study(storage=storage, study_name="s")
study.sampler = optuna.samplers.RandomSampler()
mine = study.ask()
x = mine.suggest_float("x", 0, 1)
def work():
    # What the parent keeps is the parent's; its study goes on here.
    assert not storage._has_pending()
    study.optimize(objective, n_trials=5)
    assert len(storage.get_all_trials(study._study_id)) >= 6
    os._exit(0)
assert ended([in_child(work) for _ in range(3)]) == [0] * 3
assert storage.get_trial(mine._trial_id).params == {"x": x}
study.tell(mine, x)
trials = study.get_trials()
assert [trial.number for trial in trials] == list(range(16))
assert len({trial.user_attrs.get("pid") for trial in trials}) == 4
storage.check()
"""
)

FORKS_OF_THREADS = (
    STUDY
    + """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer, at such a fork
storage = SQLiteStorage(path)
study = optuna.create_study(storage=storage, study_name="s")
study.sampler = optuna.samplers.RandomSampler()
stop = threading.Event()
def busy():
    while not stop.is_set():
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        study.tell(trial, 0.0)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
def work():
    for _ in range(5):
        study.tell(study.ask(), 1.0)
children = []
for _ in range(6):
    children.append(in_child(work))
    time.sleep(0.01)
assert ended(children) == [0] * 6
stop.set()
for thread in threads:
    thread.join()
trials = study.get_trials(deepcopy=False)
assert [trial.number for trial in trials] == list(range(len(trials)))
assert {trial.state for trial in trials} == {TrialState.COMPLETE}
assert sum(trial.value == 1.0 for trial in trials) == 30
storage.check()
"""
)


@pytest.mark.parametrize("durability", DURABILITIES)
def test_what_was_told_survives_kills(run: Run, tmp_path: Path, durability: str) -> None:
    run(KILLS, tmp_path / "study.db", 4, durability)


@pytest.mark.stress
@pytest.mark.parametrize("durability", DURABILITIES)
def test_what_was_told_survives_200_kills(run: Run, tmp_path: Path, durability: str) -> None:
    run(KILLS, tmp_path / "study.db", 200, durability, timeout_s=200)


def test_writers_get_every_number_once(run: Run, tmp_path: Path) -> None:
    run(WRITERS, tmp_path / "study.db", 4, 12)


@pytest.mark.stress
def test_eight_writers_get_every_number_once(run: Run, tmp_path: Path) -> None:
    run(WRITERS, tmp_path / "study.db", 8, 200, timeout_s=200)


def test_a_fork_leaves_the_parents_changes_to_the_parent(run: Run, tmp_path: Path) -> None:
    run(FORKS, tmp_path / "study.db")


def test_a_fork_while_other_threads_write(run: Run, tmp_path: Path) -> None:
    run(FORKS_OF_THREADS, tmp_path / "study.db")
