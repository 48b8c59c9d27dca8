"""The ledger: records that are whole or not there, campaigns that go on, tables that match."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _ledger, _ledger_report, _records
from benchmarks._planting import Answer, Clone
from benchmarks._plants import CPU
from benchmarks._records import LedgerError, append, file_of, read

ROOT = Path(__file__).resolve().parents[2]
CASES = ("toy.Path[n=1]", "toy.Other[n=1]")


# --- records


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


# --- runs


def answer(code: int = 0, *findings: dict[str, Any], case: str = CASES[0]) -> Answer:
    environment = {"python": "cpython 3.11", "packages": {"numpy": "2"}, "processor": "one"}
    table = {
        "environment": environment | {"instruments": {"memory": "long"}},
        "exempt": ["instructions: valgrind is not installed"],
        "findings": list(findings),
        "pairs": {name: {"first": [[1e-3, 1e-3]] * 6, "wall": [1.0]} for name in CASES}
        | {"toy.Untimed[n=1]": {}},
    }
    return Answer(code, table, "", 12.345678)


def finding(verdict: str, witness: str = "cpu", work: Any = None, **more: Any) -> dict[str, Any]:
    work = work or CPU[0]
    return {
        "path": work.path,
        "case": work.case,
        "witness": witness,
        "verdict": verdict,
        "sentence": "",
        "code": int(verdict == "worse"),
        "before": None,
        "now": 1e-3,
        "change": 0.1,
        "plus_minus": 0.01,
        **more,
    }


STAMP = {"commit": "c0", "clean": True, "code": "t0", "suite": "s0", "gate": "g0"}
LIVE = STAMP | {"load": "quiet", "subset": False}


def test_a_record_holds_what_was_not_the_same() -> None:
    record = _ledger._record(LIVE, answer(1, finding("same"), finding("worse")))
    assert [found["verdict"] for found in record["findings"]] == ["worse"]
    assert record["without"] == ["instructions"]
    assert set(record["pairs"]) == set(CASES)
    assert "instruments" not in record["environment"]
    assert record["exit_code"] == 1


def test_a_run_without_a_report_is_no_run() -> None:
    with pytest.raises(LedgerError, match="came to no report"):
        _ledger._record(LIVE, Answer(1, {}, "Traceback", 1.0))


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, True),
        ({"commit": "c1"}, True),
        ({"code": "t1"}, False),
        ({"gate": "g1"}, False),
        ({"load": "same-core"}, False),
        ({"subset": True}, False),
    ],
)
def test_a_campaign_goes_on_for_the_same_code_and_rule(
    change: dict[str, Any], counted: bool
) -> None:
    record = _ledger._record(LIVE | change, answer())
    assert bool(_ledger._like([record], LIVE)) is counted


@pytest.mark.parametrize(("done", "runs", "left"), [(0, 3, 3), (2, 3, 1), (3, 3, 0), (5, 3, 0)])
def test_runs_are_counted_in_all(done: int, runs: int, left: int) -> None:
    turns = _ledger._Turns("aa", "quiet", done, runs)
    taken = 0
    for _ in turns:
        turns.say(_ledger._record(LIVE, answer()))
        taken += 1
    assert taken == left


class FakeClone:
    """A clone whose gate answers at once; the second answer is Ctrl-C."""

    start = "c0"
    folder = ROOT

    def __init__(self, *answers: Answer | type[BaseException]) -> None:
        self.answers = list(answers)
        self.words: list[tuple[str, ...]] = []

    def touch(self) -> None:
        pass

    def gate(self, *words: str) -> Answer:
        self.words.append(words)
        given = self.answers.pop(0)
        if not isinstance(given, Answer):
            raise given
        return given


def test_ctrl_c_keeps_what_is_done_and_the_campaign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = FakeClone(answer(), KeyboardInterrupt, answer(1, finding("worse")))
    monkeypatch.setattr(Clone, "make", lambda folder: clone)
    monkeypatch.setattr(_ledger, "_stamp", lambda clone: STAMP)
    monkeypatch.setattr(_records, "append", lambda kind, r: append(kind, r, tmp_path))
    monkeypatch.setattr(_records, "read", lambda kind: read(kind, tmp_path))
    words = ["aa", "--runs", "2", "--load", "quiet", "--subset"]
    assert _ledger.main(words) == 130
    assert len(read("aa", tmp_path)) == 1
    assert _ledger.main(words) == 0
    assert [record["exit_code"] for record in read("aa", tmp_path)] == [0, 1]
    assert _ledger.main(words) == 0  # nothing left to do
    assert len(clone.words) == 3
    assert set(_ledger.SUBSET) <= set(clone.words[0])


def test_the_subset_is_five_hot_paths() -> None:
    assert len(set(_ledger.SUBSET)) == 5
    assert set(_ledger.SUBSET) <= {work.path for work in CPU}


def test_what_the_gate_said_of_a_planted_work() -> None:
    other = CPU[1]
    given = answer(
        1, finding("worse"), finding("worse", "instructions"), finding("same", work=other)
    )
    found = _ledger._planted(CPU[0], 7, given)
    assert (found["by_cpu"], found["witnesses"], found["n"]) == (True, ["cpu", "instructions"], 7)
    assert _ledger._planted(other, 7, given)["by_cpu"] is False
    with pytest.raises(LedgerError, match="was not measured"):
        _ledger._planted(CPU[2], 7, given)


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_a_load_is_on_its_core_and_ends_with_the_block() -> None:
    core = max(os.sched_getaffinity(0))
    with _ledger.busy(core) as process:
        deadline = time.monotonic() + 10
        while os.sched_getaffinity(process.pid) != {core}:
            assert time.monotonic() < deadline
    assert process.returncode is not None


# --- the report


def fill(folder: Path, runs: int = 6) -> None:
    for i in range(runs):
        record = _ledger._record(
            LIVE, answer(int(i == 0), finding("worse") if i == 0 else {**finding("same")})
        )
        append("aa", record | {"date": f"2026-01-0{i + 1}T00:00:00+00:00"}, folder)
    planted = [_ledger._planted(CPU[0], 5, answer(1, finding("worse")))]
    missed = planted[0] | {"by_cpu": False, "witnesses": [], "reached": 0.021}
    stamp = STAMP | {"load": "quiet", "percent": 3.0, "names": [CPU[0].path]}
    append("inject", _ledger._record(stamp, answer(1)) | {"planted": [*planted, missed]}, folder)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A filled ledger, which every command of this test uses."""
    text = (ROOT / "benchmarks/ledger/README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(_records, "append", lambda kind, r: append(kind, r, tmp_path))
    monkeypatch.setattr(_records, "read", lambda kind, folder=tmp_path: read(kind, folder))
    fill(tmp_path)
    return tmp_path


def block(text: str, name: str) -> str:
    return text.partition(f"<!-- generated: {name} -->")[2].partition("<!-- end")[0]


def test_the_tables_hold_what_was_recorded(folder: Path) -> None:
    assert _ledger.main(["replay", "--suites", "20"]) == 0
    assert _ledger.main(["asv"]) == 0
    text = _ledger_report.write_report(folder).read_text(encoding="utf-8")
    live = block(text, "live")
    assert "red: 2026-01-01T00:00:00+00:00, quiet: stores.AddBatch[n=1000] cpu +10.0%" in live
    row = next(line for line in live.splitlines() if line.startswith("whole suite     quiet"))
    assert row.split()[3:5] == ["6", "1"]
    injected = block(text, "injected")
    assert "1 (50.0%)" in injected
    assert "missed by CPU time: stores.AddBatch[n=1000], 3% planted, +2.1% measured" in injected
    assert "0 red, true rate at most 13.91% (95%)" in block(text, "replayed")
    assert "100.0% of cases caught" in block(text, "replayed")
    asv = block(text, "asv")
    assert next(line for line in asv.splitlines() if line.startswith("20% slower")).split()[
        2:5
    ] == [
        "10",
        "10",
        "(100.0%)",
    ]
    assert _ledger_report.rendered(text, folder) == text


def test_runs_of_an_older_gate_are_named_and_not_counted(folder: Path) -> None:
    record = _ledger._record(LIVE | {"gate": "g1"}, answer())
    append("aa", record | {"date": "2999-01-01T00:00:00+00:00"}, folder)
    text = _ledger_report.write_report(folder).read_text(encoding="utf-8")
    assert "gate g1, 2999-01-01" in block(text, "made with")
    assert "an older gate g0: 6 unchanged runs of which 1 were red" in block(text, "made with")
    assert "red: " not in block(text, "live")
    assert "nothing recorded yet" in block(text, "injected")


def test_a_readme_that_lost_a_block_is_refused(folder: Path) -> None:
    (folder / "README.md").write_text("<!-- generated: live -->\n")
    with pytest.raises(LedgerError, match="lost its block"):
        _ledger_report.write_report(folder)


def test_replaying_nothing_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_records, "read", lambda kind: [])
    assert _ledger.main(["replay"]) == 2
    assert "aa --runs" in capsys.readouterr().err


def test_the_stored_readme_matches_the_stored_runs() -> None:
    text = (ROOT / "benchmarks" / "ledger" / "README.md").read_text(encoding="utf-8")
    assert _ledger_report.rendered(text) == text, "run `python -m benchmarks._ledger report`"


def test_stored_records_are_small() -> None:
    for file in (ROOT / "benchmarks" / "ledger").glob("*.jsonl"):
        for record in read(file.stem):
            assert len(json.dumps(record)) < 50_000
