"""A fingerprint changes with all that an objective is made of, and with nothing else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fingerprint_cases import SHOW, mark_of, only, run_python

from optimizer.errors import FingerprintError
from optimizer.stores.fingerprint import fingerprint

PLAIN = """
import math, functools, collections, dataclasses, abc, enum, logging
log = logging.getLogger(__name__)
SCALE = 2.0
NAMES = {"sma", "ema", "wma", ("a", "b"), frozenset(("c", "d", "e"))}
TABLE = {"a": [1, 2], "b": (3, {4, 5})}
class Kind(enum.Enum):
    SLOW = 1
    FAST = 2
@dataclasses.dataclass
class Costs:
    fee: float = 0.1
    parts: list = dataclasses.field(default_factory=list)
    def of(self, x):
        return self.fee * x
Point = collections.namedtuple("Point", "x y")
class Base(abc.ABC):
    @abc.abstractmethod
    def run(self, x): ...
class Model(Base):
    kind = Kind.SLOW
    def __init__(self, costs, point):
        self.costs, self.point = costs, point
    @property
    def fee(self):
        return self.costs.fee
    @staticmethod
    def double(x):
        return 2 * x
    def run(self, x):
        return self.double(self.costs.of(x)) + self.point.x
def helper(x):
    return deeper(x) * SCALE
@functools.lru_cache
def deeper(x, depth=1):
    return math.sqrt(x + 7) if depth else helper(x)
def make(offset):
    model = Model(Costs(), Point(1, 2))
    def objective(params):
        log.info("started")
        if params.get("side") in {"long", "short", "both", "none"} and NAMES:
            return 0.0
        return helper(params["x"]) + model.run(offset) + sum(v for v in TABLE["a"])
    return objective
objective = make(3)
"""

CHANGES = [
    ("SCALE = 2.0", "SCALE = 2.5"),
    ("[1, 2]", "[1, 3]"),
    ("{4, 5}", "{4, 6}"),
    ("fee: float = 0.1", "fee: float = 0.2"),
    ("default_factory=list", "default_factory=tuple"),
    ("self.fee * x", "self.fee + x"),
    ('"x y"', '"x z"'),
    ("kind = Kind.SLOW", "kind = Kind.FAST"),
    ("SLOW = 1", "SLOW = 3"),
    ("return 2 * x", "return 3 * x"),
    ("return self.costs.fee", "return self.costs.fee + 0"),
    ("Point(1, 2)", "Point(1, 3)"),
    ("x + 7", "x + 8"),
    ("math.sqrt", "math.cbrt"),
    ("depth=1", "depth=2"),
    ("deeper(x) *", "deeper(x) +"),
    ("make(3)", "make(4)"),
    ('params["x"]', 'params["y"]'),
    ("sum(v for", "sum(-v for"),
    ("(v for v in", "(v + 1 for v in"),
    ("3, {4", "3.0, {4"),
    ("@dataclasses.dataclass", "@dataclasses.dataclass(frozen=True)"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_any_change_that_matters_changes_it(old: str, new: str) -> None:
    assert PLAIN.count(old) == 1
    assert mark_of(PLAIN.replace(old, new)) != mark_of(PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2.0", "SCALE = 2.0\nUNUSED = 1"),
        ("def helper(x):\n", "def helper(x):\n    # a comment\n\n"),
        ("import math,", "import os, math,"),
        ("\nclass Model", "\n\n\ndef unused(): return 1\nclass Model"),
    ],
)
def test_a_change_that_does_not_matter_leaves_it(old: str, new: str) -> None:
    assert PLAIN.count(old) == 1
    assert mark_of(PLAIN.replace(old, new)) == mark_of(PLAIN)


def test_every_process_and_hash_seed_agrees(tmp_path: Path) -> None:
    named = PLAIN.replace('log.info("started")', "logging.getLogger(__name__).info('started')")
    (tmp_path / "mine.py").write_text(named)
    as_main = named + SHOW.format("objective")
    imported = "from mine import objective" + SHOW.format("objective")
    found = {
        run_python(code, tmp_path, PYTHONHASHSEED=seed)
        for code, seed in ((as_main, "1"), (as_main, "2"), (imported, "3"))
    }
    assert found == {mark_of(named).hex()}


# A set has another order in each process, whatever its elements are.
UNORDERED = """
import dataclasses, enum
class Kind(enum.Enum):
    A = "a"
    B = "b"
