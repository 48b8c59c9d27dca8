"""In which round a sample was taken, as the marks of trials tell it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script_modules import script_module

places: Any = script_module("_places")
marks: Any = script_module("_marks")
samples: Any = script_module("_samples")
clock: Any = script_module("_clock")

STEP_S, TRIAL = 0.005, 40  # rounds of a trial; it is asked for and told in 5 of them
HOOK = "/x/profiling/_hook/_trial_hook.py"
FRAMES = [
    ("main", "/home/me/study.py", 3),
    ("_patch_study.<locals>.ask", HOOK, 170),
    ("_patch_optimize.<locals>._tell_with_warning", HOOK, 150),
]
STACKS = [(0,), (0, 1), (0, 2)]  # outside; asks; tells
INSIDE = [False, True, True]


def trials(count: int) -> list[float]:
    """Trials that fill rounds 10 to 30 of every 40."""
    return [(n * TRIAL + at) * STEP_S for n in range(count) for at in (10, 30)]


def stack_of(number: int) -> int:
    """What a sample of round `number` shows."""
    at = number % TRIAL
    return 1 if 10 <= at < 15 else 2 if 25 <= at < 30 else 0


def lane_of(stacks: list[int], held: int = 0) -> Any:
    return samples.SampledLane(7, 7, "T", stacks, 0, held)


def begun(rounds: int) -> list[float]:
    return [(n + 0.5) * STEP_S for n in range(rounds)]


@pytest.mark.parametrize("wrong", [-3, -1, 0, 2, 3])
def test_the_first_place_is_found(wrong: int) -> None:
    lane = lane_of([stack_of(n) for n in range(20, 380)])
    comp = places.placed(lane, 20 + wrong, begun(420), INSIDE, trials(10))
    assert comp == list(range(20, 380))


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(30, 360), max_size=6))
def test_samples_that_failed_are_found(lost: set[int]) -> None:
    rounds = [n for n in range(20, 380) if n not in lost]
    comp = places.placed(lane_of([stack_of(n) for n in rounds]), 20, begun(420), INSIDE, trials(10))
    assert comp == sorted(set(comp))
    for n, place in zip(rounds, comp, strict=True):
        if INSIDE[stack_of(n)]:  # an asked or told sample lies in its own trial
            assert stack_of(place) or place // TRIAL == n // TRIAL
    assert (
        sum(a != b for a, b in zip(rounds, comp, strict=True))
        <= len(lost) * (1 + places.LOSS) * TRIAL
    )


def test_marks_that_say_nothing_move_nothing() -> None:
    lane = lane_of([0] * 200)
    assert places.placed(lane, 20, begun(420), INSIDE, trials(10)) == list(range(20, 220))


def test_trials_of_a_few_rounds_tell_nothing() -> None:
    assert places.long_enough(trials(10), begun(400))
    short = [n * STEP_S / 2 for n in range(200)]  # one after the other, of half a round each
    assert not places.long_enough(short, begun(400))


def mark(number: int, start: int, end: int | None, tid: int = 7) -> Any:
    return marks.TrialMark(number + 1, number, "0", 7, tid, start, end, "complete")


def test_only_trials_that_follow_each_other_tell() -> None:
    row = [mark(n, 100 * n, 100 * n + 60) for n in range(6)]
    moments = [float(t) for n in range(6) for t in (100 * n, 100 * n + 60)]
    assert [round(1e9 * t) for t in places.marked(row, 0)[7, 7]] == moments
    assert places.marked(row[:4], 0) == {}
    assert places.marked([*row, mark(6, 550, 700)], 0) == {}  # asked for before the last was told
    assert len(places.marked([*row, mark(6, 700, None)], 0)[7, 7]) == 12


def test_frames_of_the_hook_tell_that_a_trial_is_run() -> None:
    assert places.inside_trials(samples.Samples(FRAMES, STACKS, [], {}, {})) == INSIDE


def test_a_lane_with_marks_is_placed_by_them_and_no_other_lane_moves_it() -> None:
    """Without the marks the losses before the first trial would shift every sample."""
    rounds = [n for n in range(400) if n not in (3, 5)]
    lane = lane_of([stack_of(n) for n in rounds], held=1)
    table = samples.Samples(FRAMES, STACKS, [lane], {}, {}, begun(400))
    nothing, works = [False] * 3, [True] * 3
    moments = {(7, 7): trials(10)}
    (comp,) = clock.edges(table, {}, 0.0, 2.0, nothing, works, moments)
    last = max(k for k, n in enumerate(rounds) if stack_of(n) == 2)
    assert comp[last] == pytest.approx(begun(400)[rounds[last]], abs=STEP_S / 2)
    (plain,) = clock.edges(table, {}, 0.0, 2.0, nothing, works)
    assert plain[last] < comp[last] - 1.5 * STEP_S


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 3),
    st.lists(st.sampled_from([0, 1, 2]), min_size=30, max_size=60),
    st.integers(6, 50),
)
def test_edges_with_marks_never_go_back(first: int, stacks: list[int], count: int) -> None:
    """Also where a low rate leaves a round before the study's beginning, or none."""
    lane = samples.SampledLane(7, 7, "T", stacks, held=1)
    begun_s = [(n - first) * 0.2 for n in range(count)]
    table = samples.Samples(FRAMES, STACKS, [lane], {}, {}, begun_s)
    moments = {(7, 7): [n + at for n in range(20) for at in (0.0, 0.8)]}
    end_s = max(begun_s[-1], 0.0) + 0.2
    (comp,) = clock.edges(table, {}, 0.0, end_s, [False] * 3, [True] * 3, moments)
    assert len(comp) == len(stacks) + 1
    assert all(0.0 <= at <= later for at, later in itertools.pairwise(comp))


def test_a_place_before_the_first_round_is_the_first() -> None:
    lane = samples.SampledLane(7, 7, "T", [0, 0, 0])
    assert clock._placed(lane, [-1, 0, 1], [0.0, 0.2, 0.4, 60.0], None) == [0.0, 0.0, 0.2, 0.4]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=10), min_size=2, max_size=4),
    st.integers(1, 10),
    st.lists(st.floats(0.01, 30.0), min_size=1, max_size=10),
)
def test_short_studies_of_several_processes_are_placed(
    lanes: list[list[int]], parts: int, distances: list[float]
) -> None:
    made = [samples.SampledLane(7 + n, 7 + n, "T", row) for n, row in enumerate(lanes)]
    made[0].held = parts % 2
    begun_s = list(itertools.accumulate(distances, initial=0.0))[:parts]
    table = samples.Samples(FRAMES, STACKS, made, {}, {}, begun_s)
    waits = [False, True, False]
    for end_s in (begun_s[-1], begun_s[-1] + 5.0):
        found = clock.edges(table, {}, 0.0, end_s, waits, [True, True, False])
        for lane, edges in zip(made, found, strict=True):
            assert len(edges) == len(lane.stacks) + 1
            assert all(0.0 <= at <= later for at, later in itertools.pairwise(edges))
