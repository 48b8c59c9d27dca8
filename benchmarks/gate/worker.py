"""A worker process, seen from inside: imports one side's code and measures what it is told to.

    python -m <this module> --package NAME --stage DIR --loader MODULE:FUNCTION [--core N]
        [--instrument KIND [--log FILE]]

Requests come as JSON lines on standard input, answers leave as JSON lines on standard output;
what the code under test prints goes to standard error instead.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .clocks import clock
from .contract import Body, Case, HotPath
from .errors import BodyRaisedError, GateError, NotMeasuredError
from .instruments import Instrument, Kind, create
from .machine import processor

Answer = dict[str, Any]

MOST_FROZEN = 20_000  # objects that closed cases may leave: a collection of all takes a while


class LackingError(BodyRaisedError):
    """The code has not got what the case needs."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gate worker")
    parser.add_argument("--package", required=True)
    parser.add_argument("--stage", required=True, type=Path)
    parser.add_argument("--loader", required=True)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--instrument", type=Kind, default=None)
    parser.add_argument("--log", type=Path, default=None)
    options = parser.parse_args(arguments)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # A shell starts background jobs with it ignored, and code that asks goes another way then.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Made first: it must see each connection that the code under test opens.
    worker = Worker(create(options.instrument, options.log) if options.instrument else None)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                where = options.package, options.stage, options.loader, options.core
                answer = worker.load(*where, **request["with"])
            else:
                answer = getattr(worker, request["do"])(**request.get("with", {}))
        except LackingError as error:
            answer = {"error": str(error), "code": error.code, "lacking": True}
        except GateError as error:
            answer = {"error": str(error), "code": error.code}
        except NotImplementedError as error:
            reason = f"this code lacks the part: {error or 'NotImplementedError'}"
            skipped = getattr(error, "by_suite", False)
            answer = {"error": reason, "code": NotMeasuredError.code, "skipped": skipped}
            answer["lacking"] = not skipped
        except Exception as error:
            answer = {"error": f"{type(error).__name__} at {_place(error)}", "code": 2}
            traceback.print_exc()
        print(json.dumps(answer), file=answers, flush=True)
    return 0


