"""Folders into the table: resumed, counted, interrupted and killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import optimizer
from optimizer.errors import StorePathError
from optimizer.stores import records_import
from optimizer.stores.records import TrialRecords, load_trials
from optimizer.stores.records_import import Imported, import_trials

ROOT = Path(optimizer.__file__).parents[1]
FULL_SIZE = pytest.mark.stress


def fill(folder: Path, numbers: range, **fields: Any) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        file = {"number": number, "value": number / 3, "params": {"x": number}, **fields}
        (folder / f"{number:06d}.json").write_text(json.dumps(file))


def counts(imported: Imported) -> tuple[int, int, int, int, int]:
    done = imported
    return done.files, done.trials, done.stored, done.kept, len(done.problems)


def test_everything_is_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_import, "BATCH", 32)
    folder = tmp_path / "trials"
    fill(folder, range(100))
    (folder / "000100.json").write_text('{"number": 100, "va')
    (folder / "notes.txt").touch()
    steps: list[tuple[int, int]] = []
    with TrialRecords(tmp_path / "study.db") as records:
        first = import_trials(folder, records, progress=lambda i: steps.append((i.done, i.stored)))
        assert counts(first) == (102, 100, 100, 0, 2)
        assert first.verified
        assert first.done == 102
        assert records.load() == load_trials(folder).trials
        assert len(steps) > 2
        assert steps == sorted(steps)
        assert steps[-1] == (102, 100)
        again = import_trials(folder, records)
        assert counts(again) == (102, 100, 0, 100, 2)
        assert again.verified


def test_only_what_is_missing_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    with TrialRecords(tmp_path / "study.db") as records:
        fill(folder, range(5))
        import_trials(folder, records)
        fill(folder, range(5, 9))
        assert counts(import_trials(folder, records)) == (9, 9, 4, 5, 0)


def test_a_running_trial_is_finished_by_the_next_import(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    with TrialRecords(tmp_path / "study.db") as records:
        fill(folder, range(1), state="RUNNING", value=None)
        assert counts(import_trials(folder, records)) == (1, 1, 1, 0, 0)
        assert counts(import_trials(folder, records)) == (1, 1, 0, 1, 0)
        fill(folder, range(1))
        assert counts(import_trials(folder, records)) == (1, 1, 1, 0, 0)
        assert records.load()[0].state == "complete"


def test_another_content_is_a_problem_and_the_table_keeps_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    with TrialRecords(tmp_path / "study.db") as records:
        fill(folder, range(3))
        import_trials(folder, records)
        fill(folder, range(1, 2), value=99.0)
        done = import_trials(folder, records)
        assert counts(done) == (3, 3, 0, 2, 1)
        assert done.refused == 1
        assert done.done == 3
        assert done.verified
        assert str(done.problems[0]) == (
            "000001.json: trial 1 is finished in the table with another content"
        )
        assert records.load()[1].values == (1 / 3,)


def test_nan_and_the_order_of_names_are_no_other_content(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    file = folder / "a.json"
    with TrialRecords(tmp_path / "study.db") as records:
        file.write_text(
            '{"number": 0, "value": NaN, "params": {"x": 1, "y": 2}, "a": {"b":1,"c":2}}'
        )
        import_trials(folder, records)
        file.write_text(
            '{"a": {"c":2,"b":1}, "params": {"y": 2, "x": 1}, "value": NaN, "number": 0}'
        )
        assert counts(import_trials(folder, records)) == (1, 1, 0, 1, 0)


def test_what_is_not_in_the_table_at_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "trials", range(3))
    with TrialRecords(tmp_path / "study.db") as records:
        monkeypatch.setattr(TrialRecords, "numbers", lambda self: {0, 2})
        done = import_trials(tmp_path / "trials", records)
    assert done.missing == {1}
    assert not done.verified


def test_an_interrupt_keeps_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_import, "BATCH", 32)
    fill(tmp_path / "trials", range(200))

    def interrupt(imported: Imported) -> None:
        if imported.trials >= 96:
            raise KeyboardInterrupt

    done = Imported()
    with TrialRecords(tmp_path / "study.db") as records:
        with pytest.raises(KeyboardInterrupt):
            import_trials(tmp_path / "trials", records, progress=interrupt, imported=done)
        assert len(records) == done.stored == 96
        assert not done.verified
        assert counts(import_trials(tmp_path / "trials", records)) == (200, 200, 104, 96, 0)


def test_a_missing_folder(tmp_path: Path) -> None:
    with TrialRecords(tmp_path / "s.db") as records, pytest.raises(StorePathError):
        import_trials(tmp_path / "missing", records)


@pytest.mark.parametrize(("kills", "files"), [(3, 2_000), pytest.param(60, 6_000, marks=FULL_SIZE)])
def test_a_killed_import_loses_nothing(tmp_path: Path, kills: int, files: int) -> None:
    folder, path, rng = tmp_path / "trials", tmp_path / "study.db", random.Random(kills)
    fill(folder, range(files))
    wanted, count, partial = load_trials(folder).trials, 0, 0
    for kill in range(kills):
        command = [sys.executable, "-m", "optimizer", "import-trials", str(folder), str(path)]
        victim = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert victim.stderr is not None
        for _ in range(rng.randrange(10) if kill else 1):  # a line follows a batch
            victim.stderr.readline()
        time.sleep(rng.uniform(0, 0.02) if kill else 0.0)
        victim.kill()
        victim.communicate()
        with TrialRecords(path) as records:
            records.check()
            there = records.load()
        assert there.items() <= wanted.items()
        assert len(there) >= count
        partial += count < len(there) < files
        count = len(there)
        if count == files:  # begin anew, so that every kill meets an import
            for name in (path, path.with_name("study.db-wal"), path.with_name("study.db-shm")):
                name.unlink(missing_ok=True)
            count = 0
    with TrialRecords(path) as records:
        done = import_trials(folder, records)
        assert (done.stored, done.kept) == (files - count, count)
        assert done.verified
        assert records.load() == wanted
    print(f"{kills} kills, {partial} of them met an import half-way")
    assert partial or kills < 10  # else the kills came at the wrong moments, and showed nothing
