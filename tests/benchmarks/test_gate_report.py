"""The report made of findings: its table, its last line, its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.gate.judge import Finding
from benchmarks.gate.report import Report
from benchmarks.gate.rules import Verdict

PATH, CASE = "stores.AddBatch", "n=100"
NAME = f"{PATH}[{CASE}]"
FINDINGS = [
    Finding(PATH, CASE, "agreement", Verdict.SAME),
    Finding(PATH, CASE, "opens", Verdict.SAME, before=1, now=1, change=0.0),
    Finding(PATH, CASE, "cpu", Verdict.SAME, now=0.0025, change=0.004, plus_minus=0.012),
    Finding(PATH, "n=1000", "steps", Verdict.WORSE, "it rose", 1, 12_000, 14_000, 1 / 6),
    Finding("signature.Warm", "sets=1000", "baseline", Verdict.NEW),
]


def finding(code: int, path: str = PATH) -> Finding:
    verdicts = {
        0: Verdict.SAME,
        1: Verdict.WORSE,
        2: Verdict.FAILED,
        3: Verdict.NOT_MEASURED,
        4: Verdict.FAILED,
    }
    sentence = f"{path}, sentence {code}" if code else ""
    return Finding(path, CASE, "cpu", verdicts[code], sentence, code)


def test_the_table_has_a_line_for_each_case() -> None:
    lines = Report(FINDINGS, ["a note"], {}).lines()
    table = {line.split()[0]: line for line in lines[2:5]}
    assert list(table) == [NAME, f"{PATH}[n=1000]", "signature.Warm[sets=1000]"]
    assert table[NAME].split()[1:] == ["2.5", "ms", "+0.4%", "1.2%", "1", "equal", "same"]
    assert "steps 12,000 → 14,000" in table[f"{PATH}[n=1000]"]
    assert table[f"{PATH}[n=1000]"].endswith("worse")
    assert table["signature.Warm[sets=1000]"].split()[1:] == ["-", "-", "-", "-", "new"]
    assert "note: a note" in lines
    assert "it rose" in lines
    assert lines[-1] == "REGRESSION: 2 hot paths: 1 new, 1 worse (exit code 1)"


def test_every_cell_stands_below_its_head() -> None:
    lines = Report(FINDINGS, [], {}).lines()[:5]
    spans = [match.span() for match in re.finditer("─+", lines[1])]
    cells = [[line[slice(*span)].strip() for span in spans] for line in lines]
    assert cells[0] == ["hot path", "CPU a call", "change", "± 3 se", "counters", "verdict"]
    assert cells[2] == [NAME, "2.5 ms", "+0.4%", "1.2%", "1 equal", "same"]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (0, "PASS: 2 hot paths: 2 same"),
        (1, "REGRESSION: 2 hot paths: 1 same, 1 worse"),
        (2, "FAILED: 2 hot paths: 1 same, 1 failed"),
        (3, "NOT MEASURED: 2 hot paths: 1 same, 1 not measured"),
        (4, "NO BASELINE: 2 hot paths: 1 same, 1 failed"),
    ],
)
def test_the_last_line_says_how_it_stands(code: int, word: str) -> None:
    report = Report([finding(0, "a.B"), finding(code)], [], {})
    assert report.last_line() == f"{word} (exit code {code})"
    assert report.lines()[-1] == report.last_line()


def test_a_path_is_counted_once_by_its_worst_case() -> None:
    report = Report([finding(0), finding(1), finding(2)], [], {})
    assert report.last_line() == "FAILED: 1 hot path: 1 failed (exit code 2)"


def test_many_changed_counters_are_shortened() -> None:
    many = [Finding(PATH, CASE, f"c{i}", Verdict.BETTER, before=5, now=i) for i in range(5)]
    assert "c0 5 → 0, c1 5 → 1, c2 5 → 2 and 2 more" in "\n".join(Report(many, [], {}).lines())


def test_the_most_telling_counters_are_shown() -> None:
    names = ("allocations", "c_calls", "steps", "statements", "bytecodes")
    many = [Finding(PATH, CASE, name, Verdict.WORSE, before=1, now=2) for name in names]
    [row] = [line for line in Report(many, [], {}).lines() if line.startswith(NAME)]
    assert "statements 1 → 2, steps 1 → 2, bytecodes 1 → 2 and 2 more" in row


@pytest.mark.parametrize(
    ("verdict", "words"), [(Verdict.SAME, "answers agree"), (Verdict.FAILED, "  -  ")]
)
def test_a_case_that_was_only_compared_says_so(verdict: Verdict, words: str) -> None:
    found = Finding(PATH, CASE, "agreement", verdict)
    [row] = [line for line in Report([found], [], {}).lines() if line.startswith(NAME)]
    assert words in row
    claim = Finding(PATH, CASE, "claim", Verdict.SAME, before=27.95, now=35.49)
    [row] = [line for line in Report([found, claim], [], {}).lines() if line.startswith(NAME)]
    assert "claim 35.5x" in row


@pytest.mark.parametrize(("code", "said"), [(0, False), (1, True)])
def test_a_regression_names_what_is_not_committed(code: int, said: bool) -> None:
    files = [f"pkg/{i}.py" for i in range(10)]
    lines = Report([finding(code)], [], {}, evidence={"uncommitted": files}).lines()
    line = f"not committed: {', '.join(files[:8])} and 2 more"
    assert (line in lines) == said


def test_json_is_whole_and_holds_every_finding(tmp_path: Path) -> None:
    report = Report(FINDINGS, ["a note"], {"tree": "t"})
    file = tmp_path / "deep" / "er" / "report.json"
    report.write(file)
    report.write(file)  # over an older one
    table = json.loads(file.read_text(encoding="utf-8"))
    assert (table["exit_code"], table["tree"]) == (1, "t")
    assert table["notes"] == ["a note"]
    assert table["summary"] == report.last_line()
    assert [Finding(**row) for row in table["findings"]] == FINDINGS
    assert [f.name for f in file.parent.iterdir()] == ["report.json"]
