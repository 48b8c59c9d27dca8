"""When was each sample taken?

Our own sampler tells it: each round has a slot of its own in time, and a sample stands for its slot
and for those after it in which its thread could not be read.

py-spy does not.  It samples all threads of all processes in rounds, and the witness tells when each
round began.  A lane took part in successive rounds; which was its first follows from its end, or
its birth, as `_watch.py` saw them, and where its trials are marked each sample's round follows from
the marks (`_places.py`).

A sample of py-spy's stands for the time until the next round.  Rounds come at random moments on
purpose, so ordinary distances are evened out over many rounds, which is more exact than to weigh
each sample by chance.  A long distance is none of chance: py-spy cannot pause a thread that waits
for the disk, the whole round waits with it, and the rounds that are late then follow in a heap and
show what came after the wait.  Where that is seen (`stalls`), every sample is weighed by its own
distance.

Without marks the samples tell, to the round, where a lane lies: those that wait for the disk are in
the long rounds, and of the positions that birth and end leave open, the right one has the fewest
rounds in which nobody works.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import _places
from _samples import SampledLane, Samples

EVEN_ROUNDS = 64  # over which ordinary distances are evened out
LONG = 4.0  # ordinary distances
STALL_ERRORS = 2.5  # standard errors by which samples that wait for the disk are held up
SURE_ERRORS = 1.0  # the same where the marks tell which rounds they are
FEW_STILL = 30
SHIFT = 8  # rounds by which birth and end may be wrong
HEAD_S = 2.0  # of a thread's life before its first sample: py-spy looks for processes in turns


@dataclass(frozen=True)
class Life:
    """When a thread was born and last seen, in seconds since the recording began."""

    born_s: float
    seen_s: float


def edges(
    samples: Samples,
    lives: Mapping[tuple[int, int], Life],
    origin_s: float,
    end_s: float,
    still: Sequence[bool],
    works: Sequence[bool],
    trials: Mapping[tuple[int, int], Sequence[float]] | None = None,
) -> list[list[float]]:
    """For each lane the seconds between its samples, one more than it has samples.

    lives: by (process, thread); may be empty. origin_s: of the recording, on the monotonic clock.
    end_s: when the study ended. still, works: by stack, whether it waits for the disk, and whether
    it does anything but wait for others. trials: as from `_places.marked`.
    """
    if not samples.rounds or not samples.lanes:
        return [_alone(lane, lives.get((lane.pid, lane.tid)), end_s) for lane in samples.lanes]
    begun = [moment - origin_s for moment in samples.rounds]
    begun.append(max(begun[-1], end_s))
    if samples.lanes[0].places is not None:
        return _told(samples, lives, begun)
    even, excess = evened(begun)
    known = [lives.get((lane.pid, lane.tid)) for lane in samples.lanes]
    firsts = [
        _first(lane, begun, excess, life, end_s, still)
        for lane, life in zip(samples.lanes, known, strict=True)
    ]
    sure = _by_marks(samples, firsts, begun, trials or {})
    for i, places in sure.items():
        firsts[i] = places[0]
    stalled, shift = stalls(samples.lanes, firsts, begun, still, sure)
    if stalled:
        even = begun
        firsts = [first if i in sure else max(first + shift, 0) for i, first in enumerate(firsts)]
    fixed = {samples.lanes[i].pid for i in sure}
    firsts = together(samples.lanes, firsts, works, len(begun), fixed)
    return [
        _placed(lane, sure.get(i) or range(first, first + len(lane.stacks)), even, life)
        for i, (lane, first, life) in enumerate(zip(samples.lanes, firsts, known, strict=True))
    ]


def _told(
    samples: Samples, lives: Mapping[tuple[int, int], Life], begun: Sequence[float]
) -> list[list[float]]:
    """The edges where the round of each sample is known."""
    return [
        _placed(lane, lane.places or [], begun, lives.get((lane.pid, lane.tid)))
        for lane in samples.lanes
    ]


def _by_marks(
    samples: Samples,
    firsts: Sequence[int],
    begun: Sequence[float],
    trials: Mapping[tuple[int, int], Sequence[float]],
) -> dict[int, Sequence[int]]:
    """By lane the round of each sample, where trials are marked."""
    inside = _places.inside_trials(samples) if trials else []
    found: dict[int, Sequence[int]] = {}
    for i, lane in enumerate(samples.lanes):
        moments = trials.get((lane.pid, lane.tid))
        if not moments or not _places.long_enough(moments, begun):
            continue
        if sum(inside[stack] for stack in lane.stacks) >= _places.FEWEST_SAMPLES:
            found[i] = _places.placed(lane, firsts[i], begun, inside, moments)
    return found


def stalls(
    lanes: Sequence[SampledLane],
    firsts: Sequence[int],
    begun: Sequence[float],
    still: Sequence[bool],
    sure: Mapping[int, Sequence[int]] | None = None,
) -> tuple[bool, int]:
    """Whether waits for the disk held rounds up; by how many rounds lanes move to show it best.

    sure: by lane the round of each sample where that is known: such a lane does not move.
    Of several threads that wait for the disk, a round tells not whom it waited for: then False.
    """
    waiting = [sum(still[stack] for stack in lane.stacks) for lane in lanes]
    if sum(count >= FEW_STILL for count in waiting) != 1:
        return False, 0
    distances = [later - moment for moment, later in pairwise(begun)]
    usual = sum(distances) / max(len(distances), 1)
    found, shift = 0.0, 0
    one = max(range(len(lanes)), key=waiting.__getitem__)
    places = (sure or {}).get(one) or range(firsts[one], firsts[one] + len(lanes[one].stacks))
    known = one in (sure or {})
    for by in (0,) if known else (0, -1, 1):
        held = [
            distances[place + by]
            for place, stack in zip(places, lanes[one].stacks, strict=True)
            if still[stack] and 0 <= place + by < len(distances)
        ]
        if not held or usual <= 0.0:
            return False, 0
        # In standard errors: a random distance varies as much as it is long.
        evidence = (sum(held) / len(held) / usual - 1.0) * math.sqrt(len(held))
        if known or evidence > found + 1.0:
            found, shift = evidence, by
    return found > (SURE_ERRORS if known else STALL_ERRORS), shift


def together(
    lanes: Sequence[SampledLane],
    firsts: Sequence[int],
    works: Sequence[bool],
    rounds: int,
    fixed: Collection[int] = (),
) -> list[int]:
    """The first rounds of all lanes, each process but the fixed moved to where it fits best.

    Cost: for each lane its samples, `2 * SHIFT + 1` times.
    """
    moved = list(firsts)
    ends = (first + len(lane.stacks) for first, lane in zip(firsts, lanes, strict=True))
    busy = bytearray(max(rounds, *ends) + SHIFT + 1)
    order = sorted(
        {lane.pid for lane in lanes}, key=lambda pid: (pid not in fixed, *_rank(lanes, pid))
    )
    for place, pid in enumerate(order):
        own = [i for i, lane in enumerate(lanes) if lane.pid == pid]
        at = [firsts[i] + k for i in own for k, stack in enumerate(lanes[i].stacks) if works[stack]]
        shift = 0
        if place and pid not in fixed:
            near = sorted(range(-SHIFT, SHIFT + 1), key=abs)
            # The more of its rounds were idle without it, the fewer are idle with it.
            shift = max(near, key=lambda by: sum(not busy[max(i + by, 0)] for i in set(at)))
        for i in at:
            busy[max(i + shift, 0)] = 1
        for i in own:
            moved[i] = max(firsts[i] + shift, 0)
    return moved


def _rank(lanes: Sequence[SampledLane], pid: int) -> tuple[bool, int]:
    """The process whose place is known for sure comes first, then the longest."""
    own = [lane for lane in lanes if lane.pid == pid]
    return not any(lane.held for lane in own), -max(len(lane.stacks) for lane in own)


def evened(begun: Sequence[float]) -> tuple[list[float], list[float]]:
    """The same rounds with ordinary distances evened out, and how much too long each was."""
    distances = [later - moment for moment, later in pairwise(begun)]
    usual = sorted(distances)[len(distances) // 2] / 0.69  # the median of random distances is ln 2
    longest = LONG * max(usual, 1e-3)
    excess = [max(distance - longest, 0.0) for distance in distances]
    even: list[float] = [begun[0]]
    for start in range(0, len(distances), EVEN_ROUNDS):
        stop = min(start + EVEN_ROUNDS, len(distances))
        inside = begun[stop] - begun[start] - sum(excess[start:stop])
        step = inside / (stop - start)
        even += accumulate((step + more for more in excess[start:stop]), initial=begun[start])
        del even[start]
    return even, excess


def _first(
    lane: SampledLane,
    begun: Sequence[float],
    excess: Sequence[float],
    life: Life | None,
    end_s: float,
    still: Sequence[bool],
) -> int:
    """The round of a lane's first sample."""
    if lane.held:  # the recording begins when the hook lets the study go
        return bisect_left(begun, 0.0)
    count = len(lane.stacks)
    latest = max(len(excess) - count, 0)
    if life and lane.tid != lane.pid:  # py-spy knew the process, so it saw the thread at once
        guess = bisect_left(begun, life.born_s)
    else:
        last_s = min(life.seen_s, end_s) if life else end_s
        guess = bisect_left(begun, last_s) - count - lane.ending
    guess = min(max(guess, 0), latest)
    waiting = [i for i, stack in enumerate(lane.stacks) if still[stack]]
    if not waiting or not any(excess):
        return guess

    def told(first: int) -> float:
        return sum(excess[first + i] for i in waiting if first + i < len(excess))

    near = range(max(guess - SHIFT, 0), min(guess + SHIFT, latest) + 1)
    return max(near, key=lambda first: (told(first), -abs(first - guess)))


def _placed(
    lane: SampledLane, places: Sequence[int], even: Sequence[float], life: Life | None
) -> list[float]:
    last = len(even) - 1
    placed = [even[min(max(place, 0), last)] for place in (*places, places[-1] + 1)]
    born_s = max(life.born_s, 0.0) if life else placed[0]
    if 0.0 < placed[0] - born_s <= HEAD_S:  # what came before the first sample counts as it
        placed[0] = born_s
    return [max(moment, 0.0) for moment in placed]


def _alone(lane: SampledLane, life: Life | None, end_s: float) -> list[float]:
    """Without a witness: evenly over what is known of its life."""
    count = len(lane.stacks)
    start_s = max(life.born_s, 0.0) if life else 0.0
    stop_s = min(life.seen_s, end_s) if life else end_s
    step_s = max(stop_s - start_s, 0.0) / (count + lane.ending)
    return [start_s + i * step_s for i in range(count + 1)]
