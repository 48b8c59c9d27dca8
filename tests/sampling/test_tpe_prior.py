"""Candidates far from every observation, among which the last digits of the priors decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from tpe_spaces import Sampler

from optimizer._compat import available
from optimizer.sampling._tpe_optuna import VERIFIED

if not available("numba"):
    pytest.skip("the kernels need numba", allow_module_level=True)
if optuna.__version__ not in VERIFIED:
    pytest.skip("on this Optuna every suggestion is handed over", allow_module_level=True)

from optimizer.sampling import _tpe_mixture, _tpe_prior
from optimizer.sampling.tpe import IncrementalTPESampler

pytestmark = pytest.mark.usefixtures("quiet")

DISTRIBUTIONS: dict[str, Any] = {
    "c": CategoricalDistribution(["a", "b", "c"]),
    "x": FloatDistribution(-5, 5),
    "fine": FloatDistribution(0, 1, step=0.001),
    "flag": CategoricalDistribution([str(number) for number in range(40)]),
    "rate": FloatDistribution(1e-5, 1, log=True),
    "n": IntDistribution(1, 100),
    "log": IntDistribution(1, 4096, log=True),
    "y": FloatDistribution(1e6, 1e6 + 10),
}


def converged(n: int) -> list[optuna.trial.FrozenTrial]:
    """Trials that all lie close together."""
    random = np.random.RandomState(0)
    return [
        optuna.trial.create_trial(
            params={
                "c": "b",
                "x": 1.0 + random.uniform(-1, 1) / 100,
                "fine": round(0.2 + random.randint(20) / 1000, 3),
                "flag": str(random.randint(3)),
                "rate": 1e-4 * random.uniform(1, 1.05),
                "n": int(random.randint(20, 23)),
                "log": int(random.randint(8, 10)),
                "y": 1e6 + random.uniform(2, 2.01),
            },
            distributions=DISTRIBUTIONS,
            value=float(random.rand()),
        )
        for _ in range(n)
    ]


def drawn(n: int, n_below: int, seed: int, n_candidates: int) -> tuple[Any, ...]:
    """Optuna's parts, both mixtures, candidates, and Optuna's own gains of them."""
    sampler = IncrementalTPESampler(seed=seed, n_ei_candidates=n_candidates)
    study = optuna.create_study(sampler=sampler)
    study.add_trials(converged(n))
    kept, suggester = sampler._observations(study), sampler._suggester
    assert kept is not None
    assert suggester is not None
    kept.catch_up(study.get_trials(deepcopy=False))
    space, columns = suggester._taken_apart(DISTRIBUTIONS), kept.columns_of(DISTRIBUTIONS)
    split = kept.split(tuple(DISTRIBUTIONS), n_below, [])
    below, above = (
        suggester._compiled.Mixture(
            space, columns, rows, kept.rank, suggester._weights(len(rows)), suggester._settings
        )
        for rows in split
    )
    candidates = below.draw(np.random.RandomState(seed), suggester._parts.quantile)
    below.log_density(candidates)
    above.log_density(candidates)
    values = dict(zip(DISTRIBUTIONS, candidates.values, strict=True))
    good, bad = (one.log_pdf(values) for one in suggester._mixtures(columns, split, DISTRIBUTIONS))
    return suggester._parts, below, above, candidates, good - bad


@pytest.mark.parametrize(("n", "n_below"), [(30, 0), (300, 100), (900, 100)])
def test_the_digits_of_the_priors(n: int, n_below: int) -> None:
    """With many observations Optuna takes another error function, so here too."""
    for seed in range(2):
        parts, below, above, candidates, ref = drawn(n, n_below, seed, 300)
        far: list[int] = []
        for i in range(300):
            comp = _tpe_prior.gains_of_priors(parts, below, above, candidates, np.array([i]))
            if comp is not None:
                assert comp == ref[i]
                far.append(i)
            if len(far) == 10:
                break
        assert far
        comp = _tpe_prior.gains_of_priors(parts, below, above, candidates, np.array(far))
        assert comp is not None
        np.testing.assert_array_equal(comp, ref[far])


def test_not_where_others_count() -> None:
    """Close to the observations the prior is a part of the sum, and Optuna decides."""
    parts, below, above, candidates, _ = drawn(300, 100, 0, 24)
    for near in (np.arange(24), np.empty(0, np.int64)):
        assert _tpe_prior.gains_of_priors(parts, below, above, candidates, near) is None


def test_the_digits_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tie of the priors is decided without Optuna's mixtures; any other is decided by them."""
    trials = converged(300)

    def run(sampler: Sampler) -> Any:
        study = optuna.create_study(sampler=sampler)
        study.add_trials(trials)
        return study.ask(DISTRIBUTIONS).params

    for is_prior in (True, False):
        ref: list[Any] = []

        def gains(*args: Any, is_prior: bool = is_prior, ref: list[Any] = ref) -> Any:
            ref.append(args[-1])
            return -np.arange(len(args[-1]), dtype=float) if is_prior else None

        monkeypatch.setattr(_tpe_mixture, "contenders", lambda *_: np.array([3, 5]))
        monkeypatch.setattr(_tpe_prior, "gains_of_priors", gains)
        sampler = IncrementalTPESampler(seed=2)
        run(sampler)
        assert [one.tolist() for one in ref] == [[3, 5]]
        assert sampler.counters.exact == (0 if is_prior else 1)
