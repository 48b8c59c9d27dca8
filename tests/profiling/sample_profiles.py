"""Profiles made from code, seeded: a study that grows, a leaking one, unmarked and empty ones.

Everything in one of them agrees with itself: phases, tenths, lanes and stacks come from the same
simulated trials.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from script_modules import script_module

if TYPE_CHECKING:
    import _model as model
else:
    model = script_module("_model")

HOME = "/home/someone/studies"
SITE = "/home/someone/.venv/lib/python3.11/site-packages"
RUN: dict[str, Any] = {
    "command": ["/home/someone/.venv/bin/python", "momentum.py", "--trials", "400"],
    "working_directory": HOME,
    "interpreter": "/home/someone/.venv/bin/python",
    "python_version": "3.11.7",
    "platform": "Linux-6.1-x86_64",
    "start_utc": "2026-01-02T03:04:05+00:00",
    "tool": "py-spy 0.4.1",
    "rate_hz": 200,
    "samples": 11_842,
    "sampling_errors": 0,
    "study_exit_code": 0,
}
Frame = tuple[str, str, int]
# A phase, its milliseconds in the first trial and how they grow a trial; below it the ways there
# from the frames of MAIN, each with its part of the phase. S: sqlalchemy, O: optuna.
STACKS = """\
sampler 9.0 0.16
  0.50 objective@~/momentum.py:31 suggest_float@O/trial/_trial.py:161 \
_suggest@O/trial/_trial.py:630 sample_relative@O/samplers/_tpe/sampler.py:430 \
_sample@O/samplers/_tpe/sampler.py:502 \
_get_internal_repr@O/samplers/_tpe/sampler.py:480
  0.35 objective@~/momentum.py:31 suggest_float@O/trial/_trial.py:161 \
_suggest@O/trial/_trial.py:630 sample_relative@O/samplers/_tpe/sampler.py:430 \
_sample@O/samplers/_tpe/sampler.py:512 \
log_pdf@O/samplers/_tpe/parzen_estimator.py:92 \
log_pdf@O/samplers/_tpe/probability_distributions.py:187
  0.15 objective@~/momentum.py:33 suggest_int@O/trial/_trial.py:318 \
_split_trials@O/samplers/_tpe/sampler.py:690
storage 16.0 0
  0.60 tell@O/study/_tell.py:178 set_trial_state_values@O/storages/_cached_storage.py:166 \
set_trial_state_values@O/storages/_rdb/storage.py:660 execute@S/orm/session.py:2365 \
_execute_context@S/engine/base.py:1846 do_execute@S/engine/default.py:951
  0.40 ask@O/study/study.py:560 create_new_trial@O/storages/_rdb/storage.py:401 \
flush@S/orm/session.py:4331
objective 22.0 0
  0.80 objective@~/momentum.py:40 backtest@~/portfolio.py:112 rebalance@~/portfolio.py:64
  0.20 objective@~/momentum.py:44 sharpe@~/portfolio.py:150
features 4.0 0
  1.00 objective@~/momentum.py:37 momentum_12_1@~/features.py:19 \
mean@P/pandas/core/window/rolling.py:2200
dedup 0.3 0.02
  1.00 objective@~/momentum.py:35 already_tried@~/momentum.py:15
wait_for_disk 7.0 0
  1.00 tell@O/study/_tell.py:178 commit@S/engine/base.py:2620 do_commit@S/engine/default.py:710
logging 0.8 0
  1.00 _log_completed_trial@O/study/study.py:1201 info@/usr/lib/python3.11/logging/__init__.py:1489
garbage_collection 0.5 0
  1.00 objective@~/momentum.py:48
other 0.3 0
  1.00 main@~/momentum.py:72
