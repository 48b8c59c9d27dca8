"""A fingerprint changes with whatever an objective computes with, and with nothing else."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import logging
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def objective_of(source: str) -> Any:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "objective.py", "exec", dont_inherit=True), names)
    return names["objective"]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_any_change_that_matters_changes_it(old: str, new: str) -> None:
    assert PLAIN.count(old) == 1
    changed = PLAIN.replace(old, new)
    assert fingerprint(objective_of(changed)) != fingerprint(objective_of(PLAIN))


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
    changed = PLAIN.replace(old, new)
    assert fingerprint(objective_of(changed)) == fingerprint(objective_of(PLAIN))


def run_python(code: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SHOW = "\nfrom optimizer.stores.fingerprint import fingerprint\nprint(fingerprint({}).hex())"


def test_every_process_and_hash_seed_agrees(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    (tmp_path / "mine.py").write_text(PLAIN)
    as_main = PLAIN + SHOW.format("objective")
    imported = "from mine import objective" + SHOW.format("objective")
    found = {
        run_python(code, tmp_path, PYTHONPATH=root, PYTHONHASHSEED=seed)
        for code, seed in ((as_main, "1"), (as_main, "2"), (imported, "3"))
    }
    assert found == {fingerprint(objective_of(PLAIN)).hex()}


def test_a_changed_line_in_a_module_of_ones_own_changes_it(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    code = "import pack.sub\ndef objective(params): return pack.sub.f(params)"
    code += SHOW.format("objective")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "other.py").write_text("constant = 1\n")
    (tmp_path / "pack" / "sub.py").write_text("import other\ndef f(p): return other.constant\n")
    environment = {"PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}
    first = run_python(code, tmp_path, **environment)
    assert run_python(code, tmp_path, **environment) == first
    (tmp_path / "other.py").write_text("constant = 2\n")
    second = run_python(code, tmp_path, **environment)
    (tmp_path / "pack" / "sub.py").write_text("import other\ndef f(p): return -other.constant\n")
    assert len({first, second, run_python(code, tmp_path, **environment)}) == 3


NAMED = """
import mine, pack
import pack.sub
def direct(params): return mine.level
def through(params): return mine.scaled(params)
def deep(params): return pack.sub.level
def late(params):
    from pack.sub import level
    return level
def later(params):
    import json, numpy, not_there_at_all
    def inner():
        import pack.sub as sub
        return sub.level
    return inner()
