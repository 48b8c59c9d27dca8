"""EfficiencyConfig, the modes, batches."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from typing import Any

import pytest

from optimizer.efficiency import (
    MODES,
    EfficiencyConfig,
    Subsampling,
    batches,
    config_of,
    is_clearing_due,
)
from optimizer.errors import EfficiencyError

GUIDE = {
    "subsample_fraction": 0.3, "max_workers": 8, "cache_size": 1000, "cache_ttl_hours": 24,
    "pruning_threshold": 0.1, "min_trials_before_pruning": 10, "warm_start_trials": 20,
    "batch_size": 100, "clear_cache_interval": 50,
}  # fmt: skip
SWITCHES = (
    "enable_data_subsampling", "adaptive_subsampling", "enable_parallel_processing",
    "use_process_pool", "enable_caching", "enable_aggressive_pruning", "enable_smart_sampling",
    "adaptive_trial_allocation", "enable_memory_optimization",
)  # fmt: skip


def test_names_and_defaults_are_the_guides() -> None:
    defaults = dataclasses.asdict(EfficiencyConfig())
    assert defaults == GUIDE | dict.fromkeys(SWITCHES, True)


def test_modes() -> None:
    wanted = {
        "fast": (0.2, 16, 0.05, 200, 500),
        "balanced": (0.5, 8, 0.1, 100, 1000),
        "thorough": (None, 4, None, 50, 2000),
    }
    for name, figures in wanted.items():
        mode = config_of(name)
        assert mode is MODES[name]
        first = mode.subsampling and mode.subsampling.first_fraction
        stop = mode.pruning_threshold if mode.enable_aggressive_pruning else None
        assert (first, mode.max_workers, stop, mode.batch_size, mode.cache_size) == figures
    assert set(MODES) == set(wanted)
    assert config_of(None) is None
    own = EfficiencyConfig(max_workers=3)
    assert config_of(own) is own
    for wrong in ("turbo", 3):
        with pytest.raises(EfficiencyError, match="pass 'fast', 'balanced', 'thorough' or an Eff"):
            config_of(wrong)  # type: ignore[arg-type] # what is tested


def test_every_switch_does_what_it_says() -> None:
    on, off = EfficiencyConfig(), EfficiencyConfig(**dict.fromkeys(SWITCHES, False))
    assert on.subsampling == Subsampling(0.3, adaptive=True)
    assert off.subsampling is None
    late = EfficiencyConfig(adaptive_subsampling=False).subsampling
    assert late == Subsampling(0.3, adaptive=False)
    assert EfficiencyConfig(subsample_fraction=1).subsampling is None
    assert [on.workers(cores) for cores in (1, 2, 64)] == [1, 2, 8]
    assert off.workers(64) == 1
    assert (on.cached_entries, off.cached_entries) == (1000, 0)
    assert (on.cache_ttl_s, EfficiencyConfig(cache_ttl_hours=None).cache_ttl_s) == (86_400.0, None)
    assert repr(on.pruner()) == "ThresholdPruner(threshold=0.1, min_trials=10)"
    assert repr(off.pruner()).startswith("<optuna.pruners._nop.NopPruner")
    assert (on.sampling, off.sampling) == ("guided", "random")
    assert EfficiencyConfig(adaptive_trial_allocation=False).sampling == "random"
    assert (on.warm_start_points, off.warm_start_points) == (20, 0)
    assert (on.batch, off.batch, on.clearing_interval, off.clearing_interval) == (100, None, 50, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enable_caching", 1), ("max_workers", 0), ("max_workers", "8"), ("max_workers", True),
        ("max_workers", 2.0), ("cache_size", 0), ("cache_ttl_hours", 0), ("cache_ttl_hours", -1.0),
        ("cache_ttl_hours", float("inf")), ("cache_ttl_hours", float("nan")),
        ("cache_ttl_hours", "24"), ("pruning_threshold", 1.5), ("pruning_threshold", float("nan")),
        ("min_trials_before_pruning", 0), ("warm_start_trials", -1), ("batch_size", 0),
        ("clear_cache_interval", -1), ("subsample_fraction", 0.0), ("subsample_fraction", 1.2),
        ("subsample_fraction", None), ("use_process_pool", None),
    ],
)  # fmt: skip
def test_values_that_make_no_sense(field: str, value: Any) -> None:
    with pytest.raises(EfficiencyError, match=r"; pass |expected above 0 and at most 1") as caught:
        EfficiencyConfig(**{field: value})
    assert "\n" not in str(caught.value)


def test_it_is_immutable_and_pickles() -> None:
    config = EfficiencyConfig(max_workers=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_workers = 3  # type: ignore[misc] # what is tested
    assert pickle.loads(pickle.dumps(config)) == config
    assert dataclasses.replace(config, max_workers=4).max_workers == 4


def test_batches() -> None:
    for n, size in ((0, 3), (1, 3), (3, 3), (7, 3), (10, 100)):
        made = list(batches(n, size))
        assert [number for batch in made for number in batch] == list(range(n))
        assert all(len(batch) == size for batch in made[:-1])
    for n, size in ((-1, 1), (5, 0)):
        with pytest.raises(EfficiencyError, match="in batches of at least 1"):
            batches(n, size)


def test_clearing() -> None:
    assert [n for n in range(0, 160, 10) if is_clearing_due(n, 50)] == [50, 100, 150]
    assert not any(is_clearing_due(n, 0) for n in range(5))


def test_the_policies_load_nothing_heavy() -> None:
    code = (
        "import sys, optimizer.efficiency as e;"
        "e.EfficiencyConfig().subsampling.fraction(3); e.part({'a': [1]}, 0.5);"
        "print([m for m in ('numpy', 'numba', 'pandas', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
