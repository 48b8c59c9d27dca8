"""Figures that only the answers of a hot path hold: bytes on disk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _claims_answers
from benchmarks._claims_answers import answered
from benchmarks.gate.errors import BodyRaisedError, NotMeasuredError
from benchmarks.gate.harness import Side

ROOT = Path(__file__).resolve().parents[2]
SIDE = Side("head", "optimizer", ROOT, ROOT, "m:load", ROOT)
KEY = "stores.Disk", "n=10000"


def test_the_bytes_of_both_files_are_told() -> None:
    """Each signature lies in the slow one twice."""
    before, after = answered(SIDE, KEY, ["bytes"])["bytes"]
    assert 2 * 16 * 10_000 < before < 1_000_000
    assert 16 * 10_000 < after < before


def test_nothing_asked_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(subprocess, "run")
    assert answered(SIDE, KEY, ()) == {}


def answering(
    monkeypatch: pytest.MonkeyPatch, exit_code: int = 0, errors: str = "", **answer: Any
) -> None:
    table = {"code": str(ROOT / "optimizer" / "__init__.py"), "figures": {"bytes": [2, 1]}} | answer

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert command[-2:] == [*KEY]
        assert options["env"]["PYTHONSAFEPATH"] == "1"
        assert options["env"]["PYTHONPATH"].split(":") == [str(ROOT)] * 3
        return subprocess.CompletedProcess(command, exit_code, json.dumps(table), errors)

    monkeypatch.setattr(subprocess, "run", run)


def test_an_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    assert answered(SIDE, KEY, ["bytes"]) == {"bytes": (2, 1)}


def test_other_code_than_the_staged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, code="/elsewhere/optimizer/__init__.py")
    with pytest.raises(NotMeasuredError, match=r"ran /elsewhere/.*, expected the staged code"):
        answered(SIDE, KEY, ["bytes"])


def test_a_figure_that_no_answer_holds_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, figures={})
    with pytest.raises(NotMeasuredError, match=r"answers no bytes; it answers \[\]"):
        answered(SIDE, KEY, ["bytes"])


def test_a_side_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, exit_code=1, errors="Trace\nbefore and after disagree\n")
    with pytest.raises(
        BodyRaisedError, match=r"^stores\.Disk\[n=10000\]: before and after disagree$"
    ):
        answered(SIDE, KEY, ["bytes"])


def test_sides_that_disagree_answer_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks._registry import OpenCase

    monkeypatch.setattr(OpenCase, "agree", lambda self, before, after: False)
    with pytest.raises(SystemExit, match="before and after disagree"):
        _claims_answers._main(KEY)
    assert capsys.readouterr().out == ""


def test_a_hot_path_without_figures_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert _claims_answers._main(("signature.Cold", "sets=1000")) == 0
    assert json.loads(capsys.readouterr().out)["figures"] == {}
