"""What to evaluate, on how much data, and when to stop: policies, without processes or files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimizer.efficiency.batching import batches, is_clearing_due
from optimizer.efficiency.configuration import MODES, EfficiencyConfig, config_of
from optimizer.efficiency.pruning import is_hopeless
from optimizer.efficiency.subsampling import Subsampling, part, rows
from optimizer.efficiency.warm_start import warm_start_params

if TYPE_CHECKING:
    from optimizer.efficiency.threshold_pruner import ThresholdPruner

__all__ = [
    "MODES",
    "EfficiencyConfig",
    "Subsampling",
    "ThresholdPruner",
    "batches",
    "config_of",
    "is_clearing_due",
    "is_hopeless",
    "part",
    "rows",
    "warm_start_params",
]


def __getattr__(name: str) -> Any:
    if name != "ThresholdPruner":  # its base class is Optuna's, which takes long to import
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from optimizer.efficiency.threshold_pruner import ThresholdPruner

    return ThresholdPruner
