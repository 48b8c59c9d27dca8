"""A worker process, seen from the gate: started safely, asked, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from .contract import SUITE_FOLDER
from .errors import (
    BaseLacksError,
    BaselineError,
    BodyRaisedError,
    GateError,
    NotMeasuredError,
    SkippedError,
)
from .instruments import Kind, wrap
from .own import PACKAGE

ANSWER_TIMEOUT_S = 600.0
EXIT_TIMEOUT_S = 5.0  # a body that hangs, or left a thread running, is killed after it
_ERRORS: dict[int, type[GateError]] = {
    cls.code: cls for cls in (BodyRaisedError, NotMeasuredError, BaselineError)
}

HEAD, BASE = "this code", "the baseline"  # how sentences call the sides


@dataclass(frozen=True)
class Side:
    """One side's code: the package, its stage, and the suite that drives both sides."""

    name: str  # HEAD or BASE
    package: str
    stage: Path  # what holds the package: a folder for the module search path
    suite_stage: Path
    loader: str
    home: Path  # what holds the gate itself
    suite: str = ""  # folder of the suite below its stage


# Freed memory stays with the process, in small pages. Else it depends on the process's luck whether
# each call faults its memory in anew, and that takes much of a short call.
STEADY_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # glibc refuses more
    "MALLOC_TOP_PAD_": str(2**26),
    "NUMPY_MADVISE_HUGEPAGE": "0",
}


class WorkerProcess:
    """A fresh process that imports one side; a context manager that ends it.

    Entering it does not wait for the imports, so that two workers import at once; the first `ask`
    does. `modules` are imported with the code. `own_memory` leaves libc's memory settings as the
    caller has them: less steady, but what a user's process pays. `files` is the folder below which
    bodies write their temporary files; the system's own by default. `environment` comes on top.
    """

    def __init__(
        self,
        side: Side,
        *,
        core: int | None = None,
        instrument: Kind | None = None,
        own_memory: bool = False,
        modules: Sequence[str] = (),
        files: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._side = side
        self._scratch = tempfile.TemporaryDirectory(
            prefix="gate-worker-", dir=files, ignore_cleanup_errors=True
        )
        scratch = Path(self._scratch.name)
        self._stderr = (scratch / "stderr").open("w+b")
        command = [sys.executable, "-m", f"{PACKAGE}.worker", "--package", side.package]
        command += ["--stage", str(side.stage), "--loader", side.loader]
        if core is not None:
            command += ["--core", str(core)]
        if instrument is not None:
            command = wrap(instrument, [*command, "--instrument", instrument], scratch / "log")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={
                **_environment(side, scratch),
                **({} if own_memory else STEADY_MEMORY),
                **environment,
            },
            cwd=os.sep,
            start_new_session=True,  # Ctrl-C reaches the gate, which ends its workers
        )
        self._modules = list(modules)
        self._loaded: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        try:
            self._send("load", {"modules": self._modules})
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()  # the worker's loop ends at end of file
            self._process.wait(timeout=EXIT_TIMEOUT_S if kind is None else 0.5)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:  # a second Ctrl-C may come while it waits
            self.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._stderr.close()
            self._scratch.cleanup()

    def kill(self) -> None:
        """End the process now, with the instrument around it and whatever its body started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # the group may outlive its leader

    @property
    def description(self) -> dict[str, Any]:
        """What the worker found: its hot paths."""
        if self._loaded is None:
            self._loaded = self._receive()
        return self._loaded

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request, one answer; an error there is raised here as what it is."""
        self.begin(do, **arguments)
        return self.finish()

    def begin(self, do: str, **arguments: Any) -> None:
        """Send a request whose answer `finish` fetches, so that another worker runs meanwhile."""
        _ = self.description
        self._send(do, arguments)

    def finish(self) -> dict[str, Any]:
        """The answer to `begin`."""
        return self._receive()

    def _send(self, do: str, arguments: dict[str, Any]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps({"do": do, "with": arguments}).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self) -> dict[str, Any]:
        pipe = self._process.stdout
        assert pipe is not None
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            if not selector.select(ANSWER_TIMEOUT_S):
                raise BodyRaisedError(
                    f"{self._side.name}: no answer for {ANSWER_TIMEOUT_S:.0f} s; the body hangs?"
                )
        line = pipe.readline()
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        if answer.get("skipped"):
            raise SkippedError(f"{self._side.name}: {answer['error']}", self._side.name)
        if "error" in answer:
            kind = _ERRORS.get(answer["code"], BodyRaisedError)
            if self._side.name == BASE:  # today's suite cannot drive the old code
                kind = BaseLacksError if answer.get("lacking") else BaselineError
            raise kind(f"{self._side.name}: {answer['error']}")
        return answer

    def _death(self) -> BodyRaisedError:
        self._process.wait()
        self._stderr.flush()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-3:]
        return BodyRaisedError(
            f"{self._side.name}: the worker died with exit code {self._process.returncode}: "
            + " | ".join(last)
        )


def _environment(side: Side, scratch: Path) -> dict[str, str]:
    """The worker's environment: nothing of the caller's decides which code runs."""
    dropped = ("PYTHON", "NUMBA_", f"{side.package.upper()}_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (side.stage, side.suite_stage, side.home))),
        SUITE_FOLDER: str(side.suite_stage / side.suite),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TMPDIR": str(scratch),  # what a killed body leaves behind goes with the worker
    }
