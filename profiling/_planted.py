"""Five studies whose phases are known: the ones the rules may be tuned on.

    python profiling/_planted.py NAME SECONDS

Each is an ordinary study of the kind that comes out slow, with exclusive timers around what is
really done.  Five more lie in `_planted_aside.py`; no rule is tuned on those.
"""

from __future__ import annotations

import _exclusive
from _exclusive import phase, timed

_START = _exclusive.begin  # the interpreter's start counts as import: see main

import csv  # noqa: E402  # below the clock
import functools  # noqa: E402
import json  # noqa: E402
import multiprocessing  # noqa: E402
import os  # noqa: E402
import pickle  # noqa: E402
import sqlite3  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import optuna  # noqa: E402
from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402


def spin(turns: int) -> float:
    """A little pure Python."""
    total = 0.0
    for turn in range(turns):
        total += turn % 7 * 0.5
    return total


def suggest(trial: optuna.Trial, count: int = 6) -> list[float]:
    return [trial.suggest_float(f"x{index}", -5.0, 5.0) for index in range(count)]


@timed("objective")
def objective(trial: optuna.Trial, turns: int = 60_000) -> float:
    values = suggest(trial)
    spin(turns)
    return sum(value * value for value in values)


def run_until(study: optuna.Study, function: Any, seconds: float, **options: Any) -> None:
    end = time.monotonic() + seconds

    def stop(study: optuna.Study, trial: object) -> None:
        if time.monotonic() > end:
            study.stop()

    with phase("storage"):
        study.optimize(function, callbacks=[stop], **options)


def ready(make_storage: Callable[[], Any], sampler: Any, **options: Any) -> optuna.Study:
    """A study with timers on."""
    _exclusive.time_commits()
    with phase("storage"):
        study = optuna.create_study(
            storage=make_storage(), sampler=sampler, load_if_exists=True, **options
        )
    timed_study: optuna.Study = _exclusive.time_study(study)
    return timed_study


def sqlite_random(seconds: float, folder: Path) -> None:
    """A database on disk, random values, a short objective."""
    study = ready(
        lambda: optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}"),
        optuna.samplers.RandomSampler(seed=1),
    )
    run_until(study, objective, seconds)


def tpe_memory(seconds: float, folder: Path) -> None:
    """TPE whose cost grows with the trials; nothing on disk."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = ready(optuna.storages.InMemoryStorage, optuna.samplers.TPESampler(seed=1))
    run_until(study, functools.partial(objective, turns=40_000), seconds)


class DuplicateGuard:
    """Remembers parameter sets, a connection per call, as it is often written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with sqlite3.connect(path) as connection:
            connection.execute("create table if not exists seen (signature text primary key)")
        connection.close()

    @timed("dedup")
    def seen(self, signature: str) -> bool:
        connection = sqlite3.connect(self.path)
        found = connection.execute("select 1 from seen where signature = ?", (signature,))
        known = found.fetchone() is not None
        connection.close()
        return known

    @timed("dedup")
    def add(self, signature: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute("pragma synchronous = off")
        connection.execute("insert or ignore into seen values (?)", (signature,))
        self._commit(connection)
        connection.close()

    @timed("wait for disk")
    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.commit()


@timed("trial records")
def save_trial(folder: Path, number: int, record: dict[str, Any]) -> None:
    (folder / f"trial_{number}.json").write_text(json.dumps(record, indent=2))


@timed("trial records")
def load_existing_trials(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("trial_*.json"))]


@timed("data loading")
def load_prices(path: Path) -> Any:
    with path.open(newline="") as lines:
        return np.array([[float(cell) for cell in row] for row in csv.reader(lines)])


@timed("features")
def compute_features(prices: Any, window: int) -> Any:
    kernel = np.ones(window) / window
    return np.stack([np.convolve(column, kernel, mode="same") for column in prices.T])


@timed("objective")
def backtest(features: Any, turns: int = 30_000) -> float:
    gain = 0.0
    for _ in range(30):
        gain += float(np.sign(np.diff(features, axis=1)).sum())
    return gain + spin(turns)


