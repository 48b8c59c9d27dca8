"""Equal to Optuna's sampler where it is easily forgotten: odd values, odd ranges, odd uses."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import PartialFixedSampler, TPESampler
from optuna.trial import TrialState, create_trial
from tpe_spaces import Sampler, compared, made, mixed, plain, verified

from optimizer.sampling._tpe_observations import Observations
from optimizer.sampling.tpe import IncrementalTPESampler

pytestmark = [verified, pytest.mark.usefixtures("quiet")]


def trials_of(study: optuna.Study) -> Any:
    # As text: 1, 1.0 and True are not the same suggestion.
    return [repr(sorted(trial.params.items())) for trial in study.get_trials(deepcopy=False)]


def told(study: optuna.Study, objective: Any, n_trials: int) -> Any:
    study.optimize(objective, n_trials=n_trials)
    return trials_of(study)


# --- odd ranges


@pytest.mark.parametrize("multivariate", [True, False])
@pytest.mark.parametrize("low", [1.869, 1.998])
@pytest.mark.parametrize("width", [1e-15, 1e-14])
def test_a_logarithmic_range_of_a_few_numbers(width: float, low: float, multivariate: bool) -> None:
    """Here exp and log lead out of the range, where Optuna's densities vanish."""

    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        return told(
            study,
            lambda trial: (
                trial.suggest_float("x", low, low * (1 + width), log=True)
                + trial.suggest_float("y", 0, 1)
            ),
            40,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # -inf - -inf, in Optuna
        assert compared(run, multivariate=multivariate).counters.handed_over == 0


def test_whole_numbers_that_floats_cannot_hold() -> None:
    def objective(trial: optuna.Trial) -> float:
        big = trial.suggest_int("big", 2**53 - 5, 2**60 + 1)
        step = trial.suggest_int("step", 0, 2**20 * (2**40 + 1), step=2**40 + 1)
        log = trial.suggest_int("log", 1, 2**62, log=True)
        small = trial.suggest_int("small", 2**53 + 1, 2**53 + 9)
        return big / 2**60 + step / 2**62 + math.log(log) + small % 7

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of masses that vanish, in Optuna
        compared(lambda sampler: told(optuna.create_study(sampler=sampler), objective, 40))


def test_choices_that_are_equal_or_no_numbers() -> None:
    def objective(trial: optuna.Trial) -> float:
        kind = trial.suggest_categorical("kind", [None, True, 1, 1.0, False, 0, "1"])
        nan = trial.suggest_categorical("nan", [float("nan"), 1.0, math.inf])
        return float(kind or 0) + (0.0 if math.isnan(nan) else 1.0)

    sampler = compared(lambda one: told(optuna.create_study(sampler=one), objective, 40))
    assert sampler.counters.handed_over == 0


def test_distributions_that_are_equal_and_not_alike() -> None:
    """Which of the equal ones is suggested from: that of the newest trial when first asked."""

    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        for number in range(12):
            choices = (1, 2.0, "a") if number % 3 else (True, 2, "a")
            one = CategoricalDistribution(choices)
            study.add_trial(
                create_trial(params={"c": choices[number % 2]}, distributions={"c": one}, value=0.5)
            )
        found: list[str] = []

        def objective(trial: optuna.Trial) -> float:
            found.append(repr(trial.suggest_categorical("c", (1.0, 2, "a"))))
            return 9.0

        study.optimize(objective, n_trials=12)
        return found

    compared(run)


def test_very_many_choices_take_little_memory() -> None:
    study = optuna.create_study(sampler=IncrementalTPESampler(seed=1))
    names = [str(number) for number in range(3_000)]
    study.optimize(lambda trial: len(trial.suggest_categorical("c", names)), n_trials=12)
    tracemalloc.start()
    try:
        study.optimize(lambda trial: len(trial.suggest_categorical("c", names)), n_trials=4)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


# --- odd values


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_values_that_are_infinite_or_whole_numbers(direction: Any) -> None:
    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler, direction=direction)
        distributions = {"x": FloatDistribution(0, 1)}
        for number in range(30):
            # Floats cannot tell these whole numbers apart.
            values: tuple[float, ...] = (math.inf, -math.inf, 2**60 + number, 0.0, -0.0, -number)
            study.add_trial(
                create_trial(
                    params={"x": number / 30},
                    distributions=dict(distributions),
                    value=values[number % 6],
                )
            )
        return told(study, lambda trial: trial.suggest_float("x", 0, 1), 20)

    assert compared(run, gamma=lambda n: n // 4).counters.handed_over == 0


def test_a_value_that_is_no_number_is_handed_over() -> None:
    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        distributions = {"x": FloatDistribution(0, 1)}
        random = np.random.RandomState(0)
        for number in range(60):
            value = math.nan if number % 7 == 3 else float(random.rand())
            study.add_trial(
                create_trial(
                    params={"x": number / 60}, distributions=dict(distributions), value=0.5
                )
            )
            study._storage._studies[0].trials[number]._values = [value]  # type: ignore[attr-defined]  # in memory
        return told(study, lambda trial: trial.suggest_float("x", 0, 1), 20)

    counters = compared(run).counters
    assert counters.own == 0
    assert counters.handed_over == 20


def test_enqueued_parameters_outside_of_the_range() -> None:
    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        for params in ({"x": 7.5}, {"x": -2, "n": 99}, {"n": 3.0, "r": 50}, {"c": "b"}):
            study.enqueue_trial(params)

        def objective(trial: optuna.Trial) -> float:
            x, n = trial.suggest_float("x", 0, 1), trial.suggest_int("n", 0, 9)
            r = trial.suggest_float("r", 0.1, 1, log=True)
            return x + n + r + (trial.suggest_categorical("c", ["a", "b"]) == "a")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is out of range
            study.optimize(objective, n_trials=20)
            study.enqueue_trial({"x": 7.5, "n": -5})
            study.optimize(objective, n_trials=10)
        return trials_of(study)

    compared(run)
    compared(run, multivariate=False)


# --- odd settings


@pytest.mark.parametrize(
    "options",
    [
        {"gamma": lambda n: -3},
        {"gamma": lambda n: 10**9},
        {"n_startup_trials": 10.5},
        {"n_startup_trials": -1},
        {"weights": lambda n: np.ones(n, int)},
        {"weights": lambda n: [1.0] * n + [5.0]},
        {"weights": lambda n: np.arange(n) % 2 + (n == 1)},
    ],
    ids=["negative", "all", "half", "none", "whole", "long", "zeros"],
)
def test_settings_that_nobody_means(options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # log(0), in Optuna too

        def run(sampler: Sampler) -> Any:
            study = optuna.create_study(
                sampler=sampler, pruner=optuna.pruners.MedianPruner(n_startup_trials=2)
            )

            def objective(trial: optuna.Trial) -> float:
                x = trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 0, 3)
                trial.report(x, 1)
                if trial.should_prune():
                    raise optuna.TrialPruned
                return x

            return told(study, objective, 40)

        compared(run, **options)


def test_settings_that_optuna_refuses() -> None:
    for options in ({"weights": lambda n: -np.ones(n)}, {"prior_weight": -0.5}):
        for kind in (IncrementalTPESampler, TPESampler):
            with pytest.raises(ValueError, match="negative"):
                plain(made(kind, {"seed": 1, **options}))


# --- odd uses


def test_one_sampler_for_one_and_then_two_objectives() -> None:
    """The first study decides how many trials count as good, in Optuna."""

    def run(sampler: Sampler) -> Any:
        first = plain(sampler, 15)
        study = optuna.create_study(sampler=sampler, directions=["minimize", "maximize"])
        for number in range(300):  # from 250 on, as many are good as with one objective
            study.add_trial(
                create_trial(
                    params={"x": number / 300},
                    distributions={"x": FloatDistribution(0, 1)},
                    values=[float(number % 17), float(number % 11)],
                )
            )
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=10)
        return first, trials_of(study)

    compared(run)


