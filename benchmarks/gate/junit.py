"""A stored report as JUnit XML, which CI pages turn into a list of tests.

One test for each case of a hot path. It is red exactly where the gate's exit code is not 0: a
regression is a failure; what raised, was not measured or has no usable baseline is an error; what
the suite itself skips is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from .rules import Verdict
from .table import seconds
from .view import (
    Case,
    Stored,
    before,
    cases,
    change,
    clean,
    counting_words,
    environment_words,
    fails,
    grown_value,
    growth,
    value,
    verdict_line,
)

_SUITE = "velocity gate"
_WHOLE = "(the whole path)"


def render(report: Stored) -> str:
    """The report as XML, to be written as UTF-8.

    A test's time is the CPU seconds of one call, 0 where they were not taken; the suite's time is
    what the whole run took.
    """
    tests = [_test(report, case) for case in cases(report)]
    if report.get("exit_code") and not any(_red(test) for test in tests):
        tests.append(_verdict(report))  # a verdict about no case in particular must be red too
    counts = {
        "tests": str(len(tests)),
        "failures": str(sum(test.find("failure") is not None for test in tests)),
        "errors": str(sum(test.find("error") is not None for test in tests)),
        "skipped": str(sum(test.find("skipped") is not None for test in tests)),
        "time": f"{float(report.get('seconds') or 0.0):.3f}",
    }
    date = str(report.get("date") or "1970-01-01T00:00:00")[:19]
    suite = ET.Element("testsuite", {"name": _SUITE, "timestamp": clean(date), **counts})
    _add(suite, "properties", "")
    for name, words in _properties(report).items():
        ET.SubElement(suite[0], "property", {"name": name, "value": clean(words)})
    suite.extend(tests)
    _add(suite, "system-out", "\n".join(_about(report)))
    root = ET.Element("testsuites", {"name": _SUITE, **counts})
    root.append(suite)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _test(report: Stored, case: Case) -> ET.Element:
    now = (case.cpu or {}).get("now") or 0.0
    name = case.label or _WHOLE
    test = ET.Element(
        "testcase", {"classname": clean(case.path), "name": clean(name), "time": f"{now:.6f}"}
    )
    failing = case.failing
    if failing:
        errors = [finding for finding in failing if finding["verdict"] != "worse"]
        first = (errors or failing)[0]
        said = [finding.get("sentence") or _line(finding) for finding in failing]
        message = first.get("sentence") or _line(first)
        kind = "error" if errors else "failure"
        element = _add(test, kind, "\n".join([*said, *_grew(report, case)]))
        element.attrib |= {
            "message": clean(message),
            "type": clean(f"{first['verdict']}: {first['witness']}"),
        }
    elif case.verdict == Verdict.SKIPPED:
        _add(test, "skipped", "").attrib["message"] = "the suite skips it on both sides"
    _add(test, "system-out", "\n".join(_line(finding) for finding in case.findings))
    return test


def _verdict(report: Stored) -> ET.Element:
    word, rest = verdict_line(report)
    test = ET.Element("testcase", {"classname": _SUITE, "name": "verdict", "time": "0"})
    _add(test, "error", rest).attrib |= {"message": clean(f"{word}: {rest}"), "type": clean(word)}
    return test


def _red(test: ET.Element) -> bool:
    return test.find("failure") is not None or test.find("error") is not None


def _line(finding: Stored) -> str:
    """One witness: its verdict and what was measured."""
    name, old, now = finding["witness"], finding.get("before"), finding.get("now")
    parts = [f"{name}: {finding['verdict']}"]
    if old is not None and now is not None:
        parts.append(f"{before(finding)} -> {value(name, now)}")
    elif now is not None:
        parts.append(f"{value(name, now)} a call")
    if finding.get("change") is not None:
        parts.append(change(finding) + (" (3 se)" if finding.get("plus_minus") else ""))
    return ", ".join(parts) + (" [fails]" if fails(finding) else "")


def _grew(report: Stored, case: Case) -> list[str]:
    return [
        f"grew, {kind}: {name}: {grown_value(kind, old)} -> {grown_value(kind, now)}"
        for kind, rows in growth(report, case).items()
        for name, old, now in rows
    ]


def _properties(report: Stored) -> dict[str, str]:
    return {
        "commit": str(report.get("commit") or ""),
        "tree": str(report.get("tree") or ""),
        "environment": environment_words(report.get("environment") or {}),
        "counted by": counting_words(report.get("environment") or {}),
    }


def _about(report: Stored) -> Sequence[str]:
    took = report.get("seconds")
    return [
        str(report.get("summary") or ""),
        "change: this code against its baseline; > 0 is slower",
        *(f"note: {note}" for note in report.get("notes") or ()),
        *(f"not measured here: {line}" for line in report.get("exempt") or ()),
        *([f"took {seconds(float(took))}"] if took is not None else []),
    ]


def _add(parent: ET.Element, tag: str, words: str) -> ET.Element:
    element = ET.SubElement(parent, tag)
    element.text = clean(words)
    return element
