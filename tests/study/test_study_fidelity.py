"""Evaluations on parts of the data: the best value is always one on all of them."""

from __future__ import annotations

import gc
import math
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

import optimizer
from optimizer.efficiency import EfficiencyConfig
from optimizer.sampling.enumeration import CapWarning
from optimizer.study import telling
from optimizer.study.evaluations import StoredEvaluations
from optimizer.study.fidelity import FRACTION, PARTIAL

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}
SMALL = {"n": {"type": "int", "min": 0, "max": 7}}
DATA = {"a": np.ones(50)}


def config(**fields: Any) -> EfficiencyConfig:
    return EfficiencyConfig(**{"enable_parallel_processing": False, **fields})


@settings(max_examples=25)
@given(
    first=st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    adaptive=st.booleans(),
    maximize=st.booleans(),
    bonus=st.floats(-50, 50),
    n_trials=st.integers(1, 35),
    duplicates=st.sampled_from(["serve", "resample", "evaluate"]),
    finite=st.booleans(),
    seed=st.integers(0, 5),
)
def test_the_best_value_is_one_on_all_data(
    first: float,
    adaptive: bool,
    maximize: bool,
    bonus: float,
    n_trials: int,
    duplicates: Any,
    finite: bool,
    seed: int,
) -> None:
    full: list[float] = []

    def objective(params: dict[str, Any], context: Any) -> float:
        assert len(context.data["a"]) == math.ceil(50 * context.fraction - 1e-6)
        (value,) = params.values()
        if context.fraction < 1.0:
            return float(value) + bonus  # better or worse than any value on all data
        full.append(float(value))
        return float(value)

    with warnings.catch_warnings(action="ignore", category=CapWarning):
        result = optimizer.optimize(
            objective,
            SMALL if finite else FLOAT,
            n_trials=n_trials,
            data=DATA,
            seed=seed,
            mode=config(subsample_fraction=first, adaptive_subsampling=adaptive),
            direction="maximize" if maximize else "minimize",
            duplicates=duplicates,
        )
    assert full
    assert result.best_value == (max(full) if maximize else min(full))
    for trial in result.study.trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.value == next(iter(trial.params.values()))
    assert "RUNNING" not in {trial.state.name for trial in result.study.trials}


def test_a_part_is_kept_with_the_trial_and_counts_as_pruned() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        return float(params["x"] ** 2 - (1.0 - context.fraction))

    result = optimizer.optimize(
        objective, FLOAT, n_trials=30, mode=config(subsample_fraction=0.5), data=DATA, seed=1
    )
    partial = [trial for trial in result.study.trials if trial.state == TrialState.PRUNED]
    assert result.run.subsampled == len(partial) > 0
    for trial in partial:
        value = trial.params["x"] ** 2 - 0.5
        assert trial.user_attrs == {FRACTION: 0.5, PARTIAL: pytest.approx(value)}
        assert trial.intermediate_values == {50: pytest.approx(value)}


def test_by_number_the_early_ones_are_promoted_at_the_end() -> None:
    fractions = []

    def objective(params: dict[str, Any], context: Any) -> float:
        fractions.append(context.fraction)
        return abs(float(params["x"]))

    result = optimizer.optimize(
        objective, FLOAT, n_trials=40, mode=config(adaptive_subsampling=False), data=DATA, seed=1
    )
    assert fractions == [0.3] * 20 + [0.6] * 18 + [1.0] * 2
    assert len(result.study.trials) == 40
    seen = [abs(trial.params["x"]) for trial in result.study.trials]
    assert result.best_value == min(seen[:38])


def test_a_run_that_ends_by_time_has_a_full_value_all_the_same() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        if context.number == 3:
            context_study.stop()
        return abs(float(params["x"]))

    context_study = optuna.create_study()
    mode = config(adaptive_subsampling=False)
    result = optimizer.optimize(objective, FLOAT, study=context_study, mode=mode, data=DATA)
    assert [trial.state.name for trial in result.study.trials] == ["PRUNED"] * 4 + ["COMPLETE"]
    assert result.best_value == min(abs(trial.params["x"]) for trial in result.study.trials)


