"""Records of a made-up history. (Not a test file.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks._history_store import COLUMNS, Machine, Numbers, Record, Recorded

MACHINE = Machine(
    processor="A Chip (R) 3000",
    cores=2,
    system="Linux x86_64",
    python="3.11.7",
    packages={"numpy": "2.4.6", "optuna": "5.0.0"},
)


def numbers(
    ratio: float = 0.1, cpu_s: float = 0.002, instructions: int = 1000, peak: int = 4096
) -> Numbers:
    return dict(zip(COLUMNS, (ratio, cpu_s, instructions, peak, 7), strict=True))


def recorded(*cases: str, workload: str = "w1", **values: Any) -> Recorded:
    return Recorded(workload, {case: numbers(**values) for case in cases or ("n=1",)})


def record(
    tree: str,
    paths: Mapping[str, Recorded] | None = None,
    *,
    commit: str = "",
    date: str = "2026-01-01T00:00:00+00:00",
    machine: Machine = MACHINE,
) -> Record:
    return Record(
        commit=commit or tree * 2,
        tree=tree,
        date=date,
        seconds=1.0,
        machine=machine,
        paths=paths if paths is not None else {"stores.Add": recorded("n=1", "n=10")},
    )


def described(name: str = "stores.Add", workload: str = "w1", **flags: bool) -> dict[str, Any]:
    """A hot path as a worker describes it, with one case."""
    case = {"label": "n=1", "counted": True, "timed": True, "compared": True} | flags
    return {"name": name, "workload": workload, "source": "stores.py", "cases": [case]}
