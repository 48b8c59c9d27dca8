"""Parts of the loop alone: where trials run, what is drawn ahead, reports, heartbeats."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import optimizer
from optimizer.efficiency import EfficiencyConfig
from optimizer.study import waiting
from optimizer.study.choosing import choose
from optimizer.study.drawing import LateTrial
from optimizer.study.duplicates import KnownPoints
from optimizer.study.objectives import feasible

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}
X, N = FloatDistribution(0, 1), IntDistribution(0, 9)

# --- what is known


@pytest.mark.parametrize("width", [1, 2])
def test_the_first_trial_of_a_point_is_the_known_one(width: int) -> None:
    known = KnownPoints(None)
    ref: dict[bytes, tuple[int, tuple[float, ...]]] = {}
    for number in range(500):
        point = bytes([number % 7, number % 50])
        values = (float(number), -float("inf"))[:width]
        known.add(point, number, values)
        ref.setdefault(point, (number, values))
    known.add(None, 500, (1.0,) * width)
    assert len(known) == len(ref) == 350
    assert known.signatures() == list(ref)
    assert [known.get(point) for point in ref] == list(ref.values())
    assert known.get(b"") is None


# --- where trials run

PLACES = [
    ((0.05, 0.0, 0.001), {"workers": 2, "left": 1_000}, "processes"),
    ((0.05, 0.0, 0.001), {"workers": 2, "left": 10}, "in-process"),
    ((0.05, 0.0, 0.001), {"workers": 1, "left": 1_000}, "in-process"),
    ((0.0001, 0.0, 0.001), {"workers": 8, "left": 100_000}, "in-process"),
    ((0.05, 0.9, 0.001), {"workers": 2, "left": 10}, "threads"),
    ((0.05, 0.9, 0.001), {"workers": 2, "left": 1}, "in-process"),
    ((0.001, 0.9, 0.001), {"workers": 2, "left": 1_000}, "in-process"),
    ((0.05, 0.0, 0.5), {"workers": 2, "left": 1_000}, "in-process"),
]


@pytest.mark.parametrize(("measured", "there", "where"), PLACES)
def test_the_place_follows_from_what_was_measured(
    measured: tuple[float, float, float], there: dict[str, Any], where: str
) -> None:
    choice = choose(*measured, **there)
    assert choice.where == where
    assert "ms" in choice.why


def test_an_objective_that_waits_runs_in_threads_and_the_report_says_so() -> None:
    def objective(params: dict[str, Any]) -> float:
        time.sleep(0.01)
        return float(params["x"])

    mode = EfficiencyConfig(max_workers=2, enable_data_subsampling=False)
    result = optimizer.optimize(objective, FLOAT, n_trials=12, workers="auto", mode=mode)
    assert len(result.study.trials) == 12
    # On one core there is one worker at most.
    assert result.run.where.startswith("threads" if result.run.workers == 2 else "in-process")
    assert "an evaluation takes" in result.report()


@pytest.mark.parametrize(
    ("rested", "queued_s", "waited_s"), [(0, 0.0, 0.0), (1, 0.0, 0.9), (1, 0.75, 0.15)]
)
def test_time_without_a_processor_is_no_waiting(
    monkeypatch: pytest.MonkeyPatch, rested: int, queued_s: float, waited_s: float
) -> None:
    now = {"wall": 5.0, "cpu": 1.0, "queued": 3.0, "rests": 7}
    clock = SimpleNamespace(perf_counter=lambda: now["wall"], process_time=lambda: now["cpu"])
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(waiting, "_queued_s", lambda: now["queued"])
    monkeypatch.setattr(waiting, "_rests", lambda: now["rests"])
    measured = waiting.WaitClock()
    now.update(wall=6.0, cpu=1.1, queued=3.0 + queued_s, rests=7 + rested)
    assert measured.waited_s() == pytest.approx(waited_s)


def test_a_sleep_is_waiting() -> None:
    clock = waiting.WaitClock()
    time.sleep(0.05)
    assert clock.waited_s() > 0.0


def test_a_short_objective_stays_here() -> None:
    result = optimizer.optimize(lambda p: p["x"], FLOAT, n_trials=12, workers="auto")
    assert result.run.where.startswith("in-process (an evaluation takes")
    assert result.run.workers == 1


# --- what is drawn ahead


def test_what_is_drawn_ahead_is_recorded_once_it_is_suggested() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = LateTrial.of(study.ask())
    drawn = trial.draw({"x": X, "n": N})
    assert study.trials[0].params == trial.params == {}
    assert trial.suggest_int("n", 0, 9) == drawn["n"]
    assert study.trials[0].params == trial.params == {"n": drawn["n"]}
    assert trial.suggest_float("x", 5, 6) >= 5  # another range: drawn anew
    assert trial.forget() == set()
    assert list(study.trials[0].params) == ["n", "x"]


def test_drawing_again_and_fixing() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = LateTrial.of(study.ask())
    first, second = trial.draw({"x": X}), trial.draw({"x": X})
    assert first != second
    trial.fix({"x": 0.25})
    assert trial.draw({"x": X}) == {"x": 0.25}
    trial.record()
    trial.record()
    assert study.trials[0].params == {"x": 0.25}


@pytest.mark.parametrize(
    ("value", "directions", "expected"),
    [
        (1, 1, (1.0,)),
        ([1, 2], 2, (1.0, 2.0)),
        (float("inf"), 1, (float("inf"),)),
        (float("nan"), 1, "The value nan is not acceptable"),
        (None, 1, "The value None could not be cast to float"),
        ([1.0], 2, "The number of the values 1 did not match the number of the objectives 2"),
    ],
)
def test_values(value: Any, directions: int, expected: Any) -> None:
    assert feasible(value, directions) == expected


# --- reports


def test_the_speedup_is_measured(tmp_path: Path) -> None:
    result = optimizer.optimize(lambda p: p["x"] ** 2, FLOAT, n_trials=10, compare=4, seed=1)
    assert result.run.speedup is not None
    assert (result.run.speedup.n, result.run.speedup.value > 0) == (4, True)
    storage = tmp_path / "study.db"
    result = optimizer.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=5, compare=2,
                                storage=storage)  # fmt: skip
    assert result.run.speedup is not None
    assert len(result.study.trials) == 5


def test_phases_and_counts() -> None:
    result = optimizer.optimize(lambda p: time.sleep(0.002) or 1.0, FLOAT, n_trials=5)  # type: ignore[func-returns-value]  # sleep has none
    run = result.run
    assert run.phases_s["objective"] >= 0.01
    assert run.phases_s["sampler"] > 0
    assert run.phases_s["storage"] > 0
    assert sum(run.phases_s.values()) <= run.total_s
    assert run.states == {"COMPLETE": 5}


class SlowSampler(optuna.samplers.RandomSampler):
    def sample_independent(self, *arguments: Any) -> Any:
        time.sleep(0.02)  # far more than an objective of nothing takes, so that phases tell
        return super().sample_independent(*arguments)


@pytest.mark.parametrize("where", ["in-process", "threads", "processes"])
def test_what_is_suggested_in_the_objective_is_the_samplers_time(where: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("c", ["x", "y"]) == "y":
            value = trial.suggest_float("y", 0, 1)
            if trial.number > 1:
                raise ValueError
            return value
        return trial.suggest_float("x", 0, 1)

    config = EfficiencyConfig(enable_parallel_processing=False, use_process_pool=where != "threads")
    result = optimizer.optimize(
        objective,
        n_trials=12,
        workers=1 if where == "in-process" else 2,
        mode=config,
        sampler=SlowSampler(seed=1),
        catch=ValueError,
    )
    run = result.run
    assert run.where.startswith(where)
    assert set(run.states) == {"COMPLETE", "FAIL"}
    assert run.phases_s["sampler"] >= 12 * 2 * 0.02
    assert run.phases_s["objective"] < run.phases_s["sampler"]


def test_parameters_that_were_drawn_ahead_are_only_recorded_in_the_objective() -> None:
    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", 0, 1)

    result = optimizer.optimize(objective, n_trials=6, sampler=SlowSampler(seed=1))
    phases_s = result.run.phases_s
    assert 6 * 0.02 <= phases_s["sampler"] < result.run.total_s
    assert sum(phases_s.values()) <= result.run.total_s
    assert phases_s["objective"] < phases_s["sampler"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, progress, is_shown in (
        (Terminal(), None, True),
        (Terminal(), False, False),
        (io.StringIO(), None, False),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        optimizer.optimize(lambda p: p["x"], FLOAT, n_trials=3, progress=progress)
        assert ("trials" in stream.getvalue()) == is_shown


# --- several processes, and heartbeats

TOGETHER = """
from pathlib import Path
calls = Path(path).parent / "calls"
space = {"n": {"type": "int", "min": 0, "max": 39}}
def objective(params):
    with calls.open("a") as file:
        file.write(f"{params['n']}\\n")
    time.sleep(0.01)
    return params["n"]