def test_what_was_seen_in_part_is_known_to_the_next_run(tmp_path: Any) -> None:
    fractions: list[float] = []

    def objective(params: dict[str, Any], context: Any) -> float:
        fractions.append(context.fraction)
        return abs(float(params["n"]) - 3.2)

    asked: dict[str, Any] = {
        "mode": config(adaptive_subsampling=False, enable_aggressive_pruning=False),
        "data": DATA,
        "storage": tmp_path / "study.db",
        "version": "1",
        "seed": 1,
    }
    space = {"n": {"type": "int", "min": 0, "max": 1_000}}
    first = optimizer.optimize(objective, space, n_trials=5, **asked)
    point = next(t.params for t in first.study.trials if t.state == TrialState.PRUNED)
    first.study.enqueue_trial(point)
    fractions.clear()
    second = optimizer.optimize(objective, space, n_trials=1, **asked)
    assert fractions == [1.0]
    assert second.study.trials[-1].state == TrialState.COMPLETE


def test_a_point_that_was_tried_on_all_data_is_not_seen_in_part_only(tmp_path: Any) -> None:
    on_a_part = set()

    def objective(params: dict[str, Any], context: Any) -> float:
        if context.fraction < 1.0:
            on_a_part.add(context.number)
        elif context.number in on_a_part:
            raise optuna.TrialPruned
        return abs(float(params["x"]))

    result = optimizer.optimize(
        objective, FLOAT, n_trials=30, mode=config(subsample_fraction=0.5), data=DATA, seed=1
    )
    pruned = [t for t in result.study.trials if t.state == TrialState.PRUNED]
    told = [t.number for t in pruned if PARTIAL in t.user_attrs]
    assert set(told) < on_a_part
    assert {t.number for t in pruned} == on_a_part


def test_what_cannot_be_subsampled_is_evaluated_in_full_and_said() -> None:
    mode = config(subsample_fraction=0.2)
    result = optimizer.optimize(lambda p: p["x"] ** 2, FLOAT, n_trials=5, mode=mode, data=DATA)
    assert all(trial.state == TrialState.COMPLETE for trial in result.study.trials)
    assert "subsampling needs objective(params, context)" in result.report()

    def two(params: dict[str, Any], context: Any) -> tuple[float, float]:
        assert context.fraction == 1.0
        return params["x"], -params["x"]

    directions = ["minimize", "minimize"]
    result = optimizer.optimize(two, FLOAT, n_trials=5, mode=mode, directions=directions)
    assert "subsampling needs one objective" in result.report()


def test_a_modes_pruner_stops_trials_and_a_given_one_stays() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        context.report(0, params["x"])
        if context.should_prune():
            raise optuna.TrialPruned
        return float(params["x"])

    mode = config(enable_data_subsampling=False)
    sampler = optuna.samplers.RandomSampler(seed=1)  # a guided search has few poor trials
    result = optimizer.optimize(
        objective, FLOAT, n_trials=40, mode=mode, sampler=sampler, direction="maximize"
    )
    assert type(result.study.pruner).__name__ == "ThresholdPruner"
    assert result.run.pruned > 0
    nop = optuna.pruners.NopPruner()
    result = optimizer.optimize(objective, FLOAT, n_trials=20, mode=mode, pruner=nop)
    assert result.study.pruner is nop
    assert result.run.pruned == 0


