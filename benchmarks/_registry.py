"""A hot path is declared once, as a class, and everything drives that class.

    @hot_path(claim="dedup-insert", witnesses=("statements", "fsyncs", "cpu"))
    class AddBatch:
        params = (100, 1_000)            # or a tuple of tuples for several parameters
        param_names = ("n",)
        def setup(self, n): ...          # once; NotImplementedError where old code lacks the part
        def fresh(self, n): ...          # before each call, never timed
        def before(self, n): ...         # the slow way
        def after(self, n): ...          # the way we ship
        def agree(self, before, after):  # the same answer?
            return before == after
        def figures(self, before, after): ...  # optional: name -> (before's, after's), for claims
        def teardown(self, n): ...

The decorator registers the class for the gate, the claims table and the profilers, and gives it
the methods asv looks for: `time_before`, `time_after`, `track_cost_ratio`. asv has no "higher is
better", so it stores after / before, a cost; people are shown before / after, a speedup.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import itertools
import linecache
import pkgutil
import statistics
import sys
import textwrap
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gate.clocks import clock as _clock

COUNTER_WITNESSES = frozenset(
    {"statements", "steps", "commits", "fsyncs", "connections", "opens", "listings", "processes"}
    | {"bytecodes", "python_calls", "c_calls"}
)
WITNESSES = COUNTER_WITNESSES | {"instructions", "memory", "cpu", "claim", "wall"}
CLAIMS = Path(__file__).with_name("claims.toml")
_ROOT = str(Path(__file__).resolve().parent.parent)
# How the modules are called, but for the underscore, whose paths the gate lacks: those that need
# the field's libraries, and whole studies, which take too long for every run of the gate.
PEERS, ENGINE = "peers", "engine"

_declared: dict[str, type[Any]] = {}


@dataclass(frozen=True)
class Declaration:
    """What `@hot_path` was told about a class."""

    name: str
    claim: str
    witnesses: tuple[str, ...]
    clock: str
    after_only: tuple[Any, ...]  # parameters at which `before` would take too long to ever run
    slow_before: tuple[Any, ...]  # parameters at which `before` runs in claims, not in every bench
    uncounted: tuple[Any, ...]  # parameters at which counting would take too long
    untimed: tuple[Any, ...]  # parameters whose CPU time says no more than another's
    once: tuple[Any, ...]  # parameters at which a process of the claims calls each side once
    claim_at: Any  # the parameter the claim is judged at


def hot_path(
    *,
    claim: str,
    witnesses: tuple[str, ...],
    clock: str = "thread",
    after_only: tuple[Any, ...] = (),
    slow_before: tuple[Any, ...] = (),
    uncounted: tuple[Any, ...] = (),
    untimed: tuple[Any, ...] = (),
    once: tuple[Any, ...] = (),
    claim_at: Any = None,
) -> Callable[[type[Any]], type[Any]]:
    """Declare a class as a hot path; see the module's docstring."""
    if unknown := set(witnesses) - WITNESSES:
        raise ValueError(
            f"unknown witnesses {sorted(unknown)}, expected some of {sorted(WITNESSES)}"
        )

    def declare(cls: type[Any]) -> type[Any]:
        if not getattr(cls, "params", ()):
            raise ValueError(f"{cls.__name__} has no params: give at least one, and its name")
        if hasattr(cls, "hot_path"):
            raise ValueError(f"{cls.__name__} extends a hot path: share a private base instead")
        suite = cls.__module__.rpartition(".")[2]
        name = f"{suite.lstrip('_')}.{cls.__name__.lstrip('_')}"
        if name in _declared:
            raise ValueError(f"{name} is declared twice")
        declared = name, claim, witnesses, clock, after_only, slow_before, uncounted, untimed
        cls.hot_path = Declaration(*declared, once, claim_at)
        _give_asv_its_methods(cls)
        _declared[name] = cls
        return cls

    return declare


def load() -> list[RegisteredPath]:
    """Every hot path of the suites, in the order of their names."""
    import benchmarks

    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_") and not module.ispkg:
            importlib.import_module(f"benchmarks.{module.name}")
    return [path for path in declared() if not path.name.startswith((PEERS, ENGINE))]


