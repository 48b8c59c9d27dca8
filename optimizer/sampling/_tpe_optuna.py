"""What the incremental sampler leans on inside Optuna, in one place, and for which versions.

Everything else goes through Optuna's public hooks. A name that is used here was read, and the
suggestions were compared, with the versions in VERIFIED; with any other the sampler hands over.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler

VERIFIED = ("5.0.0",)
"""Optuna versions whose suggestions were compared, one by one, with those of the own path."""

Floats = NDArray[np.float64]


class HandedOverWarning(UserWarning):
    """Every suggestion comes from Optuna's own sampler: as good, and as slow."""


class Inside(NamedTuple):
    """Parts of Optuna that have no public name."""

    estimator: Callable[..., Any]  # a mixture, from observations
    quantile: Callable[..., Any]  # of truncated normals
    default_gamma: Callable[[int], int]
    default_weights: Callable[[int], Floats]
    checked_weights: Callable[[Callable[[int], Floats], int], Floats]
    truncnorm: Any  # its module of truncated normals
    unique_pairs: Callable[[Floats, Floats], tuple[Floats, Floats, Any]]
    group: Callable[[], Any]  # an empty set of groups of parameters


def warn_of_handing_over() -> None:
    """Say that Optuna's own sampler makes every suggestion, why, and what to do."""
    warnings.warn(
        f"found Optuna {optuna.__version__}, and the incremental sampler was compared with "
        f"{', '.join(VERIFIED)} only: Optuna's own TPESampler makes every suggestion (the same "
        f"ones, slower); `pip install optuna=={VERIFIED[-1]}` brings the fast path",
        HandedOverWarning,
        stacklevel=4,
    )


def inside() -> Inside | None:
    """Those parts; None on a version they were not verified with."""
    if optuna.__version__ not in VERIFIED:
        return None
    from optuna.samplers._tpe import _truncnorm
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
    from optuna.samplers._tpe.probability_distributions import _unique_inverse_2d
    from optuna.samplers._tpe.sampler import default_gamma, default_weights
    from optuna.search_space.group_decomposed import _SearchSpaceGroup

    return Inside(
        _ParzenEstimator,
        _truncnorm.ppf,
        default_gamma,
        default_weights,
        _ParzenEstimator._call_weights_func,
        _truncnorm,
        _unique_inverse_2d,
        _SearchSpaceGroup,
    )


def mixture_of(
    parts: Inside,
    observations: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
    parameters: Any,
) -> Any:
    """Optuna's own mixture."""
    return parts.estimator(dict(observations), dict(space), parameters)


def settings_of(sampler: TPESampler) -> Any:
    """The parameters of its mixtures."""
    return sampler._parzen_estimator_parameters


def is_plain_study(study: Any) -> bool:
    """Whether the trials of a study are all its trials, by number: no pruner filters them."""
    return type(study) is optuna.study.Study
