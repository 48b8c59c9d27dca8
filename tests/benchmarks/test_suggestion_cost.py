"""What a suggestion costs by the number of trials: measured on equal suggestions, told by size."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from benchmarks import _suggestion_cost, sampling
from benchmarks._suggestion_cost import (
    Cost,
    DifferentSuggestionsError,
    growth,
    lines_of,
    milliseconds_per_suggestion,
)
from optimizer.sampling._tpe_optuna import VERIFIED

verified = pytest.mark.skipif(
    optuna.__version__ not in VERIFIED, reason="elsewhere the sampler hands over to Optuna's"
)


@verified
@pytest.mark.parametrize("densities", sampling._OPTIONS)
def test_both_samplers_are_timed_on_the_same_suggestions(densities: str) -> None:
    cost = milliseconds_per_suggestion(12, taken=1, densities=densities)
    assert cost.n == 12
    assert cost.ours_ms > 0 < cost.optunas_ms
    assert cost.speedup == pytest.approx(cost.optunas_ms / cost.ours_ms)
    draws = 1 if densities == "multivariate" else 10
    assert cost.own + cost.handed_over == draws * (1 + _suggestion_cost.ROUNDS)


def test_samplers_that_differ_have_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: Any, **options: Any) -> Any:
        return self.optuna.samplers.TPESampler(seed=1, n_ei_candidates=5)

    monkeypatch.setattr(sampling._Samplers, "_optunas", other)
    with pytest.raises(DifferentSuggestionsError, match="at n = 12 the samplers differ"):
        milliseconds_per_suggestion(12, taken=1)


def test_how_a_cost_grows() -> None:
    assert growth([(10, 2.0), (100, 20.0)]) == pytest.approx(1.0)
    assert growth([(10, 2.0), (100, 2.0)]) == pytest.approx(0.0)
    assert growth([(10, 1.0), (100, 100.0), (1_000, 100.0)]) == pytest.approx(1.0)


COSTS = [Cost(100, 1.0, 5.0, 16, 0, 0), Cost(10_000, 10.0, 500.0, 15, 2, 1)]


def test_the_lines_say_where_the_suggestions_came_from() -> None:
    few, many, grown = lines_of(COSTS)
    assert few.startswith(
        "n =     100:     1.00 ms, Optuna      5.00 ms,   5.0x; own path 16 of 16"
    )
    assert many.endswith("50.0x; own path 15 of 16, 2 decided by Optuna's arithmetic")
    assert grown == "from 100 to 10,000 ours grows as n^0.50, Optuna's as n^1.00"
    assert len(lines_of(COSTS[:1])) == 1


def test_the_command_takes_the_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def measured(n: int) -> Cost:
        asked.append(n)
        return Cost(n, 1.0, 2.0, 1, 0, 0)

    monkeypatch.setattr(_suggestion_cost, "milliseconds_per_suggestion", measured)
    assert _suggestion_cost.main(["10", "20"]) == 0
    assert _suggestion_cost.main([]) == 0
    assert asked == [10, 20, *_suggestion_cost.SIZES]
    assert capsys.readouterr().out.count("own path 1 of 1") == 6
