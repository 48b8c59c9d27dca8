"""The figures of a claim: factors, seconds, shares, counts and bytes, by the same rule."""

from __future__ import annotations

import math

import pytest
from sample_claims import amount, claim, measured

from benchmarks._claims_figures import (
    ClaimVerdict,
    Figure,
    Unit,
    factor,
    found_figures,
    judged,
    reported_figures,
    together,
    unclear,
)
from benchmarks._claims_measured import Amount
from benchmarks._claims_share import OBJECTIVES, RUN
from benchmarks._claims_table import Per, Range

EXCEEDED, REPRODUCED = ClaimVerdict.EXCEEDED, ClaimVerdict.REPRODUCED
NOT_REPRODUCED = ClaimVerdict.NOT_REPRODUCED


@pytest.mark.parametrize(
    ("reported", "found", "verdict"),
    [
        ((100.0, 100.0), Amount(110.0, 100.1, 120.0), EXCEEDED),
        ((100.0, 100.0), Amount(110.0, 100.0, 120.0), REPRODUCED),
        ((100.0, 100.0), Amount(300.0, 90.0, 900.0), REPRODUCED),
        ((100.0, 100.0), Amount(300.0, 0.9, 9e4), NOT_REPRODUCED),
        ((100.0, 100.0), Amount(90.2, 89.0, 91.0), REPRODUCED),
        ((100.0, 100.0), Amount(90.0, 80.0, 120.0), NOT_REPRODUCED),
        ((1.25, 1.25), Amount(0.5, 0.4, 0.6), NOT_REPRODUCED),
        ((2.0, 5.0), Amount(3.0, 2.9, 3.1), REPRODUCED),
        ((2.0, 5.0), Amount(1.9, 1.8, 2.0), REPRODUCED),
        ((2.0, 5.0), Amount(1.8, 1.8, 1.8), NOT_REPRODUCED),
        ((1.11, 1.18), Amount(1.08, 1.07, 1.09), NOT_REPRODUCED),
        ((2.0, 5.0), Amount(6.0, 5.1, 7.0), EXCEEDED),
    ],
)
def test_the_whole_interval_decides_above_and_a_tenth_of_the_gain_below(
    reported: Range, found: Amount, verdict: ClaimVerdict
) -> None:
    assert judged(Figure(Unit.WALL, *reported, found=found)).verdict is verdict


@pytest.mark.parametrize("unit", [Unit.SECONDS, Unit.SHARE])
@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Amount(0.5, 0.31, 0.6), EXCEEDED),
        (Amount(0.5, 0.3, 0.6), REPRODUCED),
        (Amount(0.181, 0.1, 0.2), REPRODUCED),
        (Amount(0.5, 0.0, 0.9), NOT_REPRODUCED),
        (Amount(0.179, 0.1, 0.2), NOT_REPRODUCED),
        (Amount(-0.1, -0.2, 0.1), NOT_REPRODUCED),
    ],
)
def test_what_is_saved_is_all_gain(unit: Unit, found: Amount, verdict: ClaimVerdict) -> None:
    """Below 0.2 by a tenth of it: 0.18."""
    assert judged(Figure(unit, 0.2, 0.3, found=found)).verdict is verdict


@pytest.mark.parametrize(
    ("bytes_", "verdict"), [(999_999, REPRODUCED), (1_000_000, NOT_REPRODUCED)]
)
def test_bytes_stay_below_what_is_reported(bytes_: int, verdict: ClaimVerdict) -> None:
    figure = Figure(Unit.BYTES, 1e6, 1e6, "bytes", sides=(2_000_000, bytes_))
    assert judged(figure).verdict is verdict


def test_factors_of_nothing() -> None:
    assert factor(0, 0) == 1.0
    assert factor(3, 0) == math.inf
    assert factor(0, 3) == 0.0


def test_the_worst_figure_is_the_claims() -> None:
    def figure(verdict: ClaimVerdict | None) -> Figure:
        return Figure(Unit.WALL, 2.0, 2.0, verdict=verdict)

    assert together([]) is ClaimVerdict.WORKS
    assert together([figure(EXCEEDED), figure(REPRODUCED)]) is REPRODUCED
    assert together([figure(NOT_REPRODUCED), figure(EXCEEDED)]) is NOT_REPRODUCED
    assert together([figure(None), figure(EXCEEDED)]) is EXCEEDED
    assert together([figure(None)]) is ClaimVerdict.FAILED


def test_what_a_claim_reports_in_the_order_in_which_it_is_shown() -> None:
    asked = claim(
        reported_also={"on duplicates": (10.0, 100.0)},
        saved_s=(1.0, 2.0),
        saved_share=(0.01, 0.02),
        counted={"opens": (1.67, 1.67)},
        at_most={"bytes": 1e6},
    )
    assert reported_figures(asked) == (
        Figure(Unit.WALL, 332.0, 332.0),
        Figure(Unit.SECONDS, 1.0, 2.0),
        Figure(Unit.SHARE, 0.01, 0.02),
        Figure(Unit.WALL, 10.0, 100.0, "on duplicates"),
        Figure(Unit.COUNT, 1.67, 1.67, "opens"),
        Figure(Unit.BYTES, 1e6, 1e6, "bytes"),
    )
    assert reported_figures(claim(reported=None)) == ()


def found(figure: Figure, trials: int | None, per: Per = Per.TRIAL) -> Amount | None:
    """20 trials of 5 s each, all of which is saved, less 0.1 s; Optuna takes 0.5 s of a trial."""
    times = measured(1_000.0, before_s=100.0)
    (filled,) = found_figures([figure], times, {}, trials, per, 0.5)
    return filled.found


def test_seconds_are_those_that_a_hundred_trials_save() -> None:
    asked = Figure(Unit.SECONDS, 1.0, 2.0)
    saved = amount(99.9)
    assert found(asked, 20) == saved.times(5.0)
    assert found(asked, 100) == saved
    assert found(asked, None) is None
    assert judged(asked) == asked


def test_a_share_is_one_of_a_run_whose_objective_takes_a_second() -> None:
    """Of a trial: 5 s the slow way, 1 s the objective, 0.5 s Optuna where it is not in the 5."""
    assert OBJECTIVES[RUN] == 1.0
    asked = Figure(Unit.SHARE, 0.01, 0.02)
    share = found(asked, 20)
    assert share is not None
    assert share.value == pytest.approx(99.9 / 20 / 6.5)
    whole = found(asked, 20, Per.RUN)
    assert whole is not None
    assert whole.value == pytest.approx(99.9 / 20 / 6.0)


def test_an_interval_that_reaches_the_reported_figure_leaves_it_open() -> None:
    wide = judged(Figure(Unit.SECONDS, 1.0, 1.0, found=Amount(0.5, 0.0, 1.0)))
    narrow = judged(Figure(Unit.SECONDS, 1.0, 1.0, found=Amount(0.5, 0.4, 0.6)))
    assert wide.verdict is narrow.verdict is NOT_REPRODUCED
    assert unclear(wide)
    assert not unclear(narrow)
