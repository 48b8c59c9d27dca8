"""`python -m optimizer store FILE`: what is in it, dropping a study, compacting."""

from __future__ import annotations

import io
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from faulty_files import state_of, unchanged
from test_store_migration import guard_of_schema_1
from whole_stores import fill

from optimizer.__main__ import main
from optimizer.stores import _schema
from optimizer.stores._inspection import content_of
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.optuna_storage import SQLiteStorage
from optimizer.stores.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("quiet")

Out = pytest.CaptureFixture[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    with SQLiteStorage(path) as storage:
        for name in ("one", "two"):
            study = optuna.create_study(storage=storage, study_name=name)
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=20)
            study.enqueue_trial({"x": 0.5})
            study.set_user_attr("note", "x" * 20_000)
    with SqliteStore(path, study="one") as store:
        fill(store, 0, 50)
    return path


def test_it_says_what_is_in_a_file(path: Path, capsys: Out) -> None:
    with unchanged(path.parent):
        assert main(["store", str(path)]) == 0
    out, err = capsys.readouterr()
    first, one, two, *tables = out.splitlines()
    assert first.startswith(f"{path}: schema {_schema.VERSION}, {path.stat().st_size} bytes")
    assert one.startswith("study 'one': 21 trials (20 complete, 1 waiting), 50 signatures, 50 eval")
    assert two == "study 'two': 21 trials (20 complete, 1 waiting)"
    sizes = {line.split()[1]: int(line.split()[2]) for line in tables}
    assert sum(sizes.values()) + content_of(path).free_bytes == path.stat().st_size
    assert sizes["optuna_trials"] >= 2 * 4096
    assert err == ""


def test_it_reads_the_log_of_a_file_in_use(path: Path, capsys: Out) -> None:
    with NoDupeGuard(path, study="three") as guard:
        guard.add(bytes(16))
        assert main(["store", str(path)]) == 0
    out = capsys.readouterr().out
    assert "study 'three': 1 signatures" in out
    assert "log 0 bytes" not in out


def test_it_drops_a_study_and_leaves_the_other(path: Path, capsys: Out) -> None:
    with SQLiteStorage(path) as storage:  # open all the while
        one, two = map(storage.get_study_id_from_name, ("one", "two"))
        assert storage.get_n_trials(one) == 21
        assert main(["store", str(path), "--drop-study", "one", "--yes"]) == 0
        with pytest.raises(KeyError):
            storage.get_n_trials(one)
        assert storage.get_n_trials(two) == 21
        storage.check()
        trial = storage.create_new_trial(two)
        assert trial > 42
    assert "'one'" not in capsys.readouterr().out.split("dropped", 1)[1].split("\n", 1)[1]
    with SqliteStore(path, study="one") as store:
        store.check()
        assert len(store.signatures) == len(store.trials.load()) == len(store.metadata.all()) == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("no\n", 1), ("", 1)])
def test_it_asks_before_it_drops(
    path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["store", str(path), "--drop-study", "two"]) == code
    assert "drop study 'two': 21 trials" in capsys.readouterr().out
    names = [study.name for study in content_of(path).studies if not study.is_empty]
    assert names == (["one", "two"] if code else ["one"])


def test_a_study_that_is_not_there_is_named(path: Path, capsys: Out) -> None:
    with unchanged(path.parent):
        assert main(["store", str(path), "--drop-study", "three", "--yes"]) == 1
    assert "has no study 'three', it has: 'one', 'two'" in capsys.readouterr().err


def test_it_gives_room_back(path: Path, capsys: Out) -> None:
    main(["store", str(path), "--drop-study", "one", "--yes"])
    size, free = path.stat().st_size, content_of(path).free_bytes
    assert free > 0
    assert main(["store", str(path), "--compact"]) == 0
    assert path.stat().st_size <= size - free
    assert content_of(path).free_bytes == 0
    with SQLiteStorage(path) as storage:
        assert storage.get_n_trials(storage.get_study_id_from_name("two")) == 21
        storage.check()
    capsys.readouterr()


def test_a_file_of_an_older_schema_is_not_migrated(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "old.db"
    guard_of_schema_1(path, 30)
    with unchanged(tmp_path):
        assert main(["store", str(path)]) == 0
    out = capsys.readouterr().out
    assert ": schema 1," in out
    assert "study 'default': 30 signatures" in out


def test_a_name_that_the_terminal_cannot_show(path: Path, run: Callable[..., str]) -> None:
    with SQLiteStorage(path) as storage:
        optuna.create_study(storage=storage, study_name="s\u00e4\n'; DROP TABLE studies --")
    code = (
        "import sys; from optimizer.__main__ import main;"
        "sys.stdout.reconfigure(encoding='ascii'); main(['store', path])"
    )
    assert 'study "s\\xe4\\n\'; DROP TABLE studies --": 0 trials' in run(code, path)


def test_looking_loads_nothing_heavy(path: Path, run: Callable[..., str]) -> None:
    code = (
        "from optimizer.__main__ import main; main(['store', path]);"
        "print([m for m in ('numpy', 'numba', 'pandas', 'optuna') if m in sys.modules])"
    )
    assert run(code, path).splitlines()[-1] == "[]"


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE t (x)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"PRAGMA user_version = {_schema.VERSION + 1}")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


@pytest.mark.parametrize("options", [(), ("--drop-study", "one", "--yes"), ("--compact",)])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (foreign, "another program"),
        (newer, "Upgrade optuna-velocity"),
        (truncated, "damaged or truncated"),
        (no_database, "is not an SQLite file"),
        (Path.unlink, "is not there"),
    ],
)
def test_a_file_that_is_no_store_gives_one_line(
    path: Path, capsys: Out, spoil: Callable[[Path], None], said: str, options: tuple[str, ...]
) -> None:
    spoil(path)
    before = state_of(path.parent)
    assert main(["store", str(path), *options]) == 3
    assert state_of(path.parent) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert repr(str(path)) in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only files")
def test_a_read_only_file_is_read_and_not_dropped(path: Path, capsys: Out) -> None:
    path.chmod(stat.S_IREAD)
    path.parent.chmod(stat.S_IREAD | stat.S_IEXEC)
    try:
        assert main(["store", str(path)]) == 0
        assert main(["store", str(path), "--drop-study", "one", "--yes"]) == 3
        assert "read-only" in capsys.readouterr().err
    finally:
        path.parent.chmod(0o700)