def declared() -> list[RegisteredPath]:
    """Every hot path of the modules that are imported, in the order of their names."""
    return [RegisteredPath(_declared[name]) for name in sorted(_declared)]


def find(name: str) -> RegisteredPath:
    """The hot path called `name`; `KeyError` lists what there is."""
    paths = {path.name: path for path in load()}
    if name not in paths:
        raise KeyError(f"no hot path {name}; there are: {', '.join(paths)}")
    return paths[name]


class RegisteredPath:
    """A declared class as the gate sees it (`gate/contract.py`)."""

    def __init__(self, cls: type[Any]) -> None:
        self._class = cls
        declaration: Declaration = cls.hot_path
        self.declaration = declaration
        self.name = declaration.name
        self.witnesses: Sequence[str] = declaration.witnesses
        self.clock = declaration.clock
        self.claim = declaration.claim
        self.source = Path(inspect.getfile(cls)).name
        self.workload: str = cls.version
        several = isinstance(cls.params[0], tuple)  # then every combination, as asv runs them
        values = itertools.product(*cls.params) if several else ((value,) for value in cls.params)
        self.cases = [RegisteredCase(cls, value) for value in values]

    def case(self, label: str | None = None) -> RegisteredCase:
        """The case of that label; without one, the case the claim is judged at."""
        if label is None:
            return next((case for case in self.cases if case.judged), self.cases[0])
        found = [case for case in self.cases if case.label == label]
        if not found:
            labels = ", ".join(case.label for case in self.cases)
            raise KeyError(f"{self.name} has no case {label}; there are: {labels}")
        return found[0]


class RegisteredCase:
    """A hot path with one choice of parameters."""

    def __init__(self, cls: type[Any], values: tuple[Any, ...]) -> None:
        declaration: Declaration = cls.hot_path
        self._class = cls
        self._values = values
        self.label = ",".join(f"{n}={v}" for n, v in zip(cls.param_names, values, strict=True))
        single = values[0] if len(values) == 1 else values
        self.judged = single == declaration.claim_at
        self.has_before = single not in declaration.after_only
        self.compared = self.has_before and single not in declaration.slow_before
        self.counted = single not in declaration.uncounted
        self.timed = single not in declaration.untimed
        self.once = single in declaration.once
        self.cpu_floor: float | None = _floors(declaration.claim).get(self.label)

    def open(self) -> OpenCase:
        """Set it up."""
        return OpenCase(self._class, self._values)


class OpenCase:
    """A case that is set up: its parameters are bound."""

    def __init__(self, cls: type[Any], values: tuple[Any, ...]) -> None:
        self._instance = cls()
        self._values = values
        self._instance.set_up_once(*values)

    def fresh(self) -> None:
        self._instance.fresh(*self._values)

    def before(self) -> Any:
        return self._instance.before(*self._values)

    def after(self) -> Any:
        return self._instance.after(*self._values)

    def agree(self, before: Any, after: Any) -> bool:
        return bool(self._instance.agree(before, after))

    def figures(self, before: Any, after: Any) -> dict[str, tuple[int, int]]:
        """What the answers hold that a claim speaks of: name -> before's and after's."""
        found: dict[str, tuple[int, int]] = {}
        if hasattr(self._instance, "figures"):
            found = self._instance.figures(before, after)
        return found

    def close(self) -> None:
        self._instance.teardown(*self._values)


def _floors(claim: str) -> dict[str, float]:
    """The speedups that claims.toml promises of a claim's hot path: case -> before / after."""
    if not claim:
        return {}
    floors: dict[str, float] = _claims_file().get(claim, {}).get("cpu_floor", {})
    return floors


@functools.cache
def _claims_file() -> dict[str, Any]:
    return tomllib.loads(CLAIMS.read_text(encoding="utf-8"))


def _timer(name: str) -> Callable[[], float]:
    """asv wants seconds."""
    read_ns = _clock(name)
    return lambda: read_ns() / 1e9


def _nothing(self: Any, *values: Any) -> None:
    """Default of `fresh` and `teardown`."""


