"""One worker and the same seed: trial for trial what Optuna's own loop does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import optimizer

Space = dict[str, Any]

SPACES: dict[str, Space] = {
    "float": {"x": FloatDistribution(-5, 5), "y": FloatDistribution(0, 1)},
    "int": {"n": IntDistribution(-3, 8), "m": IntDistribution(1, 100, step=3)},
    "log": {"r": FloatDistribution(1e-5, 1.0, log=True), "k": IntDistribution(1, 500, log=True)},
    "step": {"s": FloatDistribution(0, 1, step=0.05), "x": FloatDistribution(-1, 1)},
    "categorical": {"c": CategoricalDistribution(("a", "b", None)), "x": FloatDistribution(0, 3)},
}
N = 40


def value_of(params: dict[str, Any]) -> float:
    numbers = [hash_of(value) for value in params.values()]
    return float(sum(number * number for number in numbers))


def hash_of(value: Any) -> float:
    return value if isinstance(value, (int, float)) else {"a": 0.5, "b": -1.0}.get(value, 2.0)


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    return {name: trial._suggest(name, distribution) for name, distribution in space.items()}


def sequence(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [
        (trial.number, trial.params, trial.values, trial.state, trial.intermediate_values)
        for trial in study.trials
    ]


def plain(objective: Callable[[optuna.Trial], float], n: int = N, **options: Any) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
    for params in options.pop("enqueued", ()):
        study.enqueue_trial(params)
    study.optimize(objective, n_trials=n, **options)
    return study


@pytest.mark.parametrize("name", SPACES)
def test_each_kind_of_parameter(name: str, tmp_path: Path) -> None:
    space = SPACES[name]
    ref = plain(lambda trial: value_of(suggest(trial, space)))
    options: dict[str, Any] = {"n_trials": N, "seed": 3, "duplicates": "evaluate"}
    comp = optimizer.optimize(value_of, space, **options, storage=tmp_path / "study.db")
    assert sequence(comp.study) == sequence(ref)
    comp = optimizer.optimize(lambda trial: value_of(suggest(trial, space)), **options)
    assert sequence(comp.study) == sequence(ref)


def test_serving_changes_nothing_where_no_point_comes_twice() -> None:
    space = SPACES["float"]
    ref = plain(lambda trial: value_of(suggest(trial, space)))
    for objective, given in (
        (value_of, space),
        (lambda trial: value_of(suggest(trial, space)), None),
        (lambda trial: value_of(suggest(trial, space)), space),
    ):
        comp = optimizer.optimize(objective, given, n_trials=N, seed=3)
        assert sequence(comp.study) == sequence(ref)


def test_pruned_failed_and_enqueued_trials() -> None:
    space = SPACES["float"]

    def objective(trial: optuna.Trial) -> float:
        params = suggest(trial, space)
        if trial.number % 7 == 3:
            raise ValueError("every seventh")
        for step in range(3):
            trial.report(value_of(params) + step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value_of(params) if trial.number % 5 else float("nan")

    def with_context(params: dict[str, Any], context: Any) -> float:
        if context.number % 7 == 3:
            raise ValueError("every seventh")
        for step in range(3):
            context.report(step, value_of(params) + step)
            if context.should_prune():
                raise optuna.TrialPruned
        return value_of(params) if context.number % 5 else float("nan")

    enqueued = [{"x": 1.0}, {"x": -2.0, "y": 0.25}]
    ref = plain(objective, enqueued=enqueued, catch=ValueError)
    states = {trial.state.name for trial in ref.trials}
    assert states == {"COMPLETE", "PRUNED", "FAIL"}
    for mine, given in ((objective, None), (objective, space), (with_context, space)):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
        for params in enqueued:
            study.enqueue_trial(params)
        comp = optimizer.optimize(mine, given, study=study, n_trials=N, catch=ValueError)
        assert sequence(comp.study) == sequence(ref)


def test_a_resumed_study_goes_on_as_optunas_would(tmp_path: Path) -> None:
    """With the seed and the number of trials, or it would begin as it began before."""
    space = SPACES["float"]
    ref = optuna.create_study(
        storage=optimizer.SQLiteStorage(tmp_path / "ref.db"),
        sampler=optuna.samplers.TPESampler(seed=1),
    )
    ref.optimize(lambda trial: value_of(suggest(trial, space)), n_trials=20)
    ref.sampler = optuna.samplers.TPESampler(seed=1 + 20)
    ref.optimize(lambda trial: value_of(suggest(trial, space)), n_trials=15)
    path = tmp_path / "comp.db"
    optimizer.optimize(value_of, space, n_trials=20, seed=1, storage=path)
    comp = optimizer.optimize(value_of, space, n_trials=15, seed=1, storage=f"sqlite:///{path}")
    assert sequence(comp.study) == sequence(ref)
    assert comp.run.trials == 15
    assert comp.run.served == 0


def test_a_seed_counts_trials_that_were_begun_and_no_sampler_that_was_given(tmp_path: Path) -> None:
    space = SPACES["float"]
    storage = optimizer.SQLiteStorage(tmp_path / "study.db")
    asked: dict[str, Any] = {"storage": storage, "study_name": "queued", "n_trials": 4}
    optuna.create_study(storage=storage, study_name="queued").enqueue_trial({"x": 0.5})
    comp = optimizer.optimize(value_of, space, seed=3, **asked).study
    ref = plain(lambda trial: value_of(suggest(trial, space)), 4, enqueued=[{"x": 0.5}])
    assert sequence(comp) == sequence(ref)  # of seed 3, too

    for _ in range(2):  # the second run draws what the first one drew, as Optuna's would
        sampler = optuna.samplers.RandomSampler(seed=3)
        own = {**asked, "study_name": "own", "sampler": sampler, "duplicates": "evaluate"}
        comp = optimizer.optimize(value_of, space, **own).study
    drawn = [trial.params for trial in comp.trials]
    assert drawn[:4] == drawn[4:]


def test_the_largest_seed_goes_on_too(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"storage": tmp_path / "study.db", "seed": 2**32 - 1, "n_trials": 2}
    for _ in range(2):
        comp = optimizer.optimize(value_of, SPACES["float"], **asked)
    assert len({trial.params["x"] for trial in comp.study.trials}) == 4


def test_several_objectives() -> None:
    space = SPACES["float"]

    def both(params: dict[str, Any]) -> tuple[float, float]:
        return params["x"] ** 2, params["y"] - params["x"]

    ref = optuna.create_study(
        directions=["minimize", "maximize"], sampler=optuna.samplers.TPESampler(seed=3)
    )
    ref.optimize(lambda trial: both(suggest(trial, space)), n_trials=25)
    comp = optimizer.optimize(both, space, n_trials=25, seed=3, directions=["minimize", "maximize"])
    assert sequence(comp.study) == sequence(ref)
    assert [one.number for one in comp.best_trials] == [one.number for one in ref.best_trials]


def test_other_samplers_draw_what_they_draw_in_optunas_loop() -> None:
    grid = {"x": [-1.0, 0.0, 2.0], "y": [0.0, 1.0]}
    space = SPACES["float"]
    for make in (
        lambda: optuna.samplers.GridSampler(grid, seed=5),
        lambda: optuna.samplers.RandomSampler(seed=5),
        lambda: optuna.samplers.NSGAIISampler(seed=5, population_size=3),
    ):
        ref = optuna.create_study(sampler=make())
        ref.optimize(lambda trial: value_of(suggest(trial, space)), n_trials=6)
        comp = optimizer.optimize(value_of, space, n_trials=6, sampler=make())
        assert sequence(comp.study) == sequence(ref)