"""
MAIN = (
    "<module>@~/momentum.py:88 main@~/momentum.py:71 optimize@O/study/study.py:498 "
    "_optimize@O/study/_optimize.py:62 _optimize_sequential@O/study/_optimize.py:160 "
    "_run_trial@O/study/_optimize.py:201"
)
IMPORT = "<module>@~/momentum.py:3 <module>@O/__init__.py:1 _find_and_load@<frozen-importlib>:1027"
_SHORT = {"~/": f"{HOME}/", "O/": f"{SITE}/optuna/", "S/": f"{SITE}/sqlalchemy/", "P/": f"{SITE}/"}


def _frames(words: str) -> tuple[Frame, ...]:
    return tuple(_frame(word) for word in words.split())


def _frame(word: str) -> Frame:
    function, _, place = word.partition("@")
    file, _, line = place.rpartition(":")
    for short, whole in _SHORT.items():
        if file.startswith(short):
            return function, whole + file.removeprefix(short), int(line)
    return function, file, int(line)


@dataclasses.dataclass
class Simulated:
    """One phase: milliseconds of the first trial, what they grow by, the ways there."""

    base: float
    growing: float
    ways: list[tuple[float, tuple[Frame, ...]]]


def _simulated() -> dict[str, Simulated]:
    found: dict[str, Simulated] = {}
    for line in STACKS.splitlines():
        if not line.startswith(" "):
            name, base, growing = line.split()
            found[name.replace("_", " ")] = last = Simulated(float(base), float(growing), [])
        else:
            part, _, words = line.strip().partition(" ")
            last.ways.append((float(part), _frames(words)))
    return found


PHASES = _simulated()


@functools.cache
def growing(trials: int = 400, workers: int = 2, seed: int = 7) -> model.Profile:
    """A TPE study on SQLite in `workers` processes; its sampler costs more from trial to trial."""
    rng = random.Random(seed)
    segments: dict[int, list[model.Segment]] = {1000 + n: [] for n in range(workers)}
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0] * trials)
    now = {pid: 1.2 + 0.4 * n for n, pid in enumerate(segments)}
    for pid, start in now.items():
        segments[pid].append(model.Segment(0.4 * (pid - 1000), start, "import"))
    imported = sum(now[pid] - 0.4 * (pid - 1000) for pid in now)
    done = []
    for number in range(trials):
        pid = min(now, key=now.__getitem__)
        start = now[pid]
        for phase, one in PHASES.items():
            length = (one.base + one.growing * number) * rng.uniform(0.7, 1.3) / 1e3
            segments[pid].append(model.Segment(now[pid], now[pid] + length, phase))
            spent[phase][number] += length
            now[pid] += length
        state = rng.choices(["complete", "pruned", "fail"], [94, 5, 1])[0]
        done.append(model.Trial(number, pid, start, now[pid], state))
        now[pid] += 0.012 * (pid - 1000)  # the second worker waits between its trials
    duration = max(now.values())
    done.sort(key=lambda trial: trial.end_s or 0.0)
    return model.Profile(
        kind="time",
        title="momentum.py --trials 400",
        run=RUN,
        duration_s=duration,
        trials=tuple(done),
        trials_absent="",
        phases=_phases(spent, imported, trials),
        lanes=tuple(_lane(pid, rows, duration) for pid, rows in segments.items()),
        flame=_flame(spent, imported),
        memory=None,
        advice=(),
        remarks=(),
    )


def _lane(pid: int, rows: Sequence[model.Segment], duration: float) -> model.Lane:
    waits = sum(one.end_s - one.start_s for one in rows if one.phase == "wait for disk")
    busy = sum(one.end_s - one.start_s for one in rows) - waits
    return model.Lane(pid, "MainThread", rows[0].start_s, duration, busy, tuple(rows))


def _phases(
    spent: Mapping[str, list[float]], imported: float, trials: int
) -> tuple[model.Phase, ...]:
    whole = sum(map(sum, spent.values())) + imported
    tenth = max(1, trials // 10)
    found = [model.Phase("import", imported, imported / whole, 0.0, 0.0, 0.0, ())]
    for phase, row in spent.items():
        hot = tuple(model.Hot(*frames[-1], part * sum(row)) for part, frames in PHASES[phase].ways)
        found.append(
            model.Phase(
                phase,
                sum(row),
                sum(row) / whole,
                1e3 * sum(row) / trials,
                1e3 * sum(row[:tenth]) / tenth,
                1e3 * sum(row[-tenth:]) / tenth,
                hot,
            )
        )
    return tuple(found)


def _flame(spent: Mapping[str, list[float]], imported: float) -> model.Flame:
    numbers: dict[tuple[str, str, int], int] = {}
    stacks = []
    for phase, row in spent.items():
        for part, frames in PHASES[phase].ways:
            path = tuple(numbers.setdefault(one, len(numbers)) for one in (*_frames(MAIN), *frames))
            stacks.append(model.Stack(path, part * sum(row), phase))
    path = tuple(numbers.setdefault(one, len(numbers)) for one in _frames(IMPORT))
    stacks.append(model.Stack(path, imported, "import"))
    return model.Flame(tuple(numbers), tuple(stacks))


@functools.cache
def leaking(trials: int = 500, seed: int = 3) -> model.Profile:
    """A memory profile: two processes, one that holds 0.4 MB more after every 100 trials."""
    rng = random.Random(seed)
    done = tuple(
        model.Trial(n, 1000, 1.0 + 0.08 * n, 1.07 + 0.08 * n, "complete") for n in range(trials)
    )
    duration = 0.08 * trials + 1.5
    main, worker = [], []
    for step in range(int(duration * 20)):
        at = step / 20
        grown = 4_000.0 * max(0, min(trials, int((at - 1.07) / 0.08)))
        heap = int(min(at, 1.0) * 30e6 + grown + rng.uniform(0, 0.4e6))
        main.append((at, int(heap + 40e6 + rng.uniform(0, 0.3e6)), heap))
        worker.append((at, int(min(at, 2.0) * 15e6 + 12e6), None))
    allocators = tuple(
        model.Allocator(name, f"{HOME}/{name}.py", 10 + n, int(12e6 / 1.7**n), 400 * (n + 1), 1000)
        for n, name in enumerate(["remember", "load_prices", "signal", "weights", "report"])
    )
    memory = model.Memory(
        processes=(
            model.Process(1000, None, "main", True, "", 76_000_000),
            model.Process(1001, 1000, "spawn", True, "", 42_000_000),
            model.Process(1002, 1000, "forkserver", False, "killed before it wrote", None),
        ),
        curves=(model.Curve(1000, tuple(main)), model.Curve(1001, tuple(worker))),
        leak=model.Leak(4.0e5, 3.9e5, 4.1e5, "remember", f"{HOME}/leaky.py", 12, 1000),
        leak_absent="",
        allocators=allocators,
        peak_bytes=max(point[1] for point in main),
    )
    return dataclasses.replace(
        growing(trials=20),
        kind="memory",
        title="leaky.py",
        duration_s=duration,
        trials=done,
        phases=(),
        lanes=(),
        flame=None,
        memory=memory,
        remarks=("Process 1002 was lost: killed before it wrote.",),
    )


@functools.cache
def barely_growing() -> model.Profile:
    """Memory of 100 trials that grows by what Optuna itself keeps of them: 54 kB of 93 MB."""
    sample = leaking(trials=100)
    assert sample.memory is not None
    file = f"{SITE}/optuna/distributions.py"
    leak = model.Leak(54.1e3, 50e3, 58e3, "json_to_distribution", file, 600, 1000)
    memory = dataclasses.replace(sample.memory, leak=leak, peak_bytes=93_200_000)
    return dataclasses.replace(sample, memory=memory)


@functools.cache
def unmarked() -> model.Profile:
    """What `--pid` gives of a study that was not armed: no trials, one lane."""
    whole = growing(workers=1)
    phases = tuple(
        dataclasses.replace(one, ms_per_trial=None, first_tenth_ms=None, last_tenth_ms=None)
        for one in whole.phases
    )
    absent = "the study was not armed when it started"
    return dataclasses.replace(whole, trials=(), trials_absent=absent, phases=phases)


@functools.cache
def empty() -> model.Profile:
    """A recording in which nothing was seen."""
    return model.Profile(
        "time", "nothing.py", {}, 0.0, (), "no trial ended", (), (), None, None, (), ()
    )
