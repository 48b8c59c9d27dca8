"""The command line, in processes of its own: exit codes, progress, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import optimizer
from optimizer import __main__ as command_line
from optimizer.stores import records_import
from optimizer.stores.records import TrialRecords

ROOT = Path(optimizer.__file__).parents[1]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "trials"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.json").write_text(json.dumps({"number": number, "value": 0.5}))
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "optimizer", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )


def test_a_whole_import(folder: Path, tmp_path: Path) -> None:
    done = run("import-trials", folder, tmp_path / "study.db", "--study", "momentum")
    assert (done.returncode, done.stderr) == (0, "20 of 20 files\n")
    counted = "20 trials, counted in the table: 20 stored, 0 there already, 0 skipped"
    assert done.stdout == f"20 files, {counted}\n"
    with TrialRecords(tmp_path / "study.db", study="momentum") as records:
        assert len(records) == 20


def test_problems_are_listed(folder: Path, tmp_path: Path) -> None:
    (folder / "20.json").write_text("{")
    (folder / "é\n.json").write_text("[]")
    os.close(os.open(os.fsencode(folder) + b"/\xff.json", os.O_CREAT | os.O_WRONLY))
    for stored, kept in ((20, 0), (0, 20)):
        done = run("import-trials", folder, tmp_path / "study.db", "--quiet")
        assert (done.returncode, done.stderr) == (1, "")
        lines = done.stdout.splitlines()
        assert lines[0].startswith("skipped 20.json: is not whole JSON")
        assert lines[1] == r"skipped '\xe9\n.json': holds a list, expected an object with a number"
        assert lines[2].startswith(r"skipped '\udcff.json': is empty")
        assert lines[3] == (
            "23 files, 20 trials, counted in the table:"
            f" {stored} stored, {kept} there already, 3 skipped"
        )


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("import-trials",)])
def test_a_command_that_is_not_understood(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: python -m optimizer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    done = run("import-trials", folder / "0.json", tmp_path / "study.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a folder, expected one of trial files" in done.stderr
    assert not (tmp_path / "study.db").exists()


def test_a_file_that_is_no_store(folder: Path) -> None:
    done = run("import-trials", folder, folder / "0.json")
    assert done.returncode == 3
    assert "not an SQLite file" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "0.json").read_text().startswith("{")


def test_help_tells_format_and_exit_codes() -> None:
    assert "import-trials" in run("--help").stdout
    text = run("import-trials", "--help").stdout
    for part in ("exit codes:", "130", '"number": 0', "--study", "run again"):
        assert part in text


def test_a_count_that_is_short(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(TrialRecords, "numbers", lambda self: set(range(19)))
    arguments = ["import-trials", str(folder), str(tmp_path / "study.db")]
    assert command_line.main(arguments) == command_line.NOT_VERIFIED
    out, err = capsys.readouterr()
    assert "counted" not in out
    assert "are not in" in err
    assert err.endswith(": 19; run it again\n")


def test_ctrl_c(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(records_import, "import_trials", interrupted)
    arguments = ["import-trials", str(folder), str(tmp_path / "study.db")]
    assert command_line.main(arguments) == command_line.INTERRUPTED
    out, err = capsys.readouterr()
    assert out == "0 files, 0 trials: 0 stored, 0 there already, 0 skipped\n"
    assert err == "python -m optimizer: interrupted; run the same command again to go on\n"


SLOW = """
import sys, time
from optimizer import __main__, _compat
from optimizer.stores import records_files, records_import
records_import.BATCH = 32
start = records_files._start_of
def slow(path):
    time.sleep(0.005)
    return start(path)
records_files._start_of = slow
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_ctrl_c_in_the_middle_leaves_what_was_stored(folder: Path, tmp_path: Path) -> None:
    for number in range(20, 300):
        (folder / f"{number}.json").write_text(json.dumps({"number": number, "value": 0.5}))
    path = tmp_path / "study.db"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "import-trials", str(folder), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    assert "files" in process.stderr.readline()  # a tenth is done
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.endswith("interrupted; run the same command again to go on\n")
    with TrialRecords(path) as records:
        stored = len(records)
        records.check()
    assert 0 < stored < 300
    assert f" {stored} stored, 0 there already, 0 skipped" in out
    done = run("import-trials", folder, path, "--quiet")
    assert done.returncode == 0
    assert f"{300 - stored} stored, {stored} there already" in done.stdout
