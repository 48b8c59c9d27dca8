"""The Markdown report: short, with tables that no name can break."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sample_report import LOST_INDEX, ODD, REGRESSION, calm, sample

from benchmarks.gate import markdown
from benchmarks.gate.view import cases

OURS = {"details", "/details", "summary", "/summary", "code", "/code"}


def rows(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.startswith("|")]


def visible(source: str) -> str:
    """What stands outside the fold."""
    return source.split("<details>")[0]


def outside_code(line: str) -> str:
    """The line without its code spans, in which nothing is markup."""
    return re.sub(r"(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", line)


def test_short_when_all_is_well() -> None:
    shown = visible(markdown.render(calm()))
    assert shown == "### PASS\n\n2 hot paths: 2 same (exit code 0)\n\n"


def test_every_failing_sentence_is_outside_the_fold() -> None:
    report = sample()
    shown = re.sub(r"\\(.)", r"\1", visible(markdown.render(report)))
    plain = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    sentences = [finding["sentence"] for finding in report["findings"] if finding["code"]]
    assert len(sentences) >= 6
    for sentence in sentences:
        assert f"- {sentence}" in plain


def test_the_open_table_holds_what_is_not_the_same_and_the_fold_holds_all() -> None:
    report = sample()
    source = markdown.render(report)
    odd = [case for case in cases(report) if case.verdict not in ("same", "skipped")]
    shown, every = rows(visible(source))[2:], rows(source.split("<details>")[1])[2:]
    assert 0 < len(odd) == len(shown) < len(every) == len(cases(report))
    for name in (REGRESSION, LOST_INDEX, "space.Grid[size=64]"):
        assert any(f"`{name}`" in row for row in shown)
    assert not any("backtest.Track" in row for row in shown)


@pytest.mark.parametrize("make", [sample, calm])
def test_each_row_has_the_cells_of_its_head(make: Any) -> None:
    for row in rows(markdown.render(make())):
        assert len(re.findall(r"\|", row)) == 6, row


def test_no_tag_but_ours() -> None:
    for line in markdown.render(sample()).splitlines():
        assert set(re.findall(r"<([^>]*)>", outside_code(line))) <= OURS, line


@pytest.mark.parametrize(
    "name", ["a|b", "``", "`", "a`b``c", "<b>|</b>", "a\nb", "\\|", "*_[x](y)"]
)
def test_no_name_breaks_a_row_or_escapes_its_code(name: str) -> None:
    report = calm()
    for finding in report["findings"]:
        finding["path"] = name
    found = rows(markdown.render(report))
    assert len(found) == 4
    for row in found:
        assert row.count("|") == 6
        left = outside_code(row)
        assert set(re.findall(r"<([^>]*)>", left)) <= OURS
        assert not re.search(r"(?<!\\)[*\[]", left)


def test_what_grew_is_shortened() -> None:
    shown = visible(markdown.render(sample()))
    kind = [line for line in shown.splitlines() if "grew, bytecodes by function" in line]
    assert kind[0].endswith("`f15` 1,500 → 1,950")
    assert kind[-1].endswith(": 12 more")
    assert len(kind) == 4


def test_long_statements_are_cut() -> None:
    report = sample()
    report["grew"] = {LOST_INDEX: {"statements": [["SELECT " + "x, " * 500, 0, 1]]}}
    (line,) = [
        line for line in markdown.render(report).splitlines() if "statements: `SELECT" in line
    ]
    assert len(line) < 200
    assert "…" in line


def test_notes_and_what_was_not_measured_are_outside_the_fold() -> None:
    shown = visible(markdown.render(sample()))
    assert "- not measured here: instructions: valgrind is not installed" in shown
    assert "- space.Grid is new: store it with `rebaseline`" in shown


def test_it_says_how_to_read_a_change() -> None:
    assert "> 0 is slower" in markdown.render(calm())
    assert "standard error" in markdown.render(calm())


def test_a_report_without_optional_parts() -> None:
    assert markdown.render({}).startswith("### NOT MEASURED")
    assert ODD.split("<")[0] in markdown.render(sample())
