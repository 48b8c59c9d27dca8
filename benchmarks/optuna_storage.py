"""Hot paths of Optuna's storage in a store file: whole trials that are kept, and a study reopened.

`before` is Optuna's own journal in a file, the fastest of its storages that keep trials on disk. It
waits for the disk at each record and so survives a power cut; the other storages of Optuna, what
they promise, and other peers are in `_peers_storage`.

The storage writes changes of a running trial soon, by the clock. Here it is told to wait longer
than a measurement takes, so that each call does the same: they are written at the trial's end.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("statements", "steps", "commits", "fsyncs", "instructions", "cpu", "wall")
_OPENING = (*_WITNESSES, "opens", "connections")
_SEED = 7
_NAME = "s"
_LONG_S = 300.0


def _suggested(trial: Any) -> float:
    """Ten parameters of every kind; the objective adds them up."""
    total: float = 0.0
    for k in range(4):
        total += trial.suggest_float(f"f{k}", 0.0, 1.0)
        total += trial.suggest_int(f"i{k}", 1, 100)
    total += trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    long = trial.suggest_categorical("side", ("long", "short")) == "long"
    return total if long else -total


def _told(study: Any, sampler: Any, n: int) -> list[float]:
    """Ask, suggest and tell n trials: their values."""
    study.sampler = sampler
    values = []
    for _ in range(n):
        trial = study.ask()
        values.append(_suggested(trial))
        study.tell(trial, values[-1])
    return values


def _kept(storage: Any, n: int) -> list[list[Any]]:
    """The last n trials of a storage: parameters, and the value at the end."""
    (study,) = storage.get_all_studies()
    trials = storage.get_all_trials(study._study_id, deepcopy=False)[-n:]
    return [[*sorted(trial.params.items()), trial.value] for trial in trials]


def _same_trials(ours: Any, theirs: Any) -> bool:
    """Whether two lists of trials hold the same, in the same order, exactly."""
    return len(ours) == len(theirs) and all(
        (one.number, one.params, one.value, one.distributions, int(one.state))
        == (other.number, other.params, other.value, other.distributions, int(other.state))
        for one, other in zip(ours, theirs, strict=True)
    )


def _created(n: int) -> list[Any]:
    """n finished trials of the same ten parameters."""
    import optuna

    rng, kinds = random.Random(n), optuna.distributions
    of: dict[str, Any] = {}
    for k in range(4):
        of[f"f{k}"], of[f"i{k}"] = kinds.FloatDistribution(0.0, 1.0), kinds.IntDistribution(1, 100)
    of["rate"] = kinds.FloatDistribution(1e-5, 1e-1, log=True)
    of["side"] = kinds.CategoricalDistribution(("long", "short"))
    trials = []
    for number in range(n):
        params: dict[str, Any] = {}
        for k in range(4):
            params[f"f{k}"], params[f"i{k}"] = rng.random(), rng.randint(1, 100)
        params["rate"] = 10 ** rng.uniform(-5, -1)
        params["side"] = rng.choice(("long", "short"))
        trials.append(
            optuna.trial.create_trial(params=params, distributions=of, value=rng.random())
        )
        trials[-1].number = number
    return trials


class _Stored:
    """A folder for a file of each side, and what opens it."""

    def setup(self, case: Any) -> None:
        try:
            from optimizer.stores.optuna_storage import SQLiteStorage
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.storage_of = optuna, SQLiteStorage
        self.folder = tempfile.TemporaryDirectory()
        self.fast_file = str(Path(self.folder.name) / "fast.db")
        self.slow_file = str(Path(self.folder.name) / "slow.log")

    def _journal(self) -> Any:
        from optuna.storages.journal import JournalFileBackend

        return self.optuna.storages.JournalStorage(JournalFileBackend(self.slow_file))

    def _study(self, storage: Any) -> Any:
        return self.optuna.create_study(
            storage=storage, study_name=_NAME, sampler=self._sampler(), load_if_exists=True
        )

    def _sampler(self) -> Any:
        return self.optuna.samplers.RandomSampler(seed=_SEED)

    def teardown(self, case: Any) -> None:
        self.folder.cleanup()


@_hot_path(claim="", witnesses=_WITNESSES, claim_at="process")
class KeepTrials(_Stored):
    """20 trials of ten mixed parameters through Optuna: ask, suggest, tell, each kept on disk.

    Read back by another storage of the same file, they are the same on both sides.
    """

    params = ("process", "power")
    param_names = ("durability",)

    def setup(self, durability: str) -> None:
        super().setup(durability)
        self.fast = self.storage_of(self.fast_file, durability=durability, delay_s=_LONG_S)
        self.study, self.plain = self._study(self.fast), self._study(self._journal())

    def teardown(self, durability: str) -> None:
        self.fast.close()
        super().teardown(durability)

    def before(self, durability: str) -> list[float]:
        return _told(self.plain, self._sampler(), 20)

    def after(self, durability: str) -> list[float]:
        return _told(self.study, self._sampler(), 20)

    def agree(self, before: list[float], after: list[float]) -> bool:
        with self.storage_of(self.fast_file) as other:
            ours, theirs = _kept(other, len(after)), _kept(self._journal(), len(before))
        return before == after == [one[-1] for one in ours] and ours == theirs


@_hot_path(claim="", witnesses=_OPENING, claim_at=1_000)
class Reload(_Stored):
    """A study of n trials opened anew, until a sampler has all of them and can suggest."""

    params = (1_000,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        from benchmarks import _storage_files

        self.opened = self.storage_of
        trials = _created(n)
        _storage_files.store(self.fast_file, trials)
        _storage_files.journal(self.slow_file, trials)

    def _loaded(self, storage: Any) -> list[Any]:
        study = self.optuna.load_study(study_name=_NAME, storage=storage, sampler=self._sampler())
        trials: list[Any] = study.get_trials(deepcopy=False)
        return trials

    def before(self, n: int) -> list[Any]:
        return self._loaded(self._journal())

    def after(self, n: int) -> list[Any]:
        with self.opened(self.fast_file) as storage:
            return self._loaded(storage)

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return _same_trials(after, before)
