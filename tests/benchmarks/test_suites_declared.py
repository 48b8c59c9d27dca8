"""What is declared about hot paths elsewhere fits them: claims and baselines."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from suite_sources import FOLDER, NAMES, PATHS

from benchmarks import _engine
from benchmarks.gate.baselines import read_baseline

BASELINES = sorted((FOLDER / "baselines").glob("*.json"))
CLAIMS = {
    claim: row
    for claim, row in tomllib.loads((FOLDER / "claims.toml").read_text(encoding="utf-8")).items()
    if "hot_path" in row  # the others are not built yet; test_claims_file.py reads their fields
}
MEASURED = {path.name: path for path in _engine.load()}  # whole studies, which the gate lacks, too


def test_a_claims_hot_path_says_so() -> None:
    for claim, table in CLAIMS.items():
        assert table["hot_path"] in MEASURED, claim
        assert MEASURED[table["hot_path"]].declaration.claim == claim


def test_every_hot_path_with_a_claim_is_in_claims_toml() -> None:
    declared = [p.declaration.claim for p in MEASURED.values() if p.declaration.claim]
    assert sorted(declared) == sorted(CLAIMS)


@pytest.mark.skipif(not BASELINES, reason="no baselines are stored yet")
def test_every_hot_path_has_a_baseline_and_every_baseline_a_hot_path() -> None:
    assert [file.stem for file in BASELINES] == NAMES


@pytest.mark.parametrize("file", BASELINES, ids=lambda file: file.stem)
def test_a_baseline_can_be_read_and_fits_its_path(file: Path) -> None:
    baseline = read_baseline(file)
    path = PATHS[baseline.path]
    assert set(baseline.counters) == {case.label for case in path.cases if case.counted}
    assert set(baseline.ratios) == {case.label for case in path.cases if case.has_before}
    assert baseline.reason


def test_floors_stand_where_the_gate_measures_a_claim() -> None:
    for claim, fields in CLAIMS.items():
        floors = fields.get("cpu_floor", {})
        cases = {case.label: case for case in MEASURED[fields["hot_path"]].cases}
        assert {label: cases[label].cpu_floor for label in floors} == floors, claim
        assert all(cases[label].compared for label in floors), claim
        assert all(floor > 1.0 for floor in floors.values()), claim
