"""The ledger's tables: what was recorded, told apart, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sample_ledger import LINE, LIVE, STAMP, answer, finding

from benchmarks import _ledger, _ledger_report, _records
from benchmarks import _ledger_record as _made
from benchmarks._answer import Answer
from benchmarks._plants_cpu import CPU
from benchmarks._records import LedgerError, append, read
from benchmarks._replay import lower_bound, upper_bound

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "{}[{}]".format(*CPU[0].key)


def fill(folder: Path, runs: int = 9) -> None:
    for i in range(runs):
        record = _made.record_of(
            LIVE, answer(int(i == 0), finding("worse") if i == 0 else {**finding("same")})
        )
        append("aa", record | {"date": f"2026-01-0{i + 1}T00:00:00+00:00"}, folder)
    planted = [_made.planted_of(CPU[0], LINE, 0.05, answer(1, finding("worse")))]
    missed = planted[0] | {"by_cpu": False, "witnesses": [], "reached": 0.021}
    stamp = STAMP | {"load": "quiet", "percent": 3.0, "names": [CPU[0].path]}
    append("inject", _made.record_of(stamp, answer(1)) | {"planted": [*planted, missed]}, folder)


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
    assert f"red: 2026-01-01T00:00:00+00:00, quiet: {PLANTED} cpu +10.0%" in live
    row = next(line for line in live.splitlines() if line.startswith("whole suite     quiet"))
    assert row.split()[3:5] == ["9", "1"]
    injected = block(text, "injected")
    assert "1 (50.0%, at least 2.5%)" in injected
    assert f"missed by CPU time: {PLANTED}, 3% planted, +2.1% measured" in injected
    replayed = block(text, "replayed")
    assert "0 red (0.00%); 0 of 1 independent windows, true rate at most 95.00%" in replayed
    assert "0 red (0.00%), resampled" in replayed
    assert "100.0% of cases caught; least in 1 independent windows 1 (100.0%, at least 5.0%)" in (
        replayed
    )
    asv = block(text, "asv")
    assert next(line for line in asv.splitlines() if line.startswith("20% slower")).split()[
        2:5
    ] == [
        "16",
        "16",
        "(100.0%)",
    ]
    assert _ledger_report.rendered(text, folder) == text


def test_runs_of_an_older_gate_are_named_and_not_counted(folder: Path) -> None:
    record = _made.record_of(LIVE | {"gate": "g1"}, answer())
    append("aa", record | {"date": "2999-01-01T00:00:00+00:00"}, folder)
    text = _ledger_report.write_report(folder).read_text(encoding="utf-8")
    assert "gate g1, 2999-01-01" in block(text, "made with")
    older = "an older gate g0 on suites s0: 9 unchanged runs of which 1 were red"
    assert older in block(text, "made with")
    assert "red: " not in block(text, "live")
    assert "nothing recorded yet" in block(text, "injected")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"suite": "s1"}, "suites: s1"),
        ({"environment": STAMP["environment"] | {"python": "3.12"}}, "machine: one, 3.12"),
        ({"without": []}, "could not be had: none"),
    ],
)
def test_groups_are_told_apart(folder: Path, change: dict[str, Any], told: str) -> None:
    for i in range(4):
        broken = Answer(1, {}, "RuntimeError: boom", 1.0) if i == 0 else answer()
        record = _made.record_of(LIVE | change, broken)
        append("aa", record | {"date": f"2026-02-0{i + 1}T00:00:00+00:00"}, folder)
    assert _ledger.main(["replay", "--suites", "5"]) == 0  # of the group that has enough
    assert _ledger.main(["asv"]) == 0
    counted = {record["runs"]: record for record in read("asv", folder)}
    assert set(counted) == {9, 3}
    assert counted[3]["dropped"] == 1
    assert counted[9]["results"]["0"]["suites"] == 8
    assert len(read("replay", folder)) == 1
    text = _ledger_report.write_report(folder).read_text(encoding="utf-8")
    first, _, second = block(text, "live").partition("group 2:")
    assert [
        line.split()[3:5]
        for part in (first, second)
        for line in part.splitlines()
        if line.startswith("whole suite     quiet")
    ] == [["9", "1"], ["4", "1"]]
    assert "the gate broke (exit code 1): RuntimeError: boom" in second
    assert told in block(text, "made with").partition("group 2:")[2]
    assert "nothing recorded yet" in block(text, "replayed").partition("group 2:")[2]


def test_runs_of_other_code_are_counted_together_and_the_code_is_named(folder: Path) -> None:
    record = _made.record_of(LIVE | {"code": "t1"}, answer())
    append("aa", record | {"date": "2026-02-01T00:00:00+00:00"}, folder)
    assert _ledger.main(["asv"]) == 0
    assert read("asv", folder)[0]["results"]["0"]["suites"] == 8  # the last two are not unchanged
    text = _ledger_report.write_report(folder).read_text(encoding="utf-8")
    assert "code under test: t0 (10), t1 (1)" in block(text, "made with")
    row = next(x for x in block(text, "live").splitlines() if x.startswith("whole suite     quiet"))
    assert row.split()[3:5] == ["10", "1"]


def test_a_plant_larger_than_its_name_is_listed_and_not_counted(folder: Path) -> None:
    given = answer(1, finding("worse"))
    coarse = _made.planted_of(CPU[0], LINE, 0.003, given)
    unmeasured = _made.planted_of(CPU[1], LINE, 0.03, given)
    stamp = STAMP | {"load": "quiet", "percent": 3.0, "names": ["x"]}
    broken = _made.record_of(stamp, Answer(3, {}, "gate: a worker hangs", 1.0))
    append("inject", broken | {"planted": [coarse, unmeasured]}, folder)
    append("inject", broken | {"percent": 20.0, "planted": [unmeasured]}, folder)
    injected = block(_ledger_report.write_report(folder).read_text(encoding="utf-8"), "injected")
    assert "1 (33.3%, at least 1.7%)" in injected
    assert f"not counted at 3%: {PLANTED}, whose smallest plant adds 1.0%" in injected
    assert "3% planted, not measured; caught by nothing" in injected
    assert "3%: the gate broke (exit code 3): gate: a worker hangs" in injected
    row = next(line for line in injected.splitlines() if "20%" in line and "planted" not in line)
    assert "0 (0.0%, at least 0.0%)" in row


def test_runs_with_other_plants_are_not_counted(folder: Path) -> None:
    stamp = STAMP | {"plants": "p1", "load": "quiet", "percent": 3.0, "names": ["x"]}
    planted = [_made.planted_of(CPU[0], LINE, 0.03, answer(1, finding("worse")))]
    append("inject", _made.record_of(stamp, answer(1)) | {"planted": planted}, folder)
    injected = block(_ledger_report.write_report(folder).read_text(encoding="utf-8"), "injected")
    assert "1 (100.0%, at least 5.0%)" in injected
    assert "not counted here: 1 runs with other plants" in injected


def test_the_runs_that_the_readme_names_can_show_what_is_to_be_reached() -> None:
    text = (ROOT / "benchmarks" / "ledger" / "README.md").read_text(encoding="utf-8")
    (runs,) = re.findall(r"inject .* --runs (\d+)", text)
    planted = int(runs) * len(CPU)
    assert f"{runs} runs of {len(CPU)} hot paths" in text
    assert lower_bound(planted, planted) >= 0.99
    assert lower_bound(298, 298) < 0.99 <= lower_bound(299, 299)
    assert upper_bound(0, 300) < 0.01
    assert upper_bound(0, 40) == pytest.approx(0.072, abs=5e-4)
    assert upper_bound(0, 2_994) > 0.001 >= upper_bound(0, 2_995)


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
    # The largest tell every pair of three stages of 26 planted paths, or each case of a replay.
    for file in (ROOT / "benchmarks" / "ledger").glob("*.jsonl"):
        for record in read(file.stem):
            assert len(json.dumps(record)) < 100_000
