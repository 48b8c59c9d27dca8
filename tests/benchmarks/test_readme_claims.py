"""The README's table of claims comes from a stored run of today's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sample_claims import report

from benchmarks import _engine, _readme
from benchmarks._claims_text import readme_lines


@pytest.fixture(name="stored")
def _stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_readme, "RESULTS", tmp_path)
    monkeypatch.setattr(_readme, "SCRATCH", tmp_path / "scratch")
    return tmp_path / "claims.json"


def test_a_stored_run_is_shown(stored: Path) -> None:
    report().write(stored)
    assert _readme._claims() == readme_lines(report())


def test_an_unknown_format_is_told_and_the_readme_left(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.write_text(json.dumps({"format": 99}), encoding="utf-8")
    monkeypatch.setattr(_readme, "_bench", list)
    assert _readme.main(["check"]) == 1
    assert capsys.readouterr().out == (
        "the stored claims are of format 99, expected 3: run `nox -s claims` and store them again\n"
    )


def written(stored: Path, **fields: Any) -> None:
    """A last run of every hot path, beside a claim that is not built yet."""
    first, *_ = report().rows
    rows = [
        {"hot_path": name, "claim": "", "measured": None}
        for name in (path.name for path in _engine.load())
    ]
    table = {"format": 3, "quick": False, "rows": [*rows, {"hot_path": ""}], **fields}
    scratch = stored.parent / "scratch"
    scratch.mkdir()
    (scratch / "claims.json").write_text(json.dumps(table), encoding="utf-8")
    assert first.hot_path in {row["hot_path"] for row in rows}


def test_claims_that_are_not_built_do_not_make_a_run_a_part(stored: Path) -> None:
    written(stored)
    file = stored.parent / "scratch" / "claims.json"
    _readme._refuse_part("claims", json.loads(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("fields", [{"quick": True}, {"rows": []}, {"exit_code": 2}])
def test_quick_partial_and_failed_runs_are_not_stored(stored: Path, fields: dict[str, Any]) -> None:
    written(stored, **fields)
    file = stored.parent / "scratch" / "claims.json"
    with pytest.raises(SystemExit, match="`nox -s claims` was red, quick or of some paths only"):
        _readme._refuse_part("claims", json.loads(file.read_text(encoding="utf-8")))
