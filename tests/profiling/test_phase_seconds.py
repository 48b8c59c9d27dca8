"""What the seconds of a phase mean: threads that work, waits, tenths of the trials, lanes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script_modules import script_module

phases: Any = script_module("_phases")
classify: Any = script_module("_classify")
samples: Any = script_module("_samples")
model: Any = script_module("_model")
exclusive: Any = script_module("_exclusive")

FRAMES = [("f", "a.py", 1), ("f", "a.py", 2), ("g", "b.py", 5), ("wait", "c.py", 9)]
STACKS = [(0,), (1,), (0, 2), (0, 3)]
VERDICTS = [
    classify.Verdict("sampler", False, 0),
    classify.Verdict("sampler", False, 0),
    classify.Verdict("storage", False, 1),
    classify.Verdict("wait for workers", True, 1),
]


def read(*lanes: tuple[list[int], float], trials: Any = (), end_s: float = 10.0) -> Any:
    """Lanes of one-second samples, each from a moment on."""
    table = [samples.SampledLane(7, 7 + i, f"T{i}", stacks) for i, (stacks, _) in enumerate(lanes)]
    edges = [[start + i for i in range(len(stacks) + 1)] for stacks, start in lanes]
    everything = samples.Samples(FRAMES, STACKS, table, {}, {})
    return phases.read(everything, VERDICTS, edges, trials, end_s)


def seconds(reading: Any) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in reading.phases}


def test_two_workers_add_up_and_their_coordinator_adds_nothing() -> None:
    reading = read(([0] * 10, 0.0), ([2] * 10, 0.0), ([3] * 10, 0.0))
    assert seconds(reading) == {"sampler": 10.0, "storage": 10.0}
    assert [phase.share for phase in reading.phases] == [0.5, 0.5]


def test_a_moment_in_which_nobody_works_counts_once() -> None:
    reading = read(([0] * 4 + [3] * 2, 0.0), ([3] * 6, 0.0), ([3] * 9, 0.0))
    assert seconds(reading) == {"wait for workers": 5.0, "sampler": 4.0}


def test_a_wait_that_rounding_leaves_is_none() -> None:
    lane = samples.SampledLane(7, 7, "T", [3])
    other = samples.SampledLane(7, 8, "U", [0, 0])
    everything = samples.Samples(FRAMES, STACKS, [lane, other], {}, {})
    edges = [[0.0, 0.3], [0.0, 0.1, 0.3 - 1e-12]]
    found = seconds(phases.read(everything, VERDICTS, edges, (), 1.0))
    assert set(found) == {"sampler"}


def test_a_helper_that_waits_for_ever_is_no_lane() -> None:
    reading = read(([0] * 10, 0.0), ([3] * 10, 0.0))
    assert [lane.thread for lane in reading.lanes] == ["T0"]
    assert reading.remarks == ("1 thread that only waited is not drawn",)
    assert reading.lanes[0].busy_s == 10.0


def test_cost_per_trial_and_its_growth() -> None:
    trials = [model.Trial(i, 7, float(i), i + 1.0, "complete") for i in range(10)]
    trials.append(model.Trial(10, 7, 10.0, None, "running"))
    reading = read(([2] * 9 + [0], 0.0), trials=trials)
    by_name = {phase.name: phase for phase in reading.phases}
    storage, sampler = by_name["storage"], by_name["sampler"]
    assert (storage.ms_per_trial, sampler.ms_per_trial) == (900.0, 100.0)
    assert (storage.first_tenth_ms, storage.last_tenth_ms) == (1000.0, 0.0)
    assert (sampler.first_tenth_ms, sampler.last_tenth_ms) == (0.0, 1000.0)


def test_what_came_before_the_first_trial_is_no_trials() -> None:
    trials = [model.Trial(0, 7, 5.0, 10.0, "complete")]
    (phase,) = read(([2] * 10, 0.0), trials=trials).phases
    assert (phase.seconds, phase.ms_per_trial) == (10.0, 5000.0)
    assert (phase.first_tenth_ms, phase.last_tenth_ms) == (None, None)
    (bare,) = read(([2] * 10, 0.0)).phases
    assert bare.ms_per_trial is None


def test_lines_are_told_and_the_flame_is_merged_by_function() -> None:
    reading = read(([0, 1, 1, 2], 0.0))
    sampler = reading.phases[0]
    assert [(hot.line, hot.seconds) for hot in sampler.hot] == [(2, 2.0), (1, 1.0)]
    flame = reading.flame
    told = {
        tuple(flame.frames[i][0] for i in stack.frames): (stack.seconds, stack.phase)
        for stack in flame.stacks
    }
    assert told == {("f",): (3.0, "sampler"), ("f", "g"): (1.0, "storage")}


def test_the_flame_draws_generated_code_as_part_of_its_caller() -> None:
    frames = [("f", "/a.py", 1), ("unique", "<generated wrapper>", 0), ("g", "/b.py", 5)]
    stacks = [(0, 1), (0, 1, 2), (1,)]
    verdicts = [classify.Verdict("sampler", False, 0)] * 3
    lane = samples.SampledLane(7, 7, "T", [0, 1, 2])
    everything = samples.Samples([*frames, ("unused", "/c.py", 1)], stacks, [lane], {}, {})
    flame = phases.read(everything, verdicts, [[0.0, 1.0, 2.0, 3.0]], (), 3.0).flame
    names = [[flame.frames[i][0] for i in stack.frames] for stack in flame.stacks]
    assert names == [["f"], ["f", "g"], ["unique"]]  # alone it is its own caller
    assert "unused" not in [function for function, _, _ in flame.frames]


def test_a_lane_is_drawn_in_few_segments_that_cover_it() -> None:
    names = ["sampler", "storage", "objective"]
    segments = [model.Segment(i * 0.1, i * 0.1 + 0.1, names[i % 3]) for i in range(5000)]
    drawn = phases.coarse(segments, 100)
    assert len(drawn) <= 100
    assert drawn[0].start_s == 0.0
    assert drawn[-1].end_s == pytest.approx(500.0)
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in pairwise(drawn))
    assert phases.coarse(segments[:50], 100) == segments[:50]


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=12)


@given(SPANS, st.integers(0, 60))
def test_a_union_covers_what_its_spans_cover(spans: list[list[int]], moment: int) -> None:
    ref = sum(any(a <= i < b for a, b in spans) for i in range(moment))
    assert phases.Union([(float(a), float(b)) for a, b in spans]).until(moment) == ref


def test_the_truth_follows_the_same_definition() -> None:
    union = exclusive.merged([(0, 4), (2, 6), (8, 9)])
    assert (union, exclusive.covered(union)) == ([(0, 6), (8, 9)], 7)


PROGRAM = classify.Verdict("objective", True, 0, True)


def of_programs(parents: dict[int, int]) -> dict[str, float]:
    """Two threads that wait for programs, and a thread of another process that computes."""
    lanes = [samples.SampledLane(pid, tid, "T", [0] * 10) for pid, tid in ((7, 7), (7, 8), (9, 9))]
    lanes[2].stacks = [1] * 10
    everything = samples.Samples(FRAMES, STACKS, lanes, parents, {})
    edges = [[float(i) for i in range(11)]] * 3
    verdicts = [PROGRAM, *VERDICTS[1:]]
    return seconds(phases.read(everything, verdicts, edges, (), 10.0))


def test_programs_that_are_waited_for_work_beside_each_other() -> None:
    assert of_programs({}) == {"objective": 20.0, "sampler": 10.0}
    assert of_programs({9: 7}) == {"sampler": 10.0}  # the program is the other process


def test_a_program_is_drawn_as_what_it_is() -> None:
    lane = samples.SampledLane(7, 7, "T", [0, 0])
    everything = samples.Samples(FRAMES, STACKS, [lane], {}, {})
    reading = phases.read(everything, [PROGRAM, *VERDICTS[1:]], [[0.0, 1.0, 2.0]], (), 2.0)
    (drawn,) = reading.lanes
    assert drawn.busy_s == 2.0
    assert [segment.phase for segment in drawn.segments] == ["objective"]


def in_waves(workers: int, waves: int) -> list[Any]:
    """Equal trials of a second, so many at once."""
    return [
        model.Trial(
            n, 7, float(n // workers), n // workers + 1.0 - 1e-3 * (n % workers), "complete"
        )
        for n in range(workers * waves)
    ]


def test_tenths_of_a_few_waves_of_workers_tell_nothing() -> None:
    reading = read(([0] * 10, 0.0), trials=in_waves(8, 5))
    assert reading.remarks[-1].startswith("first and last tenth are not compared: 40 trials")
    (phase, *_) = reading.phases
    assert phase.ms_per_trial is not None
    assert (phase.first_tenth_ms, phase.last_tenth_ms) == (None, None)
    (phase, *_) = read(([0] * 100, 0.0), trials=in_waves(2, 50), end_s=100.0).phases
    assert phase.first_tenth_ms == pytest.approx(phase.last_tenth_ms, rel=0.2)
    (phase, *_) = read(([0] * 10, 0.0), trials=in_waves(1, 10)).phases
    assert phase.first_tenth_ms == 1000.0  # of a single worker each trial tells


def test_threads_of_one_process_may_wait_for_their_turn() -> None:
    reading = read(([0] * 10, 0.0), ([2] * 10, 0.0))
    assert "2 threads of process 7 were busy" in reading.remarks[0]
    assert read(([0] * 10, 0.0)).remarks == ()


def test_a_thread_that_waits_for_the_disk_is_drawn() -> None:
    lanes = [samples.SampledLane(7, 7, "T", [0] * 9), samples.SampledLane(7, 8, "U", [1] * 9)]
    everything = samples.Samples(FRAMES, STACKS, lanes, {}, {})
    verdicts = [VERDICTS[0], classify.Verdict("wait for disk", False, 0), *VERDICTS[2:]]
    edges = [[float(i) for i in range(10)]] * 2
    reading = phases.read(everything, verdicts, edges, (), 9.0)
    assert [lane.thread for lane in reading.lanes] == ["T", "U"]
