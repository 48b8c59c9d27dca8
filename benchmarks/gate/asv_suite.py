"""A plain asv suite as hot paths: its `time_*` benchmarks, without a change to them.

asv's own discovery finds the benchmarks, so that names, parameters, setups and caches are what
asv takes them for. What differs from asv, because the gate compares and asv records:

- one process opens many cases; each gets an instance of its own and a folder of its own to run in
- setup runs once, and again before every `number`-th call where the benchmark declares a `number`
  (asv calls the body as often as it likes, too, where none is declared)
- of many combinations of parameters `VELOCITY_GATE_CASES` are measured, spread over all of them
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import itertools
import os
import pickle
import pkgutil
import re
import shutil
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .contract import SUITE_FOLDER
from .errors import BodyRaisedError, NotMeasuredError, UsageError

CASES = "VELOCITY_GATE_CASES"  # at most so many cases of one benchmark
DEFAULT_CASES = 4
LABEL_CHARACTERS = 60  # of one parameter's value

Arguments = tuple[Any, ...]


class SkippedError(NotImplementedError):
    """The suite itself skips this case here: its setup raised `NotImplementedError`.

    On both sides that is no failure, and nothing is measured; on one side, the sides differ.
    """

    by_suite = True


class Paths(list["AsvPath"]):
    """Hot paths, and what should be said about those that are not among them."""

    notes: tuple[str, ...] = ()


def load() -> Paths:
    """The hot paths of the suite that the environment names; runs them in a folder of their own."""
    folder = os.environ.get(SUITE_FOLDER)
    if not folder:
        raise UsageError(
            f"{SUITE_FOLDER} is not set: the gate names the staged folder of the suite in it"
        )
    most = os.environ.get(CASES, str(DEFAULT_CASES))
    if not most.isdecimal() or int(most) < 1:
        raise UsageError(f"{CASES} is {most!r}, expected how many cases of a benchmark to measure")
    os.chdir(tempfile.mkdtemp(prefix="asv-"))  # bodies write files where they are
    return discover(Path(folder), int(most))


def discover(folder: Path, cases: int = DEFAULT_CASES) -> Paths:
    """Import the suite in `folder` and find its `time_*` benchmarks.

    Raises `UsageError` where asv_runner is not installed, `NotMeasuredError` where another package
    has the suite's name. A module that cannot be imported is a path that cannot be opened.
    """
    folder = folder.resolve()
    sys.path.insert(0, str(folder.parent))  # a stage: nothing but the suite lies in it
    _refuse_impostor(folder)
    broken = list(_broken_modules(folder.name, folder.name))
    found = _benchmarks(folder)
    timed = [benchmark for benchmark in found if _kind(benchmark) == "time"]
    caches: dict[str, _Cache] = {}
    paths = Paths(AsvPath.of(benchmark, folder, cases, caches) for benchmark in timed)
    paths += [AsvPath(name, _file(folder, name), "", [_broken(why)]) for name, why in broken]
    others = Counter(kind for kind in map(_kind, found) if kind != "time")
    notes = [path.note for path in paths if path.note]
    notes += [f"{n} {kind} benchmarks are not measured" for kind, n in sorted(others.items())]
    paths.notes = tuple(notes)
    return paths


def _benchmarks(folder: Path) -> list[Any]:
    try:
        discovery = importlib.import_module("asv_runner.discovery")  # ships no types
    except ImportError as error:
        raise UsageError(
            f"asv_runner, which reads asv suites, cannot be imported by {sys.executable} "
            f"({error}): install asv_runner there"
        ) from None
    return list(_unique(discovery.disc_benchmarks(str(folder), ignore_import_errors=True)))


def _file(folder: Path, module: str) -> str:
    """The file of a module of the suite, relative to the suite's folder."""
    place = PurePosixPath(*filter(None, module.split(".")))
    package = place / "__init__.py"
    return str(package if (folder / package).is_file() else place.with_suffix(".py"))


def _kind(benchmark: Any) -> str:
    """asv's prefix of its name: `time`, `timeraw`, `track`, `mem`, `peakmem`."""
    return type(benchmark).__name__.removesuffix("Benchmark").lower()


