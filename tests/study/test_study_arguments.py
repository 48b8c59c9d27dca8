"""Arguments that make no sense are refused in one line, before anything is created."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution

import optimizer
from optimizer.errors import (
    EfficiencyError,
    ForeignFileError,
    ObjectiveError,
    SpaceError,
    StudyArgumentError,
)
from optimizer.study.objectives import kind_of

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}


def one(params: Any) -> float:
    return 1.0


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"n_trials": -1}, "n_trials is -1"),
    ({"n_trials": 2.5}, "n_trials is 2.5"),
    ({"n_trials": True}, "n_trials is True"),
    ({"timeout": -0.1}, "timeout is -0.1"),
    ({"timeout": float("nan")}, "timeout is nan"),
    ({"workers": 0}, "workers is 0"),
    ({"workers": 0}, "'auto', or Workers"),
    ({"workers": True}, "workers is True"),
    ({"sampler": 5}, "sampler is 5"),
    ({"pruner": "median"}, "pruner is 'median'"),
    ({"study_name": 5}, "study_name is 5"),
    ({"workers": "all"}, "workers is 'all'"),
    ({"workers": 1.5}, "workers is 1.5"),
    ({"trial_timeout_s": 0}, "trial_timeout_s is 0"),
    ({"retries": -1}, "retries is -1"),
    ({"duplicates": "drop"}, "duplicates is 'drop'"),
    ({"catch": "ValueError"}, "catch holds 'V'"),
    ({"catch": KeyboardInterrupt}, "catch holds"),
    ({"callbacks": one}, "callbacks is"),
    ({"callbacks": [1]}, "callbacks holds 1"),
    ({"data": [1, 2]}, "data is"),
    ({"data": {1: 2}}, "data is"),
    ({"seed": -1}, "seed is -1"),
    ({"seed": "a"}, "seed is 'a'"),
    ({"progress": "yes"}, "progress is 'yes'"),
    ({"compare": -1}, "compare is -1"),
    ({"space": 5}, "found the space 5"),
    ({"storage": 5}, "storage is 5"),
    ({"direction": "up"}, "found direction 'up'"),
    ({"directions": []}, "found direction None and directions"),
    ({"direction": "minimize", "directions": ["minimize"]}, "both direction and directions"),
    ({"sampler": optuna.samplers.RandomSampler(), "seed": 1}, "both sampler and seed"),
    ({"study": 5}, "study is 5"),
    ({"durability": "power"}, "durability 'power'"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_each_is_refused(given: dict[str, Any], message: str) -> None:
    arguments = {"space": FLOAT, "n_trials": 1, **given}
    with pytest.raises(StudyArgumentError) as caught:
        optimizer.optimize(one, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["storage", "study_name", "seed", "direction", "directions"])
def test_a_study_goes_with_nothing_that_makes_one(name: str) -> None:
    given: dict[str, Any] = {
        "storage": "a.db",
        "study_name": "s",
        "seed": 1,
        "direction": "minimize",
        "directions": ["minimize"],
    }
    with pytest.raises(StudyArgumentError, match=f"both study and {name}"):
        optimizer.optimize(one, FLOAT, study=optuna.create_study(), **{name: given[name]})


def test_other_errors_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(EfficiencyError, match="mode is 'quick'"):
        optimizer.optimize(one, FLOAT, n_trials=1, mode="quick")
    with pytest.raises(SpaceError):
        optimizer.optimize(one, {"x": {"type": "float"}}, n_trials=1)
    optimizer.optimize(one, FLOAT, n_trials=1, storage=tmp_path / "a.db", direction="maximize")
    with pytest.raises(StudyArgumentError, match="'default' with maximize, expected minimize"):
        optimizer.optimize(one, FLOAT, n_trials=1, storage=tmp_path / "a.db", direction="minimize")


@pytest.mark.parametrize(
    "later",
    [{"type": "int", "min": 0, "max": 3}, {"type": "categorical", "choices": [1.0, 2.0]}],
)
def test_a_parameter_keeps_its_kind_in_a_study(tmp_path: Path, later: dict[str, Any]) -> None:
    first = {"x": {"type": "categorical", "choices": [0.5, 1.0]}, "y": FLOAT["x"]}
    path = tmp_path / "a.db"
    optimizer.optimize(one, first, n_trials=1, storage=path)
    with pytest.raises(StudyArgumentError, match=r"'default' with 'x' as Categorical.*study_name"):
        optimizer.optimize(one, {"x": later}, n_trials=5, storage=path)
    wider = {"y": {**FLOAT["x"], "max": 9}}
    result = optimizer.optimize(one, wider, n_trials=1, storage=path)
    assert len(result.study.trials) == 2  # what was refused has left no trial


def test_a_file_of_optunas_own_is_told_apart(tmp_path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/plain.db")
    storage.engine.dispose()
    with pytest.raises(ForeignFileError, match=r"RDBStorage\('sqlite:///.*plain\.db'\)"):
        optimizer.optimize(one, FLOAT, n_trials=1, storage=tmp_path / "plain.db")


def test_a_result_is_a_warm_start() -> None:
    first = optimizer.optimize(lambda params: params["x"], FLOAT, n_trials=5, seed=1)
    again = optimizer.optimize(one, FLOAT, n_trials=1, warm_start=first)
    assert again.best_params == first.best_params


def test_spaces_in_all_their_forms() -> None:
    numpy_counts: dict[str, Any] = {"n_trials": np.int64(2), "seed": np.int32(3)}
    for space in (FLOAT, optimizer.SearchSpace(FLOAT), {"x": FloatDistribution(-5, 5)}):
        result = optimizer.optimize(one, space, **numpy_counts)
        assert [sorted(trial.params) for trial in result.study.trials] == [["x"], ["x"]]


def test_a_sampler_and_a_pruner_are_the_studys() -> None:
    sampler, pruner = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
    study = optuna.create_study()
    optimizer.optimize(one, FLOAT, n_trials=1, study=study, sampler=sampler, pruner=pruner)
    assert (study.sampler, study.pruner) == (sampler, pruner)


class Callable1:
    def __call__(self, params: Any) -> float:
        return 1.0


async def later(params: Any) -> float:
    return 1.0


class Later:
    async def __call__(self, params: Any) -> float:
        return 1.0


@pytest.mark.parametrize("objective", [later, functools.partial(later), Later()])
def test_an_async_objective_is_refused_before_it_runs(objective: Any) -> None:
    with pytest.raises(ObjectiveError, match="an async function, expected one that returns"):
        optimizer.optimize(objective, FLOAT, n_trials=1)


def with_trial(trial: Any) -> float:
    return 1.0


def annotated(t: optuna.Trial) -> float:
    return 1.0


def quoted(t: optuna.trial.Trial, other: int = 1) -> float:
    return 1.0


def two(params: Any, context: Any) -> float:
    return 1.0


def defaulted(params: Any, scale: float = 2.0) -> float:
    return 1.0


def late_context(params: Any, context: Any = None) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("objective", "has_space", "kind"),
    [
        (one, True, "params"),
        (lambda p: 1.0, True, "params"),
        (lambda p: 1.0, False, "trial"),
        (Callable1(), True, "params"),
        (with_trial, True, "trial"),
        (annotated, True, "trial"),
        (quoted, True, "trial"),
        (two, True, "context"),
        (defaulted, True, "params"),
        (late_context, True, "context"),
        (functools.partial(two, context=1), True, "params"),
        (lambda *args: 1.0, True, "params"),
        (dict, True, "params"),
    ],
)
def test_kinds_by_signature(objective: Any, has_space: bool, kind: str) -> None:
    assert kind_of(objective, has_space) == kind


@pytest.mark.parametrize(
    ("objective", "has_space"),
    [
        (5, True),
        (lambda: 1.0, True),
        (lambda a, b, c: 1.0, True),
        (lambda params, *, scale: 1.0, True),
        (one, False),
        (two, False),
    ],
)
def test_what_cannot_be_called_is_refused(objective: Any, has_space: bool) -> None:
    with pytest.raises(ObjectiveError):
        kind_of(objective, has_space)


@pytest.mark.parametrize("workers", [1, 2])
def test_parameters_without_a_space_are_told_in_one_line(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What names its argument anything else than `params` is only seen when it reads one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    asked: dict[str, Any] = {"n_trials": 4, "workers": workers, "storage": tmp_path / "study.db"}
    try:
        with pytest.raises(ObjectiveError, match="give the space as the second argument") as found:
            optimizer.optimize(lambda p: p["x"] ** 2, **asked)
    finally:
        optuna.logging.disable_propagation()
    assert "\n" not in str(found.value)
    assert "Traceback" not in caplog.text
    with pytest.raises(ObjectiveError, match="found objective\\(params\\) and no space"):
        optimizer.optimize(lambda params: params["x"] ** 2, **asked)
    with pytest.raises(ObjectiveError, match="do not call the argument `trial`"):
        optimizer.optimize(lambda trial: trial["x"] ** 2, FLOAT, **asked)
