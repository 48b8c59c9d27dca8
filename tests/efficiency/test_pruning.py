"""Who is stopped: the rule alone, and as a pruner in studies."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.efficiency import ThresholdPruner, is_hopeless
from optimizer.errors import EfficiencyError

INTEGERS = st.integers(-1_000, 1_000)
OTHERS = st.lists(INTEGERS, min_size=10, max_size=30)
DONE = [0.0, 2.0, 4.0, 4.0, 5.0, 5.0, 5.0, 6.0, 8.0, 15.0]  # median 5, best 15


def hopeless(value: float, others: Sequence[float], direction: str = "maximize") -> bool:
    return is_hopeless(value, others, direction)


@pytest.mark.parametrize("shift", [0.0, -5.0, -1_000.0, 1_000.0])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_tenth_of_the_way_from_typical_to_best(shift: float, direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    others = [sign * (value + shift) for value in DONE]
    stopped = [
        hopeless(sign * (value + shift), others, direction) for value in (15, 6.25, 5.75, 5, -90)
    ]
    assert stopped == [False, False, True, True, True]


@given(OTHERS, INTEGERS, st.integers(-10_000, 10_000), st.sampled_from([1, 2, 64]))
def test_neither_shift_nor_scale_nor_mirror_matter(
    others: list[int], value: int, shift: int, scale: int
) -> None:
    ref = hopeless(value, others)
    assert hopeless(scale * value + shift, [scale * other + shift for other in others]) == ref
    assert hopeless(-value, [-other for other in others], "minimize") == ref


@given(OTHERS)
def test_the_best_is_never_stopped(others: list[int]) -> None:
    for direction, best in (("maximize", max(others)), ("minimize", min(others))):
        for threshold in (-1.0, 0.0, 0.1, 1.0):
            assert not is_hopeless(best, others, direction, threshold=threshold)


@given(OTHERS, INTEGERS, INTEGERS)
def test_a_worse_one_is_stopped_before_a_better(others: list[int], one: int, other: int) -> None:
    assert hopeless(min(one, other), others) or not hopeless(max(one, other), others)


def test_nobody_is_stopped_too_early() -> None:
    assert not hopeless(-100.0, DONE[:9])
    assert not hopeless(math.nan, DONE[:9])
    assert not hopeless(-100.0, [*DONE[:9], math.nan])
    assert hopeless(-100.0, DONE)


def test_where_nothing_tells_how_far_is_far() -> None:
    for typical in (0.0, -3.0, 7.0):
        assert not hopeless(typical - 1.0, [typical] * 10)
    assert not hopeless(-1.0, [*DONE, math.inf])
    assert not hopeless(1.0, [-math.inf] * 9 + [1.0])
    assert hopeless(-math.inf, DONE)
    assert not hopeless(math.inf, DONE)


def test_nan_is_stopped_and_is_no_yardstick() -> None:
    assert hopeless(math.nan, DONE)
    assert hopeless(math.nan, [0.0] * 10)
    assert [hopeless(v, [*DONE, math.nan, math.nan]) for v in (6.25, 5.75)] == [False, True]


def test_in_a_search_that_gets_better_late_trials_are_seen_against_the_first() -> None:
    late = [14.0] * 30
    assert not hopeless(13.0, [*DONE, *late, 15.5])  # far below the median of all
    assert hopeless(5.0, [*DONE, *late])
    assert hopeless(5.0, [*late, *DONE])  # a warm start makes the bar no higher
    assert not hopeless(13.9, [*DONE[1:], *late])


@pytest.mark.parametrize("value", [-1e300, -20.0, 5.9])
def test_one_wild_loss_saves_nobody(value: float) -> None:
    assert hopeless(value, [*DONE[1:], -1e9])


@pytest.mark.parametrize(
    ("threshold", "stopped"),
    [(-1.0, [-5.1]), (0.0, [-5.1, 4.9]), (1.0, [-5.1, 4.9, 5.1, 14.9])],
)
def test_thresholds(threshold: float, stopped: list[float]) -> None:
    values = [-5.1, 4.9, 5.1, 14.9, 15.0]
    found = [v for v in values if is_hopeless(v, DONE, "maximize", threshold=threshold)]
    assert found == [v for v in stopped if v in found] == stopped


@pytest.mark.parametrize("threshold", [1.01, math.inf, -math.inf, math.nan])
def test_thresholds_out_of_range(threshold: float) -> None:
    with pytest.raises(EfficiencyError, match=r"pass a finite ratio of at most 1, such as 0\.1"):
        ThresholdPruner(threshold)
    with pytest.raises(EfficiencyError, match="trials before pruning are 0"):
        is_hopeless(0.0, [], "maximize", min_trials=0)


# --- in studies


def study_of(values: list[list[float]], direction: Any, pruner: ThresholdPruner) -> set[int]:
    """A study whose trials report these values, one by one; the numbers of those stopped."""

    def objective(trial: optuna.Trial) -> float:
        for step, value in enumerate(values[trial.number]):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return values[trial.number][-1]

    study = optuna.create_study(
        direction=direction, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=len(values))
    stopped = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.PRUNED])
    return {trial.number for trial in stopped}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_study_of_negative_values(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    curves = [[sign * (value - 100.0)] for value in [*DONE, 20.0, 5.5, 0.0, 14.0]]
    assert study_of(curves, direction, ThresholdPruner()) == {11, 12}


def test_a_nan_is_stopped_late_and_nothing_without_a_report() -> None:
    # A study fails a trial that ends with NaN, so the curves end with a number.
    curves = [*([value] for value in DONE), [math.nan, 1.0], [], [6.5]]
    curves[11] = [20.0]
    assert study_of(curves, "maximize", ThresholdPruner()) == {10}
    study = optuna.create_study(pruner=ThresholdPruner())
    assert not study.ask().should_prune()


def test_those_that_were_stopped_count_with_their_last_value() -> None:
    # Ten whole curves, then ten that are stopped at step 0. At step 1 the median of all twenty is
    # what was stopped; of the survivors alone it would be 5, and 5.5 would be stopped too.
    curves = [[10.0 * value, value] for value in DONE]
    curves += [[1.0, 0.0] for _ in range(10)]
    curves += [[150.0, 5.5]]
    assert study_of(curves, "maximize", ThresholdPruner()) == set(range(10, 20))


def test_the_pruner_pickles() -> None:
    pruner = pickle.loads(pickle.dumps(ThresholdPruner(0.05, 3)))
    assert repr(pruner) == "ThresholdPruner(threshold=0.05, min_trials=3)"
