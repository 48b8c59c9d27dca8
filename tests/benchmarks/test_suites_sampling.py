"""The suite of the sampler: what it takes for a study is one, and what it compares could differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from suite_sources import PATHS

from benchmarks import sampling
from optimizer.sampling._tpe_optuna import VERIFIED

verified = pytest.mark.skipif(
    optuna.__version__ not in VERIFIED, reason="elsewhere the sampler hands over to Optuna's"
)


def opened(name: str) -> Any:
    return PATHS[name].case().open()


# --- the trials


def test_there_are_ten_mixed_parameters() -> None:
    kinds = sampling._trials(1)[0].distributions
    assert len(kinds) == 10
    for kind in (
        optuna.distributions.FloatDistribution,
        optuna.distributions.IntDistribution,
        optuna.distributions.CategoricalDistribution,
    ):
        assert sum(type(one) is kind for one in kinds.values()) >= 2
    numbers = [one for one in kinds.values() if hasattr(one, "log")]
    assert {type(one).__name__ for one in numbers if one.log} == {
        "FloatDistribution",
        "IntDistribution",
    }
    assert sum(one.step is not None for one in numbers) >= 4


def test_the_objective_asks_a_real_trial_for_what_was_drawn() -> None:
    """The same parameters, kinds and values, so that a study of both is one."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for drawn in sampling._trials(5):
        study.enqueue_trial(drawn.params)
        study.optimize(sampling._objective, n_trials=1)
        found = study.get_trials(deepcopy=False)[-1]
        assert found.params == drawn.params
        assert found.distributions == drawn.distributions
        assert found.value == drawn.value


def test_the_trials_are_the_same_each_time_and_the_first_of_more() -> None:
    sampling._trials.cache_clear()
    few, more = sampling._trials(40), sampling._trials(60)
    assert [trial.params for trial in few] == [trial.params for trial in more[:40]]
    assert len({str(trial.params) for trial in more}) == 60


def test_they_lie_as_those_of_a_study_that_tpe_leads() -> None:
    """Crowded near the best, often equal on a grid, and a few anywhere."""
    trials = sampling._trials(1_000)
    x0 = np.array([trial.params["x0"] for trial in trials])
    assert np.quantile(abs(x0), 0.5) < 0.15 * 10
    assert abs(x0).max() > 0.4 * 10
    bars = [trial.params["bars"] for trial in trials]
    assert len({*bars}) < 100
    last, first = (np.median([t.value for t in part]) for part in (trials[500:], trials[:50]))
    assert last < first / 2


# --- what is compared


@verified
@pytest.mark.parametrize("name", ["sampling.Suggest", "sampling.Resume"])
def test_what_was_handed_over_counts_for_nothing(name: str) -> None:
    body = opened(name)
    body.fresh()
    before = body.before()
    body.fresh()
    after = body.after()
    assert body.agree(before, after)
    instance = body._instance
    sampler = instance.study.sampler
    assert sampler.counters.handed_over == 0
    assert sampler.counters.own >= len(after) // 10
    sampler.counters.handed_over = sampler.counters.own
    assert not body.agree(before, after)


def test_neither_side_asking_changes_what_the_other_is_asked() -> None:
    """n stays what it is, and both generators start at the same place each time."""
    body = opened("sampling.Suggest")
    first = body.after()
    assert body.before() == body.before() == body.after() == first
    assert len(first) == 10 * sampling._TAKEN
    assert first[:10] != first[10:20]
    instance = body._instance
    trials = instance.study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    assert states.count(optuna.trial.TrialState.COMPLETE) == 1_000
    assert states.count(optuna.trial.TrialState.FAIL) == 4 * sampling._TAKEN == len(states) - 1_000


@pytest.mark.parametrize("name", ["sampling.Suggest", "sampling.Resume"])
def test_one_wrong_digit_is_noticed(name: str) -> None:
    body = opened(name)
    body.fresh()
    before = body.before()
    wrong = [*before]
    place = next(i for i, value in enumerate(wrong) if isinstance(value, float))
    wrong[place] = np.nextafter(wrong[place], np.inf)
    body.fresh()
    body.after()
    assert body.agree(before, [*before])
    assert not body.agree(before, wrong)


def test_a_wrong_density_is_noticed() -> None:
    body = opened("sampling.Density")
    before, after = body.before(), body.after().copy()
    assert body.agree(before, after)
    for wrong in (after[3] + 1e-9, np.nan):
        changed = after.copy()
        changed[3] = wrong
        assert not body.agree(before, changed)


def test_the_mixture_has_parameters_of_every_kind_and_a_prior() -> None:
    arrays = opened("sampling.Density")._instance.arrays
    base, x, mus, inverse, tables, starts, ids, choices, chosen, hits, out = arrays
    n = len(base)
    assert x.shape[1] == starts.shape[1] == choices.shape[1] == len(out) == 24
    assert mus.shape == inverse.shape == (4, n)
    assert ids.shape == (4, n)
    assert starts.max() + ids.max() < len(tables)
    assert (chosen[:, -1] == -1).all()
    assert (chosen[:, :-1] >= 0).all()
    assert len(hits) == len(choices) == len(chosen)
