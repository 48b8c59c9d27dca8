"""What is kept of a study, against everything sorted anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optimizer.reference import tpe as plain
from optimizer.sampling._tpe_observations import Column, Observations
from optimizer.sampling._tpe_optuna import VERIFIED
from optimizer.sampling._tpe_space import TogetherSpace

pytestmark = pytest.mark.skipif(
    optuna.__version__ not in VERIFIED, reason="trials have other attributes in other Optunas"
)
SEEDS = st.integers(0, 2**32 - 1)
DISTRIBUTIONS: dict[str, Any] = {
    "x": FloatDistribution(0, 1),
    "rate": FloatDistribution(1e-3, 1, log=True),
    "n": IntDistribution(1, 5),
    "c": CategoricalDistribution(["a", None, True]),
}
STATES = [
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.RUNNING,
    TrialState.WAITING,
]


def drawn(random: np.random.RandomState, number: int, state: TrialState) -> FrozenTrial:
    names = [name for name in DISTRIBUTIONS if random.rand() < 0.8]
    params = {
        "x": float(random.randint(5)) / 5,
        "rate": float(random.uniform(0.001, 1)),
        "n": int(random.randint(1, 6)),
        "c": ["a", None, True][random.randint(3)],
    }
    complete = state == TrialState.COMPLETE
    trial = optuna.trial.create_trial(
        state=state,
        value=float(random.choice([0.0, -0.0, 1.0, 2.0, math.inf])) if complete else None,
        params={name: params[name] for name in names},
        distributions={name: DISTRIBUTIONS[name] for name in names},
        intermediate_values={
            step: float(random.choice([0.0, 1.0, math.nan])) for step in range(random.randint(3))
        },
    )
    trial.number = number
    return trial


def key_of(trial: FrozenTrial, sign: float) -> plain.Key:
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return (0, sign * trial.value, 0.0, trial.number)
    if not trial.intermediate_values:
        return (1, 1, 0.0, trial.number)
    step = max(trial.intermediate_values)
    value = trial.intermediate_values[step]
    return (1, -step, math.inf if math.isnan(value) else sign * value, trial.number)


def check_split(seed: int) -> None:
    """Trials come in parts, some of them first unfinished; each part gives the same split."""
    random = np.random.RandomState(seed)
    direction = StudyDirection(1 + random.randint(2))
    sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
    kept = Observations(direction, TogetherSpace(None))
    trials: list[FrozenTrial] = []
    for _ in range(random.randint(1, 5)):
        for trial in trials:
            if not trial.state.is_finished() and random.rand() < 0.6:
                trials[trial.number] = drawn(random, trial.number, STATES[random.randint(3)])
        for _ in range(random.randint(0, 150)):
            trials.append(drawn(random, len(trials), STATES[random.randint(5)]))
        kept.catch_up(trials)
        finished = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        names = tuple(random.choice(list(DISTRIBUTIONS), random.randint(1, 4), replace=False))
        columns = kept.columns_of({name: DISTRIBUTIONS[name] for name in names})
        running = {t.number: t.params for t in kept.running(trials)}
        assert sorted(running) == [t.number for t in trials if t.state == TrialState.RUNNING]
        kept.show_running(running)
        n_below = random.randint(0, 30)
        below, above = kept.split(names, n_below, list(running))
        has_all = [set(names) <= set(trial.params) for trial in trials]
        ref = plain.split([key_of(t, sign) for t in finished], n_below, has_all)
        others = [number for number in running if has_all[number]]
        np.testing.assert_array_equal(below, ref[0])
        np.testing.assert_array_equal(above, np.sort(np.append(ref[1], others)).astype(np.int64))
        for name, column in zip(names, columns, strict=True):
            stored = DISTRIBUTIONS[name].to_internal_repr
            for row in (*below, *above):
                assert column.raw[row] == stored(trials[row].params[name])
            if column.log:
                np.testing.assert_array_equal(column.mus[above], np.log(column.raw[above]))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_split(seed: int) -> None:
    check_split(seed)


@pytest.mark.stress
@settings(max_examples=1000, deadline=None)
@given(SEEDS)
def test_split_often(seed: int) -> None:
    check_split(seed)


def test_a_finished_trial_is_looked_at_once() -> None:
    random = np.random.RandomState(0)
    trials = [drawn(random, number, TrialState.COMPLETE) for number in range(300)]
    kept = Observations(StudyDirection.MINIMIZE, TogetherSpace(None))
    kept.catch_up(trials)

    class Counting(list[FrozenTrial]):
        looks = 0

        def __getitem__(self, place: Any) -> Any:
            Counting.looks += 1
            return super().__getitem__(place)

    more = Counting([*trials, drawn(random, 300, TrialState.RUNNING)])
    kept.catch_up(more)
    assert Counting.looks == 2  # at the first, whether it is the same study, and at the new one
    more.append(drawn(random, 301, TrialState.COMPLETE))
    kept.catch_up(more)
    assert Counting.looks == 5  # the first, the one that was running, and the new one
    assert len(kept.order) == 301


def test_trials_that_disagree_about_a_parameter_are_noticed() -> None:
    kept = Observations(StudyDirection.MINIMIZE, TogetherSpace(None))
    trials = [
        optuna.trial.create_trial(value=1.0, params={"x": 1.0}, distributions={"x": one})
        for one in (FloatDistribution(0, 1), FloatDistribution(0.5, 1, log=True))
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    kept.catch_up(trials)
    (column,) = kept.columns_of({"x": FloatDistribution(0, 1)})
    assert not column.agrees(FloatDistribution(0, 1))


def test_the_common_space_is_that_of_optuna() -> None:
    random = np.random.RandomState(1)
    together = TogetherSpace(None)
    trials: list[FrozenTrial] = []
    for number in range(60):
        trials.append(drawn(random, number, TrialState.COMPLETE))
        together.take(trials[-1])
        ref = optuna.search_space.intersection_search_space(trials)
        assert together.relative() == ref


def test_a_replaced_value_is_normalised_anew() -> None:
    column = Column(FloatDistribution(0, 1), 16)
    column.put(1, 0.5)
    column.sigmas[:] = 0.1
    column.put(1, 0.5)
    assert column.sigmas[1] == 0.1
    column.put(1, 0.6)
    assert np.isnan(column.sigmas[1])
    column.put_all(range(1, 11), [0.6, *[0.7] * 9])
    assert np.isnan(column.sigmas[1:11]).all()
    assert (column.sigmas[11:] == 0.1).all()
