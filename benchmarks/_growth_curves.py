"""What `python -m benchmarks growth` measures: a registry of curves, by groups."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import _peers_storage, _storage_files, optuna_storage

SIZES = (100, 1_000, 10_000, 100_000)
_WARM, _TRIALS, _STUDIES = 3, 10, 5
_SEED = 5

Measured = Mapping[str, float]
"""Label of a line -> wall milliseconds a trial."""


@dataclass(frozen=True)
class Curve:
    """What is measured where n trials are finished; it may give several lines."""

    name: str
    measure: Callable[[int], Measured]
    longest: int = SIZES[-1]  # the largest n that is bearable
    rounds: int = 1  # of each process


@dataclass(frozen=True)
class Group:
    """Curves of one chart."""

    title: str
    curves: tuple[Curve, ...]


def _opened(peer: str, file: str, trials: list[Any]) -> Any:
    """A storage that has the trials, and nothing of them in memory that it need not have."""
    if peer == "memory":
        storage = _peers_storage._opened(peer, file)
        study = storage.create_new_study([_minimize()], _storage_files.NAME)
        for trial in trials:
            storage.create_new_trial(study, trial)
        return storage
    if peer in ("process", "power"):
        from optimizer.stores.optuna_storage import SQLiteStorage

        _storage_files.store(file, trials)
        return SQLiteStorage(file, durability=peer)
    write = _storage_files.database if peer.startswith("rdb") else _storage_files.journal
    write(file, trials)
    return _peers_storage._opened(peer, file)


def _minimize() -> Any:
    import optuna

    return optuna.study.StudyDirection.MINIMIZE


def kept_trial_ms(peer: str, label: str, n: int) -> Measured:
    """Wall milliseconds of a random trial of ten mixed parameters where n are finished: a median.

    The study was opened before, and has told some trials.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=_SEED)
    # A peer's connections and threads may hold its file a little longer than we do.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        storage = _opened(peer, str(Path(folder, "file")), optuna_storage._created(n))
        study = optuna.load_study(study_name=_storage_files.NAME, storage=storage, sampler=sampler)
        optuna_storage._told(study, sampler, _WARM)
        found = []
        for _ in range(_STUDIES):
            start = time.perf_counter()
            optuna_storage._told(study, sampler, _TRIALS)
            found.append((time.perf_counter() - start) * 1e3 / _TRIALS)
        counted = storage.get_n_trials(storage.get_study_id_from_name(_storage_files.NAME))
        if counted != n + _WARM + _STUDIES * _TRIALS:
            raise AssertionError(f"{label} has {counted} trials where {n} were finished before")
        if hasattr(storage, "close"):
            storage.close()
    return {label: statistics.median(found)}


def _suggestion_ms(n: int) -> Measured:
    """Wall milliseconds of a TPE suggestion where n trials are finished, both samplers' the same.

    What both suggested was compared: else there is no figure.
    """
    from benchmarks import _suggestion_cost

    cost = _suggestion_cost.milliseconds_per_suggestion(n)
    return {"IncrementalTPESampler": cost.ours_ms, "Optuna's TPESampler": cost.optunas_ms}


def _storage(peer: str, label: str) -> Curve:
    return Curve(label, partial(kept_trial_ms, peer, label))


GROUPS = {
    "storage": Group(
        "a random trial kept",
        (
            _storage("memory", "InMemoryStorage (not kept)"),
            _storage("process", "ours, process"),
            _storage("power", "ours, power"),
            _storage("journal", "JournalStorage, file"),
            _storage("rdb-wal", "RDBStorage, WAL"),
            _storage("rdb", "RDBStorage"),
            _storage("rustuna-optuna", "Rustuna's journal in Optuna"),
        ),
    ),
    "sampler": Group("a TPE suggestion", (Curve("TPE", _suggestion_ms),)),
}
