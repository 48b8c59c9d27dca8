"""EfficiencyConfig: every measure of the guide, each with its switch; and the three modes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from optimizer.efficiency.pruning import check_pruning
from optimizer.efficiency.subsampling import Subsampling
from optimizer.errors import EfficiencyError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@dataclass(frozen=True, slots=True)
class EfficiencyConfig:
    """What a study does to save time and memory; immutable, checked when it is made.

    Names and defaults are those of the *Computational Efficiency Guide for Hyperparameter
    Optimization*. The properties below the fields are what the study's loop reads.

    Attributes:
        enable_data_subsampling: trials begin on a part of the data.
        subsample_fraction: that part, a ratio; the next level is twice as large, the last is all.
        adaptive_subsampling: promising trials earn more data; False: late ones get more.
        enable_parallel_processing: more than one worker.
        max_workers: how many at most; never more than there are cores.
        use_process_pool: workers are processes; False: threads.
        enable_caching: a point that was evaluated before is not evaluated again.
        cache_size: evaluations kept.
        cache_ttl_hours: how long an evaluation counts, in hours; None: for ever.
        enable_aggressive_pruning: trials far from the best are stopped.
        pruning_threshold: ratio, see `optimizer.efficiency.is_hopeless`.
        min_trials_before_pruning: with a value to compare with.
        enable_smart_sampling: warm start and guided sampling; False: points are drawn at random.
        warm_start_trials: best points of earlier studies that are tried first, where there are any.
        adaptive_trial_allocation: more trials go where earlier ones were good (TPE); False: after
            the warm start, points are drawn at random.
        batch_size: trials drawn ahead of their evaluation at most, and told together at most.
        clear_cache_interval: finished trials after which caches in memory are emptied, and garbage
            is collected where that takes at most 1% of the time; 0: never.
        enable_memory_optimization: what is kept in memory is bounded: batches and clearing apply.

    Raises:
        EfficiencyError: a value of another type or out of range; the message names the field.

    Example:
        >>> EfficiencyConfig(subsample_fraction=0.2, cache_ttl_hours=1).cache_ttl_s
        3600.0
    """

    enable_data_subsampling: bool = True
    subsample_fraction: float = 0.3
    adaptive_subsampling: bool = True
    enable_parallel_processing: bool = True
    max_workers: int = 8
    use_process_pool: bool = True
    enable_caching: bool = True
    cache_size: int = 1000
    cache_ttl_hours: float | None = 24
    enable_aggressive_pruning: bool = True
    pruning_threshold: float = 0.1
    min_trials_before_pruning: int = 10
    enable_smart_sampling: bool = True
    warm_start_trials: int = 20
    adaptive_trial_allocation: bool = True
    batch_size: int = 100
    clear_cache_interval: int = 50
    enable_memory_optimization: bool = True

    def __post_init__(self) -> None:
        for one in fields(self):
            _check_type(one.name, getattr(self, one.name), str(one.type))
        for name, lowest in _LOWEST.items():
            if getattr(self, name) < lowest:
                raise EfficiencyError(
                    f"{name} is {getattr(self, name)}; pass an integer of at least {lowest}"
                )
        ttl = self.cache_ttl_hours
        if ttl is not None and not 0.0 < ttl < math.inf:
            raise EfficiencyError(
                f"cache_ttl_hours is {ttl}; pass hours above 0, or None for no end"
            )
        Subsampling(self.subsample_fraction)
        check_pruning(self.pruning_threshold, self.min_trials_before_pruning)

    @property
    def subsampling(self) -> Subsampling | None:
        """How trials are given a part of the data; None: all data at once."""
        if not self.enable_data_subsampling or self.subsample_fraction == 1.0:
            return None
        return Subsampling(self.subsample_fraction, adaptive=self.adaptive_subsampling)

    def workers(self, cores: int) -> int:
        """How many workers on a machine with that many cores to use; at least 1."""
        return max(1, min(self.max_workers, cores)) if self.enable_parallel_processing else 1

    @property
    def cached_entries(self) -> int:
        """Evaluations kept; 0: none."""
        return self.cache_size if self.enable_caching else 0

    @property
    def cache_ttl_s(self) -> float | None:
        """How long an evaluation counts, in seconds; None: for ever."""
        return None if self.cache_ttl_hours is None else self.cache_ttl_hours * 3600.0

    def pruner(self) -> BasePruner:
        """A new pruner; one that stops nothing where that is asked for. Imports optuna."""
        if not self.enable_aggressive_pruning:
            from optuna.pruners import NopPruner  # Optuna's default would stop trials

            return NopPruner()
        from optimizer.efficiency.threshold_pruner import ThresholdPruner

        return ThresholdPruner(self.pruning_threshold, self.min_trials_before_pruning)

    @property
    def sampling(self) -> Literal["guided", "random"]:
        """How points are drawn after the warm start."""
        guided = self.enable_smart_sampling and self.adaptive_trial_allocation
        return "guided" if guided else "random"

    @property
    def warm_start_points(self) -> int:
        """How many points of earlier studies are tried first."""
        return self.warm_start_trials if self.enable_smart_sampling else 0

    @property
    def batch(self) -> int | None:
        """Trials drawn ahead at most; None: as many as there is work for."""
        return self.batch_size if self.enable_memory_optimization else None

    @property
    def clearing_interval(self) -> int:
        """Finished trials after which caches in memory are emptied; 0: never."""
        return self.clear_cache_interval if self.enable_memory_optimization else 0


_LOWEST = {
    "max_workers": 1,
    "cache_size": 1,
    "min_trials_before_pruning": 1,
    "warm_start_trials": 0,
    "batch_size": 1,
    "clear_cache_interval": 0,
}


def _check_type(name: str, value: Any, annotation: str) -> None:
    """Refuse what a study would only stumble over later: "8" workers, 1 for True."""
    if annotation == "bool":
        fits, expected = isinstance(value, bool), "True or False"
    elif annotation == "int":
        fits, expected = isinstance(value, int) and not isinstance(value, bool), "an integer"
    else:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = fits or (value is None and "None" in annotation)
        expected = "a number" + (" or None" if "None" in annotation else "")
    if not fits:
        raise EfficiencyError(f"{name} is {value!a:.80}; pass {expected}")


MODES: Mapping[str, EfficiencyConfig] = MappingProxyType(
    {
        "fast": EfficiencyConfig(
            subsample_fraction=0.2,
            max_workers=16,
            pruning_threshold=0.05,
            batch_size=200,
            cache_size=500,
        ),
        "balanced": EfficiencyConfig(
            subsample_fraction=0.5,
            max_workers=8,
            pruning_threshold=0.1,
            batch_size=100,
            cache_size=1000,
        ),
        "thorough": EfficiencyConfig(
            enable_data_subsampling=False,
            max_workers=4,
            enable_aggressive_pruning=False,
            batch_size=50,
            cache_size=2000,
        ),
    }
)
"""The guide's modes, by name."""


def config_of(mode: str | EfficiencyConfig | None) -> EfficiencyConfig | None:
    """The settings of a mode; a configuration is returned as it is, None stays None.

    Raises:
        EfficiencyError: no such mode.
    """
    if mode is None or isinstance(mode, EfficiencyConfig):
        return mode
    if not isinstance(mode, str) or mode not in MODES:
        known = ", ".join(map(repr, MODES))
        raise EfficiencyError(f"mode is {mode!a:.80}; pass {known} or an EfficiencyConfig")
    return MODES[mode]