class Worker:
    """One process's share of the measurements: at most one case is open at a time."""

    def __init__(self, instrument: Instrument | None) -> None:
        self._instrument = instrument
        self._paths: dict[str, HotPath] = {}
        self._body: Body | None = None
        self._loaded: set[str] = set()  # modules that came with the suite
        self._frozen = 0  # objects that were when no case was open
        self._cases_froze = 0  # since then: more than that, closed cases cannot have left
        self._clock: Callable[[], int] = time.thread_time_ns

    def load(
        self,
        package: str,
        stage: Path,
        loader: str,
        core: int | None,
        modules: Sequence[str] = (),
    ) -> Answer:
        """Import the code and the suite; refuses code that does not come from `stage`.

        `modules` is what another worker has `imported`: it comes now, with all other imports.
        """
        found = getattr(importlib.import_module(package), "__file__", None) or "nowhere"
        if not Path(found).resolve().is_relative_to(stage.resolve()):
            raise NotMeasuredError(
                f"`import {package}` came from {found}, expected the staged tree {stage}: "
                f"something in this environment (an editable install?) wins over PYTHONPATH; "
                f"uninstall {package} from it"
            )
        module, _, function = loader.partition(":")
        paths = getattr(importlib.import_module(module), function)()
        self._paths = {path.name: path for path in paths}
        self._loaded = set(sys.modules)
        for name in modules:
            with contextlib.suppress(Exception):  # not every name in sys.modules can be imported
                importlib.import_module(name)
        if core is not None:  # after the imports: both workers of a pair import at once
            with contextlib.suppress(AttributeError, OSError):  # no affinity outside Linux
                os.sched_setaffinity(0, {core})
        described = [_describe(path) for path in self._paths.values()]
        self._freeze()
        return {"paths": described, "notes": list(getattr(paths, "notes", ()))}

    def imported(self) -> Answer:
        """The packages that the cases opened so far have brought, in their order."""
        return {"modules": [n for n in sys.modules if "." not in n and n not in self._loaded]}

    def compiles_for(self) -> Answer:
        """The environment that has numba compile elsewhere what it would here; empty if unknown."""
        if importlib.util.find_spec("numba") is None:
            return {}
        try:
            binding: Any = importlib.import_module("llvmlite.binding")  # what numba asks
            features = binding.get_host_cpu_features().flatten()
            return {"NUMBA_CPU_NAME": binding.get_host_cpu_name(), "NUMBA_CPU_FEATURES": features}
        except Exception:  # a numba that is broken: whoever needs it will say so
            return {}

    def environment(self) -> Answer:
        """Python and package versions; reading them all takes longer than a short case."""
        packages = {
            name: {"version": distribution.version, "requires": distribution.requires or []}
            for distribution in importlib.metadata.distributions()
            if (name := distribution.metadata["Name"])
        }
        return {
            "processor": processor(),
            "python": f"{sys.implementation.name} {platform.python_version()}",
            "packages": dict(sorted(packages.items())),
        }

    def open(self, path: str, case: str, warm: int = 2) -> Answer:
        """Set a case up and call it `warm` times; answers with the last call's seconds.

        The first call may compile, so its time says little.
        """
        self.close()
        hot_path = self._paths.get(path)
        found = None if hot_path is None else _case(hot_path, case)
        if hot_path is None or found is None:
            raise LackingError(f"with this code the suite declares no {path}[{case}]")
        try:
            body = found.open()
        except (ImportError, AttributeError) as error:
            raise LackingError(f"{type(error).__name__}: {error}") from error
        self._body = body
        self._clock = clock(hot_path.clock)
        return self.warm(warm)

    def warm(self, calls: int = 2) -> Answer:
        """Call the open case so many times; answers with the last call's seconds."""
        body = self._opened
        cpu_s = wall_s = fresh_s = 0.0
        for _ in range(calls):
            cpu_s, wall_s, fresh_s = self._call(body)
        gc.collect()
        self._cases_froze += len(gc.get_objects())
        gc.freeze()
        return {"cpu_s": cpu_s, "wall_s": wall_s, "fresh_s": fresh_s}

    def _call(self, body: Body) -> tuple[float, float, float]:
        """CPU and wall seconds of a call, and wall seconds of what comes before it."""
        fresh_start = time.perf_counter()
        body.fresh()
        fresh_s = time.perf_counter() - fresh_start
        start = self._clock()
        wall_start = time.perf_counter()
        body.after()
        wall_s = time.perf_counter() - wall_start
        return (self._clock() - start) / 1e9, wall_s, fresh_s

    def close(self) -> Answer:
        """Close the open case, if any."""
        if self._body is not None:
            body, self._body = self._body, None
            body.close()
            del body
            if self._cases_froze > MOST_FROZEN:  # counting them visits everything that is frozen
                self._cases_froze = gc.get_freeze_count() - self._frozen
                if self._cases_froze > MOST_FROZEN:
                    gc.unfreeze()
                    self._freeze()
        return {}

    def _freeze(self) -> None:
        """What is imported stays: no later collection looks at it."""
        gc.collect()
        gc.freeze()
        self._frozen, self._cases_froze = gc.get_freeze_count(), 0

    def measure(self, calls: int, side: str = "after") -> Answer:
        """CPU and wall seconds of `calls` calls; `fresh` runs before each, outside the clock."""
        body = self._opened
        call, clock, wall = getattr(body, side), self._clock, time.perf_counter_ns
        cpu_ns = wall_ns = 0
        gc.disable()
        try:
            for _ in range(calls):
                body.fresh()
                cpu_start = clock()  # outside the wall clock: a tree of processes takes a while
                wall_start = wall()
                call()
                wall_ns += wall() - wall_start
                cpu_ns += clock() - cpu_start
        finally:
            gc.enable()
        gc.collect()
        return {"cpu_s": cpu_ns / 1e9 / calls, "wall_s": wall_ns / 1e9 / calls}

    def count(self, details: bool = False) -> Answer:
        """Exact counts of one call; with `details`, what they are made of."""
        if self._instrument is None:
            raise NotMeasuredError("this worker was started without an instrument")
        gc.disable()
        try:
            answer: Answer = {"counters": self._instrument.count(self._opened)}
            if details:
                answer["details"] = self._instrument.details(self._opened)
        finally:
            gc.enable()
        return answer

    def compare(self) -> Answer:
        """Whether `before` and `after` agree, each from a fresh state."""
        body = self._opened
        body.fresh()
        before = body.before()
        body.fresh()
        after = body.after()
        return {"agree": bool(body.agree(before, after))}

    @property
    def _opened(self) -> Body:
        if self._body is None:
            raise NotMeasuredError("no case is open")
        return self._body


def _place(error: Exception) -> str:
    """File and line that raised, and what it said."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}: {error.msg}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}: {error}"


def _case(path: HotPath, label: str) -> Case | None:
    return next((case for case in path.cases if case.label == label), None)


def _describe(path: HotPath) -> dict[str, Any]:
    return {
        "name": path.name,
        "source": path.source,
        "claim": path.claim,
        "clock": path.clock,
        "witnesses": list(path.witnesses),
        "workload": path.workload,
        "cases": [
            {
                "label": case.label,
                "counted": case.counted,
                "timed": case.timed,
                "compared": case.compared,
                "has_before": case.has_before,
                "cpu_floor": case.cpu_floor,
            }
            for case in path.cases
        ],
    }


if __name__ == "__main__":
    raise SystemExit(main())