def _give_asv_its_methods(cls: type[Any]) -> None:
    declaration: Declaration = cls.hot_path
    cls.fresh = getattr(cls, "fresh", _nothing)
    cls.teardown = getattr(cls, "teardown", _nothing)
    cls.set_up_once = cls.setup
    cls.timer = staticmethod(_timer(declaration.clock))
    cls.version = _workload_hash(cls)

    def setup(self: Any, *values: Any) -> None:
        # asv finds this package in a way of its own, which processes of a body do not know.
        if _ROOT not in sys.path:
            sys.path.append(_ROOT)  # last: `optimizer` stays the one that is measured
        self.set_up_once(*values)
        self.fresh(*values)

    def time_after(self: Any, *values: Any) -> None:
        self.after(*values)

    def time_before(self: Any, *values: Any) -> None:
        self.before(*values)

    def track_cost_ratio(self: Any, *values: Any) -> float:
        return _cost_ratio(self, values)

    def skip_after_only(*values: Any) -> None:
        single = values[0] if len(values) == 1 else values
        if single in declaration.after_only:
            raise NotImplementedError("before would take too long here")

    cls.setup, cls.time_after, cls.time_before = setup, time_after, time_before
    cls.track_cost_ratio = track_cost_ratio
    # asv reads a benchmark's attributes off the method; a slow side runs few times.
    slow = {"setup": skip_after_only, "timeout": 300.0}
    vars(time_before).update(slow, repeat=(1, 3, 5.0), rounds=1, warmup_time=0.0)
    vars(track_cost_ratio).update(slow, unit="after/before")
    if cls.fresh is not _nothing:  # state that a call changes: asv sets it up anew for each call
        for timed in (time_before, time_after):
            vars(timed)["number"] = 1


def _cost_ratio(instance: Any, values: tuple[Any, ...]) -> float:
    """Time of after / before by the declared clock: the median of one to seven rounds.

    A round calls before, then after, once each, with `fresh` untimed ahead of each. One round more
    is run first and not counted, since asv warms nothing up. After two seconds no round starts, but
    one is counted always.
    """
    rounds: list[float] = []
    started = time.perf_counter()
    while len(rounds) < 2 or (len(rounds) < 8 and time.perf_counter() - started < 2.0):
        seconds = []
        for side in (instance.before, instance.after):
            instance.fresh(*values)
            start = instance.timer()
            side(*values)
            seconds.append(instance.timer() - start)
        rounds.append(seconds[1] / seconds[0])
    return statistics.median(rounds[1:])


def _workload_hash(cls: type[Any]) -> str:
    """Hash of the class's source and of the module's private names that it may use."""
    module = inspect.getmodule(cls)
    thing: Any = cls
    sources = [_source(thing)]
    for name, thing in sorted(vars(module).items()):
        if not name.startswith("_") or name.startswith("__"):
            continue
        if getattr(thing, "__module__", None) == cls.__module__:
            sources.append(_source(thing))
        elif isinstance(thing, int | float | str | bytes | tuple | list | dict):
            sources.append(f"{name}={thing!r}")
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()[:16]


@functools.cache
def _source(thing: Any) -> str:
    """`inspect.getsource`, dedented, for what stands in a module.

    That one parses the whole file again for each class, in every process that loads the suite.
    """
    lines: list[str] = []
    if inspect.isclass(thing):
        file = inspect.getsourcefile(thing) or inspect.getfile(thing)
        linecache.checkcache(file)  # asv may see a file change
        lines = linecache.getlines(file, vars(inspect.getmodule(thing)))
        lines = lines[_first_lines("".join(lines)).get(thing.__qualname__, len(lines)) :]
    block = "".join(inspect.getblock(lines)) if lines else inspect.getsource(thing)
    return textwrap.dedent(block)


@functools.cache
def _first_lines(source: str) -> dict[str, int]:
    """Where a module's classes begin, their decorators included; the first line is 0."""
    found: dict[str, int] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            first = node.decorator_list[0] if node.decorator_list else node
            found.setdefault(node.name, first.lineno - 1)
    return found
