"""The two mixtures that TPE compares, from kept observations: drawing candidates, and the winner.

Candidates are drawn bit for bit as Optuna draws them. Which of them wins needs no equal bits: the
densities are summed in whatever order is fastest, and where the two best distinct candidates come
closer than rounding could have moved them, the caller computes them again as Optuna does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from optimizer.sampling import _tpe_kernels as kernels
from optimizer.sampling import _tpe_order_kernels as orders
from optimizer.sampling._tpe_candidates import Numerical, choice_quantiles, truncated_normals
from optimizer.sampling._tpe_observations import Column

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEW = 64  # observations: so many are sorted anew faster than found in a kept order
_ROUNDING = 1e-9
"""More than the sums of both sides can differ by, for densities."""
_CELL_ROUNDING = 1e-12
"""The same for the mass of a cell, for each cell of the grid: a narrow cell is a difference."""
_FAR_ROUNDING = 1e-14
"""The same, times the square of how many bandwidths an observation lies outside of its bounds."""
_DEPTH = 60.0
_DEPTH_OF_A_NUMBER = 6.0
"""As logarithms: what is negligible, and how much denser than the prior one parameter can be, for
no bandwidth is narrower than a hundredth of the range."""


class Space:
    """A search space, taken apart once: which parameters, in the arrays of the kernels."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.names = tuple(distributions)
        values = list(distributions.values())
        self.categorical = [
            i for i, one in enumerate(values) if isinstance(one, CategoricalDistribution)
        ]
        numerical: list[tuple[int, Any]] = [
            (i, one) for i, one in enumerate(values) if i not in self.categorical
        ]
        self.drawn_at = np.argsort([one.step is not None for _, one in numerical], kind="stable")
        # The continuous ones first; each is drawn as Optuna draws it, whatever its place here.
        self.numerical = [i for i, one in numerical if one.step is None]
        self.n_continuous = len(self.numerical)
        self.numerical += [i for i, one in numerical if one.step is not None]
        self.n_choices = [len(values[i].choices) for i in self.categorical]  # type: ignore[attr-defined]  # categorical
        numbers: list[Any] = [values[i] for i in self.numerical]
        self.steps = [one.step for one in numbers]
        self.logs = [i for i, one in enumerate(numbers) if one.log]
        self.continuous_logs = [i for i in self.logs if i < self.n_continuous]
        wide = [_widened(one) for one in numbers]
        # Optuna takes these logarithms by numpy for bandwidths, and by the C library for masses.
        self.lows = np.array([np.log(low) if log else low for low, _, log in wide], np.float64)
        self.highs = np.array([np.log(high) if log else high for _, high, log in wide], np.float64)
        self.least = np.array([math.log(low) if log else low for low, _, log in wide], np.float64)
        self.most = np.array([math.log(high) if log else high for _, high, log in wide], np.float64)
        grid = numbers[self.n_continuous :]
        self.grid_low = np.array([[one.low] for one in grid], np.float64).reshape(-1, 1)
        self.grid_high = np.array([[one.high] for one in grid], np.float64).reshape(-1, 1)
        self.grid_step = np.array([[one.step] for one in grid], np.float64).reshape(-1, 1)
        cells = sum((one.high - one.low) / one.step + 1 for one in grid)
        self.depth = _DEPTH + _DEPTH_OF_A_NUMBER * len(numbers)
        self.depth += sum(math.log(count) for count in self.n_choices)
        self.tolerance = _ROUNDING + _CELL_ROUNDING * cells


def _widened(one: Any) -> tuple[float, float, bool]:
    if one.step is None:
        return one.low, one.high, one.log
    return one.low - one.step / 2, one.high + one.step / 2, one.log


class Settings(NamedTuple):
    """What Optuna's sampler was made with."""

    prior_weight: float
    magic_clip: bool
    n_candidates: int


class Read(NamedTuple):
    """What the densities were read from: see `kernels.log_density`."""

    base: Floats
    mus: Floats
    inverse: Floats
    tables: Floats
    starts: Ints
    ids: Ints
    choices: Ints
    hits: Floats
    distinct: list[Ints]  # of each parameter with a step, one component of each mu and sigma


