"""The three kinds of objectives, and how each is called."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optimizer.errors import ObjectiveError
from optimizer.study.context import Context

Kind = Literal["params", "context", "trial"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of an objective ended, unless it raised an error.

    Attributes:
        value: what it returned; None where it was pruned.
        pruned: what `TrialPruned` said, None where it was not raised.
        changes: what the trial was told meanwhile and its study does not know yet.
        caught: an error that `catch` names, and its traceback; from workers, where the error itself
            need not be able to travel.
        asking_s: seconds in which it waited for parameters that its study suggested meanwhile; from
            workers.
    """

    value: Any = None
    pruned: str | None = None
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    caught: tuple[str, str] | None = None
    asking_s: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Unusable:
    """Stands for what an objective in a worker returned and no trial can have.

    Attributes:
        why: what is wrong with it.
        shown: its own repr.
    """

    why: str
    shown: str

    def __repr__(self) -> str:
        return self.shown


def feasible(value: Any, directions: int) -> tuple[float, ...] | str:
    """The values of a trial, or what is wrong with them; in Optuna's words, but for a text."""
    if isinstance(value, Unusable):
        return value.why
    values = value if isinstance(value, Sequence) else [value]
    numbers, faults = [], []
    for one in values:
        try:
            number = float(one)
        except (ValueError, TypeError, OverflowError):
            faults.append(f"The value {one!r} could not be cast to float")
            continue
        if math.isnan(number):
            faults.append(f"The value {one} is not acceptable")
        numbers.append(number)
    if faults:
        return _no_numbers(value) or "; ".join(faults)
    if len(numbers) != directions:
        return _no_numbers(value) or (
            f"The number of the values {len(numbers)} did not match the number of the objectives "
            f"{directions}"
        )
    return tuple(numbers)


def _no_numbers(value: Any) -> str:
    """What is wrong with a text, which is a sequence too: its letters are no values."""
    if not isinstance(value, (str, bytes)):
        return ""
    found = f"a {type(value).__name__}, {value!a:.80}"
    return f"the objective returned {found}; expected a number or a sequence of numbers"


def kind_of(objective: Any, has_space: bool) -> Kind:
    """How an objective is called, by its signature.

    Two positional arguments without a default: parameters and context. One: a trial where its
    name is `trial`, or its annotation an Optuna trial, or no space is given; else parameters.

    Raises:
        ObjectiveError: it cannot be called so, or takes parameters without a space.
    """
    if not callable(objective):
        raise ObjectiveError(
            f"found the objective {objective!r}, expected something that can be called: "
            "objective(params), objective(params, context) or objective(trial)."
        )
    if any(map(inspect.iscoroutinefunction, (objective, getattr(objective, "__call__", None)))):  # noqa: B004 - its own function is meant
        raise ObjectiveError(
            f"found the objective {objective!r}, an async function, expected one that returns its "
            "value; have it call asyncio.run, or see create_efficiency_optimizer."
        )
    try:
        parameters = list(inspect.signature(objective).parameters.values())
    except (TypeError, ValueError):  # of C, without a signature
        return "params" if has_space else "trial"
    taken = [one for one in parameters if one.kind in _POSITIONAL]
    needed = [one for one in taken if one.default is one.empty]
    more = any(
        one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is one.empty
        for one in parameters
    )
    variable = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)
    if more or len(needed) > 2 or not (taken or variable):
        raise ObjectiveError(
            f"found the objective {inspect.signature(objective)}, expected one or two positional "
            "arguments: (params), (params, context) or (trial); bind the others, for example by "
            "functools.partial."
        )
    if _takes_context(taken, needed):
        _require_space(has_space, "objective(params, context)")
        return "context"
    if not has_space or (taken and _is_trial(taken[0])):
        if taken and taken[0].name in ("params", "parameters"):
            _require_space(has_space, "objective(params)")
        return "trial"
    return "params"


def _takes_context(taken: list[inspect.Parameter], needed: list[inspect.Parameter]) -> bool:
    if len(needed) == 2:
        return True
    return len(taken) > 1 and taken[1].name == "context"


def _is_trial(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is not parameter.empty:
        name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        name = name.strip("'\"").split(".")[-1]
        if name in ("Trial", "BaseTrial", "FrozenTrial", "FixedTrial"):
            return True
        if name in ("dict", "Mapping", "Params", "MutableMapping") or "[" in name:
            return False
    return parameter.name in ("trial", "_trial")


def _require_space(has_space: bool, form: str) -> None:
    if not has_space:
        raise ObjectiveError(
            f"found {form} and no space, expected the space of its parameters as the second "
            "argument of optimize; or write objective(trial)."
        )


def no_mapping(key: Any) -> ObjectiveError:
    """The error for an objective that takes its trial for the parameters."""
    return ObjectiveError(
        f"found the objective reading [{key!r}] of its trial, expected trial.suggest_float and the "
        "like; for objective(params) give the space as the second argument of optimize, and do not "
        "call the argument `trial`."
    )


def call(
    objective: Callable[..., Any],
    kind: Kind,
    trial: Any,
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    fraction: float,
) -> Any:
    """Call the objective with what it takes; what it returns."""
    if kind == "trial":
        return objective(trial)
    given = dict(params)
    if kind == "params":
        return objective(given)
    return objective(given, Context(trial, given, data, fraction))
