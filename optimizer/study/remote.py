"""The objective as a worker runs it, and the trial that it sees there."""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from optimizer.efficiency import part
from optimizer.study.objectives import Kind, Outcome, Unusable, call, feasible, no_mapping

Drawn = Mapping[str, "tuple[BaseDistribution, Any]"]


class Asking(Protocol):
    """What of a worker's task is used here."""

    @property
    def data(self) -> Mapping[str, Any]: ...
    def ask(self, content: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is told of a trial."""

    number: int
    trial_id: int
    params: Mapping[str, Any]
    drawn: Drawn
    fraction: float
    started: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker asks about its trial, after telling what changed since it last did."""

    changes: list[tuple[Any, ...]]
    what: str | None = None  # "suggest", "prune" or "stop"
    name: str = ""
    distribution: BaseDistribution | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to what the study does not take: the trial raises this error."""

    error: Exception


@dataclass(frozen=True, slots=True)
class RemoteObjective:
    """What workers call; travels to each of them once."""

    objective: Callable[..., Any]
    kind: Kind
    prunes: bool  # whether the study's pruner ever prunes
    directions: int
    catch: tuple[type[Exception], ...] = ()

    def __call__(self, given: Assignment, task: Asking) -> Outcome:
        trial = RemoteTrial(given, task, prunes=self.prunes, directions=self.directions)
        data = task.data
        if given.fraction < 1.0 and data:
            data = part(data, given.fraction)
        try:
            value = call(self.objective, self.kind, trial, given.params, data, given.fraction)
        except optuna.TrialPruned as pruned:
            return Outcome(None, str(pruned), trial.take(), asking_s=trial.asking_s)
        except self.catch as error:
            caught = repr(error), traceback.format_exc()
            return Outcome(None, None, trial.take(), caught, trial.asking_s)
        except BaseException:
            trial.flush()
            raise
        values = feasible(value, self.directions)
        if isinstance(values, str):
            unusable = Unusable(values, repr(value))
            return Outcome(unusable, None, trial.take(), asking_s=trial.asking_s)
        return Outcome(values, None, trial.take(), asking_s=trial.asking_s)


class RemoteTrial(BaseTrial):
    """An Optuna trial in a worker: knows what was drawn, asks for the rest.

    What it is told (reports, attributes, suggestions used) is kept until the study must know it:
    at its end, or with a question.

    Attributes:
        asking_s: seconds in which it waited for suggestions of its study.
    """

    def __init__(self, given: Assignment, task: Asking, *, prunes: bool, directions: int) -> None:
        self._given = given
        self._task = task
        self._prunes = prunes
        self._directions = directions
        self._drawn = dict(given.drawn)
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user: dict[str, Any] = {}
        self._steps: set[int] = set()
        self._changes: list[tuple[Any, ...]] = []
        self.asking_s = 0.0
        for name, (distribution, value) in () if given.drawn else _plain(given.params):
            self._params[name], self._distributions[name] = value, distribution

    # --- suggestions

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """As `optuna.Trial`."""
        value: float = self.suggest(name, FloatDistribution(low, high, log=log, step=step))
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """As `optuna.Trial`."""
        return int(self.suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As `optuna.Trial`."""
        return self.suggest(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As `optuna.Trial`."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As `optuna.Trial`."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As `optuna.Trial`."""
        return self.suggest_float(name, low, high, step=q)

    def suggest(self, name: str, distribution: BaseDistribution) -> Any:
        """A value of the distribution, the same at each call."""
        if name in self._params and self._distributions[name] == distribution:
            return self._params[name]
        drawn = self._drawn.pop(name, None)
        if drawn is not None and drawn[0] == distribution:
            value = drawn[1]
            self._changes.append(("used", name))
        else:
            started_s = time.perf_counter()
            value = self._ask("suggest", name, distribution)
            self.asking_s += time.perf_counter() - started_s
        if name not in self._params:
            self._params[name], self._distributions[name] = value, distribution
        return value

    def __getitem__(self, key: object) -> NoReturn:
        """Parameters are given where a space is."""
        raise no_mapping(key)

    # --- what it is told

    def report(self, value: float, step: int) -> None:
        """As `optuna.Trial.report`."""
        self._require_one_objective("report")
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"The `value` argument is of type '{type(value)}' but supposed to be a float."
            ) from None
        try:
            step = int(step)
        except (TypeError, ValueError):
            raise TypeError(
                f"The `step` argument is of type '{type(step)}' but supposed to be an int."
            ) from None
        if step < 0:
            raise ValueError(f"`{step=}` must be non-negative.")
        if step not in self._steps:
            self._steps.add(step)
            self._changes.append(("report", step, value))

    def should_prune(self) -> bool:
        """As `optuna.Trial.should_prune`; asks only where the pruner may say yes."""
        self._require_one_objective("should_prune")
        return bool(self._ask("prune")) if self._prunes else False

    def set_user_attr(self, key: str, value: Any) -> None:
        """As `optuna.Trial.set_user_attr`."""
        self._user[key] = value
        self._changes.append(("user", key, value))

    def set_system_attr(self, key: str, value: Any) -> None:
        """As `optuna.Trial` had it."""
        self._changes.append(("system", key, value))

    def set_constraint(self, key: str, value: float) -> None:
        """As `optuna.Trial.set_constraint`, where the installed Optuna has it."""
        self._changes.append(("constraint", key, float(value)))

    # --- what it knows

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self._given.number

    @property
    def _trial_id(self) -> int:
        return self._given.trial_id

    @property
    def params(self) -> dict[str, Any]:
        """What was suggested so far."""
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The distributions of what was suggested so far."""
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What was set in this worker."""
        return dict(self._user)

    @property
    def system_attrs(self) -> dict[str, Any]:
        """None are known here."""
        return {}

    @property
    def constraints(self) -> dict[str, float]:
        """What was set in this worker."""
        return {change[1]: change[2] for change in self._changes if change[0] == "constraint"}

    @property
    def relative_params(self) -> dict[str, Any]:
        """None are known here."""
        return {}

    @property
    def datetime_start(self) -> datetime.datetime | None:
        """When it started."""
        return self._given.started

    @property
    def study(self) -> RemoteStudy:
        """As much of the study as a worker can reach."""
        return RemoteStudy(self)

    # --- messages

    def take(self) -> list[tuple[Any, ...]]:
        """What the study does not know yet; it is forgotten here."""
        changes, self._changes = self._changes, []
        return changes

    def flush(self) -> None:
        """Tell the study what it does not know yet."""
        if self._changes:
            self._ask(None)

    def _ask(
        self, what: str | None, name: str = "", distribution: BaseDistribution | None = None
    ) -> Any:
        answer = self._task.ask(Question(self.take(), what, name, distribution))
        if isinstance(answer, Refused):
            raise answer.error
        return answer

    def _require_one_objective(self, what: str) -> None:
        if self._directions > 1:
            raise NotImplementedError(
                f"Trial.{what} is not supported for multi-objective optimization."
            )


class RemoteStudy:
    """What an objective in a worker can reach of its study: it can end it."""

    def __init__(self, trial: RemoteTrial) -> None:
        self._trial = trial

    def stop(self) -> None:
        """As `optuna.Study.stop`."""
        self._trial._ask("stop")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"found trial.study.{name} in a worker, expected only trial.study.stop(): the study "
            "lives in the main process; pass what is needed as data, or use workers=1."
        )


def _plain(params: Mapping[str, Any]) -> list[tuple[str, tuple[BaseDistribution, Any]]]:
    """Parameters of an objective that is given them: nothing to suggest."""
    return [(name, (CategoricalDistribution((None,)), value)) for name, value in params.items()]