class Mixture:
    """One mixture: an observation each, ascending by trial number, and the prior as the last.

    Args:
        weights: (n + 1,) normalised.
    """

    def __init__(
        self,
        space: Space,
        columns: list[Column],
        rows: Ints,
        rank: Ints,
        weights: Floats,
        settings: Settings,
    ) -> None:
        self.space, self.columns, self.rows = space, columns, rows
        self.weights, self.settings = weights, settings
        n = len(rows)
        self.mus = np.empty((len(space.numerical), n + 1))
        for d, i in enumerate(space.numerical):
            np.take(columns[i].mus, rows, out=self.mus[d, :n])
        self.mus[:, n] = 0.5 * (space.lows + space.highs)
        self.sigmas = np.empty_like(self.mus)
        wide = space.highs - space.lows
        floors = wide / min(100.0, 2.0 + n) if settings.magic_clip else np.full(len(wide), 1e-12)
        self.order = self._order(rank, floors)
        self.rounding = self._rounding(floors)
        orders.bandwidths(self.mus, self.order, space.lows, space.highs, floors, self.sigmas)
        self.read: Read | None = None
        self.chosen = np.full((len(space.categorical), n + 1), -1, np.int64)
        for d, i in enumerate(space.categorical):
            self.chosen[d, :n] = columns[i].raw[rows]

    def _order(self, rank: Ints, floors: Floats) -> Ints:
        """What sorts the means; among equal ones the order is that of numpy's argsort.

        Which of equal values comes first decides who gets which bandwidth, and numpy's order is no
        stable one. Kept orders serve where that makes no difference: mostly.
        """
        n, space = len(self.rows), self.space
        if n < _FEW:
            return np.argsort(self.mus[:, :n], axis=-1)
        order = np.empty((len(self.mus), n), np.int64)
        rank.fill(-1)
        rank[self.rows] = np.arange(n)
        for d, i in enumerate(space.numerical):
            column = self.columns[i]
            rows, count = column.sorted_rows(orders.keep_sorted)
            widest = space.highs[d] - space.lows[d]
            if not orders.order_of_members(
                rows, count, rank, column.mus, floors[d], widest, order[d]
            ):
                order[d] = np.argsort(self.mus[d, :n])
        return order

    def _rounding(self, floors: Floats) -> float:
        """What observations outside of the bounds add to the rounding: there, masses are tiny."""
        if not len(self.rows):
            return 0.0
        every = np.arange(len(self.mus))
        least, most = (self.mus[every, self.order[:, place]] for place in (0, -1))
        outside = np.maximum(self.space.least - least, most - self.space.most)
        return _FAR_ROUNDING * float(((np.maximum(outside, 0.0) / floors) ** 2).sum())

    def draw(self, rng: np.random.RandomState, plain: Any) -> Candidates:
        """Candidates from this mixture, taking the same numbers from the generator as Optuna."""
        space, size = self.space, self.settings.n_candidates
        # What `rng.choice` does with probabilities, without its checks of them.
        cumulative = self.weights.cumsum()
        cumulative /= cumulative[-1]
        active = cumulative.searchsorted(rng.random_sample(size), side="right")
        values = np.empty((len(space.names), size))
        n_kernels = len(self.weights)
        for d, i in enumerate(space.categorical):
            quantiles = choice_quantiles(
                n_kernels, space.n_choices[d], self.settings.prior_weight, self.chosen[d, active]
            )
            drawn = rng.rand(size)
            values[i] = (quantiles < drawn[:, np.newaxis]).sum(axis=-1)
        numbers = np.empty((0, size))
        if space.numerical:
            drawn = rng.uniform(low=0, high=1, size=(len(space.numerical), size))
            mixture = Numerical(self.mus, self.sigmas, space.least, space.most)
            numbers = truncated_normals(active, mixture, drawn[space.drawn_at], plain)
            if space.logs:
                numbers[space.logs] = np.exp(numbers[space.logs])
            at = numbers[: space.n_continuous].copy()
            if space.continuous_logs:
                # Not what went into exp: in a narrow range the digits lost there matter.
                at[space.continuous_logs] = np.log(at[space.continuous_logs])
            on = numbers[space.n_continuous :]
            if len(on):
                low, step = space.grid_low, space.grid_step
                on[:] = np.clip(low + np.round((on - low) / step) * step, low, space.grid_high)
            values[space.numerical] = numbers
            least, most = space.least[: len(at), np.newaxis], space.most[: len(at), np.newaxis]
            within = bool(((at >= least) & (at <= most)).all())
            return Candidates(values, at, numbers, within)
        return Candidates(values, numbers, numbers, True)

    def log_density(self, candidates: Candidates) -> Floats:
        """The logarithm of the density at each candidate, in no particular order of summing."""
        space, n, size = self.space, len(self.rows), self.settings.n_candidates
        base = np.log(self.weights)
        inverse = np.empty((space.n_continuous, n + 1))
        for d in range(space.n_continuous):
            column = self.columns[space.numerical[d]]
            bounds = (float(space.least[d]), float(space.most[d]))
            if column.bounds != bounds:
                column.sigmas.fill(np.nan)
                column.bounds = bounds
            kernels.normalise(
                self.rows, self.mus[d], self.sigmas[d], *bounds,
                column.sigmas, column.terms, inverse[d], base,
            )  # fmt: skip
        tables, starts, ids, distinct = self._masses(candidates)
        choices = np.empty((len(space.categorical), size), np.int64)
        hits = np.empty((len(space.categorical), 3))
        for d, i in enumerate(space.categorical):
            choices[d] = candidates.values[i]
            part = self.settings.prior_weight / (n + 1)
            whole = 1 + space.n_choices[d] * part
            hits[d] = (
                math.log((1 + part) / whole), math.log(part / whole), -math.log(space.n_choices[d])
            )  # fmt: skip
        out = np.empty(size)
        mus = self.mus[: space.n_continuous]
        kernels.log_density(
            base, candidates.at, mus, inverse, tables, starts, ids, choices, self.chosen, hits, out
        )
        self.read = Read(base, mus, inverse, tables, starts, ids, choices, hits, distinct)
        return out

    def _masses(self, candidates: Candidates) -> tuple[Floats, Ints, Ints, list[Ints]]:
        """Of parameters with a step: log masses, where rows begin, columns, their components."""
        space, n, size = self.space, len(self.rows), self.settings.n_candidates
        discrete = range(space.n_continuous, len(space.numerical))
        starts = np.empty((len(discrete), size), np.int64)
        ids = np.empty((len(discrete), n + 1), np.int64)
        depth = math.inf
        if self.settings.magic_clip:
            # A narrow component, or a heavy one, can be that much denser than the prior.
            depth = space.depth + math.log(self.weights.max() / self.weights[-1])
        tables = []
        every = []
        begin = 0
        of = np.empty(n + 1, np.int64)
        for d, at in enumerate(discrete):
            mus, sigmas = self.mus[at], self.sigmas[at]
            count = orders.distinct(mus, sigmas, self.order[at], ids[d], of)
            half = space.steps[at] / 2
            left, right = candidates.numbers[at] - half, candidates.numbers[at] + half
            if at in space.logs:
                left, right = np.log(left), np.log(right)
            table = np.empty(size * count)
            kernels.mass_table(
                left, right, mus, sigmas, of[:count],
                space.least[at], space.most[at], depth, table, starts[d],
            )  # fmt: skip
            starts[d] += begin
            begin += len(table)
            tables.append(table)
            every.append(of[:count].copy())
        return np.concatenate(tables) if tables else np.empty(0), starts, ids, every


class Candidates(NamedTuple):
    """Candidates: (parameters, candidates) as drawn, and two views of the numerical ones."""

    values: Floats  # every parameter, as Optuna would hold them
    at: Floats  # continuous parameters, on the scale of the densities
    numbers: Floats  # numerical parameters, as drawn
    within: bool  # whether no rounding led out of the bounds, where Optuna's densities are zero


def contenders(candidates: Candidates, gains: Floats, tolerance: float) -> Ints:
    """The candidate of the greatest gain, or all that may be it where rounding might decide.

    Equal candidates have equal gains, bit for bit, so the first of them wins. None at all where
    these gains say nothing.
    """
    top = float(gains.max())
    if not candidates.within or not math.isfinite(top):
        return np.empty(0, np.int64)
    near = np.flatnonzero(gains >= top - tolerance * (1.0 + abs(top)))
    if len(near) > 1:
        chosen = candidates.values[:, near]
        if not (chosen == chosen[:, :1]).all():
            return near
    return near[:1]
