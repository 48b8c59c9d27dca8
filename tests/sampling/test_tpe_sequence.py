"""The same sequence of suggestions as Optuna's own sampler."""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal

import optuna
import pytest
from tpe_spaces import OPTIONS, SPACES, history, verified

from optimizer.sampling.tpe import IncrementalTPESampler

COUNTS = "OPTIMIZER_TPE_COUNTS"
"""Environment variable: a file for the lines of the long comparison."""

pytestmark = [verified, pytest.mark.usefixtures("quiet")]


def both(
    space: str,
    seed: int,
    options: dict[str, Any],
    n_trials: int,
    direction: Literal["minimize", "maximize"] = "minimize",
) -> tuple[Any, Any, IncrementalTPESampler]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `group` is experimental
        theirs = optuna.samplers.TPESampler(seed=seed, **options)
        ours = IncrementalTPESampler(seed=seed, **options)
    ref = history(theirs, SPACES[space], n_trials, direction)
    comp = history(ours, SPACES[space], n_trials, direction)
    return ref, comp, ours


QUICK = [(space, "default") for space in SPACES]
QUICK += [(space, "alone") for space in ("mixed", "conditional", "moving", "categories")]
QUICK += [
    (space, options)
    for space in ("conditional", "unlucky", "categories")
    for options in ("honest", "group")
]


@pytest.mark.parametrize(("space", "options"), QUICK)
def test_the_same_trials(space: str, options: str) -> None:
    up = space in {"steps", "unlucky"}
    ref, comp, sampler = both(space, 5, OPTIONS[options], 40, "maximize" if up else "minimize")
    assert comp == ref
    assert sampler.counters.own_ratio == 1.0
    assert sampler.counters.own > 20


LONG = [
    (seed, space, options)
    for seed in range(5)
    for space in sorted(SPACES, key=("conditional", "unlucky", "moving").__contains__, reverse=True)
    for options in OPTIONS
]


@pytest.mark.stress
@pytest.mark.parametrize(("seed", "space", "options"), LONG)
def test_the_same_thousand_trials(seed: int, space: str, options: str) -> None:
    """How much was compared is printed (`-rP`), and appended to the file named by COUNTS."""
    ref, comp, sampler = both(space, seed, OPTIONS[options], 1000)
    equal = sum(one == other for one, other in zip(ref, comp, strict=True))
    counters = sampler.counters
    line = (
        f"{space}, seed {seed}, {options}: {equal} of {len(ref)} trials equal, "
        f"{counters.own + counters.handed_over} suggestions compared, "
        f"{counters.own_ratio:.2%} from the own path ({counters})"
    )
    print(line)
    if COUNTS in os.environ:
        with open(os.environ[COUNTS], "a", encoding="utf-8") as file:
            print(line, file=file)
    assert comp == ref
    assert counters.own_ratio >= 0.99
