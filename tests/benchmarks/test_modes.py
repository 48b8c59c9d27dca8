"""The efficiency modes: every seed in a process of its own, kept at once, told as it was found."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _claims_modes, _modes, _modes_runs
from benchmarks._claims_cells import speed_cells, spread, verdict, words
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_rows import Line, Role, Row
from benchmarks._claims_table import Claim, read_claims
from benchmarks._engine_workloads import PORTFOLIO, WORKLOADS
from benchmarks._modes_found import TARGETS, found_modes, worst
from benchmarks.gate.errors import GateError, NotMeasuredError, UsageError

NAMES = tuple(WORKLOADS)


def arms(seed: int, *, faster: float = 5.0, value: float = 1.0) -> dict[str, Any]:
    """A seed's arms, made up: plain finds 1, a random point has 0, a random search 0.5."""

    def arm(wall_s: float, value: float) -> dict[str, Any]:
        return {"wall_s": wall_s, "cpu_s": wall_s, "value": value, "mean_value": 0.0}

    wide = 1.0 + 0.001 * (seed % 2)
    modes = {mode: arm(wide * 10.0 / faster, value) for mode in _modes_runs.MODES}
    return {"random": arm(10.0, 0.5), "plain": arm(10.0, 1.0), **modes}


def runs(names: tuple[str, ...] = NAMES, **fields: float) -> list[dict[str, Any]]:
    return [
        {"workload": name, "seed": seed, "arms": arms(seed, **fields)}
        for seed in _modes.SEEDS
        for name in names
    ]


def report(found: list[dict[str, Any]]) -> dict[str, Any]:
    told = {"date": "2026-01-02T03", "machine": "m", "python": "3", "tree": "t" * 40, "suite": "s"}
    return {**told, "quick": False, "trials": _modes.TRIALS, "packages": {}, "runs": found}


# --- what is found


def test_the_share_of_the_time_and_of_the_gain() -> None:
    found = found_modes(runs(faster=4.0, value=0.9))
    assert [(one.workload, one.mode) for one in found] == [
        (name, mode) for name in NAMES for mode in _modes_runs.MODES
    ]
    for one in found:
        assert one.seeds == 20
        assert one.saved.value == pytest.approx(0.75, abs=1e-3)
        assert one.saved.low < one.saved.value < one.saved.high
        assert one.quality.value == pytest.approx(0.9)
        assert one.beside_search.value == pytest.approx(0.8)  # of a gain that is half as large


@pytest.mark.parametrize(
    ("faster", "value", "missed"),
    [
        (4.2, 0.98, ()),
        (3.8, 0.98, ()),  # within two points
        (3.0, 0.98, ("time",)),
        (4.2, 0.9, ("quality",)),
        (1.0, 0.5, ("time", "quality")),
    ],
)
def test_a_target_is_missed_by_more_than_two_points(
    faster: float, value: float, missed: tuple[str, ...]
) -> None:
    (found, *_) = found_modes(runs(faster=faster, value=value))
    assert found.mode == "fast"
    assert found.missed == missed


def test_smaller_may_be_better() -> None:
    made = runs(("scikit-learn search",))
    for run in made:
        for arm in run["arms"].values():
            arm["value"], arm["mean_value"] = -arm["value"], -arm["mean_value"]
    assert found_modes(made)[0].quality.value == pytest.approx(1.0)


def test_a_search_that_gains_nothing_has_no_quality() -> None:
    made = runs()
    for run in made:
        run["arms"]["plain"]["value"] = 0.0
    assert math.isnan(found_modes(made)[0].quality.value)
    assert found_modes(made)[0].missed == ()  # nothing is known


def test_the_worst_search_counts() -> None:
    made = runs((NAMES[0],), faster=5.0) + runs((NAMES[1],), faster=3.0, value=0.8)
    least = worst(found_modes(made), "fast")
    assert least is not None
    assert least[0].ratio == pytest.approx(3.0, rel=1e-2)
    assert least[1].value == pytest.approx(0.8)
    assert worst([], "fast") is None


# --- the command


def counting(calls: list[tuple[str, int, int]], stop_at: int | None = None) -> Callable[..., Any]:
    def measure(workload: str, seed: int, n_trials: int) -> dict[str, Any]:
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append((workload, seed, n_trials))
        return arms(seed)

    return measure


def test_every_search_has_every_seed(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    found = _modes.measured([], counting(calls), tmp_path / "part")
    assert len({*calls}) == len(calls) == 40
    assert {n for _, _, n in calls} == {_modes.TRIALS}
    assert _modes.is_whole(found)
    for field, value in (("quick", True), ("trials", 20), ("runs", found["runs"][:-1])):
        assert not _modes.is_whole(found | {field: value})


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    first: list[tuple[str, int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        _modes.measured([], counting(first, stop_at=3), tmp_path / "part")
    with (tmp_path / "part").open("a") as stream:
        stream.write('{"workload": "torn')
    rest: list[tuple[str, int, int]] = []
    found = _modes.measured([], counting(rest), tmp_path / "part")
    assert len(first) == 3
    assert not {*first} & {*rest}
    assert len(rest) == 37
    assert _modes.is_whole(found)
    again: list[tuple[str, int, int]] = []
    _modes.measured([], counting(again), tmp_path / "part")
    assert len(again) == 1  # it was written behind what was torn


def test_what_other_code_left_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int, int]] = []
    _modes.measured([], counting(calls), tmp_path / "part", quick=True)
    monkeypatch.setattr(_modes, "suite", lambda: "another")
    _modes.measured([], counting(calls), tmp_path / "part", quick=True)
    assert len(calls) == 8


def options(tmp_path: Path, **fields: Any) -> argparse.Namespace:
    values = {"workloads": [], "quick": True, "json": tmp_path / "modes.json"}
    return argparse.Namespace(**values | fields)


def test_numbers_are_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_modes, "asked", counting([]))
    assert _modes.main(options(tmp_path)) == 0
    stored = json.loads((tmp_path / "modes.json").read_text(encoding="utf-8"))
    assert not _modes.is_whole(stored)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == _modes.lines_of(stored)
    assert lines[0].startswith("QUICK: not to be stored; ")
    assert [one.name for one in tmp_path.iterdir()] == ["modes.json"]


