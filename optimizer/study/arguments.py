"""The arguments of `optimize`, checked one by one: what was found, what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optimizer._parameters import shown
from optimizer.errors import StudyArgumentError
from optimizer.space import SearchSpace
from optimizer.study.kept import Workers

DUPLICATES = ("serve", "resample", "evaluate")


def read_space(space: Any) -> SearchSpace | None:
    """The space of specs, Optuna distributions, or as it is.

    Raises:
        SpaceError: it cannot be understood.
        StudyArgumentError: it is no mapping.
    """
    if space is None or isinstance(space, SearchSpace):
        return space
    if not isinstance(space, Mapping):
        raise StudyArgumentError(
            f"found the space {shown(space)}, expected a SearchSpace, or a mapping of names to "
            "specs or Optuna distributions."
        )
    from optuna.distributions import BaseDistribution

    if space and all(isinstance(one, BaseDistribution) for one in space.values()):
        return SearchSpace.from_distributions(space)
    return SearchSpace(space)


def read_count(what: str, found: Any, least: int, *, none: bool = False) -> Any:
    """An integer of at least so much; None where that is allowed."""
    if found is None and none:
        return None
    whole = isinstance(found, int) or (hasattr(found, "__index__") and hasattr(found, "dtype"))
    if not whole or isinstance(found, bool) or int(found) < least:
        or_none = ", or None" if none else ""
        raise StudyArgumentError(
            f"{what} is {shown(found)}, expected an integer of at least {least}{or_none}."
        )
    return int(found)


def read_seconds(what: str, found: Any, *, positive: bool) -> float | None:
    """Seconds, or None."""
    if found is None:
        return None
    number = isinstance(found, (int, float)) and not isinstance(found, bool)
    if not number or math.isnan(found) or found < 0 or (positive and found == 0):
        least = "above 0" if positive else "of at least 0"
        raise StudyArgumentError(
            f"{what} is {shown(found)}, expected seconds {least}, or None for no limit."
        )
    return float(found)


def read_workers(found: Any) -> Any:
    """A number of workers, "auto", Workers, or None."""
    if found is None or found == "auto" or isinstance(found, Workers):
        return found
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise StudyArgumentError(
            f"workers is {shown(found)}, expected an integer of at least 1, 'auto', or Workers."
        )
    return found


def read_choice(what: str, found: Any, choices: Iterable[Any]) -> Any:
    """One of a few."""
    if found not in tuple(choices):
        known = ", ".join(map(repr, choices))
        raise StudyArgumentError(f"{what} is {shown(found)}, expected one of {known}.")
    return found


def read_catch(found: Any) -> tuple[type[Exception], ...]:
    """Classes of exceptions, as `Study.optimize` takes them."""
    classes = tuple(found) if isinstance(found, Iterable) else (found,)
    for one in classes:
        if not isinstance(one, type) or not issubclass(one, Exception):
            raise StudyArgumentError(
                f"catch holds {shown(one)}, expected classes of exceptions, such as ValueError."
            )
    return classes


def read_callbacks(found: Any) -> tuple[Callable[..., object], ...]:
    """Functions of a study and a frozen trial, as `Study.optimize` takes them."""
    if found is None:
        return ()
    if not isinstance(found, Iterable) or isinstance(found, (str, Mapping)):
        raise StudyArgumentError(
            f"callbacks is {shown(found)}, expected a list of functions of a study and a trial."
        )
    callbacks = tuple(found)
    for one in callbacks:
        if not callable(one):
            raise StudyArgumentError(
                f"callbacks holds {shown(one)}, expected functions of a study and a trial."
            )
    return callbacks


def read_warm_up(found: Any) -> Callable[[Mapping[str, Any]], None] | None:
    """A function of the data, or None."""
    if found is not None and not callable(found):
        raise StudyArgumentError(
            f"warm_up is {shown(found)}, expected a function of the data, or None."
        )
    function: Callable[[Mapping[str, Any]], None] | None = found
    return function


def read_data(found: Any) -> Mapping[str, Any] | None:
    """Data by name."""
    if found is not None and (
        not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found)
    ):
        raise StudyArgumentError(
            f"data is {shown(found)}, expected a mapping of names to arrays, tables or settings, "
            "such as {'close': close}."
        )
    return found


def refuse_together(first: str, *others: tuple[str, Any]) -> None:
    """Refuse arguments that do not go with the first, which is given."""
    for name, value in others:
        if value is not None:
            raise StudyArgumentError(f"found both {first} and {name}, expected one of them.")
