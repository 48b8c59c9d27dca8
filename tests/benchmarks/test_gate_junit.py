"""The JUnit report: what a reader of such files expects, and red where the gate is red."""

from __future__ import annotations

import datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from sample_report import LOST_INDEX, ODD, ODD_CASE, REGRESSION, SQL, calm, sample

from benchmarks.gate import junit


def suite_of(report: dict[str, Any]) -> ET.Element:
    root = ET.fromstring(junit.render(report).encode("utf-8"))
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    return suite


def cases_of(report: dict[str, Any]) -> dict[str, ET.Element]:
    found = suite_of(report).findall("testcase")
    return {f"{test.get('classname')}[{test.get('name')}]": test for test in found}


def red(suite: ET.Element) -> int:
    return int(suite.get("failures", "")) + int(suite.get("errors", ""))


@pytest.mark.parametrize("report", [sample(), calm(), {}], ids=["sample", "calm", "empty"])
def test_the_numbers_are_those_of_the_tests(report: dict[str, Any]) -> None:
    suite = suite_of(report)
    tests = suite.findall("testcase")
    assert suite.get("tests") == str(len(tests))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(attribute) == str(sum(test.find(tag) is not None for test in tests))
    assert float(suite.get("time", "")) == report.get("seconds", 0.0)
    datetime.datetime.fromisoformat(suite.get("timestamp", ""))
    order = ["properties", *("testcase" for _ in tests), "system-out"]
    assert [child.tag for child in suite] == order
    for test in tests:
        assert float(test.get("time", "")) >= 0
        tags = [child.tag for child in test]
        assert tags in (
            ["system-out"],
            ["failure", "system-out"],
            ["error", "system-out"],
            ["skipped", "system-out"],
        )


def test_one_test_for_each_case() -> None:
    report = sample()
    names = {(f["path"], f["case"]) for f in report["findings"]}
    assert len(suite_of(report).findall("testcase")) == len(names)
    tests = cases_of(report)
    assert REGRESSION in tests
    assert "study.Lost[(the whole path)]" in tests


def test_a_regression_is_a_failure_and_the_rest_are_errors() -> None:
    tests = cases_of(sample())
    failures = {name for name, test in tests.items() if test.find("failure") is not None}
    errors = {name for name, test in tests.items() if test.find("error") is not None}
    assert failures == {REGRESSION, LOST_INDEX}
    assert errors == {"workers.Pool[workers=2]", "study.Lost[(the whole path)]"}


def test_what_the_suite_skips_is_skipped() -> None:
    tests = cases_of(sample())
    skipped = {name for name, test in tests.items() if test.find("skipped") is not None}
    assert skipped == {"sampling.Tpe[trials=9]"}
    assert suite_of(sample()).get("skipped") == "1"


def test_a_failure_holds_every_sentence_and_what_grew() -> None:
    report = sample()
    failure = cases_of(report)[LOST_INDEX].find("failure")
    assert failure is not None
    sentences = [
        f["sentence"]
        for f in report["findings"]
        if f["code"] and f"{f['path']}[{f['case']}]" == LOST_INDEX
    ]
    assert len(sentences) >= 2
    assert failure.get("message") in sentences
    for words in [*sentences, SQL, "/study/settings.json: 1 -> 1,001", "1.049 MB -> 2.097 MB"]:
        assert words in (failure.text or "")


def test_the_numbers_of_each_witness_are_in_its_output() -> None:
    tests = cases_of(sample())
    output = tests[LOST_INDEX].findtext("system-out") or ""
    assert "statements: worse, 3 -> 5, +66.7% [fails]" in output
    assert "bytecodes: same, 15,300 -> 15,300" in output
    assert "claim: same, at least 10x -> 12.5x" in output
    assert "± " in output
    assert tests[LOST_INDEX].get("time") == "0.031000"


def test_odd_names_survive_without_what_xml_forbids() -> None:
    assert f"{ODD}[{ODD_CASE}]".replace("\x08", "") in cases_of(sample())


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud800", "\ufffe"])
def test_characters_that_xml_forbids_are_left_out(character: str) -> None:
    report = sample()
    for finding in report["findings"]:
        finding["sentence"] = finding["sentence"] and f"{finding['sentence']}{character}<&]]>"
        finding["path"] += character
    report["notes"] = [f"a{character}b"]
    report["commit"] += character
    suite = suite_of(report)  # parses
    assert "note: ab" in (suite.findtext("system-out") or "")
    assert cases_of(report).keys() == cases_of(sample()).keys()


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_it_is_red_where_the_gate_is_red_without_a_finding(code: int) -> None:
    report = calm() | {"exit_code": code, "summary": "NOT MEASURED: nothing <at all>"}
    suite = suite_of(report)
    assert red(suite) == 1
    error = suite.find("testcase/error")
    assert error is not None
    assert error.get("message") == "NOT MEASURED: nothing <at all>"


def test_it_is_green_where_the_gate_is_green() -> None:
    assert calm()["exit_code"] == 0
    assert red(suite_of(calm())) == 0


@pytest.mark.parametrize("verdict", ["worse", "failed", "not measured", "some new word"])
def test_the_code_of_a_finding_decides(verdict: str) -> None:
    report = calm() | {"exit_code": 0}
    report["findings"][0]["verdict"] = verdict
    assert red(suite_of(report)) == 0
    report["findings"][0]["code"] = report["exit_code"] = 1
    assert red(suite_of(report)) == 1
