"""What a process takes to its first table: each kind of start, told as it was found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import _start
from benchmarks.gate.errors import GateError

PLAIN = {"one": "pass", "warm": "print('table')", "cold": "print('table')"}


def given(monkeypatch: pytest.MonkeyPatch, programs: Mapping[str, str]) -> None:
    monkeypatch.setattr(_start, "_PROGRAMS", programs)
    monkeypatch.setattr(_start, "COLD_START", "cold")


def test_every_kind_of_start_is_measured_and_the_cold_one_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, PLAIN)
    found = {start.name: start for start in _start.measured()}
    assert {name: start.processes for name, start in found.items()} == {
        "one": _start.WARM,
        "warm": _start.WARM,
        "cold": _start.COLD,
    }
    assert all(start.wall_s > 0 and start.cpu_s >= 0 for start in found.values())


def test_only_cold_starts_find_no_compiled_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    keep = (
        "import os, pathlib; folder = pathlib.Path(os.environ['NUMBA_CACHE_DIR']);"
        f"found = folder.is_dir(); folder.mkdir(exist_ok=True);"
        f"print({{}}, found, file=open({str(told)!r}, 'a'))"
    )
    given(monkeypatch, {name: keep.format(repr(name)) for name in ("warm", "cold")})
    _start.measured()
    lines = told.read_text(encoding="utf-8").splitlines()
    assert lines.count("warm True") == _start.WARM
    assert lines.count("cold False") == _start.COLD


def test_another_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {"warm": "import os; print(os.getpid())", "cold": "print(1)"})
    with pytest.raises(GateError, match="did not print the same in each process"):
        _start.measured()


def test_a_process_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {"warm": "import no_such_module", "cold": "print(1)"})
    with pytest.raises(GateError, match="exited with 1: ModuleNotFoundError: No module named"):
        _start.measured()


def test_the_report_is_kept_and_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, PLAIN)
    file = tmp_path / "start.json"
    assert _start.main(argparse.Namespace(json=file)) == 0
    report = json.loads(file.read_text(encoding="utf-8"))
    assert [one["name"] for one in report["starts"]] == list(PLAIN)
    assert report["tree"]
    assert capsys.readouterr().out.splitlines() == _start.lines_of(report)


def test_a_failure_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, {"warm": "raise SystemExit('broken')", "cold": "pass"})
    assert _start.main(argparse.Namespace(json=tmp_path / "start.json")) == 2
    assert capsys.readouterr().err == "start: a process exited with 1: broken\n"
    assert not (tmp_path / "start.json").exists()
