"""Where to begin: the best distinct points of earlier studies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from optimizer.efficiency.subsampling import sign_of
from optimizer.errors import EfficiencyError, SignatureError
from optimizer.signature import param_signature
from optimizer.space import SearchSpace

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


def warm_start_params(
    earlier: optuna.Study | Iterable[optuna.Study | FrozenTrial],
    n: int,
    direction: str,
    space: SearchSpace | None = None,
) -> list[dict[str, Any]]:
    """The best distinct points of earlier studies, to be tried first.

    Only complete trials with one finite value count. Values of different studies may speak of
    different data, so they are never compared: the best of each study come first, in the order of
    the studies, then the second best, and so on. Equal values keep the order of their trials. The
    same points in, the same points out.

    With a space, a point must have a value of every parameter in it; what else it has is left
    out. Points are distinct if their signatures are.

    Cost: a sort of each study's complete trials.

    Args:
        earlier: a study or the Result of one, several, or trials (which count as one study).
        n: how many points at most, at least 0.
        direction: "minimize" or "maximize", of the study to be started.
        space: of the study to be started.

    Returns:
        Parameter sets, the best first, as `study.enqueue_trial` takes them.

    Raises:
        EfficiencyError: a study of several objectives or of the other direction, a negative n, or
            something that is neither a study nor a trial.
    """
    sign = sign_of(direction)
    if n < 0:
        raise EfficiencyError(f"found {n} points of a warm start, expected at least 0")
    found: list[dict[str, Any]] = []
    seen: set[bytes] = set()
    ranked = [_ranked(trials, sign) for trials in _studies(earlier, direction)]
    for trial in itertools.chain.from_iterable(itertools.zip_longest(*ranked)):
        if len(found) == n:
            break
        params = None if trial is None else _fitting(trial.params, space)
        signature = params and _signature(params, space)
        if params and signature and signature not in seen:
            seen.add(signature)
            found.append(params)
    return found


def _studies(earlier: Any, direction: str) -> Iterator[list[FrozenTrial]]:
    """The trials of each study; those that came without one are the last."""
    loose = []
    if hasattr(earlier, "get_trials") or not isinstance(earlier, Iterable):
        earlier = [earlier]
    for one in earlier:
        of_result = hasattr(getattr(one, "study", None), "get_trials")  # what `optimize` returned
        item = one.study if of_result else one
        if hasattr(item, "get_trials"):
            _check_direction(item, direction)
            yield item.get_trials(deepcopy=False)
        elif hasattr(item, "params") and hasattr(item, "values"):
            loose.append(item)
        else:
            raise EfficiencyError(
                f"found {type(item).__name__} to start from, expected an Optuna study or trial"
            )
    yield loose


def _check_direction(study: optuna.Study, direction: str) -> None:
    directions = [one.name.lower() for one in study.directions]
    if directions != [direction]:
        raise EfficiencyError(
            f"the study {study.study_name!a} to start from has {', '.join(directions)}, expected "
            f"{direction}: pass a study of the same objective"
        )


def _ranked(trials: list[FrozenTrial], sign: int) -> list[FrozenTrial]:
    known = [trial for trial in trials if trial.state.name == "COMPLETE" and _is_one(trial.values)]
    return sorted(known, key=lambda trial: -sign * trial.values[0])


def _is_one(values: list[float] | None) -> bool:
    return values is not None and len(values) == 1 and math.isfinite(values[0])


def _fitting(params: dict[str, Any], space: SearchSpace | None) -> dict[str, Any] | None:
    """The part of a point that the space knows; None if a value is missing or out of range."""
    if space is None:
        return dict(params)
    if any(name not in params for name in space):
        return None
    fits = all(_contains(one, params[name]) for name, one in space.items())
    return {name: params[name] for name in space} if fits else None


def _contains(parameter: Any, value: Any) -> bool:
    if math.isfinite(parameter.size):
        return parameter.find_index(value) is not None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and parameter.low <= value <= parameter.high


def _signature(params: dict[str, Any], space: SearchSpace | None) -> bytes | None:
    try:
        return param_signature(params, space)
    except SignatureError:  # a choice of another program's that has no canonical form
        return None
