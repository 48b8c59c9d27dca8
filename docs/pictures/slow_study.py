"""The study whose profile is the picture beside it: plain Optuna, a file, a backtest in pandas.

nox -s profile -- docs/pictures/slow_study.py
"""

import tempfile

import numpy as np
import optuna
import pandas as pd

CLOSE = pd.DataFrame(100.0 + np.random.default_rng(1).normal(size=(1_500, 20)).cumsum(axis=0) / 9)


def objective(trial: optuna.Trial) -> float:
    """The mean return of holding, each day, what rose most in the last days."""
    lookback = trial.suggest_int("lookback", 5, 250)
    held = trial.suggest_int("held", 1, 10)
    smooth = trial.suggest_float("smooth", 0.05, 1.0)
    momentum = CLOSE.pct_change(lookback).ewm(alpha=smooth).mean().shift(1)
    chosen = momentum.rank(axis=1, ascending=False) <= held
    return float(CLOSE.pct_change().where(chosen).mean(axis=1).mean())


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(
            storage=f"sqlite:///{folder}/study.db",
            sampler=optuna.samplers.TPESampler(seed=1),
            direction="maximize",
        )
        study.optimize(objective, n_trials=250)