import warnings
warnings.simplefilter("ignore")
optimizer.optimize(objective, space, n_trials=40, storage=path, version="1",
                   sampler=optuna.samplers.RandomSampler(), duplicates=sys.argv[2])
"""


@pytest.mark.parametrize("duplicates", ["serve", "resample"])
def test_processes_on_one_file_evaluate_a_point_once(
    tmp_path: Path, start: Callable[..., Any], duplicates: str
) -> None:
    path = tmp_path / "study.db"
    processes = [start(TOGETHER, path, duplicates) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    calls = (tmp_path / "calls").read_text().split()
    assert len(calls) == len(set(calls)) >= 39
    with optimizer.SQLiteStorage(path) as storage:
        trials = storage.get_all_trials(storage.get_study_id_from_name("default"))
    complete = [trial.params["n"] for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == len(set(complete)) == len(calls)
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}


def test_a_storage_that_wants_heartbeats_gets_them(tmp_path: Path) -> None:
    storage = optimizer.SQLiteStorage(tmp_path / "study.db", heartbeat_interval=60, grace_period=1)
    study = optuna.create_study(storage=storage, study_name="s")
    # As of a worker that died: it is not heard of any more.
    storage.record_heartbeat(storage.create_new_trial(study._study_id))
    beats: list[int] = []
    record = storage.record_heartbeat

    def noted(trial_id: int) -> None:
        beats.append(trial_id)
        record(trial_id)

    storage.record_heartbeat = noted  # type: ignore[method-assign]  # to be seen
    time.sleep(2.1)  # SQLite's clock of heartbeats has whole seconds
    optimizer.optimize(lambda p: p["x"], FLOAT, study=study, n_trials=3)
    assert study.trials[0].state == TrialState.FAIL
    assert len(set(beats)) == 3


def test_wal_of_evaluations_is_whole_after_a_run(tmp_path: Path) -> None:
    result = optimizer.optimize(
        lambda p: p["x"] ** 2, FLOAT, n_trials=20, storage=tmp_path / "study.db", version="1"
    )
    fingerprint = optimizer.fingerprint(None, version="1")
    with optimizer.EvaluationCache(tmp_path / "study.db", fingerprint, study="default") as cache:
        assert len(cache) == 20
        space = optimizer.SearchSpace(FLOAT)
        for trial in result.study.trials:
            found = cache.get(optimizer.param_signature(trial.params, space))
            assert found is not None
            assert found.value == trial.value
        cache.check()


def test_storages_of_optunas_own_are_resumed_and_served_from(tmp_path: Path) -> None:
    backend = JournalFileBackend(str(tmp_path / "study.log"))
    calls: list[float] = []

    def objective(params: dict[str, Any]) -> float:
        calls.append(params["x"])
        return float(params["x"])

    for points, version, expected in (
        ([0.5, 0.25], "1", [0.5, 0.25]),
        ([0.5], "1", []),
        ([0.5], "2", [0.5]),
        ([0.5], "2", []),
    ):
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
        for x in points:
            study.enqueue_trial({"x": x})
        calls.clear()
        optimizer.optimize(objective, FLOAT, study=study, n_trials=len(points), version=version)
        assert calls == expected
