"""Growth of a trial's cost, and when it is no more than chance."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from sample_profiles import empty, growing
from script_modules import script_module

if TYPE_CHECKING:
    import _findings as findings
    import _model as model
    import _trend as trend
else:
    findings = script_module("_findings")
    model = script_module("_model")
    trend = script_module("_trend")


def study(cost_ms: Callable[[int], float], trials: int = 250, rate_hz: int = 200) -> model.Profile:
    """One lane, one phase; trial n costs cost_ms(n)."""
    costs = [cost_ms(n) for n in range(trials)]
    edges = [sum(costs[:n]) / 1e3 for n in range(trials + 1)]
    segments = [model.Segment(edges[n], edges[n + 1], "sampler") for n in range(trials)]
    tenth = max(1, trials // 10)
    phase = model.Phase(
        "sampler",
        edges[-1],
        1.0,
        sum(costs) / trials,
        sum(costs[:tenth]) / tenth,
        sum(costs[-tenth:]) / tenth,
        (),
    )
    return dataclasses.replace(
        empty(),
        run={"rate_hz": rate_hz},
        duration_s=edges[-1],
        trials=tuple(model.Trial(n, 1, edges[n], edges[n + 1], "complete") for n in range(trials)),
        phases=(phase,),
        lanes=(model.Lane(1, "MainThread", 0.0, edges[-1], edges[-1], tuple(segments)),),
    )


def test_trials_that_differ_by_chance_do_not_grow() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        sample = study(lambda n, rng=rng: rng.expovariate(1 / 200.0))  # type: ignore[misc]
        assert not trend.grows(sample, sample.phases[0]), seed


def test_a_steady_growth_is_seen_through_noise() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        sample = study(
            lambda n, rng=rng: (200 + 1.5 * n) * rng.uniform(0.3, 1.7)  # type: ignore[misc]
        )
        assert trend.grows(sample, sample.phases[0]), seed


def test_a_few_samples_are_no_growth() -> None:
    """Three samples among the first trials and twelve among the last, at 200 a second."""
    sample = study(lambda n: 100.0)
    few = dataclasses.replace(
        sample.phases[0], name="objective", first_tenth_ms=0.6, last_tenth_ms=2.4
    )
    assert not trend.grows(sample, few)
    many = dataclasses.replace(few, first_tenth_ms=60.0, last_tenth_ms=240.0)
    assert trend.grows(sample, many)


def beside(sample: model.Profile, name: str, costs_ms: list[float]) -> model.Profile:
    """The study with a further phase that costs so much in each trial, on a lane of its own."""
    segments = tuple(
        model.Segment(trial.start_s, trial.start_s + cost / 1e3, name)
        for trial, cost in zip(sample.trials, costs_ms, strict=True)
    )
    tenth = len(costs_ms) // 10
    phase = model.Phase(
        name,
        sum(costs_ms) / 1e3,
        0.1,
        sum(costs_ms) / len(costs_ms),
        sum(costs_ms[:tenth]) / tenth,
        sum(costs_ms[-tenth:]) / tenth,
        (),
    )
    lane = model.Lane(1, "second", 0.0, sample.duration_s, 1.0, segments)
    phases, lanes = (*sample.phases, phase), (*sample.lanes, lane)
    return dataclasses.replace(sample, phases=phases, lanes=lanes)


def test_a_phase_that_drifts_is_no_alarm_where_the_whole_may_be_chance() -> None:
    """Ten trials against ten: 7.5 ms and 15 ms are 15 samples and 30."""
    rng = random.Random(5)
    whole = study(lambda n: rng.expovariate(1 / 200.0), trials=100)
    sample = beside(whole, "wait for disk", [7.5 if n < 50 else 15.0 for n in range(100)])
    found = trend.growth(sample)
    assert found is not None
    assert found.trend == 0
    assert not trend.grows(sample, sample.phases[1])
    sample = beside(whole, "sampler too", [1.0 + 0.3 * n for n in range(100)])
    assert trend.grows(sample, sample.phases[1])


def test_a_line_is_enough_for_a_phase_where_the_whole_grows() -> None:
    whole = study(lambda n: 100.0 + 4 * n, trials=100)
    sample = beside(whole, "wait for disk", [7.5 + 0.1 * n for n in range(100)])
    assert trend.grows(sample, sample.phases[1])


def test_growth_below_a_quarter_is_none_however_certain() -> None:
    sample = study(lambda n: 100.0 + 0.08 * n, rate_hz=1000)
    found = trend.growth(sample)
    assert found is not None
    assert found.sigmas > trend.SIGMAS
    assert found.trend == 0


def test_a_study_that_gets_faster_says_so() -> None:
    text = " ".join(findings.sentences(study(lambda n: 300.0 - n)))
    assert "less than one of the first" in text


def test_what_may_be_chance_is_called_that() -> None:
    rng = random.Random(1)
    sample = study(lambda n: rng.expovariate(1 / 200.0), trials=40)
    phases = (dataclasses.replace(sample.phases[0], first_tenth_ms=150.0, last_tenth_ms=250.0),)
    text = " ".join(findings.sentences(dataclasses.replace(sample, phases=phases)))
    assert "150 ms in the first tenth and 250 ms in the last, which may be chance" in text


@pytest.mark.parametrize("trials", [0, 1, 3, 9])
def test_few_trials_say_nothing_and_break_nothing(trials: int) -> None:
    sample = growing(trials=40)
    sample = dataclasses.replace(sample, trials=sample.trials[:trials])
    trend.growth(sample)
    for phase in sample.phases:
        trend.grows(sample, phase)
    assert findings.sentences(sample)


def test_what_a_process_does_before_its_first_trial_is_no_trials_cost() -> None:
    groups, _ = trend.per_group(growing())
    assert "import" not in groups
    assert "sampler" in groups
