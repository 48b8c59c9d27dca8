"""What compares our storage with others: it can say no, and the files are what studies leave."""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from benchmarks import _peers, _peers_storage, _storage_files, optuna_storage
from benchmarks._registry import RegisteredPath
from optimizer.stores.optuna_storage import SQLiteStorage

PATHS = {path.name: path for path in _peers.load() if path.name.startswith("peers_storage.")}
KEPT, DURABLE, RELOADED = (
    PATHS[f"peers_storage.{name}"] for name in ("KeptTrials", "DurableTrials", "ReloadedStudy")
)
FULL, NORMAL = 2, 1  # SQLite's `synchronous`


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peers_storage, "_N", 3)
    monkeypatch.setattr(_peers_storage, "_MANY", 5)


def needs(peer: str) -> None:
    if "rustuna" in peer:
        pytest.importorskip("rustuna", reason="nox -s parity installs it")


LONG = [(KEPT, "peer=rdb"), (DURABLE, "peer=rdb")]
"""RDBStorage makes its file slowly; `nox -s parity` runs these too."""
CASES = [
    pytest.param(
        *(path, case.label),
        marks=[pytest.mark.stress] if (path, case.label) in LONG else [],
        id=f"{path.name}[{case.label}]",
    )
    for path in PATHS.values()
    for case in path.cases
]


@pytest.mark.parametrize(("path", "label"), CASES)
def test_both_sides_answer_the_same_and_could_disagree(path: RegisteredPath, label: str) -> None:
    needs(label)
    body = path.case(label).open()
    try:
        for _ in range(2):  # a second call adds to the same study
            before, after = body.before(), body.after()
            assert body.agree(before, after)
        assert not body.agree(before, after[:-1])
        assert not body.agree(before[1:], after)
        assert not body.agree(before, after[:-1] + after[:1])
    finally:
        body.close()


@pytest.mark.parametrize("peer", ["memory", "journal"])
def test_a_trial_that_is_not_on_disk_is_noticed(peer: str) -> None:
    """Equal answers are not enough: another storage has to read them from the file."""
    body = KEPT.case(f"peer={peer}").open()
    try:
        before, after = body.before(), body.after()
        assert body.agree(before, after)
        with closing(sqlite3.connect(body._instance.fast_file)) as file, file:
            file.execute("UPDATE optuna_trials SET value = ? WHERE number = 1", (bytes(8),))
        assert not body.agree(before, after)
    finally:
        body.close()


def test_what_is_compared_promises_what_is_said() -> None:
    for path, expected in ((KEPT, NORMAL), (DURABLE, FULL)):
        body = path.case("peer=journal").open()
        try:
            (found,) = body._instance.fast._database.fetch("PRAGMA synchronous")
            assert found == (expected,)
        finally:
            body.close()


@pytest.mark.parametrize(
    ("peer", "journal", "synchronous"), [("rdb", "delete", FULL), ("rdb-wal", "wal", NORMAL)]
)
def test_a_tuned_database_is_tuned_in_each_connection(
    tmp_path: Path, peer: str, journal: str, synchronous: int
) -> None:
    storage = _peers_storage._opened(peer, str(tmp_path / "rdb.db"))
    for _ in range(2):
        with storage.engine.connect() as connection:
            found = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            ]
        storage.engine.dispose()
        assert found == [journal, synchronous]


def test_a_study_is_reopened_with_the_collector_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a user's process; the gate's measure without it, and are left as they were."""
    found: list[bool] = []
    body = RELOADED.case("peer=journal").open()
    loaded = body._instance._loaded

    def watched(storage: Any) -> Any:
        found.append(gc.isenabled())
        return loaded(storage)

    monkeypatch.setattr(body._instance, "_loaded", watched)
    gc.disable()
    try:
        assert body.agree(body.before(), body.after())
        assert not gc.isenabled()
    finally:
        gc.enable()
        body.close()
    assert found == [True, True]


@pytest.mark.parametrize("peer", ["rustuna", "rustuna-optuna"])
def test_a_peer_that_is_not_installed_names_the_session(
    monkeypatch: pytest.MonkeyPatch, peer: str
) -> None:
    monkeypatch.setitem(sys.modules, "rustuna", None)
    for path in PATHS.values():
        with pytest.raises(NotImplementedError, match=r"rustuna.*`nox -s parity` installs it"):
            path.case(f"peer={peer}").open()


# --- files that are written at once


def studied(storage: Any) -> Any:
    study = optuna.create_study(
        storage=storage, study_name="s", sampler=optuna.samplers.RandomSampler(seed=3)
    )
    optuna_storage._told(study, study.sampler, 3)
    return study.get_trials(deepcopy=False)


def test_a_journal_is_what_a_study_leaves(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("study.log", "written.log")]
    storage = optuna.storages.JournalStorage(JournalFileBackend(files[0]))
    _storage_files.journal(files[1], studied(storage))
    found = []
    for file in files:
        lines = [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]
        for line in lines:
            line["worker_id"] = "w"
            for name in ("datetime_start", "datetime_complete"):
                if name in line:
                    line[name] = True  # versions of Optuna write it in two ways
        found.append(lines)
    assert found[0] == found[1]
    assert len(found[0]) == 1 + 3 * 12


def test_a_database_is_what_a_study_leaves(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("study.db", "written.db")]
    storage = optuna.storages.RDBStorage(f"sqlite:///{files[0]}")
    trials = studied(storage)
    storage.engine.dispose()
    _storage_files.database(files[1], trials)
    found = []
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            rows = {
                name: sorted(map(timeless, connection.execute(f"SELECT * FROM {name}")))  # noqa: S608 - the names are SQLite's own
                for (name,) in tables.fetchall()
            }
        found.append(rows)
    assert found[0] == found[1]
    assert len(found[0]["trial_params"]) == 30


def timeless(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Days and times are others, but as long."""
    return tuple(len(one) if isinstance(one, str) and one[:2] == "20" else one for one in row)


@pytest.mark.parametrize(
    ("write", "opened"),
    [
        (_storage_files.store, SQLiteStorage),
        (_storage_files.database, lambda file: _peers_storage._opened("rdb", file)),
        (_storage_files.journal, lambda file: _peers_storage._opened("journal", file)),
    ],
)
def test_every_file_holds_the_same_trials(
    tmp_path: Path, write: Callable[[str, Any], None], opened: Callable[[str], Any]
) -> None:
    file, trials = str(tmp_path / "file"), optuna_storage._created(4)
    write(file, trials)
    found = optuna.load_study(study_name="s", storage=opened(file)).get_trials(deepcopy=False)
    assert optuna_storage._same_trials(found, trials)
    assert not optuna_storage._same_trials(found[:-1], trials)
    assert not optuna_storage._same_trials(found, optuna_storage._created(5)[:4])


@pytest.mark.parametrize("durability", ["process", "power"])
def test_the_gates_path_keeps_what_it_promises(durability: str) -> None:
    case = next(
        case
        for case in _registry_path("optuna_storage.KeepTrials").cases
        if case.label == f"durability={durability}"
    )
    body = case.open()
    try:
        before, after = body.before(), body.after()
        assert body.agree(before, after)
        assert not body.agree(before, [*after[:-1], after[-1] + 1.0])
        (found,) = body._instance.fast._database.fetch("PRAGMA synchronous")
        assert found == (FULL if durability == "power" else NORMAL,)
    finally:
        body.close()


def _registry_path(name: str) -> RegisteredPath:
    from benchmarks import _registry

    return _registry.find(name)
