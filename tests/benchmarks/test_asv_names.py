"""asv finds exactly the benchmarks that the registry declares, in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _history, _registry

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("time_before", "time_after", "track_cost_ratio")
NAMES = {path.name for path in _registry.load()}
EXPECTED = {f"{name}.{side}" for name in NAMES for side in SIDES}

DISCOVER = """
import json, os, sys
from asv_runner.discovery import disc_benchmarks
sys.path.insert(0, os.getcwd())
fields = "name", "type", "params", "param_names", "version", "timeout", "unit", "repeat"
found = [
    {field: getattr(benchmark, field, None) for field in fields}
    for benchmark in disc_benchmarks(sys.argv[1])
]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def discovered() -> list[dict[str, Any]]:
    """As asv does it: every module below the folder is imported, `__main__` and the gate too."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DISCOVER, "benchmarks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_exactly_three_benchmarks_a_hot_path(discovered: list[dict[str, Any]]) -> None:
    names = [found["name"] for found in discovered]
    assert len(set(names)) == len(names)
    assert set(names) == EXPECTED


def test_the_version_is_the_workload_hash(discovered: list[dict[str, Any]]) -> None:
    workloads = {path.name: path.workload for path in _registry.load()}
    for found in discovered:
        assert found["version"] == workloads[found["name"].rpartition(".")[0]]


def test_types_parameters_and_limits(discovered: list[dict[str, Any]]) -> None:
    paths = {path.name: path for path in _registry.load()}
    for found in discovered:
        name, _, side = found["name"].rpartition(".")
        cls: Any = paths[name]._class
        assert found["param_names"] == list(cls.param_names)
        params = cls.params if isinstance(cls.params[0], tuple) else (cls.params,)
        assert found["params"] == [[repr(value) for value in values] for values in params]
        assert found["type"] == ("track" if side == "track_cost_ratio" else "time")
        if side != "time_after":
            assert found["timeout"] == 300.0
    ratios = [found for found in discovered if found["name"].endswith("track_cost_ratio")]
    assert {found["unit"] for found in ratios} == {"after/before"}


def test_the_quick_check_leaves_only_slow_sides_out() -> None:
    """Every `after` side outside a whole study is in it."""
    kept = {name for name in EXPECTED if re.search(_history.QUICK, name)}
    assert kept, "it leaves everything out"
    slow = {name for name in EXPECTED if "MomentumStudy" in name}
    sides = r"(stores\.Add|backtest\.Day|features\.Walk|sweep\.Sweep).*(before|ratio)$"
    slow |= {name for name in EXPECTED if re.match(sides, name)}
    assert kept == EXPECTED - slow
