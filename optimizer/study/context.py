"""What an objective is given beside its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Telling(Protocol):
    """What a context passes on to: an `optuna.Trial`, or its stand-in in a worker."""

    @property
    def number(self) -> int: ...
    def report(self, value: float, step: int) -> None: ...
    def should_prune(self) -> bool: ...
    def set_user_attr(self, key: str, value: Any) -> None: ...


class Context:
    """The second argument of `objective(params, context)`.

    Attributes:
        data: what `optimize(data=...)` was given, arrays and tables as read-only views; on a part
            of the data, views of that part.
        fraction: how much of the data this evaluation is to use, 1.0 for all. Where `data` was
            given, it holds just that part already.
        params: the parameters, as the first argument.
    """

    __slots__ = ("_trial", "data", "fraction", "params")

    def __init__(
        self,
        trial: Telling,
        params: Mapping[str, Any],
        data: Mapping[str, Any],
        fraction: float = 1.0,
    ) -> None:
        self._trial = trial
        self.params = params
        self.data = data
        self.fraction = fraction

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self._trial.number

    def report(self, step: int, value: float) -> None:
        """Report an intermediate value, as `optuna.Trial.report` does; mind the order."""
        self._trial.report(value, step)

    def should_prune(self) -> bool:
        """Whether the pruner would end the trial here; then raise `optuna.TrialPruned`."""
        return self._trial.should_prune()

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep something with the trial that JSON can hold."""
        self._trial.set_user_attr(key, value)
