"""What a trial of a plain Optuna study costs, measured in the run that measures the claims.

The study is the cheapest there is: random sampler, storage in memory, ten parameters, an objective
that adds them up. A sampler or a storage that costs more makes a trial longer, and the share of
anything else in it smaller: so no share of a trial is larger than the one made with this.

    python -m benchmarks._claims_trial [CORE]      one process's answer, as JSON
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gate.errors import NotMeasuredError
from benchmarks.gate.outcome import pair_core
from benchmarks.gate.rules import trimmed_mean

TRIALS = 100  # of each study
STUDIES = 5
PROCESSES = 3
QUICK_PROCESSES = 2
LONGEST_S = 300.0


@dataclass(frozen=True)
class TrialCost:
    """Wall seconds a trial of a plain study takes without an objective worth the name."""

    seconds: float
    plus_minus_s: float  # 3 standard errors of the mean over processes
    default_s: float  # with Optuna's default sampler
    optuna: str

    @classmethod
    def of(cls, answers: Sequence[dict[str, Any]]) -> TrialCost:
        plain = [answer["random_s"] for answer in answers]
        return cls(
            seconds=statistics.fmean(plain),
            plus_minus_s=3 * statistics.stdev(plain) / math.sqrt(len(plain)),
            default_s=statistics.fmean(answer["default_s"] for answer in answers),
            optuna=answers[0]["optuna"],
        )


def trial_cost(*, quick: bool) -> TrialCost:
    """Measure it in fresh processes, on the core that the claims are measured on."""
    return TrialCost.of([_ask() for _ in range(QUICK_PROCESSES if quick else PROCESSES)])


def _ask() -> dict[str, Any]:
    core = pair_core()
    command = [sys.executable, "-m", __name__, *([] if core is None else [str(core)])]
    done = subprocess.run(
        command,
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise NotMeasuredError(f"a plain Optuna study could not be run: {last[0]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# --- in the process


def _objective(trial: Any) -> float:
    total: float = 0.0
    for k in range(4):
        total += trial.suggest_float(f"f{k}", 0.0, 1.0)
        total += trial.suggest_int(f"i{k}", 1, 100)
    total += trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    long = trial.suggest_categorical("side", ("long", "short")) == "long"
    return total if long else -total


def _run(sampler: Callable[[], Any]) -> float:
    """Wall seconds a trial of one study takes."""
    import optuna

    study = optuna.create_study(sampler=sampler())
    start = time.perf_counter()
    study.optimize(_objective, n_trials=TRIALS)
    return (time.perf_counter() - start) / TRIALS


def _main(words: Sequence[str]) -> int:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if words:
        with contextlib.suppress(AttributeError, OSError):  # no affinity outside Linux
            os.sched_setaffinity(0, {int(words[0])})
    samplers: dict[str, Callable[[], Any]] = {
        "random_s": lambda: optuna.samplers.RandomSampler(seed=1),
        "default_s": lambda: None,
    }
    answer: dict[str, Any] = {"optuna": optuna.__version__}
    for name, sampler in samplers.items():
        _run(sampler)  # the first one imports and fills caches
        studies = STUDIES if name == "random_s" else 1
        answer[name] = trimmed_mean([_run(sampler) for _ in range(studies)])
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
