"""Our storage against Optuna's own and Rustuna's: `nox -s parity -- peers_storage`.

Trials are random ones of ten mixed parameters, 20 a call, through Optuna's `ask`, `suggest_...` and
`tell` with the same sampler and seed on both sides; what another storage then reads from each file
must be the same. Our storage has its defaults, so what it writes by itself, soon, counts.

What each keeps once `tell` returned: "rdb" (`RDBStorage` as it comes: rollback journal, synchronous
FULL), "journal" (`JournalStorage` on a file) and Rustuna's journal survive a power cut, as our
"power" does; "rdb-wal" (write-ahead log, synchronous NORMAL) survives a killed process, as our
default does; "memory" (`InMemoryStorage`) nothing.

Rustuna is another optimizer, whose sampler draws other numbers. "rustuna" is its storage alone:
parameters and distributions are made before, and nothing of Optuna is in it. "rustuna-optuna" is
what an Optuna user would have, its own adapter for `optuna.create_study`.
"""

from __future__ import annotations

import contextlib
import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import optuna_storage as _storage
from benchmarks._peers import _peer
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_N = 20  # trials a call
_MANY = 10_000
_OPTUNAS = ("rdb", "journal")
_RUSTUNAS = ("rustuna", "rustuna-optuna")
_DRAWS = 7


