"""The ledger's records: whole or not there, whoever appends and whatever ends it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks import _records
from benchmarks._records import LedgerError, append, file_of, read

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    assert read("aa", tmp_path) == []
    for i in range(3):
        append("aa", {"run": i, "pairs": {"x": [[1.23456789e-5, 2.0]]}}, tmp_path)
    assert [record["run"] for record in read("aa", tmp_path)] == [0, 1, 2]
    assert read("aa", tmp_path)[0]["pairs"] == {"x": [[1.2346e-5, 2.0]]}
    assert len(file_of("aa", tmp_path).read_bytes().splitlines()) == 3


def test_a_torn_last_line_is_no_record_and_is_cut_off(tmp_path: Path) -> None:
    append("aa", {"run": 0}, tmp_path)
    with file_of("aa", tmp_path).open("ab") as stream:
        stream.write(b'{"run": 1, "pai')
    assert [record["run"] for record in read("aa", tmp_path)] == [0]
    append("aa", {"run": 2}, tmp_path)
    assert [record["run"] for record in read("aa", tmp_path)] == [0, 2]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file_of("aa", tmp_path).write_text('{"run": 0}\nnonsense\n{"run": 2}\n')
    with pytest.raises(LedgerError, match=r"aa\.jsonl:2"):
        read("aa", tmp_path)


def test_a_record_is_whole_although_its_writer_is_killed(tmp_path: Path) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from benchmarks._records import append
        run = 0
        while True:
            append("aa", {{"run": run, "text": "x" * 20_000}}, Path({str(tmp_path)!r}))
            run += 1
    """
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
        before = len(read("aa", tmp_path))
        while len(read("aa", tmp_path)) < before + 3:
            assert process.poll() is None
        process.kill()
        process.wait()
    append("aa", {"run": -1, "text": ""}, tmp_path)
    assert {len(record["text"]) for record in read("aa", tmp_path)} == {0, 20_000}


def test_two_that_append_lose_nothing(tmp_path: Path) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from benchmarks._records import append
        for run in range(30):
            append("aa", {{"run": run}}, Path({str(tmp_path)!r}))
    """
    both = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(record["run"] for record in read("aa", tmp_path)) == sorted([*range(30)] * 2)


def test_the_hash_of_the_gate_is_that_of_what_measures(tmp_path: Path) -> None:
    gate = tmp_path / "benchmarks" / "gate"
    gate.mkdir(parents=True)
    (gate / "rules.py").write_text('"""Says."""\nLIMIT = 1\n')
    (gate / "html.py").write_text("SHOWN = 1\n")
    first = _records.gate_hash(tmp_path)
    (gate / "rules.py").write_text('"""Says more."""\nLIMIT = 1  # a reason\n')
    (gate / "html.py").write_text("SHOWN = 2\n")
    assert _records.gate_hash(tmp_path) == first
    (gate / "rules.py").write_text('"""Says."""\nLIMIT = 2\n')
    assert _records.gate_hash(tmp_path) != first


def test_what_only_shows_exists() -> None:
    """A file that is renamed must not be taken for one that measures, or the other way round."""
    gate = {file.name for file in (ROOT / "benchmarks" / "gate").glob("*.py")}
    assert {"rules.py", "pairs.py", "judge.py", "worker.py"} <= gate - _records._SHOWING
    assert {"html.py", "report.py", "cli.py"} <= gate & _records._SHOWING