def test_below_a_sampler_that_fixes_some_parameters() -> None:
    def run(sampler: Sampler) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(sampler=PartialFixedSampler({"x1": 0.5, "c": "b"}, sampler))
        return told(study, mixed, 30)

    for options in ({}, {"multivariate": False}, {"multivariate": True, "group": True}):
        assert compared(run, **options).counters.handed_over == 0


def test_a_study_deleted_and_made_anew_on_the_same_storage() -> None:
    def run(sampler: Sampler) -> Any:
        storage = optuna.storages.InMemoryStorage()
        found = []
        for shift in (0.0, 5.0):
            study = optuna.create_study(study_name="s", storage=storage, sampler=sampler)
            study.optimize(lambda trial: (trial.suggest_float("x", -9, 9) - shift) ** 2, 15)  # noqa: B023  called at once
            found.append(trials_of(study))
            optuna.delete_study(study_name="s", storage=storage)
            storage._max_study_id = -1  # as databases do, which give ids away again
        return found

    for options in ({}, {"multivariate": False}):
        assert compared(run, **options).counters.handed_over == 0


def test_trials_added_by_others_between_suggestions() -> None:
    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        distributions: Any = {"x": FloatDistribution(0, 1), "n": IntDistribution(0, 3)}
        for number in range(30):
            trial = study.ask()
            x = trial.suggest_float("x", 0, 1)
            study.add_trial(
                create_trial(
                    state=TrialState.COMPLETE if number % 3 else TrialState.FAIL,
                    params={"x": number / 30, "n": number % 4},
                    distributions=distributions,
                    value=float(number) if number % 3 else None,
                )
            )
            study.tell(trial, x + trial.suggest_int("n", 0, 3))
        return trials_of(study)

    for options in ({}, {"multivariate": False}, {"constant_liar": False}):
        assert compared(run, **options).counters.handed_over == 0


@pytest.mark.parametrize(
    "place",
    [
        "_take",
        "_key",
        pytest.param("split", marks=pytest.mark.stress),
        pytest.param("columns_of", marks=pytest.mark.stress),
    ],
)
@pytest.mark.parametrize("group", [False, True])
def test_an_interrupted_suggestion_leaves_nothing_half_done(
    monkeypatch: pytest.MonkeyPatch, place: str, group: bool
) -> None:
    """Ctrl-C in a notebook, and on with the same study."""
    options = {"multivariate": True, "group": True} if group else {}

    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        study.optimize(mixed, n_trials=14)

        def interrupted(*args: Any) -> Any:
            raise KeyboardInterrupt

        study.tell(study.ask({"x0": FloatDistribution(-5, 5)}), 0.5)
        if isinstance(sampler, IncrementalTPESampler):
            kept = sampler._observations(study)
            assert kept is not None
            space: Any = {"x0": FloatDistribution(-5, 5)}
            with monkeypatch.context() as patch:
                patch.setattr(Observations, place, interrupted)
                with pytest.raises(KeyboardInterrupt):
                    sampler._sample(kept, study, study.trials[-1], space)
        study.optimize(mixed, n_trials=10)
        return trials_of(study)

    compared(run, **options)
