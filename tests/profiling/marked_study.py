"""A study of four trials in this process, and two in each of two workers; prints its pids.

python marked_study.py spawn|forkserver|fork|none
"""

from __future__ import annotations

import multiprocessing
import os
import sys

import optuna


def objective(trial: optuna.Trial) -> float:
    value = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise ValueError("as planned")
    return value


def study_of_a_worker(unused: int) -> int:
    optuna.create_study().optimize(objective, n_trials=2)
    return os.getpid()


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.create_study()
    study.optimize(objective, n_trials=3, catch=(ValueError,))
    study.tell(study.ask(), 1.0)
    workers = []
    if sys.argv[1] != "none":
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            workers = pool.map(study_of_a_worker, range(2), chunksize=1)
            pool.close()
            pool.join()
    print(os.getpid(), *sorted(set(workers)))