from optimizer.stores.fingerprint import fingerprint
all_of = lambda: [fingerprint(f).hex() for f in (direct, through, deep, late, later)]
"""


def test_what_a_module_holds_by_now_counts_where_it_is_named(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("back = __import__('mine')\n")
    (tmp_path / "pack" / "sub.py").write_text("import pack\nlevel = 1\nunused = [1]\n")
    (tmp_path / "mine.py").write_text(
        "import pack\nlevel, unused = 1, [1]\ndef scaled(p): return p['x'] * level\n"
    )
    code = NAMED + (
        "first = all_of()\n"
        "mine.unused.append(2); pack.sub.unused.append(2)\n"
        "assert all_of() == first\n"
        "mine.level = 2; second = all_of()\n"
        "pack.sub.level = 2; third = all_of()\n"
        "changed = lambda a, b: ''.join('ny'[x != y] for x, y in zip(a, b))\n"
        "print(changed(first, second), changed(second, third), *first)"
    )
    found = run_python(code, tmp_path, **environment)
    assert found.startswith("yynnn nnyyy ")
    assert run_python("import numpy\n" + code, tmp_path, **environment) == found


# --- data


def only(params: Any) -> float:
    return 0.0


class Shade(enum.IntEnum):
    DARK = 1


class Plain:
    def __init__(self, x: object) -> None:
        self.x = x

    def __getstate__(self) -> dict[str, object]:
        return {}  # leaves out what counts


class Slots:
    __slots__ = ("x",)

    def __init__(self, x: object) -> None:
        self.x = x


class Named(dict[str, int]):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: object


_TWOS = np.arange(12.0).reshape(3, 4)
DIFFERENT: list[Any] = [
    None,
    0,
    0.0,
    -0.0,
    False,
    "",
    "0",
    b"",
    bytearray(),
    (),
    [],
    {},
    set(),
    [[], []],
    [[[]]],
    ["ab", "c"],
    ["a", "bc"],
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {1, 2},
    frozenset((1, 2, 3)),
    float("nan"),
    1j,
    range(3),
    2**100,
    Path("a"),
    Shade.DARK,
    Plain(1),
    Plain(2),
    Plain([Plain(2)]),
    Slots(1),
    Slots(2),
    Frozen(1),
    Frozen((1,)),
    Named(a=1),
    {"a": 1},
    collections.OrderedDict(a=1),
    collections.defaultdict(int, a=1),
    collections.defaultdict(float, a=1),
    collections.deque([1]),
    types.MappingProxyType({"a": 1}),
    functools.partial(only, 1),
    functools.partial(only, 2),
    np.float64(0.0),
    np.float32(0.0),
    np.zeros(0),
    np.zeros(1),
    np.zeros((1, 1)),
    np.zeros(1, dtype=np.int64),
    np.zeros(1, dtype="datetime64[D]"),
    np.array(["a", None], dtype=object),
    np.array(["a", "b"]),
    np.zeros(2, dtype=[("x", "f8")]),
    _TWOS,
    _TWOS.T,
    _TWOS[::2],
    np.sqrt,
    np.exp,
    len,
    "x".join,
    "y".join,
]


def test_data_that_differ_never_agree() -> None:
    found: dict[bytes, Any] = {}
    for data in DIFFERENT:
        mark = fingerprint(only, data)
        assert mark not in found, (data, found[mark])
        found[mark] = data
    assert [fingerprint(only, data) for data in DIFFERENT] == list(found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_TWOS.T, np.ascontiguousarray(_TWOS.T)),
        (_TWOS[::2], _TWOS[::2].copy()),
        ({1, "a", 2.5}, {2.5, 1, "a"}),
        ({0, 8, 16}, {16, 8, 0}),  # they collide, so each comes in its own order
        ([[1], [1]], [[1]] * 2),
        (logging.getLogger("a"), logging.getLogger("b")),
    ],
)
def test_equal_content_agrees(one: object, other: object) -> None:
    assert fingerprint(only, one) == fingerprint(only, other)


def test_tables() -> None:
    pd = pytest.importorskip("pandas")

    def table(**changes: Any) -> Any:
        columns = {
            "price": [1.0, 2.0],
            "name": ["a", "b"],
            "kind": pd.Categorical(["x", "y"]),
            "day": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
            "count": pd.array([1, None], dtype="Int64"),
            **changes,
        }
        return pd.DataFrame(columns, index=pd.Index([5, 6], name="id"))

    first = table()
    marks = [
        fingerprint(only, data)
        for data in (
            first,
            first.rename(columns={"price": "cost"}),
            first.rename_axis(index="no"),
            first.set_axis([5, 7]),
            first.iloc[::-1],
            table(price=[1.0, 2.5]),
            table(price=[1, 2]),
            table(name=["a", "c"]),
            table(kind=["x", "y"]),
            table(kind=pd.Categorical(["x", "y"], categories=["y", "x"])),
            table(count=pd.array([1, 0], dtype="Int64")),
            table(day=pd.to_datetime(["2020-01-01", "2020-01-03"], utc=True)),
            first["price"],
            first.index,
            first.set_index(["name", "kind"]),
        )
    ]
    assert len(set(marks)) == len(marks)
    assert fingerprint(only, table()) == marks[0]


def test_compiled_functions() -> None:
    numba = pytest.importorskip("numba")

    def kernel(x: float) -> float:
        return x + 1

    def other(x: float) -> float:
        return x + 2

    made = [numba.njit(kernel), numba.njit(kernel, fastmath=True), numba.njit(other)]
    marks = [fingerprint(lambda params, f=f: f(params)) for f in made]
    assert len(set(marks)) == 3
    again = numba.njit(kernel)
    assert fingerprint(lambda params, f=again: f(params)) == marks[0]


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
