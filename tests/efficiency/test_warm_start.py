"""The points a study begins with, taken from earlier ones."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest

from optimizer import SearchSpace
from optimizer.efficiency import warm_start_params
from optimizer.errors import EfficiencyError

X = optuna.distributions.FloatDistribution(0.0, 10.0)
STATE = optuna.trial.TrialState


def trial(x: float, value: float | None, **more: Any) -> optuna.trial.FrozenTrial:
    state = more.pop("state", STATE.COMPLETE)
    params: dict[str, Any] = {"x": x, **more}
    kinds: dict[str, optuna.distributions.BaseDistribution]
    kinds = {name: X if isinstance(v, float) else _choice(v) for name, v in params.items()}
    return optuna.create_trial(state=state, value=value, params=params, distributions=kinds)


def _choice(value: Any) -> optuna.distributions.CategoricalDistribution:
    return optuna.distributions.CategoricalDistribution([value, "other"])


def study(trials: list[optuna.trial.FrozenTrial], direction: Any = "minimize") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(direction=direction)
    made.add_trials(trials)
    return made


def xs(points: list[dict[str, Any]]) -> list[float]:
    return [point["x"] for point in points]


@pytest.mark.parametrize(("direction", "best"), [("minimize", [3, 1, 2]), ("maximize", [2, 1, 3])])
def test_the_best_come_first(direction: str, best: list[float]) -> None:
    trials = [trial(1.0, 5.0), trial(2.0, 9.0), trial(3.0, -4.0)]
    assert xs(warm_start_params(study(trials, direction), 9, direction)) == best
    assert xs(warm_start_params(trials, 2, direction)) == best[:2]
    assert warm_start_params(trials, 0, direction) == []
    assert warm_start_params([], 5, direction) == []


def test_only_complete_trials_with_a_finite_value_count() -> None:
    trials = [
        trial(1.0, None, state=STATE.FAIL),
        trial(2.0, -9.0, state=STATE.PRUNED),
        trial(3.0, math.inf),
        trial(4.0, -math.inf),
        trial(5.0, 0.0),
    ]
    assert xs(warm_start_params(trials, 9, "minimize")) == [5.0]


def test_points_are_distinct() -> None:
    trials = [trial(1.0, 5.0), trial(1.0, 4.0), trial(2.0, 6.0), trial(0.0, 7.0), trial(-0.0, 7.0)]
    assert xs(warm_start_params(trials, 9, "minimize")) == [1.0, 2.0, 0.0]
    stepped = SearchSpace({"x": {"type": "float", "min": 0, "max": 1, "step": 0.1}})
    near = [trial(0.3, 1.0), trial(0.1 + 0.2, 2.0), trial(0.4, 3.0)]
    assert xs(warm_start_params(near, 9, "minimize", stepped)) == [0.3, 0.4]
    assert len(warm_start_params(near, 9, "minimize")) == 3


def test_values_of_different_studies_are_not_compared() -> None:
    one = study([trial(1.0, 0.1), trial(2.0, 0.2), trial(3.0, 0.3)])
    other = study([trial(8.0, 1e6), trial(9.0, 1e7)])
    assert xs(warm_start_params([one, other], 9, "minimize")) == [1, 8, 2, 9, 3]


def test_points_that_do_not_fit_the_space_are_left_out() -> None:
    space = SearchSpace(
        {
            "x": {"type": "float", "min": 0, "max": 5},
            "side": {"type": "categorical", "choices": ["long", "short"]},
        }
    )
    trials = [
        trial(6.0, 1.0, side="long"),
        trial(5.0, 2.0, side="long", old="a"),
        trial(1.0, 3.0),
        trial(2.0, 4.0, side="both"),
        trial(3.0, 5.0, side="short"),
    ]
    found = warm_start_params(trials, 9, "minimize", space)
    assert found == [{"x": 5.0, "side": "long"}, {"x": 3.0, "side": "short"}]
    steps = SearchSpace({"x": {"type": "int", "min": 0, "max": 8, "step": 2}})
    assert xs(warm_start_params([trial(3.0, 0.0), trial(4.0, 1.0)], 9, "minimize", steps)) == [4]
    never_nan = [trial(1.0, 1.0)]
    never_nan[0].params["x"] = math.nan
    assert warm_start_params(never_nan, 9, "minimize") == []


def test_a_study_runs_from_them() -> None:
    points = warm_start_params([trial(1.0, 5.0), trial(2.0, 4.0)], 20, "minimize")
    new = study([])
    for point in points:
        new.enqueue_trial(point)
    new.optimize(lambda one: one.suggest_float("x", 0, 10), n_trials=3)
    assert [one.params["x"] for one in new.trials][:2] == [2.0, 1.0]


def test_what_cannot_be_started_from() -> None:
    with pytest.raises(EfficiencyError, match="has maximize, expected minimize"):
        warm_start_params([study([], "maximize")], 5, "minimize")
    several = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(EfficiencyError, match="has minimize, minimize, expected minimize"):
        warm_start_params(several, 5, "minimize")
    with pytest.raises(EfficiencyError, match="found str to start from"):
        warm_start_params(["study.db"], 5, "minimize")  # type: ignore[list-item] # what is tested
    with pytest.raises(EfficiencyError, match="found int to start from"):
        warm_start_params(3, 5, "minimize")  # type: ignore[arg-type] # what is tested
    with pytest.raises(EfficiencyError, match="found -1 points"):
        warm_start_params([], -1, "minimize")
