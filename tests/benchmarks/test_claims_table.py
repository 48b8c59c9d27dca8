"""The table of reported speedups beside measured ones."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _claims, _registry
from benchmarks._claims import ClaimVerdict, Row, judge_claim
from benchmarks.gate.errors import UsageError
from benchmarks.gate.ratio import Ratio


def measured(wall: float, cpu: float = 20.0) -> Ratio:
    return Ratio(cpu=cpu, low=cpu - 1, high=cpu + 1, wall=wall, before_s=1.29, after_s=0.0039)


def row(verdict: ClaimVerdict = ClaimVerdict.REPRODUCED, **fields: Any) -> Row:
    values: dict[str, Any] = {
        "claim": "dedup-insert",
        "hot_path": "stores.AddBatch",
        "case": "n=1000",
        "reported": 332.0,
        "measured": measured(330.0),
        "verdict": verdict,
        "what": "what",
        "note": "",
        "source": "R0",
    }
    return Row(**values | fields)


@pytest.mark.parametrize(
    ("reported", "wall", "verdict"),
    [
        (100.0, 100.1, ClaimVerdict.EXCEEDED),
        (100.0, 100.0, ClaimVerdict.REPRODUCED),
        (100.0, 90.0, ClaimVerdict.REPRODUCED),
        (100.0, 89.9, ClaimVerdict.NOT_REPRODUCED),
        (1.25, 0.5, ClaimVerdict.NOT_REPRODUCED),
        (None, 5.0, ClaimVerdict.OURS),
        (None, 0.5, ClaimVerdict.OURS),
    ],
)
def test_wall_time_decides_at_ten_percent(
    reported: float | None, wall: float, verdict: ClaimVerdict
) -> None:
    assert judge_claim(reported, measured(wall, cpu=1e6)) is verdict


CASES = {case.label: case for case in _registry.find("stores.AddBatch").cases}


def made(table: dict[str, Any], *, wall: float, case: str = "n=1000", claim: str = "c") -> Row:
    return _claims._row(claim, table, "stores.AddBatch", CASES[case], measured(wall))


def test_a_row_takes_its_fields_from_the_table() -> None:
    table = {"reported": 10.0, "note": "a note", "what": "slow → fast", "source": "R1"}
    found = made(table, wall=11.0)
    assert (found.claim, found.hot_path, found.case) == ("c", "stores.AddBatch", "n=1000")
    assert (found.reported, found.verdict) == (10.0, ClaimVerdict.EXCEEDED)
    assert (found.what, found.note, found.source) == ("slow → fast", "a note", "R1")


def test_a_row_that_does_not_reproduce_says_why() -> None:
    assert made({"reported": 10.0, "because": "of X"}, wall=2.0).note == (
        "not reproduced, because of X"
    )
    assert "not investigated yet" in made({"reported": 10.0}, wall=2.0).note


def test_a_row_at_another_case_says_so() -> None:
    note = made({"reported": 10.0, "note": "a note"}, wall=11.0, case="n=100").note
    assert note == "at n=100, not where the claim is judged; a note"
    assert made({"reported": 10.0}, wall=11.0, case="n=100").note == (
        "at n=100, not where the claim is judged"
    )


def test_a_path_without_a_claim_is_ours() -> None:
    found = made({}, wall=11.0, case="n=100", claim="")
    assert (found.reported, found.verdict, found.note) == (None, ClaimVerdict.OURS, "")
    assert found.cells()[0] == found.cells()[2] == "-"


def test_the_lines_of_the_table() -> None:
    rows = [row(), row(ClaimVerdict.NOT_REPRODUCED, note="why", measured=measured(1.2345))]
    lines = _claims._lines(rows)
    assert "cores, Python 3." in lines[0]
    assert "speedup = before / after, > 1 is faster" in lines[1]
    assert "not ours" in lines[1]
    head = next(i for i, line in enumerate(lines) if line.startswith("claim"))
    assert lines[head].split()[0:2] == ["claim", "hot"]
    reproduced, failed = lines[head + 2 : head + 4]
    for words in ("stores.AddBatch[n=1000]", "332x", "330x", "20x (19-21)", "1.29 s → 3.9 ms"):
        assert words in reproduced
    assert reproduced.endswith("reproduced")
    assert "1.23x" in failed
    assert failed.endswith("not reproduced")
    assert lines[head].index("verdict") == reproduced.index("reproduced")
    assert "dedup-insert: why" in lines
    assert lines[-1] == "rerun a row: nox -s claims -- CLAIM"


def test_the_rows_as_json(tmp_path: Path) -> None:
    file = tmp_path / "not there yet" / "claims.json"
    _claims._write(file, [row()], quick=True)
    table = json.loads(file.read_text(encoding="utf-8"))
    assert table["quick"] is True
    (found,) = table["rows"]
    assert found["measured"]["wall"] == 330.0
    assert Row(**{**found, "measured": Ratio(**found["measured"])}) == row()
    assert table["date"].endswith("+00:00")
    assert [entry.name for entry in file.parent.iterdir()] == ["claims.json"]


# --- the command, with the measuring replaced

Asked = list[tuple[str, str, bool]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What would have been measured: hot path, case, quick."""
    found: Asked = []

    class NoRun:
        head = None

        def __init__(self, project: object) -> None:
            assert project is not None

    def ratio(side: None, key: tuple[str, str], *, quick: bool = False) -> Ratio:
        found.append((*key, quick))
        return measured(500.0)

    monkeypatch.setattr(_claims, "Run", NoRun)
    monkeypatch.setattr(_claims, "claim_ratio", ratio)
    return found


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    _claims.add_arguments(parser)
    return parser.parse_args(words)


