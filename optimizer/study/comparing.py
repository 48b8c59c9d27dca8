"""The speedup of a run, measured: some trials by plain Optuna, of the same objective and space."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna

from optimizer.errors import OptimizerError
from optimizer.report import RunReport, measured_speedup
from optimizer.report.run import NOT_COMPARED
from optimizer.study.ending import logger
from optimizer.study.objectives import call
from optimizer.study.opening import is_persistent
from optimizer.study.settings import Settings
from optimizer.study.views import read_only


def compared(study: optuna.Study, settings: Settings, report: RunReport) -> RunReport:
    """The report with the speedup against Optuna's own loop.

    The plain study begins empty, with TPESampler of the same seed, in memory where ours was, else
    in a SQLite file of Optuna's; it runs in this process, on all data. Its first trials are its
    cheapest, so for a long study the ratio is rather too small.

    Cost: `settings.compare` evaluations, and what Optuna takes for them.
    """
    with tempfile.TemporaryDirectory() as folder:
        storage = None
        if is_persistent(study):
            storage = optuna.storages.RDBStorage(f"sqlite:///{Path(folder) / 'plain.db'}")
        plain = optuna.create_study(
            storage=storage,
            directions=study.directions,
            sampler=optuna.samplers.TPESampler(seed=settings.seed),
        )
        plain_s = _seconds(plain, settings)
        if storage is not None:
            storage.engine.dispose()
    try:
        speedup = measured_speedup(plain_s, report.total_s / report.trials)
    except OptimizerError as error:
        return dataclasses.replace(report, remarks=(*report.remarks, f"{NOT_COMPARED}{error}"))
    return dataclasses.replace(report, speedup=speedup)


def _seconds(plain: optuna.Study, settings: Settings) -> list[float]:
    """Wall seconds of each trial of a plain study, without its logging."""
    space = settings.space
    distributions = {} if space is None else space.to_distributions()
    data = read_only(settings.data)  # as ours had them: kernels are compiled for either kind
    last_s = time.perf_counter()
    seconds: list[float] = []

    def objective(trial: optuna.Trial) -> Any:
        params = {}
        if settings.kind != "trial":
            params = {name: trial._suggest(name, one) for name, one in distributions.items()}
        return call(settings.objective, settings.kind, trial, params, data, 1.0)

    def note(*_: Any) -> None:
        nonlocal last_s
        now_s = time.perf_counter()
        seconds.append(now_s - last_s)
        last_s = now_s

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.ERROR))
    try:
        plain.optimize(objective, n_trials=settings.compare, catch=(Exception,), callbacks=[note])
    finally:
        optuna.logging.set_verbosity(level)
    logger.debug("Compared with %d plain trials.", len(seconds))
    return seconds