def test_caches_are_emptied_as_the_mode_asks(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, cleared = [], []

    def callback(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        told.append(trial.number)

    monkeypatch.setattr(StoredEvaluations, "clear_memory", lambda _: cleared.append(len(told) + 1))
    mode = config(clear_cache_interval=3, enable_data_subsampling=False)
    options: dict[str, Any] = {"n_trials": 7, "mode": mode, "callbacks": [callback]}
    optimizer.optimize(lambda p: 1.0, FLOAT, storage=tmp_path / "study.db", **options)
    assert cleared == [3, 6]


@pytest.mark.parametrize(("share", "collected"), [(1e-9, 1), (1e9, 3)])
def test_garbage_is_collected_while_that_takes_little_of_the_time(
    share: float, collected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(telling, "COLLECTING_SHARE", share)
    monkeypatch.setattr(gc, "collect", lambda: calls.append(len(calls)))
    mode = config(clear_cache_interval=2, enable_data_subsampling=False)
    optimizer.optimize(lambda p: 1.0, FLOAT, n_trials=7, mode=mode)
    assert len(calls) == collected


def test_warm_start_from_earlier_studies() -> None:
    earlier = optimizer.optimize(lambda p: (p["x"] - 1) ** 2, FLOAT, n_trials=25, seed=1).study
    best = sorted(earlier.trials, key=lambda trial: trial.value or 0.0)
    mode = config(warm_start_trials=3, enable_data_subsampling=False)
    result = optimizer.optimize(
        lambda p: (p["x"] - 1.1) ** 2, FLOAT, n_trials=6, mode=mode, warm_start=[earlier], seed=2
    )
    given_ = [trial.params for trial in result.study.trials[:3]]
    assert given_ == [trial.params for trial in best[:3]]
    assert len(result.study.trials) == 6


@pytest.mark.parametrize(("size", "n_trials"), [(30, 31), (30, 60), (60, 200)])
@pytest.mark.parametrize("adaptive", [True, False])
def test_every_combination_is_tried_where_there_are_trials_for_all(
    size: int, n_trials: int, adaptive: bool
) -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        return float(params["n"] * (1 if context.fraction == 1.0 else -1))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapWarning)
        result = optimizer.optimize(
            objective,
            {"n": {"type": "int", "min": 1, "max": size}},
            n_trials=n_trials,
            seed=2,
            mode=config(adaptive_subsampling=adaptive),
            data=DATA,
        )
    trials = result.study.trials
    assert {trial.params["n"] for trial in trials} == set(range(1, size + 1))
    assert size < len(trials) <= min(n_trials, size + max(1, size // 20))
    assert result.run.served == 0


@pytest.mark.parametrize("place", [{"workers": 1}, {"workers": 2}])
def test_reports_on_a_part_are_for_the_pruner_alone(place: dict[str, Any]) -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        for step in range(3):  # the same steps on every part; Optuna would warn
            context.report(step, params["x"] + 100 * (context.fraction < 1.0))
            context.set_user_attr("seen", step)
            if context.should_prune():
                raise optuna.TrialPruned
        return float(params["x"])

    threads = EfficiencyConfig(subsample_fraction=0.3, use_process_pool=False)
    result = optimizer.optimize(
        objective, FLOAT, n_trials=60, mode=threads, seed=1, data=DATA, direction="maximize",
        **place,
    )  # fmt: skip
    trials = result.study.trials
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert any(FRACTION in trial.user_attrs for trial in whole)
    for trial in whole:
        assert trial.intermediate_values == dict.fromkeys(range(3), trial.params["x"])
    later = [trial for trial in trials[18:] if trial.state == TrialState.PRUNED]
    stopped = [trial for trial in later if FRACTION not in trial.user_attrs]
    assert stopped  # among those of the same part: 100 more than any on all data
    assert all(trial.intermediate_values == {} for trial in stopped)
    assert result.run.pruned >= len(stopped)


def test_a_mode_that_does_not_stop_trials_has_a_pruner_that_does_not() -> None:
    result = optimizer.optimize(lambda p: p["x"], FLOAT, n_trials=1, mode="thorough")
    assert isinstance(result.study.pruner, optuna.pruners.NopPruner)
    median = optuna.pruners.MedianPruner()
    result = optimizer.optimize(lambda p: p["x"], FLOAT, n_trials=1, mode="thorough", pruner=median)
    assert result.study.pruner is median


def test_the_pruner_of_a_mode_looks_at_no_value_of_a_part() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        if context.fraction == 1.0:
            context.report(50, params["x"])
            if context.should_prune():
                raise optuna.TrialPruned
        return float(params["x"] + 1_000 * (context.fraction < 1.0))

    result = optimizer.optimize(
        objective, FLOAT, n_trials=40, mode=config(subsample_fraction=0.3), data=DATA, seed=1,
        direction="maximize",
    )  # fmt: skip
    last = [trial for trial in result.study.trials[15:] if trial.state == TrialState.COMPLETE]
    assert last


def test_no_trial_is_spent_where_no_point_is_left_to_be_promoted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapWarning)
        result = optimizer.optimize(
            lambda params, context: float(params["n"]),
            {"n": {"type": "int", "min": 1, "max": 3}},
            n_trials=50,
            mode=config(subsample_fraction=1.0),
            data=DATA,
        )
    assert [trial.state for trial in result.study.trials] == [TrialState.COMPLETE] * 3