def test_claims_measures_every_path_where_its_claim_is_judged(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    assert _claims.main(parse("--json", str(file))) == 0
    paths = {path.name: path for path in _registry.load()}
    assert {(name, case) for name, case, _ in asked} == {
        (name, path.case().label) for name, path in paths.items()
    }
    assert not any(quick for _, _, quick in asked)
    table = json.loads(file.read_text(encoding="utf-8"))
    claims = {found["claim"] for found in table["rows"]} - {""}
    assert claims == set(_claims.read_claims())
    out, err = capsys.readouterr()
    assert f"rows: {file}" in out
    assert err.count("measuring ") == len(paths)


def test_quick_takes_a_case_whose_before_is_quick(asked: Asked, tmp_path: Path) -> None:
    _claims.main(parse("--quick", "--json", str(tmp_path / "rows.json")))
    cases = {path.name: {c.label: c for c in path.cases} for path in _registry.load()}
    assert asked
    for name, case, quick in asked:
        assert quick
        assert cases[name][case].compared


@pytest.mark.parametrize("name", ["dedup-insert", "stores.AddBatch"])
def test_a_row_is_named_by_its_claim_or_its_path(asked: Asked, tmp_path: Path, name: str) -> None:
    _claims.main(parse(name, "--json", str(tmp_path / "rows.json")))
    assert [path for path, _, _ in asked] == ["stores.AddBatch"]


def test_an_unknown_name_lists_what_there_is(asked: Asked) -> None:
    with pytest.raises(KeyError, match=r"no claim or hot path x; .*dedup-insert.*stores\.AddBatch"):
        _claims.main(parse("x"))
    assert asked == []


def test_a_failure_of_the_gate_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(project: object) -> None:
        raise UsageError("why")

    monkeypatch.setattr(_claims, "Run", refuse)
    assert _claims.main(parse()) == 2
    assert capsys.readouterr().err == "claims: why\n"


def test_the_reported_figures_can_be_read() -> None:
    claims = _claims.read_claims()
    assert claims["dedup-insert"]["reported"] == 332.0
