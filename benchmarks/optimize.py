"""Hot paths of `optimizer.optimize`: what a whole study costs beside its objective, by one worker.

`before` is Optuna's own `study.optimize`, with the same sampler and seed, so that both sides have
the same trials. The sampler draws at random: what guides one is guarded elsewhere.

The storage writes changes of a running trial soon, by the clock. Here it is told to wait longer
than a measurement takes, so that each call does the same: they are written at the trial's end.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import _repeating as _repeats
from benchmarks import evaluations as _evaluations
from benchmarks import optuna_storage as _storage
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("statements", "steps", "commits", "fsyncs", "instructions", "cpu", "wall")
_FILES = (*_WITNESSES, "opens", "connections")
_SEED = 7
_LONG_S = 300.0
_VALUE = "optimizer:value"  # the user attribute of a trial that was served


def _values(study: Any, last: int) -> list[Any]:
    """Parameters and value of the last trials: the value that it was told, or served."""
    trials = study.get_trials(deepcopy=False)[-last:]
    return [
        [*sorted(trial.params.items()), trial.user_attrs.get(_VALUE, trial.value)]
        for trial in trials
    ]


class _Engine:
    """A folder for the files of both sides, and the two ways to run a study."""

    def setup(self, case: Any) -> None:
        try:
            import optuna

            from optimizer.stores.optuna_storage import SQLiteStorage
            from optimizer.study import optimize
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.storage_of, self.optimize = optuna, SQLiteStorage, optimize
        self.folder = tempfile.TemporaryDirectory()
        self.fast_file, self.slow_file = (
            str(Path(self.folder.name) / name) for name in ("fast.db", "slow.log")
        )
        self.opened: list[Any] = []

    def teardown(self, case: Any) -> None:
        self._close()
        self.folder.cleanup()

    def _close(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def _emptied(self) -> None:
        """No storage is open, and no file is there."""
        self._close()
        for file in Path(self.folder.name).iterdir():
            if file.is_file():
                file.unlink()

    def _journal(self) -> Any:
        from optuna.storages.journal import JournalFileBackend

        return self.optuna.storages.JournalStorage(JournalFileBackend(self.slow_file))

    def _open(self) -> Any:
        self.opened.append(self.storage_of(self.fast_file, delay_s=_LONG_S))
        return self.opened[-1]

    def _sampler(self) -> Any:
        return self.optuna.samplers.RandomSampler(seed=_SEED)

    def _ran(self, storage: Any, n: int) -> Any:
        """The study of Optuna's own loop, n trials further."""
        study = self.optuna.create_study(
            storage=storage, study_name=_storage._NAME, sampler=self._sampler(), load_if_exists=True
        )
        study.optimize(_storage._suggested, n_trials=n)
        return study

    def _run(self, storage: Any, n: int) -> Any:
        """The study of ours, n trials further."""
        name, sampler = _storage._NAME, self._sampler()
        asked = {"n_trials": n, "storage": storage, "study_name": name, "sampler": sampler}
        return self.optimize(_storage._suggested, **asked).study


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=20)
class Told(_Engine):
    """n random trials of ten mixed parameters on a new file: Optuna on its journal → ours."""

    params = (20,)
    param_names = ("n",)

    def fresh(self, n: int) -> None:
        self._emptied()
        self.storage = self._open()

    def before(self, n: int) -> list[Any]:
        return _values(self._ran(self._journal(), n), n)

    def after(self, n: int) -> list[Any]:
        return _values(self._run(self.storage, n), n)

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same, and on the disk."""
        with self.storage_of(self.fast_file) as other:
            kept = _storage._kept(other, len(before))
        return before == after == kept and len(after) == 20


@_hot_path(
    claim="duplicate-served",
    witnesses=(*_WITNESSES, "python_calls", "claim"),
    slow_before=(60_000,),
    uncounted=(60_000,),
    untimed=(60_000,),
    claim_at=60_000,
)
class Served(_Engine):
    """40 trials of a small backtest over so many prices, of which every other repeats one.

    `before` evaluates each, `after` serves the value of those that repeat one. The last item of an
    answer is how often the objective was called.
    """

    params = (2_000, 60_000)
    param_names = ("prices",)
    n = 40

    def setup(self, prices: int) -> None:
        super().setup(prices)
        self.prices = _evaluations._prices(prices)
        self.calls = 0

    def _sampler(self) -> Any:
        return _repeats.sampler(_SEED)

    def _objective(self, trial: Any) -> float:
        self.calls += 1
        fast, slow = trial.suggest_int("fast", 2, 39), trial.suggest_int("slow", 40, 119)
        return _evaluations._backtest({"fast": fast, "slow": slow}, self.prices)

    def fresh(self, prices: int) -> None:
        self.calls = 0

    def before(self, prices: int) -> list[Any]:
        study = self.optuna.create_study(sampler=self._sampler())
        study.optimize(self._objective, n_trials=self.n)
        return [*_values(study, self.n), self.calls]

    def after(self, prices: int) -> list[Any]:
        found = self.optimize(self._objective, n_trials=self.n, sampler=self._sampler())
        return [*_values(found.study, self.n), self.calls]

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same values, and the objective called for half of them."""
        counted = before[-1] == self.n == 2 * after[-1]
        return before[:-1] == after[:-1] and counted and len(after) == self.n + 1


@_hot_path(claim="", witnesses=_FILES, claim_at=1_000)
class Resumed(_Engine):
    """A study of n finished trials goes on for five: Optuna on its journal → ours."""

    params = (1_000,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        from benchmarks import _storage_files

        self.opens = self._open
        trials = _storage._created(n)
        self.templates = Path(self.folder.name, "templates")
        self.templates.mkdir()
        _storage_files.store(str(self.templates / "fast.db"), trials)
        _storage_files.journal(str(self.templates / "slow.log"), trials)

    def fresh(self, n: int) -> None:
        """Both files as they were."""
        self._emptied()
        for file in self.templates.iterdir():
            shutil.copyfile(file, Path(self.folder.name, file.name))

    def before(self, n: int) -> list[Any]:
        return _values(self._ran(self._journal(), 5), 6)

    def after(self, n: int) -> list[Any]:
        return _values(self._run(self.opens(), 5), 6)

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same last trials, five of them new, in a file that has them all."""
        with self.storage_of(self.fast_file) as other:
            kept = _storage._kept(other, 1_005)
        return before == after == kept[-6:] and len(kept) == 1_005
