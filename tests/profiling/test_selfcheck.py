"""Planted studies end to end: the attribution against exclusive timers in the same run."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import script_module

selfcheck: Any = script_module("selfcheck")
needs = [
    pytest.mark.skipif(
        shutil.which("py-spy", path=str(Path(sys.executable).parent)) is None
        and shutil.which("py-spy") is None,
        reason="py-spy is not installed",
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("numba") is None, reason="a planted study compiles with numba"
    ),
]
pytestmark = needs
POINTS = 8.0  # of a run far shorter than the ten seconds that the goal of three points is for


@pytest.mark.stress
def test_a_planted_study_is_attributed() -> None:
    found = selfcheck.check("user_dedup", 2.0, (), sys.executable)
    assert {"objective", "trial records", "data loading", "dedup", "import"} <= set(found.found)
    assert found.worst() < POINTS, found.errors()


@pytest.mark.stress
@pytest.mark.parametrize("study", [*selfcheck.OPEN, *selfcheck.ASIDE])
def test_every_planted_study_is_attributed(study: str) -> None:
    found = selfcheck.check(study, 12.0, (), sys.executable)
    assert found.worst() < POINTS, found.errors()


def test_errors_are_points_of_the_whole() -> None:
    one = selfcheck.Check("x", {"a": 0.5, "b": 0.5}, {"a": 0.53, "c": 0.47}, 10.0, 2_500.0)
    assert one.errors() == pytest.approx({"a": 3.0, "b": -50.0, "c": 47.0})
    assert one.worst() == pytest.approx(50.0)
    assert one.too_far(limit=10.0) == ["b", "c"]
    assert one.scatter("a") == pytest.approx(2.0)
    assert one.scatter("c") == 0.0


def test_long_runs_are_held_to_a_closer_limit() -> None:
    shares = {"storage": 0.5, "sampler": 0.2, "objective": 0.3}
    found = {"storage": 0.512, "sampler": 0.208, "objective": 0.28}
    short, long = (selfcheck.Check("x", shares, found, s, 1e4) for s in (12.0, 60.0))
    assert short.too_far(limit=3.0) == []
    assert long.too_far(limit=3.0) == ["storage"]
    assert long.too_far(limit=0.5) == ["objective", "sampler", "storage"]
