"""What one call of `optimize` asks for, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.efficiency import EfficiencyConfig
from optimizer.space import SearchSpace
from optimizer.study.kept import Workers
from optimizer.study.objectives import Kind

Duplicates = Literal["serve", "resample", "evaluate"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `optimize` that its loop reads; their meaning is told there."""

    objective: Callable[..., Any]
    kind: Kind
    space: SearchSpace | None
    n_trials: int | None
    timeout_s: float | None
    config: EfficiencyConfig | None
    workers: int | Literal["auto"]
    data: Mapping[str, Any] | None
    callbacks: tuple[Callable[..., Any], ...]
    catch: tuple[type[Exception], ...]
    duplicates: Duplicates
    retries: int
    trial_timeout_s: float | None
    threads: bool  # instead of processes
    seed: int | None
    warm_start: Any
    progress: bool | None
    compare: int
    version: str | None
    warm_up: Callable[[Mapping[str, Any]], None] | None = None  # before a worker's first trial
    kept: Workers | None = None  # whose workers are used, where any are
