"""Equal to Optuna's sampler beyond the plain loop: several at once, settings, handing over."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from tpe_spaces import SPACES, Objective, Run, Sampler, compared, mixed, plain, verified

from optimizer.sampling import _tpe_suggestion
from optimizer.sampling.tpe import IncrementalTPESampler

pytestmark = [verified, pytest.mark.usefixtures("quiet")]


def several_at_once(sampler: Sampler, objective: Objective = mixed) -> Any:
    """Ask for some, suggest here and there, tell in another order."""
    study = optuna.create_study(sampler=sampler)
    waiting: list[tuple[optuna.Trial, float]] = []
    order = np.random.RandomState(0)
    for number in range(40):
        trial = study.ask()
        if number % 9 == 4:
            trial.suggest_float("z", 0, 3)  # and never told
            continue
        waiting.append((trial, objective(trial)))
        while len(waiting) > 4:
            other, value = waiting.pop(order.randint(len(waiting)))
            if other.number % 10 == 3:
                study.tell(other, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(other, value)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize("liar", [True, False])
@pytest.mark.parametrize("multivariate", [True, False])
def test_several_trials_at_once(multivariate: bool, liar: bool) -> None:
    sampler = compared(several_at_once, multivariate=multivariate, constant_liar=liar)
    assert sampler.counters.handed_over == 0


@pytest.mark.parametrize(("multivariate", "own"), [(True, 10), (False, 20)])
def test_it_counts_draws_of_all_together_or_of_each(multivariate: bool, own: int) -> None:
    sampler = IncrementalTPESampler(seed=1, multivariate=multivariate)
    study = optuna.create_study(sampler=sampler)
    for _ in range(20):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("a", 0, 1) + trial.suggest_float("b", 0, 1))
    counters = sampler.counters
    assert (counters.own, counters.startup, counters.handed_over) == (own, 2 * 10, 0)


@pytest.mark.parametrize("options", [{}, {"multivariate": True, "group": True}], ids=str)
@pytest.mark.parametrize("space", ["conditional", "moving"])
def test_several_trials_of_a_changing_space_at_once(space: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters whose bounds move
        sampler = compared(lambda one: several_at_once(one, SPACES[space]), **options)
    assert sampler.counters.handed_over == 0


@pytest.mark.parametrize(
    "options",
    [
        {"n_startup_trials": 0},
        {"n_ei_candidates": 1},
        {"n_ei_candidates": 400},  # enough for Optuna's other error function
        {"gamma": lambda n: n // 2},
        {"gamma": lambda n: 0},
        {"weights": lambda n: np.linspace(0.1, 1.0, n)},
        {"prior_weight": 0.3},
        {"prior_weight": 3.0, "consider_magic_clip": False},
        {"consider_endpoints": True},
    ],
    ids=",".join,
)
def test_settings(options: dict[str, Any]) -> None:
    assert compared(plain, **options).counters.handed_over == 0


def extremes(sampler: Sampler) -> Any:
    """A range whose logarithms differ in the last digits, and grids of very many cells."""

    def objective(trial: optuna.Trial) -> float:
        near = trial.suggest_float("near", 1.0, 1.0 + 1e-9, log=True)
        many = trial.suggest_int("many", -(10**9), 10**9)
        logs = trial.suggest_int("logs", 1, 10**8, log=True)
        fine = trial.suggest_float("fine", 0.0, 1.0, step=1e-6)
        return (near - 1) * 1e9 + abs(many) / 1e9 + math.log(logs) + fine

    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=60)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize("multivariate", [True, pytest.param(False, marks=pytest.mark.stress)])
def test_extreme_ranges(multivariate: bool) -> None:
    assert compared(extremes, multivariate=multivariate).counters.handed_over == 0


def far_outside(sampler: Sampler) -> Any:
    """Old trials lie far outside of the bounds that are asked for now."""
    study = optuna.create_study(sampler=sampler)
    wide: dict[str, optuna.distributions.BaseDistribution] = {
        "x": optuna.distributions.FloatDistribution(0, 1000),
        "n": optuna.distributions.IntDistribution(0, 1000),
    }
    for number in range(30):
        params = {"x": 10.0 + number, "n": 10 + 3 * number}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=wide, value=float(number))
        )
    study.optimize(
        lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 0, 8), n_trials=25
    )
    return [trial.params for trial in study.get_trials(deepcopy=False)]


def test_observations_far_outside_of_the_bounds() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of masses that vanish, in Optuna too
        assert compared(far_outside).counters.handed_over == 0


def test_without_numba_the_same_in_optunas_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tpe_suggestion, "available", lambda package: False)
    counters = compared(plain).counters
    assert counters.own == counters.exact > 0


def test_on_a_machine_that_computes_otherwise_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    from optimizer.sampling import _tpe_candidates

    monkeypatch.setattr(_tpe_candidates, "agrees", lambda plain: False)
    counters = compared(plain).counters
    assert counters.own == counters.exact > 0


def constrained(sampler: Sampler) -> Any:
    study = optuna.create_study(sampler=sampler)
    for _ in range(30):
        trial = study.ask()
        value = mixed(trial)
        trial.set_constraint("c", trial.params["x0"] - 1)
        study.tell(trial, value)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


def test_constraints() -> None:
    assert compared(constrained).counters.handed_over == 0


def test_constraints_by_function() -> None:
    sampler = compared(plain, constraints_func=lambda trial: [trial.params["x1"]])
    assert sampler.counters.handed_over == 0


def two_objectives(sampler: Sampler) -> Any:
    study = optuna.create_study(sampler=sampler, directions=["minimize", "maximize"])
    study.optimize(lambda trial: (mixed(trial), trial.params["x0"]), n_trials=25)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


def hyperband(sampler: Sampler) -> Any:
    study = optuna.create_study(
        study_name="h", sampler=sampler, pruner=optuna.pruners.HyperbandPruner(max_resource=9)
    )
    study.optimize(SPACES["unlucky"], n_trials=40, catch=(Exception,))
    return [trial.params for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize("run", [two_objectives, hyperband])
def test_handed_over(run: Run) -> None:
    counters = compared(run).counters
    assert counters.own == 0
    assert counters.handed_over > 0
    assert counters.own_ratio == 0.0


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_with_the_sequence(again: Callable[[Any], Any]) -> None:
    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        study.optimize(mixed, n_trials=20)
        study.sampler = again(sampler)
        study.optimize(mixed, n_trials=10)
        return [trial.params for trial in study.get_trials(deepcopy=False)]

    compared(run)


def test_one_sampler_for_two_studies_keeps_them_apart() -> None:
    def run(sampler: Sampler) -> Any:
        return [plain(sampler, 20), plain(sampler, 20)]

    compared(run)
    compared(run, multivariate=False)


def test_a_study_that_is_gone_is_forgotten() -> None:
    sampler = IncrementalTPESampler(seed=1)
    plain(sampler, 12)
    gc.collect()
    assert len(sampler._studies) == 0


def test_reseeding_changes_the_sequence() -> None:
    sampler = IncrementalTPESampler(seed=1)
    sampler.reseed_rng()
    assert plain(sampler, 12) != plain(IncrementalTPESampler(seed=1), 12)


def test_unknown_options_are_refused_as_by_optuna() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        IncrementalTPESampler(no_such_option=1)


def test_in_threads() -> None:
    sampler = IncrementalTPESampler(seed=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(mixed, n_trials=40, n_jobs=4)
    assert len(study.trials) == 40
    assert sampler.counters.handed_over == 0
