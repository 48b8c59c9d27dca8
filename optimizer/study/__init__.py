"""Whole studies: `optimize` runs an Optuna study with everything the floors below have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.study.engine import optimize as optimize
    from optimizer.study.result import Result as Result

__all__ = ["Result", "optimize"]


def __getattr__(name: str) -> Any:
    # Late, for a command line that only shows its help does without optuna.
    if name == "optimize":
        from optimizer.study.engine import optimize

        return optimize
    if name == "Result":
        from optimizer.study.result import Result

        return Result
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
