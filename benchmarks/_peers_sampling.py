"""Our TPE sampler against Optuna's: `nox -s parity -- peers_sampling`.

Both suggest the same values, one by one, with one seed: else there is no figure. `_Suggestion` is a
suggestion alone, in memory, where n trials are finished, "multivariate" as Optuna has it by default
or "univariate"; its default liar, which counts running trials too, has none to count here.
`_WholeStudy` is all that a study does, on a file: each side with the storage that it would have.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import sampling as _sampling
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_TAKEN = 16  # suggestions a call: one of many may take much longer than the others
_LARGE = tuple((10_000, densities) for densities in _sampling._OPTIONS)


@_hot_path(
    claim="",
    witnesses=_WITNESSES,
    slow_before=((1_000, "univariate"), *_LARGE),
    claim_at=(1_000, "multivariate"),
)
class _Suggestion(_sampling._Both):
    """16 suggestions where n trials are finished: ask, ten mixed parameters, told as failed."""

    params = ((10, 1_000, 10_000), tuple(_sampling._OPTIONS))
    param_names = ("n", "densities")

    def before(self, n: int, densities: str) -> list[Any]:
        return self._suggested(self.slow, _TAKEN)

    def after(self, n: int, densities: str) -> list[Any]:
        return self._suggested(self.study, _TAKEN)


@_hot_path(claim="", witnesses=_WITNESSES, clock="process", slow_before=(1_000,), claim_at=1_000)
class _WholeStudy(_sampling._Samplers):
    """A study of n trials on a new file: TPESampler on RDBStorage → ours on our storage.

    As each comes: what RDBStorage was told survives a power cut, ours a killed process.
    """

    params = (100, 1_000)
    param_names = ("n_trials",)

    def setup(self, n_trials: int) -> None:
        super().setup(n_trials)
        from optimizer.stores.optuna_storage import SQLiteStorage

        self.storage_of = SQLiteStorage
        self.database_of = self.optuna.storages.RDBStorage
        self.folder = tempfile.TemporaryDirectory()
        self.files = 0
        self.opened: list[Any] = []

    def teardown(self, n_trials: int) -> None:
        self._close()
        self.folder.cleanup()

    def fresh(self, n_trials: int) -> None:
        """The next file; the last of ours stays open, to be compared."""
        self.files += 1
        self._close(but=1)

    def _close(self, but: int = 0) -> None:
        while len(self.opened) > but:
            self.opened.pop(0).close()

    @property
    def _file(self) -> str:
        return str(Path(self.folder.name) / f"{self.files}.db")

    def _run(self, storage: Any, sampler: Any, n_trials: int) -> Any:
        study = self.optuna.create_study(storage=storage, sampler=sampler)
        study.optimize(_sampling._objective, n_trials=n_trials)
        return study

    def before(self, n_trials: int) -> Any:
        return self._run(self.database_of(f"sqlite:///{self._file}"), self._optunas(), n_trials)

    def after(self, n_trials: int) -> Any:
        self.opened.append(self.storage_of(self._file))
        return self._run(self.opened[-1], self._own(), n_trials)

    def agree(self, before: Any, after: Any) -> bool:
        """The same parameters and values of all trials, suggested by our own path."""
        theirs, ours = (
            [(trial.params, trial.values) for trial in study.get_trials(deepcopy=False)]
            for study in (before, after)
        )
        return ours == theirs and len(ours) > 0 and self._is_own(after.sampler)
