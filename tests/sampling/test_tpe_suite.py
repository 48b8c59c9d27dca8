"""Optuna's own tests of samplers, on ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler

from optimizer.sampling.tpe import HandedOverWarning, IncrementalTPESampler

pytestmark = pytest.mark.usefixtures("quiet")

suite: Any = pytest.importorskip("optuna.testing.pytest_samplers")


@pytest.fixture(autouse=True)
def _no_news_of_samplers() -> Iterator[None]:
    with warnings.catch_warnings():
        # Of the samplers that the suite itself combines ours with, and of other Optunas.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", HandedOverWarning)
        yield


class TestBasic(suite.BasicSamplerTestCase):  # type: ignore[misc]  # found while running
    @pytest.fixture(
        params=[
            {},
            pytest.param({"multivariate": False}, marks=pytest.mark.stress),
            pytest.param({"constant_liar": False}, marks=pytest.mark.stress),
        ],
        ids=str,
    )
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: IncrementalTPESampler(n_startup_trials=0, **request.param)


class TestRelative(suite.RelativeSamplerTestCase):  # type: ignore[misc]  # found while running
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: IncrementalTPESampler(n_startup_trials=0, multivariate=True)


class TestMultiObjective(suite.MultiObjectiveSamplerTestCase):  # type: ignore[misc]  # likewise
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: IncrementalTPESampler(n_startup_trials=0)
