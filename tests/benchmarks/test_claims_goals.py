"""What this project set itself beyond the reports: read, judged, told, and held."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sample_claims import TRIAL, amount, line, measured, report

from benchmarks import (
    _claims,
    _claims_cells,
    _claims_table,
    _claims_text,
    _engine,
    _peers,
    _registry,
)
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_goals import Goal, GoalKind, GoalVerdict, with_found
from benchmarks._claims_plan import lines_of
from benchmarks._claims_rows import Role, Row, measured_row
from benchmarks._claims_table import Claim, Per, read_beyond, read_claims, read_compared
from benchmarks.gate.errors import UsageError

FASTER = Goal(GoalKind.WALL, goal=50.0, floor=25.0)
CPU = Goal(GoalKind.CPU, goal=25.0)
ADDED = Goal(GoalKind.ADDED, goal=0.00015, floor=0.0003)


def row(*goals: Goal, wall: float = 60.0, before_s: float = 1.0, trials: int = 20) -> Row:
    claim = Claim("", trials=trials, per=Per.RUN, goals=goals, note="a note")
    of = line(Role.OURS, "peers_x.Kept", claim=claim, case="peer=rdb", trials=trials)
    return measured_row(of, measured(wall, before_s=before_s), {}, TRIAL.seconds)


# --- the table


def test_the_projects_own_rows_are_of_cases_that_are_there() -> None:
    paths = {path.name: path for path in (*_peers.load(), *_engine.load())}
    places = {f"{path.name}[{case.label}]" for path in paths.values() for case in path.cases}
    assert read_beyond()
    assert {*read_beyond()} <= places


def test_no_claim_of_the_reports_is_judged_by_a_goal() -> None:
    claimed = {path for claim in read_claims().values() for path in claim.paths}
    assert not claimed & {name.partition("[")[0] for name in read_beyond()}
    assert not any(claim.goals for claim in read_claims().values())


def test_a_floor_is_below_its_goal() -> None:
    for name, claim in read_beyond().items():
        for goal in claim.goals:
            if goal.goal is None or goal.floor is None:
                continue
            high, low = goal.goal, goal.floor
            if goal.kind is GoalKind.ADDED:
                high, low = low, high
            assert low < high, name


def test_every_own_row_says_what_it_compares() -> None:
    paths = {path.name: path for path in _peers.load()}
    asked: dict[str, Any] = {"compared": read_compared(), "beyond": read_beyond()}
    lines = lines_of({}, paths, every_case=True, **asked)
    assert [one.name for one in lines if "→" not in one.what] == []


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "claims.toml"
    file.write_text(f"[beyond]\n{text}\n", encoding="utf-8")
    return file


def test_all_fields_are_read(tmp_path: Path) -> None:
    text = (
        '"x.Y[n=1]" = { trials = 20, per = "run", wall_goal = 50, wall_floor = 25.0,'
        ' cpu_goal = 25.0, added_s_goal = 0.00015, added_s_ceiling = 0.0003, note = "words" }'
    )
    claim = read_beyond(written(tmp_path, text))["x.Y[n=1]"]
    goals = (FASTER, CPU, ADDED)
    assert claim == Claim("", trials=20, per=Per.RUN, note="words", goals=goals)
    assert read_claims(written(tmp_path, text))["pool"] == Claim("pool")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"x" = 3', r"\[beyond\] x is 3; expected a table of fields"),
        ('"x" = { wall = 3 }', "x has an unknown field wall; known: "),
        ('"x" = { wall_goal = 0 }', "x wall_goal is 0; expected a number over 0"),
        ('"x" = { cpu_floor = "2x" }', "x cpu_floor is '2x'; expected a number over 0"),
        ('"x" = { note = "y" }', "x has neither goal nor floor; expected wall_goal"),
        ('"x" = { added_s_goal = 1.0 }', "x has a goal of each trial, but says of no trials"),
        ('"x" = { cpu_goal = 2.0, per = "day" }', "x per is 'day'; expected one of trial"),
    ],
)
def test_a_wrong_row_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_beyond(written(tmp_path, text))
    assert "\n" not in str(caught.value)


# --- the plan


def test_an_own_row_has_its_goals_and_its_trials() -> None:
    paths = {path.name: path for path in _registry.load()}
    place = "stores.Executemany[n=1000]"
    own = Claim("", trials=1_000, goals=(FASTER,))
    found = {one.name: one for one in lines_of({}, paths, beyond={place: own})}
    assert found[place].claim == own
    assert found[place].trials == 1_000
    assert found["signature.Cold[sets=1000]"].claim == Claim("")


def test_a_case_with_a_goal_stands_in_the_table() -> None:
    paths = {path.name: path for path in _registry.load()}
    place = "stores.AddBatch[n=100,durability=process]"
    assert place not in {one.name for one in lines_of({}, paths)}
    own = {place: Claim("", goals=(FASTER,))}
    assert place in {one.name for one in lines_of({}, paths, beyond=own)}


# --- verdicts


@pytest.mark.parametrize(
    ("wall", "verdict", "broken"),
    [
        (60.0, GoalVerdict.REACHED, False),
        (50.0, GoalVerdict.REACHED, False),
        (49.9, GoalVerdict.MISSED, False),
        (24.5, GoalVerdict.MISSED, False),  # its interval reaches the floor
        (20.0, GoalVerdict.MISSED, True),
    ],
)
def test_a_factor_is_at_least_the_goal(wall: float, verdict: GoalVerdict, broken: bool) -> None:
    found = with_found(FASTER, measured(wall), 20)
    assert (found.verdict, found.broken) == (verdict, broken)
    assert found.found is not None
    ends = found.found.value, found.found.low, found.found.high
    assert ends == pytest.approx((wall, 0.95 * wall, 1.05 * wall))


def test_cpu_time_is_judged_by_itself() -> None:
    found = with_found(CPU, measured(60.0), 20)  # of which the sample has half in CPU time
    assert found.found is not None
    assert (found.found.value, found.verdict) == (30.0, GoalVerdict.REACHED)


@pytest.mark.parametrize(
    ("added_s", "verdict", "broken"),
    [
        (0.0001, GoalVerdict.REACHED, False),
        (0.0002, GoalVerdict.MISSED, False),
        (0.0004, GoalVerdict.MISSED, True),
        (-0.0001, GoalVerdict.REACHED, False),  # it takes less
    ],
)
def test_added_seconds_are_of_a_trial_and_at_most_the_goal(
    added_s: float, verdict: GoalVerdict, broken: bool
) -> None:
    found = with_found(ADDED, replace(measured(1.0), saved_s=amount(-20 * added_s)), 20)
    assert found.found is not None
    assert found.found.value == pytest.approx(added_s)
    assert found.found.low < found.found.value < found.found.high
    assert (found.verdict, found.broken) == (verdict, broken)


@pytest.mark.parametrize(
    ("goal", "found", "verdict", "broken"),
    [
        (Goal(GoalKind.MEMORY, goal=1.67), 2.0, GoalVerdict.REACHED, False),
        (Goal(GoalKind.MEMORY, goal=2.5, floor=2.1), 2.0, GoalVerdict.MISSED, True),
        (Goal(GoalKind.BYTES, goal=2_000.0), 1_500.0, GoalVerdict.REACHED, False),
        (Goal(GoalKind.BYTES, goal=1_000.0, floor=1_400.0), 1_500.0, GoalVerdict.MISSED, True),
    ],
)
def test_bytes_that_are_kept(goal: Goal, found: float, verdict: GoalVerdict, broken: bool) -> None:
    """60 kB by 20 trials, 30 kB by the second side."""
    kept = with_found(goal, measured(1.0), 20, (60_000, 30_000))
    assert kept.found is not None
    assert (kept.found.value, kept.verdict, kept.broken) == (found, verdict, broken)
    told = _claims_cells.goal_words(kept)
    assert ("2x" if goal.kind is GoalKind.MEMORY else "1.5 kB") in told
    unknown = with_found(goal, measured(1.0), 20)
    assert (unknown.found, unknown.verdict, unknown.broken) == (None, None, False)
    assert "not measured" in _claims_cells.goal_words(unknown)


def test_a_floor_alone_has_no_verdict() -> None:
    found = with_found(Goal(GoalKind.WALL, floor=2.0), measured(3.0), 20)
    assert (found.verdict, found.broken) == (None, False)


def test_what_was_not_measured_breaks_nothing() -> None:
    assert not FASTER.broken


# --- words


def test_a_row_tells_its_goals() -> None:
    found = row(FASTER, CPU)
    assert found.verdict is ClaimVerdict.OURS
    assert _claims_cells.goals_cell(found) == "50x, 25x CPU"
    assert _claims_cells.verdict(found) == "goal reached; goal reached: CPU"
    assert [*_claims_cells.words(found)] == [
        "wall: found 60x (57x to 63x), goal 50x: goal reached, floor 25x: kept",
        "CPU: found 30x (28.5x to 31.5x), goal 25x CPU: goal reached",
        "a note",
    ]


def test_a_peer_that_wins_is_said_to() -> None:
    found = row(ADDED, wall=0.5, before_s=0.02)
    assert _claims_cells.verdict(found) == "goal missed: a trial more; 100% slower"
    (told, _) = _claims_cells.words(found)
    assert told.startswith("a trial takes more by: found 1 ms (950 µs to 1.05 ms), goal <= 150 µs")
    assert told.endswith("BROKEN")


def test_own_rows_have_a_table_of_their_own() -> None:
    plain = row()
    known = {"rustuna": "0.2.0", "numpy": "2", "vectorbt": "1.2.0"}
    whole = report(rows=(plain, row(FASTER)), packages=known)
    lines = _claims_text.peer_lines(whole)
    assert [one for one in lines if one.startswith("beside")] == [
        *("beside vectorbt 1.2.0", "beside rustuna 0.2.0")
    ]
    assert len([one for one in lines if one.startswith("peers_x.Kept")]) == 2
    own = _claims_text.beyond_lines(whole)
    assert own[1].startswith("beyond the reports: goals of our own")
    assert len([one for one in own if one.startswith("peers_x.Kept")]) == 1
    assert _claims_text.beyond_lines(report(rows=(plain,))) == []


def test_goals_come_back_from_a_file() -> None:
    for found in (row(FASTER, CPU, ADDED), row()):
        table = json.loads(json.dumps(asdict(found)))
        assert Row.from_json(table) == found
        del table["goals"]  # as of files that were written before there were any
        assert Row.from_json(table) == replace(found, goals=())


def test_goals_are_counted() -> None:
    whole = report(rows=(row(FASTER, CPU), row(FASTER, wall=30.0), row()))
    assert whole.count() == "3 not reported, 2 goal reached, 1 goal missed"


# --- the command


def options(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(
        names=["peers_storage.KeptTrials"], quick=True, list=False, peers=True,
        json=tmp_path / "claims.json", markdown=tmp_path / "claims.md", page=None, html=None,
    )  # fmt: skip


@pytest.mark.parametrize(("wall", "code"), [(1_000.0, 0), (1.01, 1)])
def test_a_broken_floor_is_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wall: float, code: int
) -> None:
    monkeypatch.setattr(_claims, "trial_cost", lambda quick: TRIAL)
    monkeypatch.setattr(
        _claims, "measure", lambda side, key, quick, begun: measured(wall, before_s=0.001)
    )
    assert _claims.main(options(tmp_path)) == code
    stored = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert stored["exit_code"] == code


def test_the_worst_code_is_told() -> None:
    below = _claims.BELOW_FLOOR
    assert [_claims._worst(codes) for codes in ([], [below], [3, below], [below, 3, 2])] == [
        *(0, below, 3, 2)
    ]


def test_the_files_header_names_every_bound() -> None:
    header = _claims_table.FILE.read_text(encoding="utf-8").partition("[dedup-insert]")[0]
    for names in _claims_table._BOUNDS.values():
        for name in names:
            assert name in header, name
