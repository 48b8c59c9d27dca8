"""Several processes on one storage, and a fork: others' trials are taken in as they come."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from tpe_spaces import mixed, verified

from optimizer.sampling.tpe import IncrementalTPESampler

pytestmark = verified


def storage_at(path: str) -> BaseStorage:
    return JournalStorage(JournalFileBackend(path))


def work(path: str, n_trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        study_name="s", storage=storage_at(path), sampler=IncrementalTPESampler(seed=os.getpid())
    )
    study.optimize(mixed, n_trials=n_trials)


def next_of(study: optuna.Study, samplers: list[Any]) -> list[dict[str, Any]]:
    """What each sampler would suggest for one new trial, which is left running."""
    trial = study._storage.get_trial(study.ask()._trial_id)
    found = []
    for sampler in samplers:
        space = sampler.infer_relative_search_space(study, trial)
        found.append(sampler.sample_relative(study, trial, space))
    return found


@pytest.mark.parametrize(
    ("turns", "workers"), [(1, 1), pytest.param(3, 4, marks=pytest.mark.stress)]
)
def test_other_processes_trials_count(tmp_path: Path, turns: int, workers: int) -> None:
    path = str(tmp_path / "journal")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name="s", storage=storage_at(path))
    samplers = [IncrementalTPESampler(seed=3), optuna.samplers.TPESampler(seed=3)]
    context = multiprocessing.get_context("spawn")
    for turn in range(turns):
        others = [context.Process(target=work, args=(path, 15)) for _ in range(workers)]
        for other in others:
            other.start()
        for other in others:
            other.join()
            assert other.exitcode == 0
        comp, ref = next_of(study, samplers)
        assert comp == ref != {}
        assert len(study.trials) == (15 * workers + 1) * (turn + 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_goes_on_with_the_sequence() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = IncrementalTPESampler(seed=3)
    study = optuna.create_study(sampler=sampler)
    study.optimize(mixed, n_trials=15)
    (kept,) = sampler._studies[study._storage].values()
    assert kept is not None
    read, write = os.pipe()
    with warnings.catch_warnings(), kept:  # as if another thread was at work
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
        child = os.fork()
        if not child:
            study.optimize(mixed, n_trials=1)
            os.write(write, pickle.dumps(study.trials[-1].params))
            os._exit(0)
    os.waitpid(child, 0)
    study.optimize(mixed, n_trials=1)
    assert pickle.loads(os.read(read, 10_000)) == study.trials[-1].params
