"""Objectives over different search spaces, for comparing two samplers trial by trial."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import optuna
import pytest

from optimizer.sampling._tpe_optuna import VERIFIED
from optimizer.sampling.tpe import IncrementalTPESampler

Objective = Callable[[optuna.Trial], float]
Sampler = optuna.samplers.BaseSampler
Run = Callable[[Sampler], Any]

verified = pytest.mark.skipif(
    optuna.__version__ not in VERIFIED, reason="on this Optuna every suggestion is handed over"
)


class Unlucky(Exception):
    """What an objective raises to fail."""


def mixed(trial: optuna.Trial) -> float:
    total = sum((trial.suggest_float(f"x{i}", -5, 5) - i) ** 2 for i in range(3))
    total += math.log(trial.suggest_float("rate", 1e-5, 1.0, log=True) + 1e-3) ** 2
    total += trial.suggest_float("step", 0, 1, step=0.05)
    total += (trial.suggest_int("n", 1, 100) - 30) ** 2 / 100
    total += abs(trial.suggest_int("m", 1, 256, log=True) - 16) / 20
    total += trial.suggest_int("even", 0, 8, step=2)
    total += {"a": 0, "b": 1, "c": 2}[trial.suggest_categorical("c", ["a", "b", "c"])]
    return total + float(trial.suggest_categorical("flag", [True, False]))


def floats(trial: optuna.Trial) -> float:
    return (trial.suggest_float("x", -3, 3) - 1) ** 2 + abs(trial.suggest_float("y", 1e9, 1e9 + 1))


def logs(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("rate", 1e-8, 1e2, log=True)
    return abs(math.log10(rate) + 3) + trial.suggest_int("depth", 1, 4096, log=True) / 4096


def steps(trial: optuna.Trial) -> float:
    fine = trial.suggest_float("fine", 0, 1, step=0.001)
    return (fine - 0.3) ** 2 + trial.suggest_float("coarse", -1.0, 1.0, step=0.5)


def categories(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b", "c", "d", "e", "f", "g", "h", "i"])
    other = trial.suggest_categorical("other", [None, 1, 2.5, "x"])
    return ord(kind) % 5 + (0.0 if other is None else 1.0)


def integers(trial: optuna.Trial) -> float:
    return trial.suggest_int("a", 0, 3) * 2.0 + (trial.suggest_int("b", -1000, 1000) - 17) ** 2


def conditional(trial: optuna.Trial) -> float:
    if trial.suggest_categorical("kind", ["p", "q"]) == "p":
        value = trial.suggest_float("px", 0, 1) + trial.suggest_int("pn", 1, 5)
    else:
        value = trial.suggest_float("qx", -1, 0, step=0.1) * 2
    return value + trial.suggest_float("z", 0, 3)


def unlucky(trial: optuna.Trial) -> float:
    x, n = trial.suggest_float("x", -3, 3), trial.suggest_int("n", 1, 20)
    for step in range(3):
        trial.report(math.nan if trial.number % 13 == 5 else x * x + n / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    if trial.number * 7 % 11 == 0:
        raise Unlucky
    return x * x + n / 10


def moving(trial: optuna.Trial) -> float:
    """The bounds of a parameter move, so it is suggested alone, and old values lie outside."""
    width = 1 + trial.number % 3
    return trial.suggest_float("x", -width, width) ** 2 + trial.suggest_int("n", 0, 5 * width)


def single(trial: optuna.Trial) -> float:
    trial.suggest_float("fixed", 2.0, 2.0)
    return trial.suggest_float("x", 0, 1) + round(trial.suggest_float("tie", 0, 1))


SPACES: dict[str, Objective] = {
    "mixed": mixed,
    "floats": floats,
    "logs": logs,
    "steps": steps,
    "categories": categories,
    "integers": integers,
    "conditional": conditional,
    "unlucky": unlucky,
    "moving": moving,
    "single": single,
}

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "alone": {"multivariate": False},
    "honest": {"constant_liar": False},
    "group": {"multivariate": True, "group": True},
}


def history(
    sampler: optuna.samplers.BaseSampler,
    objective: Objective,
    n_trials: int,
    direction: Literal["minimize", "maximize"] = "minimize",
) -> list[tuple[dict[str, Any], str]]:
    """Parameters and state of each trial, some of them enqueued."""
    study = optuna.create_study(
        sampler=sampler,
        direction=direction,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=0),
    )
    with warnings.catch_warnings():
        # Of parameters whose bounds move, and of the default of `group`.
        warnings.simplefilter("ignore")
        study.enqueue_trial({"x": 0.5, "n": 2})
        study.optimize(objective, n_trials=n_trials // 2, catch=(Unlucky,))
        study.enqueue_trial({"x": 0.5})
        study.optimize(objective, n_trials=n_trials - n_trials // 2, catch=(Unlucky,))
    return [(trial.params, trial.state.name) for trial in study.get_trials(deepcopy=False)]


def made(kind: type[Sampler], options: dict[str, Any]) -> Sampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of settings that will go
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kind(**options)


def compared(run: Run, **options: Any) -> IncrementalTPESampler:
    """Run with both samplers; ours, after the results were found equal."""
    ours = made(IncrementalTPESampler, {"seed": 2, **options})
    assert isinstance(ours, IncrementalTPESampler)
    assert run(ours) == run(made(optuna.samplers.TPESampler, {"seed": 2, **options}))
    return ours


def plain(sampler: Sampler, n_trials: int = 25) -> Any:
    study = optuna.create_study(sampler=sampler)
    study.optimize(mixed, n_trials=n_trials)
    return [trial.params for trial in study.get_trials(deepcopy=False)]
