"""On an Optuna that the sampler was not compared with: Optuna's own, with one warning.

These run on every version, the lowest supported too.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from tpe_spaces import SPACES, Sampler, history, plain

from optimizer.sampling import _tpe_optuna
from optimizer.sampling.tpe import HandedOverWarning, IncrementalTPESampler


@pytest.fixture(autouse=True)
def _unverified(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_tpe_optuna, "VERIFIED", ("0.0",))
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def silent(**options: Any) -> IncrementalTPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `group` and `constant_liar`, too: experimental once
        return IncrementalTPESampler(**options)


def test_one_warning_that_says_what_to_do() -> None:
    text = (
        f"found Optuna {optuna.__version__}, .* compared with 0.0 only.*`pip install optuna==0.0`"
    )
    with pytest.warns(HandedOverWarning, match=text) as caught:
        IncrementalTPESampler(seed=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_copies_do_not_warn_again() -> None:
    sampler = silent(seed=2)
    for other in (copy.copy(sampler), copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert other._own is None


@pytest.mark.parametrize("space", ["mixed", "unlucky", "conditional"])
@pytest.mark.parametrize("multivariate", [True, False])
def test_the_same_trials(space: str, multivariate: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = optuna.samplers.TPESampler(seed=5, multivariate=multivariate)
    ours = silent(seed=5, multivariate=multivariate)
    ref = history(theirs, SPACES[space], 30)
    assert history(ours, SPACES[space], 30) == ref
    assert ours.counters.own == 0
    assert ours.counters.handed_over > 0
    assert ours.counters.own_ratio == 0.0


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on(again: Callable[[Any], Any]) -> None:
    def run(sampler: Sampler) -> Any:
        return plain(sampler, 12), plain(again(sampler), 12)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = optuna.samplers.TPESampler(seed=5, multivariate=False)
    assert run(silent(seed=5, multivariate=False)) == run(theirs)
