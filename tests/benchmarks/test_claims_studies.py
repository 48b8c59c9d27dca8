"""What a whole study gains by the length of its objective."""

from __future__ import annotations

import dataclasses

from sample_claims import TRIAL, line, measured, report

from benchmarks import _peers
from benchmarks._claims_rows import Role, Row, measured_row
from benchmarks._claims_studies import OBJECTIVES, STUDIES, study_lines
from benchmarks._claims_table import Claim, Per


def row(trials: int, before_s: float, wall: float, path: str = STUDIES) -> Row:
    claim = Claim("", trials=trials, per=Per.RUN)
    of = line(Role.OURS, path, claim=claim, case=f"n_trials={trials}", trials=trials)
    return measured_row(of, measured(wall, before_s=before_s), {}, TRIAL.seconds)


def lines(*rows: Row) -> list[str]:
    return study_lines(dataclasses.replace(report(), rows=rows))


def test_the_objective_is_added_to_both_sides() -> None:
    """1,000 trials in 39 s and in 1 s, without an objective: 39 and 1 ms a trial."""
    told = lines(row(1_000, 39.0, 39.0))
    found = [line.split() for line in told if line.startswith(" 1,000")]
    assert [line[1:3] for line in found] == [name.split() for name in OBJECTIVES]
    short, middle, long, longest = ([*line[3:]] for line in found)
    assert short == ["40", "ms", "→", "2", "ms", "20x", "95%"]
    assert middle == ["139", "ms", "→", "101", "ms", "1.38x", "27%"]
    assert long == ["1.04", "s", "→", "1", "s", "1.04x", "3.7%"]
    assert longest == ["10", "s", "→", "10", "s", "1x", "0.38%"]


def test_each_length_of_a_study_has_its_lines_the_shorter_first() -> None:
    told = lines(row(1_000, 39.0, 39.0), row(100, 3.0, 20.0), row(5, 1.0, 2.0, "peers_x.Other"))
    first = [line.split()[0] for line in told[3:]]
    assert first == ["100"] * len(OBJECTIVES) + ["1,000"] * len(OBJECTIVES)
    assert told[0].endswith("study = before / after, by one worker, the objective added")


def test_a_run_without_whole_studies_has_no_table() -> None:
    assert study_lines(report()) == []
    assert lines(row(5, 1.0, 2.0, "peers_x.Other")) == []


def test_the_studies_are_there_to_be_measured() -> None:
    path = next(path for path in _peers.load() if path.name == STUDIES)
    assert [case.label for case in path.cases] == ["n_trials=100", "n_trials=1000"]
