"""A study that leaks 0.4 MB per 100 trials in one line: `python leaking_study.py TRIALS [small]`.

Prints, as JSON, the line that leaks and the bytes it holds at the end.  A file given as third word
ends it sooner, once it is there.
"""

from __future__ import annotations

import json
import os
import sys

import optuna

kept: list[object] = []


def remember_block() -> int:
    kept.append(bytearray(4000))
    return sys._getframe().f_lineno - 1


def remember_objects() -> int:
    kept.append([float(n) for n in range(120)])
    return sys._getframe().f_lineno - 1


def objective(trial: optuna.Trial) -> float:
    total = sum(trial.suggest_float(f"x{n}", -1.0, 1.0) ** 2 for n in range(3))
    lines.add(remember())
    return total + len([str(n) for n in range(1000)]) * 0.0  # garbage, as trials have


def size(one: object) -> int:
    inside = sum(map(sys.getsizeof, one)) if isinstance(one, list) else 0
    return sys.getsizeof(one) + inside


def stop_when_told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    if len(sys.argv) > 3 and os.path.exists(sys.argv[3]):
        study.stop()


lines: set[int] = set()
remember = remember_objects if "small" in sys.argv else remember_block
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
study.optimize(objective, n_trials=int(sys.argv[1]), callbacks=[stop_when_told])
(line,) = lines
print(json.dumps({"line": line, "bytes": sum(map(size, kept)), "trials": len(kept)}))
