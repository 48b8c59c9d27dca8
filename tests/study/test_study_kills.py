"""Workers killed at random: each trial of the study is recorded once, with its own value."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import optimizer

LEAST_LIFE_S = 0.1  # of a worker that is killed
SPACE = {"x": {"type": "float", "min": -5, "max": 5}}


def square(params: dict[str, float]) -> float:
    time.sleep(0.01)  # so that kills meet evaluations
    return params["x"] ** 2


def children(process: int) -> list[int]:
    """Of a process; none where it has gone."""
    with suppress(FileNotFoundError):
        told = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
        return [int(word) for word in told.split()]
    return []


class Killer:
    """A callback that kills workers, each after some of its life: five that died at once are given
    up as workers that cannot start.
    """

    def __init__(self, trials: int, kills: int) -> None:
        self.pick = random.Random(trials)
        self.at = set(self.pick.sample(range(trials), kills))
        self.born_s: dict[int, float] = {}
        self.wanted = self.killed = 0

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.wanted += trial.number in self.at
        now_s = time.monotonic()
        workers = [one for child in children(os.getpid()) for one in children(child)]
        self.born_s = {one: self.born_s.get(one, now_s) for one in workers}
        old = [one for one in workers if now_s - self.born_s[one] > LEAST_LIFE_S]
        if self.killed < self.wanted and old:
            with suppress(ProcessLookupError):
                os.kill(self.pick.choice(old), signal.SIGKILL)
                self.killed += 1


@pytest.mark.stress
def test_a_thousand_kills(tmp_path: Path) -> None:
    path, trials, kills = tmp_path / "study.db", 10_000, 1_000
    killer = Killer(trials, kills)

    result = optimizer.optimize(
        square,
        SPACE,
        n_trials=trials,
        workers=2,
        retries=50,
        storage=path,
        callbacks=[killer],
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    assert killer.killed >= 0.9 * kills  # now and then nobody is old enough
    assert result.run.retried > 0
    with optimizer.SQLiteStorage(path) as storage:
        storage.check()
        found = storage.get_all_trials(storage.get_study_id_from_name("default"))
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} == {TrialState.COMPLETE}
    assert all(trial.value == trial.params["x"] ** 2 for trial in found)