def _wal(url: str) -> Any:
    """Optuna's `RDBStorage` as well tuned as SQLite's settings allow."""
    import optuna
    from sqlalchemy import event

    storage = optuna.storages.RDBStorage(url)

    def tune(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    event.listen(storage.engine, "connect", tune)
    storage.engine.dispose()  # connections that were made before
    return storage


def _opened(peer: str, file: str) -> Any:
    """The peer's storage of a file, for Optuna."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if peer == "memory":
        return optuna.storages.InMemoryStorage()
    if peer == "rdb":
        return optuna.storages.RDBStorage(f"sqlite:///{file}")
    if peer == "rdb-wal":
        return _wal(f"sqlite:///{file}")
    if peer == "journal":
        return optuna.storages.JournalStorage(JournalFileBackend(file))
    rustuna = _peer("rustuna")
    return _peer("rustuna.converter").ToOptunaStorage(rustuna.storages.JournalFileStorage(file))


class _RustunaAlone:
    """Trials into Rustuna's journal by its storage's own calls, of parameters drawn before."""

    def __init__(self, file: str, trials: list[Any]) -> None:
        rustuna = _peer("rustuna")
        convert = _peer("rustuna.converter._distribution").to_rustuna_distribution
        self._state = rustuna.trial.TrialState.COMPLETE
        self._storage = rustuna.storages.JournalFileStorage(file)
        minimize = rustuna.study.StudyDirection.MINIMIZE
        self._study = self._storage.create_new_study(_storage._NAME, [minimize]).id
        kinds = {name: convert(kind) for name, kind in trials[0].distributions.items()}
        self._storage.set_category_labels(self._study, "side", ["long", "short"])
        self._drawn = [
            (
                [
                    (name, kinds[name], float(kind.to_internal_repr(trial.params[name])))
                    for name, kind in trial.distributions.items()
                ],
                trial.value,
            )
            for trial in trials
        ]

    def keep(self) -> list[float]:
        storage, study, complete = self._storage, self._study, self._state
        for params, value in self._drawn:
            trial = storage.create_new_trial(study)._trial_id
            for name, kind, internal in params:
                storage.set_trial_param(trial, name, kind, internal)
            storage.set_trial_state_values(trial, complete, [value])
        return [value for _, value in self._drawn]


class _Keeping:
    """20 trials on each side."""

    durability = "process"

    def setup(self, peer: str) -> None:
        import optuna

        from optimizer.stores.optuna_storage import SQLiteStorage

        if peer in _RUSTUNAS:
            _peer("rustuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.storage_of, self.peer = optuna, SQLiteStorage, peer
        self.folder = tempfile.TemporaryDirectory()
        self.fast_file, self.slow_file = (
            str(Path(self.folder.name) / name) for name in ("fast.db", "slow.db")
        )
        self.fast = SQLiteStorage(self.fast_file, durability=self.durability)
        self.study = self._study(self.fast)
        if peer == "rustuna":
            drawn = self._study(optuna.storages.InMemoryStorage())
            _storage._told(drawn, self._sampler(), _N)
            self.alone = _RustunaAlone(self.slow_file, drawn.get_trials(deepcopy=False))
        else:
            self.slow = _opened(peer, self.slow_file)
            self.plain = self._study(self.slow)

    def teardown(self, peer: str) -> None:
        self.fast.close()
        self.folder.cleanup()

    def _study(self, storage: Any) -> Any:
        return self.optuna.create_study(
            storage=storage, study_name=_storage._NAME, sampler=self._sampler()
        )

    def _sampler(self) -> Any:
        return self.optuna.samplers.RandomSampler(seed=_DRAWS)

    def before(self, peer: str) -> list[float]:
        if peer == "rustuna":
            return self.alone.keep()
        return _storage._told(self.plain, self._sampler(), _N)

    def after(self, peer: str) -> list[float]:
        return _storage._told(self.study, self._sampler(), _N)

    def agree(self, before: list[float], after: list[float]) -> bool:
        """The values told are the same, and so is all that lies in the two files."""
        memory = self.peer == "memory"
        theirs = self.slow if memory else _opened(self.peer, self.slow_file)
        with self.storage_of(self.fast_file) as ours:
            kept = _storage._kept(ours, _N)
        return (
            before == after == [trial[-1] for trial in kept]
            and len(after) == _N
            and kept == _storage._kept(theirs, _N)
        )


@_hot_path(claim="", witnesses=_WITNESSES, clock="process", claim_at="rdb")
class _KeptTrials(_Keeping):
    """20 trials through each of the field's storages, against ours as it comes ("process")."""

    params = ("memory", "rdb-wal", *_OPTUNAS, *_RUSTUNAS)
    param_names = ("peer",)


@_hot_path(claim="", witnesses=_WITNESSES, clock="process", claim_at="rdb")
class _DurableTrials(_Keeping):
    """20 trials through those that survive a power cut, against ours that does too ("power")."""

    params = (*_OPTUNAS, *_RUSTUNAS)
    param_names = ("peer",)
    durability = "power"


@contextlib.contextmanager
def _collecting() -> Iterator[None]:
    """As a user's process is: the gate's processes collect no cyclic garbage while they measure."""
    was = gc.isenabled()
    gc.enable()
    try:
        yield
    finally:
        if not was:
            gc.disable()


@_hot_path(claim="", witnesses=_WITNESSES, clock="process", claim_at="rdb")
class _ReloadedStudy:
    """A study of 10,000 trials opened anew, until all of them are there and a sampler can suggest.

    Both sides have Python's cyclic garbage collector at work, which is a part of what so many
    objects cost.
    Of Rustuna alone it is `load_study` and `get_trials`, whose trials make their parameters only
    when they are asked for; on all other sides they are made.
    """

    params = (*_OPTUNAS, *_RUSTUNAS)
    param_names = ("peer",)

    def setup(self, peer: str) -> None:
        import optuna

        from benchmarks import _storage_files
        from optimizer.stores.optuna_storage import SQLiteStorage

        if peer in _RUSTUNAS:
            _peer("rustuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.storage_of = optuna, SQLiteStorage
        self.folder = tempfile.TemporaryDirectory()
        self.fast_file, self.slow_file = (
            str(Path(self.folder.name) / name) for name in ("fast.db", "slow.db")
        )
        trials = _storage._created(_MANY)
        _storage_files.store(self.fast_file, trials)
        write = _storage_files.database if peer == "rdb" else _storage_files.journal
        write(self.slow_file, trials)  # Rustuna's journal has Optuna's format

    def teardown(self, peer: str) -> None:
        self.folder.cleanup()

    def _loaded(self, storage: Any) -> Any:
        sampler = self.optuna.samplers.RandomSampler(seed=_DRAWS)
        study = self.optuna.load_study(study_name=_storage._NAME, storage=storage, sampler=sampler)
        return study.get_trials(deepcopy=False)

    def before(self, peer: str) -> Any:
        with _collecting():
            return self._read(peer)

    def _read(self, peer: str) -> Any:
        if peer == "rustuna":
            rustuna = _peer("rustuna")
            storage = rustuna.storages.JournalFileStorage(self.slow_file)
            study = rustuna.load_study(
                study_name=_storage._NAME,
                storage=storage,
                sampler=rustuna.samplers.RandomSampler(seed=_DRAWS),
            )
            return study.get_trials()
        return self._loaded(_opened(peer, self.slow_file))

    def after(self, peer: str) -> Any:
        with _collecting(), self.storage_of(self.fast_file) as storage:
            return self._loaded(storage)

    def agree(self, before: Any, after: Any) -> bool:
        """All trials are there, with the same parameters, values and, in Optuna, distributions."""
        if len(after) != _MANY:
            return False
        if isinstance(before[0], self.optuna.trial.FrozenTrial):
            return _storage._same_trials(after, before)
        return len(before) == _MANY and all(
            (one.number, one.params, one.values) == (other.number, other.params, other.values)
            for one, other in zip(after, before, strict=True)
        )
