"""Shares of a trial, and what a trial of a plain study costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import _claims_trial
from benchmarks._claims_share import OBJECTIVES, Share, shares
from benchmarks._claims_table import Per
from benchmarks._claims_trial import TrialCost, trial_cost
from benchmarks.gate.errors import NotMeasuredError


def by_name(found: tuple[Share, ...]) -> dict[str, tuple[float, float]]:
    return {share.objective: (share.slow, share.saved) for share in found}


def test_a_part_of_a_trial() -> None:
    """1,000 trials: 2 ms each before, 1 ms each after; Optuna itself takes 3 ms of a trial."""
    found = by_name(shares(2.0, 1.0, 1_000, Per.TRIAL, 0.003))
    assert list(found) == list(OBJECTIVES) == ["trivial", "10 ms", "1 s"]
    assert found["trivial"] == pytest.approx((2 / 5, 1 / 5))
    assert found["10 ms"] == pytest.approx((2 / 15, 1 / 15))
    assert found["1 s"] == pytest.approx((2 / 1005, 1 / 1005))


def test_work_done_once_is_a_share_of_the_study() -> None:
    """0.5 s once, 0.1 s after; a study of 100 trials of 10 ms and 1 ms of Optuna is 1.1 s."""
    slow, saved = by_name(shares(0.5, 0.1, 100, Per.STUDY, 0.001))["10 ms"]
    assert slow == pytest.approx(0.5 / 1.6)
    assert saved == pytest.approx(0.4 / 1.6)


def test_whole_trials_have_optunas_cost_in_them() -> None:
    found = by_name(shares(1.0, 0.9, 100, Per.RUN, 99.0))
    assert found["trivial"] == pytest.approx((1.0, 0.1))
    assert found["10 ms"] == pytest.approx((0.5, 0.05))


def test_beside_work_that_is_the_objective_there_is_no_other() -> None:
    assert by_name(shares(0.4, 0.1, 100, Per.OBJECTIVE, 0.001)) == {
        "trivial": pytest.approx((0.8, 0.6))
    }


def test_what_got_slower_saves_less_than_nothing() -> None:
    assert all(share.saved < 0 for share in shares(1.0, 2.0, 10, Per.TRIAL, 0.001))


# --- the trial


ANSWERS = [{"random_s": s, "default_s": 2 * s, "optuna": "5.0.0"} for s in (0.001, 0.002, 0.003)]


def test_the_cost_of_a_trial_is_the_mean_over_processes() -> None:
    found = TrialCost.of(ANSWERS)
    assert found.seconds == pytest.approx(0.002)
    assert found.plus_minus_s == pytest.approx(3 * 0.001 / 3**0.5)
    assert found.default_s == pytest.approx(0.004)
    assert found.optuna == "5.0.0"


@pytest.mark.parametrize(("quick", "processes"), [(True, 2), (False, 3)])
def test_each_process_is_a_fresh_one(
    monkeypatch: pytest.MonkeyPatch, quick: bool, processes: int
) -> None:
    commands = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps(ANSWERS[0]))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(_claims_trial, "pair_core", lambda: 1)
    assert trial_cost(quick=quick).seconds == pytest.approx(0.001)
    assert commands == [[sys.executable, "-m", "benchmarks._claims_trial", "1"]] * processes


def test_a_study_that_does_not_run_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Trace\nImportError: no optuna\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: failed)
    with pytest.raises(NotMeasuredError, match=r"could not be run: ImportError: no optuna$"):
        trial_cost(quick=True)


def test_a_process_answers_with_seconds_of_both_samplers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trials a study: that it runs, not how long."""
    monkeypatch.setattr(_claims_trial, "TRIALS", 2)
    monkeypatch.setattr(_claims_trial, "STUDIES", 1)
    assert _claims_trial._main([]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"random_s", "default_s", "optuna"}
    assert answer["random_s"] > 0 < answer["default_s"]
