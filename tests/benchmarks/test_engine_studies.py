"""Whole studies that the claims measure: they compare what they say, and could say no."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from suite_sources import PATHS as GATED

from benchmarks import (
    _claims_once,
    _cores,
    _engine,
    _engine_efficiency,
    _engine_runs,
    _engine_workloads,
    _repeating,
)
from benchmarks._claims_once import measure_once, taken
from benchmarks._engine_workloads import PORTFOLIO, TREE, Whole
from benchmarks.gate.errors import BodyRaisedError
from benchmarks.gate.harness import Side

PATHS = {path.name: path for path in _engine.load()}
STUDIES = {name: path for name, path in PATHS.items() if name not in GATED}
SIDE = Side("head", "optimizer", Path("/stage"), Path("/suite"), "m:load", Path("/home"), "b")
KEY = "engine_runs.Run100", "n_trials=100,objective=10ms"


def opened(name: str, label: str) -> Any:
    return PATHS[name].case(label).open()


# --- the registry


def test_the_gate_has_none_of_them_and_the_claims_have_all() -> None:
    assert {"engine_runs.Run1000", "engine_efficiency.Overall"} <= {*STUDIES}
    assert {*GATED} < {*PATHS}
    assert all(name.startswith("engine_") for name in STUDIES)
    assert _engine.find("engine_runs.Run100").claim == "run-100"
    with pytest.raises(KeyError, match=r"no hot path nothing\.Here"):
        _engine.find("nothing.Here")


def test_each_belongs_to_a_claim_and_has_a_short_case() -> None:
    for path in STUDIES.values():
        assert path.claim, path.name
        assert any(case.compared for case in path.cases), path.name
        assert not path.case().compared, path.name
        assert all(case.once for case in path.cases), path.name


# --- studies with and without


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine_runs, "_OBJECTIVE_S", 0.0)
    monkeypatch.setattr(_engine_runs, "_SHORT", 2)


def test_both_studies_are_the_same_and_could_differ() -> None:
    body = opened("engine_runs.RunDuplicates", "n_trials=12,objective=10ms")
    try:
        body.fresh()
        theirs = body.before()
        body.fresh()
        ours = body.after()
        body.fresh()  # what is compared is what was written, whatever comes next
        assert body.agree(theirs, ours)
        assert len(_engine_runs._told(ours.study)) == 12
        served = [trial for trial in ours.study.trials if trial.value is None]
        assert len(served) == 6
        theirs.add_trial(theirs.trials[0])
        assert not body.agree(theirs, ours)
    finally:
        body.close()


@pytest.mark.stress
@pytest.mark.parametrize("name", sorted(name for name in STUDIES if "Guided" not in name))
def test_every_short_study_agrees(name: str) -> None:
    case = next(case for case in PATHS[name].cases if case.compared)
    body = case.open()
    try:
        body.fresh()
        before = body.before()
        body.fresh()
        assert body.agree(before, body.after())
    finally:
        body.close()


def test_a_value_on_a_part_of_the_data_is_no_best_value() -> None:
    body = _engine_efficiency._Efficient()
    params = {"lookback": 50, "skip": 0, "holdings": 5, "side": "long"}
    params |= {"exposure": 1.0, "power": 1.0}

    class Found:
        best_params = params
        best_value = PORTFOLIO.value(params)

    assert body._is_whole(Found)
    part = {name: rows[:4_000] for name, rows in PORTFOLIO.data().items()}
    Found.best_value = PORTFOLIO.evaluate(params, Whole(part))
    assert not body._is_whole(Found)


# --- what they are tried on


def test_a_portfolio_knows_nothing_of_later_days() -> None:
    close = PORTFOLIO.data()["close"]
    params = {"lookback": 50, "skip": 3, "holdings": 5, "side": "long-short"}
    params |= {"exposure": 1.0, "power": 1.0}
    weights, bars = _engine_workloads._weights(close, params)
    early, early_bars = _engine_workloads._weights(close[:1_000], params)
    assert np.array_equal(weights[: len(early)], early)
    assert np.array_equal(bars[: len(early_bars)], early_bars)


@pytest.mark.parametrize("load", [PORTFOLIO, TREE], ids=lambda one: one.name)
def test_the_same_parameters_have_the_same_value_and_a_part_another(load: Any) -> None:
    if load is TREE:
        pytest.importorskip("sklearn", reason="the group bench has it")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    params = load.suggested(study.ask())
    value = load.value(params)
    assert load.value(params) == value
    part = {name: rows[:600] for name, rows in load.data().items()}
    assert load.evaluate(params, Whole(part)) != value
    assert load.is_better(value + 1.0, value) is (load.direction == "maximize")


def test_every_other_trial_repeats_one_before_it() -> None:
    for number in range(50):
        origin = _repeating.origin(number, 7)
        assert origin % 2 == 0
        assert origin == number or (number % 2 and origin < number)
    assert len({_repeating.origin(number, 7) for number in range(1, 50, 2)}) > 5


def test_what_is_suggested_depends_on_the_number_alone() -> None:
    def told(states: list[Any]) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=_repeating.sampler(3))
        for state in states:
            trial = study.ask()
            trial.suggest_float("x", 1e-5, 1.0, log=True)
            trial.suggest_int("n", 1, 9)
            trial.suggest_categorical("c", ("a", "b"))
            study.tell(trial, 1.0 if state is None else None, state=state)
        return [trial.params for trial in study.trials]

    failed = optuna.trial.TrialState.FAIL
    assert told([None] * 8) == told([None, failed] * 4)
    assert len({str(params) for params in told([None] * 8)}) == 4


# --- once in a process


class Body:
    """A case whose calls are counted."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def fresh(self) -> None:
        self.called.append("fresh")

    def before(self) -> int:
        self.called.append("before")
        return 1

    def after(self) -> int:
        self.called.append("after")
        return 2

    def agree(self, before: int, after: int) -> bool:
        return (before, after) == (1, 2)