def user_dedup(seconds: float, folder: Path) -> None:
    """Files, a guard and data of the study's own, and a sampler in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prices = folder / "prices.csv"
    np.savetxt(prices, np.random.default_rng(1).random((400, 5)), delimiter=",")
    records = folder / "records"
    records.mkdir()
    study = ready(optuna.storages.InMemoryStorage, optuna.samplers.RandomSampler(seed=1))
    guard = DuplicateGuard(folder / "seen.db")

    @timed("objective")
    def of_trial(trial: optuna.Trial) -> float:
        values = suggest(trial)
        signature = json.dumps(values)
        if guard.seen(signature):
            raise optuna.TrialPruned
        guard.add(signature)
        features = compute_features(load_prices(prices), 5 + trial.number % 20)
        value: float = backtest(features)
        save_trial(records, trial.number, {"params": trial.params, "value": value})
        if trial.number % 10 == 9:
            load_existing_trials(records)
        return value

    run_until(study, of_trial, seconds)


def _kernel(prices: Any, fast: int, slow: int) -> float:
    best = 0.0
    for first in range(1, fast):
        gain = 0.0
        for index in range(slow, prices.shape[0]):
            if prices[index - first] > prices[index - slow]:
                gain += prices[index] - prices[index - 1]
        best = max(best, gain)
    return best


@functools.cache
def compiled() -> Any:
    with phase("import"):
        import numba
    kernel = numba.njit(_kernel)
    with phase("compile"):
        kernel(np.random.default_rng(1).random(100), 3, 9)
    return kernel


@timed("transport")
def unpack(payload: bytes) -> Any:
    return pickle.loads(payload)


def evaluate(payload: bytes, fast: int, slow: int) -> float:
    """What a worker is sent."""
    kernel = compiled()
    prices = unpack(payload)
    with phase("objective"):
        return float(kernel(prices, fast, slow)) + spin(60_000)


def _worker_begins() -> None:
    _exclusive.begin("import")
    _exclusive._clock.phases.append("wait for workers")


def numba_workers(seconds: float, folder: Path) -> None:
    """A compiled backtest in two spawned workers that get the prices with every task."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = ready(optuna.storages.InMemoryStorage, optuna.samplers.TPESampler(seed=1))
    prices = np.random.default_rng(1).random(300_000)
    end = time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=_worker_begins) as pool:
        while time.monotonic() < end:
            with phase("storage"):
                trials = [study.ask() for _ in range(4)]
                windows = [
                    (t.suggest_int("fast", 2, 20), t.suggest_int("slow", 30, 90)) for t in trials
                ]
            with phase("transport"):
                payloads = [pickle.dumps(prices) for _ in trials]
            with phase("wait for workers"):
                futures = [
                    pool.submit(evaluate, p, *w) for p, w in zip(payloads, windows, strict=True)
                ]
                values = [future.result() for future in futures]
            with phase("storage"):
                for trial, value in zip(trials, values, strict=True):
                    study.tell(trial, value)
        with phase("wait for workers"):
            pool.shutdown()


def journal_pruned(seconds: float, folder: Path) -> None:
    """A journal file, many reported steps, a pruner, a collection after each trial."""
    study = ready(
        lambda: JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        optuna.samplers.RandomSampler(seed=1),
        pruner=optuna.pruners.PercentilePruner(60.0, n_startup_trials=3),
    )

    @timed("objective")
    def stepwise(trial: optuna.Trial) -> float:
        values = suggest(trial, 3)
        for step in range(8):
            spin(8_000)
            trial.report(sum(values) + step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return sum(values)

    run_until(study, stepwise, seconds, gc_after_trial=True)


def _queued_s() -> float:
    """How long this process has waited for a processor; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


def fixed_work(trials: float, folder: Path) -> None:
    """So many trials, without timers: what a recording costs is seen in its seconds."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))

    def of_trial(trial: optuna.Trial) -> float:
        return sum(suggest(trial)) + spin(60_000)

    study.optimize(of_trial, n_trials=12)
    start, start_cpu, start_queued = time.perf_counter(), time.process_time(), _queued_s()
    study.optimize(of_trial, n_trials=int(trials))
    wall, queued = time.perf_counter() - start, _queued_s() - start_queued
    took = {"wall": wall, "own": wall - queued, "cpu": time.process_time() - start_cpu}
    Path(os.environ["PLANTED_TRUTH"], "took.json").write_text(json.dumps(took))


OPEN = (sqlite_random, tpe_memory, user_dedup, numba_workers, journal_pruned)


def main(studies: Any, words: list[str]) -> int:
    """Run one of them in a folder of its own."""
    name, seconds = words[0], float(words[1])
    _START("import")
    chosen = {study.__name__: study for study in studies}[name]
    with (
        phase("objective"),
        tempfile.TemporaryDirectory(dir=os.environ.get("PLANTED_TRUTH")) as folder,
    ):
        chosen(seconds, Path(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main((*OPEN, fixed_work), sys.argv[1:]))
