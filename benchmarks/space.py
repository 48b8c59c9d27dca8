"""Hot paths of the search space: grids, and the decimals of a step.

The reports expand a grid of five parameters with ten values each. `GridColumns` and `GridWalk` are
our two ways to have every combination; `GridBacktrack` is the reports' own, measured as it is.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from benchmarks._registry import hot_path as _hot_path

# A study of Optuna's leaves memory out: its peak differs from process to process by itself.
_OF_OPTUNA = ("bytecodes", "instructions", "cpu", "wall", "claim")
_WITNESSES = (*_OF_OPTUNA, "memory")
_ALL = 100_000  # combinations of the reports' grid


class _Expanding:
    """A grid of five floats with equally many values; `before` copies a dict at each level."""

    param_names = ("combinations",)

    def setup(self, combinations: int) -> None:
        try:
            from optimizer.reference.grid import expand_by_backtracking, expand_by_copying
            from optimizer.space import Grid, SearchSpace
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.make_grid = Grid
        self.expand, self.backtrack = expand_by_copying, expand_by_backtracking
        values = round(combinations ** (1 / 5))
        spec = {"type": "float", "min": 0, "max": round(0.01 * (values - 1), 2), "step": 0.01}
        self.space = SearchSpace(dict.fromkeys("abcde", spec))
        self.values = {
            name: [parameter.value_at(k) for k in range(values)]
            for name, parameter in self.space.items()
        }

    def _rightly_many(self, found: int) -> bool:
        return found == len(self.values["a"]) ** 5


@_hot_path(claim="grid-expand", witnesses=_WITNESSES, claim_at=_ALL)
class GridColumns(_Expanding):
    """Every combination at once: a dict for each against an array for each parameter."""

    params = (_ALL,)

    def before(self, combinations: int) -> list[dict[str, float]]:
        return self.expand(self.values)

    def after(self, combinations: int) -> list[Any]:
        return list(self.make_grid(self.space).columns().values())

    def agree(self, before: list[dict[str, float]], after: list[Any]) -> bool:
        return self._rightly_many(len(before)) and [column.tolist() for column in after] == [
            [one[name] for one in before] for name in self.values
        ]


@_hot_path(claim="", witnesses=_WITNESSES, uncounted=(_ALL,), untimed=(_ALL,), claim_at=_ALL)
class GridWalk(_Expanding):
    """Each combination looked at once: a list of all dicts first, against a dict at a time."""

    params = (3_125, _ALL)

    def before(self, combinations: int) -> list[float]:
        return self._look_at(self.expand(self.values))

    def after(self, combinations: int) -> list[float]:
        return self._look_at(self.make_grid(self.space))

    def _look_at(self, grid: Any) -> list[float]:
        return [sum(one["a"] + one["e"] / (1 + one["b"]) for one in grid)]

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and after[0] > 0.0  # the same additions in the same order


@_hot_path(claim="", witnesses=_WITNESSES, uncounted=(_ALL,), untimed=(_ALL,), claim_at=_ALL)
class GridBacktrack(_Expanding):
    """The reports' fast way: one dict for all levels and a copy of it at the leaf."""

    params = (3_125, _ALL)

    def before(self, combinations: int) -> list[dict[str, float]]:
        return self.expand(self.values)

    def after(self, combinations: int) -> list[dict[str, float]]:
        return self.backtrack(self.values)

    def agree(self, before: list[dict[str, float]], after: list[dict[str, float]]) -> bool:
        return before == after and self._rightly_many(len(after))


def _decimals_each_time(step: float) -> int:
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


@_hot_path(claim="step-decimals", witnesses=_OF_OPTUNA, claim_at=50)
class StepDecimals:
    """Trials of five floats with steps, suggested and rounded to the decimals of their steps.

    `before` computes the decimals for each suggestion; `after` asks the space for them once. Both
    suggest through Optuna, which is nearly all of the work: that is what the reports measured.
    """

    params = (50,)
    param_names = ("trials",)

    def setup(self, trials: int) -> None:
        try:
            from optimizer.space import SearchSpace
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna
        steps = {"a": 0.1, "b": 0.01, "c": 2.5e-05, "d": 1e-05, "e": 0.5}
        self.ranges = [(name, 1_000 * step, step) for name, step in steps.items()]
        self.space = SearchSpace(
            {
                name: {"type": "float", "min": 0, "max": high, "step": step}
                for name, high, step in self.ranges
            }
        )

    def _new_study(self) -> Any:
        return self.optuna.create_study(
            study_name="steps", sampler=self.optuna.samplers.RandomSampler(seed=3)
        )

    def before(self, trials: int) -> list[float]:
        study = self._new_study()
        found = []
        for _ in range(trials):
            trial = study.ask()
            for name, high, step in self.ranges:
                value = trial.suggest_float(name, 0.0, high, step=step)
                found.append(round(value, _decimals_each_time(step)))
        return found

    def after(self, trials: int) -> list[float]:
        study = self._new_study()
        decimals = {name: self.space.decimals(name) for name in self.space}
        found = []
        for _ in range(trials):
            trial = study.ask()
            for name, high, step in self.ranges:
                value = trial.suggest_float(name, 0.0, high, step=step)
                found.append(round(value, decimals[name]))
        return found

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == 5 * self.params[0]