def test_ctrl_c_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_modes, "asked", counting([], stop_at=1))
    assert _modes.main(options(tmp_path)) == 130
    assert [one.name for one in tmp_path.iterdir()] == ["modes.part.jsonl"]
    assert "the next run goes on from there" in capsys.readouterr().err


def test_what_makes_no_sense_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _modes.main(options(tmp_path, workloads=["other"])) == 2
    told = f"modes: no workload other; expected some of {', '.join(NAMES)}\n"
    assert capsys.readouterr().err == told
    with pytest.raises(UsageError):
        _modes.measured(["other"], counting([]), tmp_path / "part")


def test_a_table_has_a_line_for_each_mode_and_its_goals() -> None:
    lines = _modes.lines_of(report(runs(faster=4.2, value=0.9)))
    fast = next(line for line in lines if " fast " in line)
    for told in ("S&P backtest", "10 s", "75%", "97%", "90.0%", "goal missed: quality"):
        assert told in fast
    assert len([line for line in lines if "goal " in line and "S&P" in line]) == 3


# --- one process


def test_a_process_that_fails_or_lacks_a_part_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateError, match=r"no such search, seed 1: exit code 1: KeyError"):
        _modes.asked("no such search", 1, 2)
    monkeypatch.setattr(_modes, "LONGEST_S", 0.01)
    with pytest.raises(NotMeasuredError, match=r"seed 1, took longer than"):
        _modes.asked(PORTFOLIO.name, 1, 2)


def test_a_value_that_is_none_on_all_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    study = optuna.create_study(direction="maximize")
    study.optimize(PORTFOLIO.plain, n_trials=2)
    found = _modes_runs._taken(PORTFOLIO, "fast", lambda n: study, 2)
    assert found["value"] == study.best_value
    assert found["trials"] == found["complete"] == 2
    best = study.trials[study.best_trial.number]
    study.add_trial(
        optuna.trial.create_trial(
            params=best.params, distributions=best.distributions, value=study.best_value + 1.0
        )
    )
    with pytest.raises(AssertionError, match="is told as best, it is"):
        _modes_runs._taken(PORTFOLIO, "fast", lambda n: study, 2)


@pytest.mark.stress
@pytest.mark.parametrize("name", NAMES)
def test_every_arm_searches(name: str) -> None:
    pytest.importorskip("sklearn", reason="the group bench has it")
    found = _modes.asked(name, 101, 8)
    assert [*found] == [*_modes_runs.ARMS]
    assert all(arm["trials"] == 8 for arm in found.values())


# --- the rows of the claims


def row(mode: str, found: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Row:
    monkeypatch.setattr(_claims_modes, "_report", lambda: report(found))
    return _claims_modes.mode_row(line(mode))


def line(mode: str) -> Line:
    claim = read_claims()[f"mode-{mode}"]
    return Line(Role.CLAIM, claim, what=claim.what)


@pytest.mark.parametrize(
    ("faster", "value", "expected"),
    [
        (4.0, 0.97, ClaimVerdict.REPRODUCED),
        (6.0, 0.99, ClaimVerdict.EXCEEDED),
        (6.0, 0.95, ClaimVerdict.REPRODUCED),
        (6.0, 0.90, ClaimVerdict.NOT_REPRODUCED),
        (2.0, 0.99, ClaimVerdict.NOT_REPRODUCED),
    ],
)
def test_a_mode_is_judged_by_time_and_quality(
    faster: float, value: float, expected: ClaimVerdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = row("fast", runs(faster=faster, value=value), monkeypatch)
    assert found.verdict is expected
    told = " ".join(words(found))
    assert ("not reproduced, because" in told) is (expected is ClaimVerdict.NOT_REPRODUCED)
    assert "the least of 2 searches, 20 seeds each: `nox -s modes` of 2026-01-02" in told
    assert f"quality of what is found: reported 95-98%, found {100 * value:.1f}%" in told
    assert f"{100 * value:.1f}%" in verdict(found)
    assert found.wall is not None
    assert found.wall.ratio == pytest.approx(faster, rel=1e-3)
    assert speed_cells(found)[2] == spread(found.wall)  # where every other row has its own


def test_every_mode_has_a_row_and_a_target() -> None:
    modes = [claim.mode for claim in read_claims().values() if claim.mode]
    assert modes == [*TARGETS] == [*_modes_runs.MODES]


def test_without_a_whole_run_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "last.json", tmp_path / "stored.json"
    monkeypatch.setattr(_claims_modes, "FILES", files)
    assert _claims_modes.mode_row(line("fast")).verdict is ClaimVerdict.FAILED
    files[0].write_text(json.dumps(report(runs()) | {"quick": True}), encoding="utf-8")
    assert _claims_modes.mode_row(line("fast")).verdict is ClaimVerdict.FAILED
    files[1].write_text(json.dumps(report(runs())), encoding="utf-8")
    assert _claims_modes.mode_row(line("fast")).verdict is not ClaimVerdict.FAILED
    lost = replace(line("fast"), claim=Claim("mode-fast", mode="none"))
    assert _claims_modes.mode_row(lost).verdict is ClaimVerdict.FAILED
