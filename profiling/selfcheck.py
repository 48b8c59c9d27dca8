"""Is the attribution right? Plants studies whose phases are known and prints the error of each.

    python profiling/selfcheck.py                      # the five open studies
    python profiling/selfcheck.py --aside              # the five that no rule was tuned on
    python profiling/selfcheck.py --seconds 60 tpe_memory
    python profiling/selfcheck.py --slowdown           # what the recording itself costs

Each study carries exclusive timers and is profiled as any other; its own timers are the truth, in
the same run.  Beside each error stands what as many looks scatter by themselves: twice the standard
error, were each look independent of the others.  Exits 1 when a phase is further off than --limit,
or sampler or storage by more than 1 point on a run of a minute; 2 when a study could not be run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import _exclusive
import _model

HERE = Path(__file__).resolve().parent
OPEN = ("sqlite_random", "tpe_memory", "user_dedup", "numba_workers", "journal_pruned")
ASIDE = (
    "ask_tell_cache",
    "threads",
    "forkserver_sqlite",
    "tpe_sqlite_callbacks",
    "loading_each_trial",
)
FINE = ("sampler", "storage")  # held to a closer limit on long runs: points, seconds
FINE_POINTS, LONG_S = 1.0, 60.0
SHOWN = 0.002  # smaller shares are not printed
NO_CHECK = 2  # exit code: a planted study could not be run, so nothing is known


@dataclass(frozen=True)
class Check:
    """One planted study: shares of its phases as its timers and as its samples tell them."""

    study: str
    truth: dict[str, float]
    found: dict[str, float]
    seconds: float
    looks: float  # at any of its threads

    def errors(self) -> dict[str, float]:
        """Found less true, in points of a hundred."""
        names = sorted({*self.truth, *self.found})
        return {n: 100 * (self.found.get(n, 0.0) - self.truth.get(n, 0.0)) for n in names}

    def scatter(self, name: str) -> float:
        """What independent looks would be off by in one run of twenty, in points of a hundred."""
        true = self.truth.get(name, 0.0)
        return 200 * math.sqrt(true * (1 - true) / self.looks) if self.looks else math.inf

    def worst(self) -> float:
        return max((abs(error) for error in self.errors().values()), default=0.0)

    def too_far(self, limit: float) -> list[str]:
        """The phases that are further off than they may be."""
        long = self.seconds >= LONG_S
        limits = dict.fromkeys(FINE, min(limit, FINE_POINTS)) if long else {}
        return [n for n, error in self.errors().items() if abs(error) > limits.get(n, limit)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the planted studies that the command line names; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _slowdowns(options) if options.slowdown else _checks(options)
    except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
        print(f"selfcheck: {error}", file=sys.stderr)
        return NO_CHECK


def _slowdowns(options: argparse.Namespace) -> int:
    words = ["--rate", str(options.rate), *_pause(options)]
    ratios = slowdown(options.trials, options.rounds, words, options.python)
    for name, found in ratios.items():
        middle, least, most = statistics.median(found), min(found), max(found)
        print(f"{name}: x{middle:.3f} (median of {len(found)}; {least:.3f} to {most:.3f})")
    return 0


def _checks(options: argparse.Namespace) -> int:
    checks = []
    for study in options.study or (ASIDE if options.aside else OPEN):
        for _ in range(options.times):
            words = study, options.seconds, _pause(options), options.python, options.rate
            checks.append(check(*words))
            _show(checks[-1])
    worst = max(one.worst() for one in checks)
    print(f"largest error: {worst:.2f} points (limit {options.limit:g})")
    far = [f"{one.study} {name}" for one in checks for name in one.too_far(options.limit)]
    if far:
        print(f"further off than they may be: {', '.join(far)}")
    return int(bool(far))


def _pause(options: argparse.Namespace) -> list[str]:
    return ["--pause"] if options.pause else []


def check(study: str, seconds: float, extra: Sequence[str], python: str, rate: int = 200) -> Check:
    """Profile one planted study `rate` times a second; extra: more options of study_time.py.

    Cost: about `seconds` and two imports of Optuna. Raises RuntimeError when no profile came of it.
    """
    with tempfile.TemporaryDirectory(prefix="selfcheck-") as folder:
        environ = {**os.environ, "PLANTED_TRUTH": folder}
        profiles = Path(folder, "profiles")
        words = [*("--python", python), *("--rate", str(rate)), *extra]
        words += ["--output", str(profiles), *_study(study, seconds)]
        line = [sys.executable, str(HERE / "study_time.py"), *words]
        done = subprocess.run(line, env=environ, capture_output=True, text=True)
        pages = list(profiles.glob("*/profile.json"))
        if done.returncode or not pages:
            raise RuntimeError(f"{study}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        profile = _model.from_json(pages[0].read_text(encoding="utf-8"))
        found = {phase.name: phase.share for phase in profile.phases}
        rounds_hz = profile.run.get("reached_hz") or rate  # fewer where they cost too much
        looks = rounds_hz * sum(phase.seconds for phase in profile.phases)
        true = _exclusive.seconds(Path(folder))
    whole = sum(true.values())
    if whole <= 0:
        raise RuntimeError(f"{study}: its timers measured nothing; let it run longer (--seconds)")
    shares = {name: seconds / whole for name, seconds in true.items()}
    return Check(study, shares, found, profile.duration_s, looks)


def _study(study: str, seconds: float) -> list[str]:
    file = "_planted_aside.py" if study in ASIDE else "_planted.py"
    return [str(HERE / file), study, str(seconds)]


def _show(one: Check) -> None:
    columns = f"{'true':>7} {'found':>7} {'error':>7} {'scatter':>8}"
    print(f"{one.study}, {one.seconds:.1f} s, {one.looks:,.0f} looks\n  {'phase':20} {columns}")
    errors = one.errors()
    for name in sorted(errors, key=lambda name: -one.truth.get(name, 0.0)):
        true, found = one.truth.get(name, 0.0), one.found.get(name, 0.0)
        if max(true, found) >= SHOWN:
            figures = f"{true:7.1%} {found:7.1%} {errors[name]:+7.2f} {one.scatter(name):8.2f}"
            print(f"  {name:20} {figures}")
    print(f"  worst {one.worst():.2f} points", flush=True)


def slowdown(trials: int, rounds: int, extra: Sequence[str], python: str) -> dict[str, list[float]]:
    """The same trials with the recording over without it, in turn.

    On a busy machine wall time says more about the others; what is left of it without the waits
    for a processor is the study's own work, and the pauses where a sampler makes some.

    Cost: two imports of Optuna and twice the trials a round.
    """
    names = {"wall": "wall time", "own": "less waits for a processor", "cpu": "CPU time alone"}
    ratios: dict[str, list[float]] = {said: [] for said in names.values()}
    for _ in range(rounds):
        bare, recorded = (_took(trials, extra, python, record) for record in (False, True))
        for name, said in names.items():
            ratios[said].append(recorded[name] / bare[name])
    return ratios


def _took(trials: int, extra: Sequence[str], python: str, record: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="selfcheck-") as folder:
        words = [str(HERE / "_planted.py"), "fixed_work", str(trials)]
        line = [python, *words]
        if record:
            own = [*extra, "--python", python, "--output", f"{folder}/profiles"]
            line = [sys.executable, str(HERE / "study_time.py"), *own, *words]
        environ = {**os.environ, "PLANTED_TRUTH": folder}
        # In a session of its own, as the recorded study: the scheduler shares by session.
        subprocess.run(line, env=environ, capture_output=True, check=True, start_new_session=True)
        took: dict[str, float] = json.loads(Path(folder, "took.json").read_text(encoding="utf-8"))
    return took


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python profiling/selfcheck.py",
        description=(__doc__ or "").split("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("study", nargs="*", choices=[*OPEN, *ASIDE, []], metavar="study")
    parser.add_argument("--aside", action="store_true", help="the studies kept aside")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each study (12)")
    parser.add_argument("--times", type=int, default=1, help="each study is run (1)")
    parser.add_argument("--rate", type=int, default=200, help="samples a second (200)")
    parser.add_argument("--pause", action="store_true", help="as of study_time.py")
    parser.add_argument("--limit", type=float, default=3.0, help="points a phase may be off (3)")
    parser.add_argument("--rounds", type=int, default=7, help="of --slowdown (7)")
    parser.add_argument("--trials", type=int, default=300, help="of each --slowdown run (300)")
    parser.add_argument("--slowdown", action="store_true", help="measure what recording costs")
    parser.add_argument("--python", default=sys.executable, help="has Optuna and numba")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
