"""The kernels of the sampler against their plain twins, and against Optuna's own functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer._compat import available
from optimizer.reference import tpe as plain
from optimizer.sampling._tpe_optuna import VERIFIED

if not available("numba"):
    pytest.skip("the kernels need numba", allow_module_level=True)

from optimizer.sampling import _tpe_kernels as kernels
from optimizer.sampling import _tpe_order_kernels as orders
from optimizer.sampling._tpe_candidates import (
    Numerical,
    agrees,
    choice_quantiles,
    truncated_normals,
)

verified = pytest.mark.skipif(
    optuna.__version__ not in VERIFIED, reason="compared with these versions of Optuna only"
)
few = settings(max_examples=30, deadline=None)
many = settings(max_examples=1000, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def values_of(random: np.random.RandomState, n: int) -> Any:
    """Without, with some or with many equal ones."""
    kind = random.randint(3)
    if kind == 0:
        return random.uniform(-1, 1, n)
    return random.randint(0, 3 if kind == 1 else 200, n) / 100 - 1


# --- bandwidths


def check_bandwidths(seed: int) -> None:
    random = np.random.RandomState(seed)
    n, width = random.randint(0, 30), random.randint(1, 4)
    mus = np.array([[*values_of(random, n), 0.0] for _ in range(width)])
    order = np.argsort(mus[:, :n], axis=-1)
    lows, highs = np.full(width, -1.0), np.full(width, 1.0)
    floors = np.full(width, 2.0 / min(100.0, 2.0 + n))
    ref, comp = np.empty_like(mus), np.empty_like(mus)
    plain.bandwidths(mus, order, lows, highs, floors, ref)
    orders.bandwidths(mus, order, lows, highs, floors, comp)
    np.testing.assert_array_equal(comp, ref)


@few
@given(SEEDS)
def test_bandwidths(seed: int) -> None:
    check_bandwidths(seed)


@pytest.mark.stress
@many
@given(SEEDS)
def test_bandwidths_often(seed: int) -> None:
    check_bandwidths(seed)


# --- kept orders


def check_kept_order(seed: int) -> None:
    """Rows put in one by one lie in order; where the order matters, it is said."""
    random = np.random.RandomState(seed)
    n = random.randint(1, 80)
    values = values_of(random, n)
    order = np.empty(n, np.int64)
    count = 0
    arriving = random.permutation(n)
    for part in np.array_split(arriving, random.randint(1, 5)):
        count = orders.keep_sorted(order, count, values, part)
    assert count == n
    assert (np.diff(values[order]) >= 0).all()
    assert sorted(order.tolist()) == list(range(n))
    members = np.flatnonzero(random.rand(n) < 0.8)
    rank = np.full(n, -1, np.int64)
    rank[members] = np.arange(len(members))
    found = np.empty(len(members), np.int64)
    floor = 2.0 / min(100.0, 2.0 + len(members))
    if orders.order_of_members(order, n, rank, values, floor, 2.0, found):
        mus = np.append(values[members], 0.0)[np.newaxis]
        bounds = (np.array([-1.0]), np.array([1.0]), np.array([floor]))
        ref, comp = np.empty_like(mus), np.empty_like(mus)
        plain.bandwidths(mus, np.argsort(mus[:, :-1], axis=-1), *bounds, ref)
        plain.bandwidths(mus, found[np.newaxis], *bounds, comp)
        np.testing.assert_array_equal(comp, ref)
    else:
        assert len(np.unique(values[members])) < len(members)


@few
@given(SEEDS)
def test_kept_order(seed: int) -> None:
    check_kept_order(seed)


@pytest.mark.stress
@many
@given(SEEDS)
def test_kept_order_often(seed: int) -> None:
    check_kept_order(seed)


# --- densities


def mixture(random: np.random.RandomState) -> tuple[tuple[Any, ...], int]:
    n, size = random.randint(1, 700), random.randint(1, 30)
    cont, disc, cat = random.randint(0, 4, 3)
    columns = random.randint(1, 20)
    tables = -random.exponential(10.0 ** random.randint(-1, 2), (disc, size * columns))
    starts = columns * random.randint(0, size, (disc, size))
    starts += (np.arange(disc) * size * columns)[:, np.newaxis]
    chosen = random.randint(0, 5, (cat, n))
    chosen[:, -1] = -1
    arrays = (
        np.log(random.rand(n) + 1e-3),
        random.uniform(-1, 1, (cont, size)),
        random.uniform(-1, 1, (cont, n)),
        1 / random.uniform(0.01, 2, (cont, n)),
        tables.ravel(),
        starts.astype(np.int64),
        random.randint(0, columns, (disc, n)),
        random.randint(0, 5, (cat, size)),
        chosen,
        np.log(random.dirichlet([1, 1, 1], cat)).reshape(cat, 3),
    )
    return arrays, size


def check_log_density(seed: int) -> None:
    arrays, size = mixture(np.random.RandomState(seed))
    ref, comp = np.empty(size), np.empty(size)
    plain.log_density(*(*arrays, ref))
    kernels.log_density(*(*arrays, comp))
    # Summed in another order, with another exp: far below what decides between candidates.
    np.testing.assert_allclose(comp, ref, rtol=1e-12, atol=2e-11)


@few
@given(SEEDS)
def test_log_density(seed: int) -> None:
    check_log_density(seed)


@pytest.mark.stress
@many
@given(SEEDS)
def test_log_density_often(seed: int) -> None:
    check_log_density(seed)


@few
@given(SEEDS)
def test_mass_table(seed: int) -> None:
    random = np.random.RandomState(seed)
    mus, sigmas = random.uniform(-1, 1, 7), random.uniform(0.02, 2, 7)
    cells = random.randint(-10, 10, 9) / 10
    of = np.arange(7)
    table, starts = np.zeros(9 * 7), np.empty(9, np.int64)
    kernels.mass_table(cells, cells + 0.1, mus, sigmas, of, -1.0, 1.1, 1e9, table, starts)
    for c, start in enumerate(starts):
        for u in range(7):
            ref = plain.log_mass(
                (cells[c] - mus[u]) / sigmas[u], (cells[c] + 0.1 - mus[u]) / sigmas[u]
            ) - plain.log_mass((-1.0 - mus[u]) / sigmas[u], (1.1 - mus[u]) / sigmas[u])
            # Differences of numbers near 1: rounded by the inverse of the mass.
            assert table[start + u] == pytest.approx(ref, rel=1e-11, abs=1e-11)


# --- drawing, bit for bit


@verified
@few
@given(SEEDS)
def test_quantiles_are_optunas(seed: int) -> None:
    from optuna.samplers._tpe import _truncnorm

    random = np.random.RandomState(seed)
    width, n, size = random.randint(1, 6), random.randint(1, 27), random.randint(1, 40)
    lows, highs = np.full(width, -1.0), np.full(width, 1.0)
    mus = random.uniform(-1, 1, (width, n))
    if random.rand() < 0.2:
        mus[0, 0] = random.choice([-1.0, 1.0, -1.5])  # on the edge, or outside
    sigmas = 2.0 / random.uniform(1, 100, (width, n))
    active = random.randint(0, n, size)
    quantiles = random.random_sample((width, size))
    with np.errstate(all="ignore"):
        comp = truncated_normals(
            active, Numerical(mus, sigmas, lows, highs), quantiles, _truncnorm.ppf
        )
        mu, sigma = mus[:, active], sigmas[:, active]
        ref = _truncnorm.ppf(quantiles, (-1.0 - mu) / sigma, (1.0 - mu) / sigma) * sigma + mu
    np.testing.assert_array_equal(comp, ref)


@verified
def test_this_machine_agrees_with_optuna() -> None:
    from optuna.samplers._tpe import _truncnorm

    assert agrees(_truncnorm.ppf)
    assert not agrees(lambda q, a, b: _truncnorm.ppf(q, a, b) + 1e-12)


@pytest.mark.parametrize("n_choices", [1, 2, 7, 8, 9, 130])
@pytest.mark.parametrize("n", [0, 1, 26])
def test_quantiles_of_choices(n_choices: int, n: int) -> None:
    observed = np.arange(n) % n_choices
    weights = np.full((n + 1, n_choices), 1.0 / (n + 1))
    weights[np.arange(n), observed] += 1
    weights /= weights.sum(axis=1, keepdims=True)
    ref = np.cumsum(weights, axis=-1)
    ref[:, -1] = 1
    comp = choice_quantiles(n + 1, n_choices, 1.0, np.append(observed, -1))
    np.testing.assert_array_equal(comp, ref)


@pytest.mark.parametrize("at", [-37.0, -20.5, -19.0, -1.5, -0.5, 0.3, 2.0, 6.5])
def test_log_of_the_normal_distribution(at: float) -> None:
    x, z, difference, exponent = np.array([at]), np.zeros(1), np.empty(1), np.empty(1)
    kernels.quantile_argument(x, z, difference, exponent)
    ref = plain.log_tail(at) if at <= 0 else math.log1p(-math.exp(plain.log_tail(-at)))
    assert difference[0] == pytest.approx(ref, rel=1e-13)
