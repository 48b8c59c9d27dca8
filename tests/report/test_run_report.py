"""Tally and RunReport: what is counted, and what is told of it."""

from __future__ import annotations

import doctest
import json
import math
from typing import Any

import pytest

import optimizer.report.run
import optimizer.report.tally
from optimizer.errors import ReportError
from optimizer.report import PHASES, Measured, RunReport, Tally, measured_speedup
from optimizer.report.run import NOT_COMPARED


def sample(**more: Any) -> RunReport:
    figures: dict[str, Any] = {
        "total_s": 10.0,
        "phases_s": {"objective": 12.0, "sampler": 2.0, "storage": 1.0, "cache": 1.0, "idle": 6.0},
        "workers": 2,
        "where": "in processes: a trial takes longer than its way there",
        "states": {"COMPLETE": 30, "PRUNED": 8, "FAIL": 12},
        "served": 10,
        "cores": 4,
        "cpu_s": 20.0,
        "parent_peak_bytes": 100_000_000,
        "worker_peak_bytes": (50_000_000, 60_000_000),
    }
    return RunReport(**figures | more)


def test_doctests() -> None:
    for module in (optimizer.report.run, optimizer.report.tally):
        failed, tried = doctest.testmod(module)
        assert failed == 0
        assert tried > 0


def test_figures() -> None:
    report = sample()
    assert report.trials == 50
    assert report.mean_trial_s == 0.2
    assert report.hit_rate == 0.2
    assert report.sequential_s == 16.0
    assert report.parallel_efficiency == 0.8
    assert report.cpu_use_ratio == 0.5
    assert report.peak_bytes == 210_000_000
    assert report.speedup_measured is None


def test_a_run_of_nothing_divides_by_nothing() -> None:
    report = RunReport(total_s=0.0)
    figures = report.to_dict()
    names = ("mean_trial_s", "hit_rate", "parallel_efficiency", "cpu_use_ratio", "trials")
    assert [figures[name] for name in names] == [0.0] * 5
    said = "not measured: optimize(compare=20) also runs 20 trials by plain Optuna\n"
    assert said in report.text()
    tried = RunReport(total_s=0.0, remarks=(f"{NOT_COMPARED}no plain trial",)).text()
    assert "not measured: see below\n" in tried
    assert tried.endswith("\nnot compared: no plain trial")


def test_the_dict_is_plain_and_whole() -> None:
    report = sample(speedup=Measured(3.0, 2.5, 3.5, 8), remarks=("a line",))
    figures = json.loads(json.dumps(report.to_dict()))
    assert figures == report.to_dict()
    assert set(figures["phases_s"]) == set(PHASES)
    assert figures["phases_s"]["transport"] == 0.0
    assert figures["speedup"] == {"value": 3.0, "low": 2.5, "high": 3.5, "n": 8}
    assert figures["speedup_measured"] == 3.0
    assert (figures["peak_bytes"], figures["remarks"]) == (210_000_000, ["a line"])


def test_the_text() -> None:
    text = sample(speedup=Measured(3.0, 2.5, 3.5, 8), retried=2, remarks=("last line",)).text()
    for part in (
        "50 (30 complete, 8 pruned, 12 fail)",
        "10.00 s",
        "200.0 ms",
        "2 workers, in processes: a trial takes longer than its way there",
        "10 (hit rate 20.0%)",
        "80.0% (16.00 s of work in 10.00 s by 2 workers)",
        "50.0% of 4 cores (20.00 s of CPU time)",
        "100 MB, workers 50 MB, 60 MB",
        "3.00 (2.50 to 3.50, 95%), measured on 8 trials of the plain loop",
        "(the objective's time is the sum over the workers)",
    ):
        assert part in text
    assert text.endswith("\nlast line")
    rows = dict(line.rsplit("  ", 1) for line in text.splitlines() if line.endswith("%"))
    assert [figure.strip() for figure in rows.values()][-6:] == [
        *("120.0%", "20.0%", "10.0%", "10.0%", "0.0%", "60.0%")
    ]
    assert "started again" in text
    assert "drawn again" not in text  # a count of nothing that was not asked for is left out
    repeats = sample(repeated=10).text()
    assert "50 (30 complete, 8 pruned, 2 fail, 10 served)" in repeats
    assert "10 (hit rate 20.0%), 10 of them told FAIL: the study has the point" in repeats
    ended = sample(interrupted=12).text()
    assert "50 (30 complete, 8 pruned, 12 interrupted)" in ended
    assert "(interrupted: under way when the run was ended; they are told FAIL)" in ended
    assert "interrupted" not in text
    started = sample(start_s=0.25, phases_s={"sampler": 5.0}).text()
    assert "workers ready after    250.0 ms\n" in started
    assert "(sampler: its first TPE suggestion loads, or once compiles, its kernels)" in started
    assert "ready after" not in text
    assert "kernels" not in text
    one = sample(workers=1, speedup=Measured(3.0, None, None, 1)).text()
    assert "1 worker, in" in one
    assert "3.00, measured on 1 trial of" in one
    assert "sum over" not in one


def test_the_tally_counts() -> None:
    tally = Tally()
    for phase in PHASES:
        tally.add(phase, 1.0)
    tally.add("objective", 0.5)
    for state in ("COMPLETE", "COMPLETE", "FAIL"):
        tally.told(state)
    tally.served += 1
    tally.resampled += 2
    tally.pruned += 3
    tally.subsampled += 4
    tally.retried += 5
    tally.interrupted += 6
    tally.remarks.append("why")
    assert tally.trials == 3
    report = tally.report(total_s=4.0, workers=2, where="here", workers_cpu_s=100.0, start_s=0.5)
    assert report.phases_s == dict.fromkeys(PHASES, 1.0) | {"objective": 1.5}
    assert report.states == {"COMPLETE": 2, "FAIL": 1}
    counts = report.served, report.resampled, report.pruned, report.subsampled, report.retried
    assert counts == (1, 2, 3, 4, 5)
    assert (report.interrupted, report.start_s) == (6, 0.5)
    assert (report.workers, report.where, report.remarks) == (2, "here", ("why",))
    assert report.cpu_s >= 100.0
    assert report.cores >= 1
    assert report.parent_peak_bytes > 1_000_000
    tally.told("FAIL")  # a report is a snapshot
    assert (report.trials, tally.report().trials) == (3, 4)
    assert tally.report().total_s > 0.0
    with pytest.raises(ReportError, match="phase is 'sleep'; pass one of objective, sampler"):
        tally.add("sleep", 1.0)


def test_speedup() -> None:
    # Mean 3, standard error 1 / sqrt(2), 4 degrees of freedom.
    found = measured_speedup([1.0, 2.0, 3.0, 4.0, 5.0], 1.5)
    assert (found.value, found.n) == (2.0, 5)
    assert found.high == pytest.approx((3.0 + 2.78 * math.sqrt(2.5 / 5)) / 1.5)
    assert found.low == pytest.approx((3.0 - 2.78 * math.sqrt(2.5 / 5)) / 1.5)
    assert measured_speedup([3.0], 1.5) == Measured(2.0, None, None, 1)
    assert measured_speedup([3.0] * 2_000, 1.5) == Measured(2.0, 2.0, 2.0, 2_000)
    wide = measured_speedup([0.1, 9.9], 1.0)
    assert wide.low == 0.0
    for plain, ours in (([], 1.0), ([1.0], 0.0), ([math.nan], 1.0), ([1.0, math.inf], 1.0)):
        with pytest.raises(ReportError, match="compare with more trials"):
            measured_speedup(plain, ours)
