"""Is the attribution right? Plants studies whose phases are known and prints the error of each.

    python profiling/selfcheck.py                      # the five open studies
    python profiling/selfcheck.py --aside              # the five that no rule was tuned on
    python profiling/selfcheck.py --seconds 60 tpe_memory
    python profiling/selfcheck.py --slowdown           # what the recording itself costs

Each study carries exclusive timers and is profiled as any other; its own timers are the truth, in
the same run.  Exits 1 when a phase is further off than --limit, 2 when a study could not be run.
"""

from __future__ import annotations

import argparse
import json
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
FINE = ("sampler", "storage")  # held to a closer limit on long runs
SHOWN = 0.002  # smaller shares are not printed
NO_CHECK = 2  # exit code: a planted study could not be run, so nothing is known


@dataclass(frozen=True)
class Check:
    """One planted study: shares of its phases as its timers and as its samples tell them."""

    study: str
    truth: dict[str, float]
    found: dict[str, float]
    seconds: float

    def errors(self) -> dict[str, float]:
        """Found less true, in points of a hundred."""
        names = sorted({*self.truth, *self.found})
        return {n: 100 * (self.found.get(n, 0.0) - self.truth.get(n, 0.0)) for n in names}

    def worst(self) -> float:
        return max((abs(error) for error in self.errors().values()), default=0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the planted studies that the command line names; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _slowdowns(options) if options.slowdown else _checks(options)
    except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
        print(f"selfcheck: {error}", file=sys.stderr)
        return NO_CHECK


def _slowdowns(options: argparse.Namespace) -> int:
    ratios = slowdown(options.trials, options.rounds, _extra(options), options.python)
    for name, found in ratios.items():
        middle, least, most = statistics.median(found), min(found), max(found)
        print(f"{name}: x{middle:.3f} (median of {len(found)}; {least:.3f} to {most:.3f})")
    return 0


def _checks(options: argparse.Namespace) -> int:
    checks = []
    for study in options.study or (ASIDE if options.aside else OPEN):
        checks.append(check(study, options.seconds, _extra(options), options.python))
        _show(checks[-1])
    worst = max(one.worst() for one in checks)
    print(f"largest error: {worst:.2f} points (limit {options.limit:g})")
    return int(worst > options.limit)


def _extra(options: argparse.Namespace) -> list[str]:
    return ["--rate", str(options.rate), *(["--pause"] if options.pause else [])]


def check(study: str, seconds: float, extra: Sequence[str], python: str) -> Check:
    """Profile one planted study; extra: more options of study_time.py.

    Cost: about `seconds` and two imports of Optuna. Raises RuntimeError when no profile came of it.
    """
    with tempfile.TemporaryDirectory(prefix="selfcheck-") as folder:
        environ = {**os.environ, "PLANTED_TRUTH": folder}
        profiles = Path(folder, "profiles")
        words = [*("--python", python), *extra, *("--output", str(profiles))]
        line = [sys.executable, str(HERE / "study_time.py"), *words, *_study(study, seconds)]
        done = subprocess.run(line, env=environ, capture_output=True, text=True)
        pages = list(profiles.glob("*/profile.json"))
        if done.returncode or not pages:
            raise RuntimeError(f"{study}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        profile = _model.from_json(pages[0].read_text(encoding="utf-8"))
        found = {phase.name: phase.share for phase in profile.phases}
        true = _exclusive.seconds(Path(folder))
    whole = sum(true.values())
    if whole <= 0:
        raise RuntimeError(f"{study}: its timers measured nothing; let it run longer (--seconds)")
    return Check(study, {n: s / whole for n, s in true.items()}, found, profile.duration_s)


def _study(study: str, seconds: float) -> list[str]:
    file = "_planted_aside.py" if study in ASIDE else "_planted.py"
    return [str(HERE / file), study, str(seconds)]


def _show(one: Check) -> None:
    print(f"{one.study}, {one.seconds:.1f} s\n  {'phase':20} {'true':>7} {'found':>7} {'error':>7}")
    errors = one.errors()
    for name in sorted(errors, key=lambda name: -one.truth.get(name, 0.0)):
        true, found = one.truth.get(name, 0.0), one.found.get(name, 0.0)
        if max(true, found) >= SHOWN:
            print(f"  {name:20} {true:7.1%} {found:7.1%} {errors[name]:+7.2f}")
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
