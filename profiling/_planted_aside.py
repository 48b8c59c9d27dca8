"""Five studies whose phases are known, kept aside: no rule is tuned on them.

python profiling/_planted_aside.py NAME SECONDS
"""

from __future__ import annotations

import _exclusive
from _exclusive import phase, timed

_START = _exclusive.begin

import hashlib  # noqa: E402  # below the clock, as in _planted.py
import json  # noqa: E402
import multiprocessing  # noqa: E402
import pickle  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import OrderedDict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import optuna  # noqa: E402
from _planted import main, ready, run_until, spin, suggest  # noqa: E402


class ResultCache:
    """Values by parameters, in memory and in one pickle per value."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recent: OrderedDict[str, float] = OrderedDict()

    @timed("cache")
    def get(self, key: str) -> float | None:
        if key in self.recent:
            return self.recent[key]
        path = self.folder / f"{key}.pkl"
        return float(pickle.loads(path.read_bytes())) if path.exists() else None

    @timed("cache")
    def put(self, key: str, value: float) -> None:
        self.recent[key] = value
        (self.folder / f"{key}.pkl").write_bytes(pickle.dumps(value))


@timed("dedup")
def is_duplicate(study: optuna.Study, trial: optuna.Trial) -> bool:
    for past in study.get_trials(deepcopy=False):
        if past.number != trial.number and past.params == trial.params:
            return True
    return False


@timed("dedup")
def make_signature(params: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


@timed("objective")
def simulate(values: list[float], turns: int = 50_000) -> float:
    grid = np.linspace(0.0, 1.0, 20_000)
    return float(np.sin(grid * values[0]).sum()) + spin(turns)


def ask_tell_cache(seconds: float, folder: Path) -> None:
    """An ask and tell loop with a cache of values and the duplicate check of Optuna's FAQ."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = ready(optuna.storages.InMemoryStorage, optuna.samplers.TPESampler(seed=2))
    cache = ResultCache(folder)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with phase("storage"):
            trial = study.ask()
        values = suggest(trial, 4)
        is_duplicate(study, trial)
        key = make_signature(trial.params)
        value = cache.get(key)
        if value is None:
            value = simulate(values)
            cache.put(key, value)
        with phase("storage"):
            study.tell(trial, value)


@timed("objective")
def numeric(trial: optuna.Trial) -> float:
    values = np.array(suggest(trial))
    matrix = np.outer(np.arange(250.0), np.resize(values, 250))
    return float(np.linalg.norm(matrix @ matrix)) + spin(20_000)


def _thread_begins() -> None:
    _exclusive._clock.phases[:] = ["wait for workers"]


def threads(seconds: float, folder: Path) -> None:
    """Two threads on one database."""
    import concurrent.futures

    class Pool(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, max_workers: int) -> None:
            super().__init__(max_workers, initializer=_thread_begins)

    optimize = sys.modules["optuna.study._optimize"]
    optimize.ThreadPoolExecutor = Pool  # type: ignore[attr-defined]  # a clock per thread
    optimize.wait = timed("wait for workers")(optimize.wait)  # type: ignore[attr-defined]  # as above
    optimize._optimize_sequential = timed("storage")(optimize._optimize_sequential)  # type: ignore[attr-defined]  # as above
    database = f"sqlite:///{folder / 'study.db'}"
    study = ready(
        lambda: optuna.storages.RDBStorage(database), optuna.samplers.RandomSampler(seed=2)
    )
    run_until(study, numeric, seconds, n_jobs=2)


def _one_of_two(database: str, seconds: float) -> None:
    _exclusive.begin("import")

    def both() -> Any:
        return optuna.storages.RDBStorage(database)

    study = ready(both, optuna.samplers.TPESampler(), study_name="both")
    run_until(study, numeric, seconds)


def forkserver_sqlite(seconds: float, folder: Path) -> None:
    """Two processes of a fork server that share a database."""
    database = f"sqlite:///{folder / 'study.db'}"
    context = multiprocessing.get_context("forkserver")
    workers = [context.Process(target=_one_of_two, args=(database, seconds)) for _ in range(2)]
    with phase("wait for workers"):
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


@timed("trial records")
def write_record(folder: Path, trial: Any) -> None:
    record = {"number": trial.number, "value": trial.value, "params": trial.params}
    for copy in range(20):
        (folder / f"{trial.number}-{copy}.json").write_text(json.dumps(record, indent=1))


def tpe_sqlite_callbacks(seconds: float, folder: Path) -> None:
    """TPE on a database, a record of each trial written by a callback, all of it logged."""
    database = f"sqlite:///{folder / 'study.db'}"
    study = ready(
        lambda: optuna.storages.RDBStorage(database),
        optuna.samplers.TPESampler(seed=2, multivariate=True),
    )
    end = time.monotonic() + seconds

    def keep(study: optuna.Study, trial: Any) -> None:
        write_record(folder, trial)
        if time.monotonic() > end:
            study.stop()

    @timed("objective")
    def function(trial: optuna.Trial) -> float:
        return sum(suggest(trial, 8)) + spin(100_000)

    with phase("storage"):
        study.optimize(function, callbacks=[keep])


@timed("data loading")
def read_candles(path: Path) -> Any:
    return np.loadtxt(path, delimiter=",")


@timed("features")
def build_features(candles: Any) -> Any:
    return np.stack([np.roll(candles, lag, axis=0) - candles for lag in range(40)])


@timed("garbage collection")
def tidy() -> None:
    import gc

    gc.collect()


@timed("transport")
def packed(value: Any) -> bytes:
    return pickle.dumps(value)


def _fork_task(words: tuple[str, float]) -> bytes:
    with phase("objective"):
        candles = read_candles(Path(words[0]))
        features = build_features(candles)
        gain = float(np.abs(features).sum()) * words[1] + spin(100_000)
        tidy()
        answer: bytes = packed((gain, features))
        return answer


def _fork_begins() -> None:
    _exclusive.begin("wait for workers")
    _exclusive._clock.phases[:] = ["wait for workers"]


def loading_each_trial(seconds: float, folder: Path) -> None:
    """A forked pool that reads its data anew for every trial and sends large answers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / "candles.csv"
    np.savetxt(path, np.random.default_rng(1).random((3_000, 4)), delimiter=",")
    study = ready(optuna.storages.InMemoryStorage, optuna.samplers.RandomSampler(seed=2))
    end = time.monotonic() + seconds
    with multiprocessing.get_context("fork").Pool(2, initializer=_fork_begins) as pool:
        while time.monotonic() < end:
            with phase("storage"):
                trials = [study.ask() for _ in range(2)]
                tasks = [(str(path), t.suggest_float("x", 0.0, 1.0)) for t in trials]
            with phase("wait for workers"):
                answers = pool.map(_fork_task, tasks, chunksize=1)
            with phase("transport"):
                values = [pickle.loads(answer)[0] for answer in answers]
            with phase("storage"):
                for trial, value in zip(trials, values, strict=True):
                    study.tell(trial, value)
        pool.close()
        with phase("wait for workers"):
            pool.join()


ASIDE = (ask_tell_cache, threads, forkserver_sqlite, tpe_sqlite_callbacks, loading_each_trial)

if __name__ == "__main__":
    raise SystemExit(main(ASIDE, sys.argv[1:]))