def _broken_modules(name: str, suite: str) -> Iterator[tuple[str, str]]:
    """Import a module and all below it; those that cannot be imported, with the reason."""
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        yield name.removeprefix(f"{suite}."), f"{type(error).__name__}: {error}"
        return
    for inner in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        yield from _broken_modules(inner.name, suite)


def _refuse_impostor(folder: Path) -> None:
    """Another distribution, or the gate itself, may already be called as the suite is."""
    try:
        module = importlib.import_module(folder.name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise BodyRaisedError(f"the suite {folder.name} cannot be imported: {reason}") from error
    places = {Path(place).resolve() for place in getattr(module, "__path__", [])}
    if folder not in places:
        raise NotMeasuredError(
            f"`import {folder.name}` came from {sorted(map(str, places)) or module}, expected the "
            f"staged suite {folder}: uninstall that package, or start the gate as velocity-gate"
        )


def _unique(benchmarks: Iterator[Any]) -> Iterator[Any]:
    """A class that several modules import is found in each of them, under names of their own."""
    seen: set[str] = set()
    for benchmark in benchmarks:
        if benchmark.name not in seen:
            seen.add(benchmark.name)
            yield benchmark


@dataclass(frozen=True)
class AsvPath:
    """One `time_*` benchmark (`gate/contract.py`); one case for each combination of parameters."""

    name: str
    source: str
    workload: str
    cases: Sequence[AsvCase | ClosedCase]
    note: str = ""  # what is left out, if anything
    witnesses: Sequence[str] = ("bytecodes", "python_calls", "c_calls", "instructions", "cpu")
    clock: str = "process"  # nobody knows whether the body starts threads
    claim: str = ""

    @classmethod
    def of(cls, benchmark: Any, folder: Path, most: int, caches: dict[str, _Cache]) -> AsvPath:
        """The path of a benchmark of asv's; at most `most` cases."""
        combinations = list(itertools.product(*benchmark._params))
        labels = _labels(benchmark.param_names, combinations)
        skipped = [tuple(values) for values in benchmark._skip_tuples]
        cases = [
            AsvCase(label, benchmark, values, caches)
            for label, values in zip(labels, combinations, strict=True)
            if values not in skipped  # on both sides: the same suite drives both
        ]
        kept: Sequence[AsvCase | ClosedCase] = _spread(cases, most)
        note = ""
        if not cases:
            kept = [_all_skipped(benchmark.name)]
            note = f"{benchmark.name}: the suite skips each of its combinations of parameters"
        if len(kept) < len(cases):
            note = f"{benchmark.name}: {len(kept)} of {len(cases)} combinations are measured"
        file = _file(folder, benchmark._attr_sources[-1].__name__.partition(".")[2])
        return cls(benchmark.name, file, _workload(benchmark, folder / file, labels), kept, note)


def _spread(cases: list[AsvCase], most: int) -> list[AsvCase]:
    """At most `most` of them, first and last included where there is room."""
    if len(cases) <= most:
        return cases
    step = (len(cases) - 1) / max(1, most - 1)
    return [cases[round(i * step)] for i in range(most)]


def _labels(names: Sequence[str], combinations: list[Arguments]) -> list[str]:
    """One label each, the same in every process, no two alike."""
    labels = [
        ",".join(f"{name}={_shown(value)}" for name, value in zip(names, values, strict=True))
        or "default"
        for values in combinations
    ]
    again: Counter[str] = Counter()
    for i, label in enumerate(labels):
        again[label] += 1
        if again[label] > 1:
            labels[i] = f"{label} ({again[label]})"
    return labels


def _shown(value: object) -> str:
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # differs from process to process
    text = " ".join(text.split())
    if len(text) <= LABEL_CHARACTERS:
        return text
    return f"{text[:LABEL_CHARACTERS]}~{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _workload(benchmark: Any, file: Path, labels: Sequence[str]) -> str:
    """Hash of the file that the benchmark stands in, its inherited code, and its parameters."""
    text = file.read_text(encoding="utf-8")
    parts = [benchmark.name, text, benchmark.code, *labels]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class AsvCase:
    """A benchmark with one combination of its parameters."""

    label: str
    benchmark: Any
    values: Arguments
    caches: dict[str, _Cache] = field(repr=False)
    counted: bool = True
    timed: bool = True
    compared: bool = False  # there is nothing to compare with
    has_before: bool = False
    cpu_floor: float | None = None

    def open(self) -> AsvBody:
        """Set it up; `SkippedError` where the suite skips it."""
        return AsvBody(_anew(self.benchmark), self.values, self.caches)


@dataclass(frozen=True)
class ClosedCase:
    """In place of cases that there are none of: it says why, whoever opens it."""

    label: str
    error: Callable[[], Exception]
    counted: bool = True
    timed: bool = True
    compared: bool = False
    has_before: bool = False
    cpu_floor: float | None = None

    def open(self) -> AsvBody:
        raise self.error()


def _broken(reason: str) -> ClosedCase:
    """What a module of the suite may hold that cannot be imported here."""
    sentence = (
        f"this module of the suite cannot be imported here: {reason} (install what it needs, or "
        f"name the benchmarks to measure)"
    )
    return ClosedCase("import", functools.partial(NotMeasuredError, sentence))


def _all_skipped(name: str) -> ClosedCase:
    """A benchmark of which no combination of parameters is left; no path vanishes unsaid."""
    sentence = f"skipped by the suite: {name} has no combination of parameters to measure"
    return ClosedCase("no parameters", functools.partial(SkippedError, sentence))


def _anew(benchmark: Any) -> Any:
    """The benchmark on an instance of its own, as asv has in each of its processes."""
    function, *sources = benchmark._attr_sources
    if len(sources) < 2:
        return type(benchmark)(benchmark.name, function, [function, *sources])
    instance = type(sources[0])()
    if isinstance(function, types.MethodType) and function.__self__ is sources[0]:
        function = types.MethodType(function.__func__, instance)
    return type(benchmark)(benchmark.name, function, [function, instance, *sources[1:]])


@dataclass
class _Cache:
    """What `setup_cache` returned and wrote: made once in a process, a fresh copy for each case."""

    folder: str
    pickled: bytes


class AsvBody:
    """A case that is set up; `after` is the benchmark's own function, bound to its arguments."""

    after: Callable[[], Any]

    def __init__(self, benchmark: Any, values: Arguments, caches: dict[str, _Cache]) -> None:
        self._benchmark = benchmark
        self._home = os.getcwd()
        self._own = ""
        try:
            arguments = (*self._cached(caches), *values)
            self._setups = [functools.partial(f, *arguments) for f in benchmark._setups]
            self._teardowns = [functools.partial(f, *arguments) for f in benchmark._teardowns]
            self._set_up()
        except BaseException:
            self._leave()
            raise
        self.after = functools.partial(benchmark.func, *arguments) if arguments else benchmark.func

    def _cached(self, caches: dict[str, _Cache]) -> Arguments:
        """The cache as the first argument, if there is one; enters the folder to run in."""
        key = self._benchmark.setup_cache_key
        if key is None:
            self._own = tempfile.mkdtemp(prefix="case-")
            os.chdir(self._own)
            return ()
        if key not in caches:
            folder = tempfile.mkdtemp(prefix="cache-")
            os.chdir(folder)
            with _skipping():
                pickled = pickle.dumps(self._benchmark.do_setup_cache())
            caches[key] = _Cache(folder, pickled)
        os.chdir(caches[key].folder)
        cache = pickle.loads(caches[key].pickled)
        return () if cache is None else (cache,)

    def _set_up(self) -> None:
        with _skipping():
            for setup in self._setups:
                setup()
        self._benchmark._load_vars()  # setup may change them
        self._calls_left: int = self._benchmark.number or -1  # below zero: never again

    def fresh(self) -> None:
        """Tear down and set up again, where the benchmark's `number` of calls is used up."""
        if self._calls_left == 0:
            self._tear_down()
            self._set_up()
        self._calls_left -= 1

    def before(self) -> Any:
        raise NotMeasuredError(f"{self._benchmark.name} has no slow way to compare with")

    def agree(self, before: Any, after: Any) -> bool:
        raise NotMeasuredError(f"{self._benchmark.name} has no slow way to compare with")

    def close(self) -> None:
        try:
            self._tear_down()
        finally:
            self._leave()

    def _tear_down(self) -> None:
        for teardown in self._teardowns:
            teardown()

    def _leave(self) -> None:
        os.chdir(self._home)
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)


@contextlib.contextmanager
def _skipping() -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:
        raise SkippedError(f"skipped by the suite: {str(error) or 'NotImplementedError'}") from None
