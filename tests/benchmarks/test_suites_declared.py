"""What is declared about hot paths elsewhere fits them: claims, baselines and plants."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from suite_sources import FOLDER, NAMES, PATHS

from benchmarks._plants import CPU, PLANTS, Plant, Work
from benchmarks.gate.baselines import read_baseline

BASELINES = sorted((FOLDER / "baselines").glob("*.json"))
CLAIMS = tomllib.loads((FOLDER / "claims.toml").read_text(encoding="utf-8"))


def test_every_claim_has_a_hot_path_and_all_its_fields() -> None:
    for claim, table in CLAIMS.items():
        assert table["hot_path"] in PATHS, claim
        assert PATHS[table["hot_path"]].declaration.claim == claim
        assert {"hot_path", "what", "reported", "source"} <= set(table)
        optional = {"note", "because", "cpu_floor"}
        assert set(table) <= {"hot_path", "what", "reported", "source"} | optional
        assert table["reported"] > 1
        assert len(table["source"].split()) > 2, "the report's title"
        assert table["what"].strip()


def test_every_hot_path_with_a_claim_is_in_claims_toml() -> None:
    declared = [p.declaration.claim for p in PATHS.values() if p.declaration.claim]
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


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_names_hot_paths_and_their_witnesses(plant: Plant) -> None:
    """That its edits fit the code is asked in test_selftest.py."""
    for name in plant.paths:
        assert any(path == name or path.startswith(f"{name}.") for path in NAMES)
    declared = {
        witness for name in plant.paths if name in PATHS for witness in PATHS[name].witnesses
    }
    declared |= {"peak_bytes"} if "memory" in declared else set()
    assert set(plant.caught_by) <= declared


@pytest.mark.parametrize("work", CPU, ids=lambda work: work.path)
def test_planted_work_is_sized_at_a_timed_case(work: Work) -> None:
    assert PATHS[work.path].case(work.case).timed


def test_floors_stand_where_the_gate_measures_a_claim() -> None:
    for claim, fields in CLAIMS.items():
        floors = fields["cpu_floor"]
        cases = {case.label: case for case in PATHS[fields["hot_path"]].cases}
        assert {label: cases[label].cpu_floor for label in floors} == floors, claim
        assert all(cases[label].compared for label in floors), claim
        assert all(floor > 1.0 for floor in floors.values()), claim


def test_every_hot_path_has_a_plant_that_costs_time() -> None:
    assert [work.path for work in CPU if work.path not in NAMES] == []
    assert {work.path for work in CPU} == set(NAMES)
    assert {plant.paths[0] for plant in PLANTS if plant.share == 0.10} == set(NAMES)