@pytest.mark.parametrize(("order", "first"), [("first", "before"), ("second", "after")])
def test_each_side_is_called_once_after_fresh(order: str, first: str) -> None:
    body, ticks = Body(), iter(range(100))
    found = taken(body, lambda: next(ticks) * 1_000_000_000, order)
    assert body.called[:2] == ["fresh", first]
    assert sorted(body.called) == ["after", "before", "fresh", "fresh"]
    assert found["agree"]
    assert found["before"]["cpu_s"] == found["after"]["cpu_s"] == 1.0


def answers(monkeypatch: pytest.MonkeyPatch, before_s: float, agree: bool = True) -> list[Any]:
    asked: list[Any] = []

    def answer(side: Side, key: Any, module: str, words: list[str]) -> dict[str, Any]:
        assert (side, key, module) == (SIDE, KEY, _claims_once.__name__)
        asked.append(words)
        slow = {"wall_s": before_s, "cpu_s": before_s}
        return {"before": slow, "after": {"wall_s": 0.1, "cpu_s": 0.1}, "agree": agree}

    monkeypatch.setattr(_claims_once, "asked", answer)
    return asked


@pytest.mark.parametrize(
    ("before_s", "quick", "processes"),
    [(0.5, False, 3), (0.5, True, 2), (5.0, False, 2), (5.0, True, 2)],
)
def test_how_many_processes(
    monkeypatch: pytest.MonkeyPatch, before_s: float, quick: bool, processes: int
) -> None:
    asked = answers(monkeypatch, before_s)
    found = measure_once(SIDE, KEY, quick=quick)
    assert found.processes == len(asked) == processes
    assert [words[2] for words in asked] == ["first", "second", "first", "second"][:processes]
    assert found.wall.ratio == pytest.approx(before_s / 0.1)


def test_studies_that_disagree_have_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, 1.0, agree=False)
    with pytest.raises(BodyRaisedError, match="before and after disagree"):
        measure_once(SIDE, KEY, quick=True)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here")
def test_cores_are_widened_and_put_back() -> None:
    former = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(former)})
        narrow = _cores.widened()
        assert narrow == {min(former)}
        assert os.sched_getaffinity(0) >= narrow
        _cores.put_back(narrow)
        assert os.sched_getaffinity(0) == narrow
        assert _cores.cores() == 1
    finally:
        os.sched_setaffinity(0, former)
    _cores.put_back(set())
    assert os.sched_getaffinity(0) == former
