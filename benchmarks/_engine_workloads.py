"""What the measures of efficiency are tried on: a portfolio on the S&P panel, and a model's search.

Both are objectives whose time grows with their data, in blocks that are reported one by one, so
that a part of the data saves time and a trial can be stopped. Both are seeded: the same parameters
have the same value, to the bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Params = Mapping[str, Any]
_YEAR = 252
_BLOCKS = 5  # of the bars, traded one after the other
_FOLDS = 3
_ROWS = 2_000
_SHUFFLED = 3  # seed of the rows, and of the trees


@dataclass(frozen=True)
class Workload:
    """An objective `evaluate(params, context)` with its space, its data and its direction."""

    name: str
    direction: Literal["minimize", "maximize"]
    evaluate: Callable[[Params, Any], float]
    kinds: Callable[[], dict[str, Any]]  # name -> Optuna's distribution
    data: Callable[[], dict[str, Any]]

    def suggested(self, trial: Any) -> dict[str, Any]:
        """Parameters of a trial of Optuna's own, in the order of the space."""
        return {name: _suggest(trial, name, kind) for name, kind in self.kinds().items()}

    def plain(self, trial: Any) -> float:
        """The objective as `study.optimize` calls it: all data, to the end."""
        return self.value(self.suggested(trial))

    def value(self, params: Params) -> float:
        """On all data."""
        return self.evaluate(params, Whole(self.data()))

    def is_better(self, value: float, than: float) -> bool:
        return value > than if self.direction == "maximize" else value < than


class Whole:
    """Stands in for a trial's context: all data, and nobody stops it."""

    fraction = 1.0

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    def report(self, step: int, value: float) -> None:
        """Nobody asks."""

    def should_prune(self) -> bool:
        return False


def _suggest(trial: Any, name: str, kind: Any) -> Any:
    if hasattr(kind, "choices"):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind.low, int):
        return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
    return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)


def _told(context: Any, step: int, value: float) -> None:
    """Report a step; ends the trial where the pruner says so."""
    context.report(step, value)
    if context.should_prune():
        import optuna

        raise optuna.TrialPruned()


# --- a portfolio


def _prices() -> dict[str, Any]:
    from optimizer.backtest.prices import load_sp500

    return {"close": load_sp500().close}


def _portfolio_kinds() -> dict[str, Any]:
    from optuna import distributions as kinds

    return {
        "lookback": kinds.IntDistribution(10, 260),
        "skip": kinds.IntDistribution(0, 25),
        "holdings": kinds.IntDistribution(1, 10),
        "side": kinds.CategoricalDistribution(("long", "long-short")),
        "exposure": kinds.FloatDistribution(0.5, 1.5),
        "power": kinds.FloatDistribution(0.0, 3.0),
    }


def _portfolio(params: Params, context: Any) -> float:
    """Sharpe ratio of a momentum portfolio that is rebalanced each day, after costs.

    A day's weights know the days before it alone. The bars are traded in blocks, each with the
    same capital.
    """
    import numpy as np

    from optimizer.backtest.tracker import track_trades

    close = np.ascontiguousarray(context.data["close"])
    weights, bars = _weights(close, params)
    returns: list[Any] = []
    ends = np.linspace(0, len(bars), _BLOCKS + 1).astype(int)
    found = 0.0
    for step in range(_BLOCKS):
        begin, end = int(ends[step]), int(ends[step + 1])
        first = int(bars[begin])
        block = close[first : int(bars[end - 1]) + 1]
        chosen = bars[begin:end] - first
        log = track_trades(block, chosen, weights[begin:end], fee_rate=0.0002)
        equity = np.maximum(log.equity, 1.0)
        returns.append(np.diff(np.log(equity)))
        found = _sharpe(np.concatenate(returns))
        _told(context, step, found)
    return found


def _weights(close: Any, params: Params) -> tuple[Any, Any]:
    """Weights (R, N) of each bar from the first that has its look-back."""
    import numpy as np

    back, skip = params["lookback"], params["skip"]
    bars = np.arange(_YEAR + 50, len(close))
    past = close[bars - skip] / close[bars - skip - back]
    rank = past.argsort(axis=1).argsort(axis=1)
    n, k = close.shape[1], params["holdings"]
    place = np.maximum(rank - (n - k) + 1.0, 0.0)  # of the strongest, from 1; of others 0
    ranked = np.where(place > 0.0, place ** params["power"], 0.0)
    weights = params["exposure"] * ranked / ranked.sum(axis=1, keepdims=True)
    if params["side"] == "long-short":
        weights = weights - np.where(rank < k, params["exposure"] / k, 0.0)
    return weights, bars


def _sharpe(returns: Any) -> float:
    spread = float(returns.std())
    return float(returns.mean()) / spread * _YEAR**0.5 if spread > 0.0 else 0.0


# --- a model's search


@functools.cache
def _classes() -> dict[str, Any]:
    try:
        from sklearn.datasets import make_classification  # type: ignore[import-untyped,unused-ignore]  # no types
    except ImportError as error:
        raise NotImplementedError(f"{error}: the group bench has scikit-learn") from None
    rows, classes = make_classification(
        _ROWS, 20, n_informative=10, n_classes=4, flip_y=0.05, random_state=_SHUFFLED
    )
    return {"rows": rows, "classes": classes}


def _tree_kinds() -> dict[str, Any]:
    from optuna import distributions as kinds

    return {
        "max_depth": kinds.IntDistribution(2, 20),
        "min_samples_leaf": kinds.IntDistribution(1, 60),
        "max_features": kinds.FloatDistribution(0.1, 1.0),
        "criterion": kinds.CategoricalDistribution(("gini", "entropy")),
        "smoothing": kinds.FloatDistribution(1e-3, 1.0, log=True),
    }


def _tree(params: Params, context: Any) -> float:
    """Log loss of a decision tree on made-up classes, cross-validated."""
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier  # type: ignore[import-untyped,unused-ignore]  # no types

    rows, classes = context.data["rows"], context.data["classes"]
    folds = np.arange(len(classes)) % _FOLDS
    losses: list[float] = []
    for step in range(_FOLDS):
        train, test = folds != step, folds == step
        model = DecisionTreeClassifier(
            criterion=params["criterion"],
            max_depth=params["max_depth"],
            min_samples_leaf=params["min_samples_leaf"],
            max_features=params["max_features"],
            random_state=_SHUFFLED,
        ).fit(rows[train], classes[train])
        chances = model.predict_proba(rows[test]) + params["smoothing"] / len(model.classes_)
        chances /= 1.0 + params["smoothing"]
        place = np.searchsorted(model.classes_, classes[test])
        losses.append(float(-np.log(chances[np.arange(len(place)), place]).mean()))
        _told(context, step, sum(losses) / len(losses))
    return sum(losses) / len(losses)


PORTFOLIO = Workload("S&P backtest", "maximize", _portfolio, _portfolio_kinds, _prices)
TREE = Workload("scikit-learn search", "minimize", _tree, _tree_kinds, _classes)
WORKLOADS = {one.name: one for one in (PORTFOLIO, TREE)}