@dataclasses.dataclass(frozen=True)
class Cost:
    fee: float
    of: object = None
def f(x): return 1
def g(x): return 2
def made(n): return lambda: n
ALL = {Kind.A, Kind.B, Cost(1.0), Cost(2.0, frozenset((Kind.A, "x", "y"))), f, g, "x", None, int,
       (made(1), made(2)), frozenset((f, "y", Kind.B)), made(1), made(2), made(3), made("a")}
class Node: pass
RING = [Node() for _ in range(5)]
for i, node in enumerate(RING):
    node.next, node.all, node.number = {RING[i - 1], RING[i - 2]}, set(RING), i % 4
def objective(params): return len(ALL), RING
"""


def test_no_order_of_a_set_matters(tmp_path: Path) -> None:
    code = UNORDERED + SHOW.format("objective")
    assert len({run_python(code, tmp_path, PYTHONHASHSEED=seed) for seed in "1234"}) == 1
    changed = UNORDERED.replace("made(3)", "made(4)") + SHOW.format("objective")
    assert run_python(changed, tmp_path) != run_python(code, tmp_path)


def test_long_chains_of_calls_and_shared_parts_end() -> None:
    calls = "".join(f"def f{i}(x): return f{i + 1}(x)\n" for i in range(500))
    source = calls + "def f500(x): return x + 1\nobjective = f0\n"
    assert mark_of(source) != mark_of(source.replace("x + 1", "x + 2"))
    shared: list[object] = [1]
    for _ in range(60):  # 2 ** 60 ways lead to the innermost
        shared = [shared, shared]
    assert fingerprint(only, shared) == fingerprint(only, shared)


# --- what cannot be


class Deep:
    def __init__(self) -> None:
        self.inner = {"lock": [threading.Lock()]}

    def __call__(self, params: object) -> float:
        return 0.0


def holding(value: object) -> Callable[[object], object]:
    return lambda params: value


@pytest.mark.parametrize(
    ("objective", "where"),
    [
        (Deep(), r"the objective.*\['lock'\]\[0\] is a _thread.lock"),
        (holding(threading.Lock()), "closure 'value' is a _thread.lock"),
        (holding(iter([1])), "closure 'value' is a builtins.list_iterator"),
        (holding(np.random.default_rng(1)), "numpy.random"),
        (holding(sys.stdout), "closure 'value'"),
    ],
)
def test_what_has_no_content_is_named(objective: Any, where: str) -> None:
    with pytest.raises(FingerprintError, match=f"(?s){where}.*version='...'"):
        fingerprint(objective)


class Plain:
    def __init__(self, x: object) -> None:
        self.x = x


def test_loops_end_and_count() -> None:
    loop, longer, same = [], [[]], []  # type: tuple[list[Any], list[Any], list[Any]]
    loop.append(loop)
    same.append(same)
    longer[0].append(longer)
    Plain.default = Plain(1)  # type: ignore[attr-defined]  # an instance its own class holds
    assert fingerprint(only, loop) == fingerprint(only, same) != fingerprint(only, longer)
    assert fingerprint(only, Plain.default) != fingerprint(only, Plain(2))  # type: ignore[attr-defined]  # see above
    del Plain.default  # type: ignore[attr-defined]  # see above


def test_depth_ends() -> None:
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(FingerprintError, match="nested deeper than 200 levels"):
        fingerprint(only, deep)


def test_a_version_stands_for_all() -> None:
    first = fingerprint(Deep(), version="1")
    assert first == fingerprint(only, [1], version="1")
    assert len({first, fingerprint(Deep(), version="2"), fingerprint(only)}) == 3
    assert len(first) == 16
    for wrong in ("", 3):
        with pytest.raises(FingerprintError, match="expected a text"):
            fingerprint(only, version=wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(FingerprintError, match="can be called"):
        fingerprint(3)
