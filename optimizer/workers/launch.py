"""The parent's side of the starter process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
import weakref
from dataclasses import dataclass

from optimizer.errors import WorkerError
from optimizer.workers import frames, starter
from optimizer.workers.shared import above_standard

METHODS = ("forkserver", "spawn", "fork")
# Read when a library is loaded. Several workers with as many threads each as there are cores only
# get in one another's way; whoever sets one of these means it.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_END_S = 2.0  # for the starter to kill and go, before it is killed itself


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker process is gone, and with it what it started."""

    birth: int
    status: int  # as `os.waitpid` gives it


class Launch:
    """A running starter. Not thread-safe.

    Args:
        method: one of `METHODS`.
        memory: the descriptor of `shared.place`; it stays the caller's.
    """

    def __init__(self, method: str, memory: int) -> None:
        ours, theirs = _pair()
        self._control = ours
        self._text = b""
        try:
            with theirs:
                if method == "fork":
                    self._process = _forked(ours, theirs, memory)
                    self._opened: subprocess.Popen[bytes] | None = None
                else:
                    self._opened = _opened(theirs.fileno(), memory, method == "spawn")
                    self._process = self._opened.pid
        except BaseException:
            ours.close()
            raise
        # Also at the end of the interpreter, and of a pool that nobody closed.
        self._finalizer = weakref.finalize(self, _end, self._process, self._opened, ours, _END_S)

    def fileno(self) -> int:
        return self._control.fileno()

    def start(self, birth: int) -> socket.socket:
        """Asks for a worker, and returns the parent's end of the line to it."""
        ours, theirs = _pair()
        with theirs, contextlib.suppress(ConnectionError):  # a dead starter is seen by reports()
            order = starter.ORDER.pack(starter.START, birth)
            socket.send_fds(self._control, [order], [theirs.fileno()], frames.NO_SIGNAL)
        return ours

    def kill(self, birth: int) -> None:
        """Ends a worker and what it started; its `Ended` tells when that is done."""
        with contextlib.suppress(OSError):
            self._control.sendall(starter.ORDER.pack(starter.KILL, birth), frames.NO_SIGNAL)

    def reports(self) -> list[Ended]:
        """What the starter told since; waits for nothing.

        Raises:
            EOFError: the starter is gone.
            OSError: the system has no process for a worker.
            WorkerError: something that was to be imported cannot be.
        """
        try:
            while True:
                told = self._control.recv(1 << 16, socket.MSG_DONTWAIT)
                if not told:
                    raise EOFError
                self._text += told
        except BlockingIOError:
            pass
        except ConnectionError as fault:
            raise EOFError from fault
        return self._split()

    def _split(self) -> list[Ended]:
        reports = []
        size = starter.REPORT.size
        while len(self._text) >= size:
            kind, birth, status, length = starter.REPORT.unpack_from(self._text)
            if len(self._text) < size + length:
                break
            text = self._text[size : size + length].decode()
            self._text = self._text[size + length :]
            if kind == starter.NO_PROCESS:
                raise OSError(text)
            if kind == starter.NO_IMPORT:
                raise WorkerError(
                    f"preload names {text}, which workers cannot import; expected modules of "
                    "this environment; correct the name or leave it out"
                )
            reports.append(Ended(birth, status))
        return reports

    def end(self, timeout_s: float = _END_S) -> None:
        """Kills every worker and the starter; returns when they are gone. Repeatable."""
        if self._finalizer.detach() is not None:
            _end(self._process, self._opened, self._control, timeout_s)

    def forsake(self) -> None:
        """In a forked copy of the parent: lets go of what belongs to the parent."""
        if self._finalizer.detach() is not None:
            self._control.close()
            if self._opened is not None:
                self._opened.returncode = 0  # not ours to wait for


def _pair() -> tuple[socket.socket, socket.socket]:
    first, second = (end.detach() for end in socket.socketpair())
    return (
        socket.socket(fileno=above_standard(first)),
        socket.socket(fileno=above_standard(second)),
    )


def _opened(control: int, memory: int, fresh: bool) -> subprocess.Popen[bytes]:
    call = f"starter.main({control}, {memory}, {os.getpid()}, {fresh})"
    environment = {**dict.fromkeys(THREADS, "1"), **os.environ}
    return subprocess.Popen(
        starter.interpreter(sys.path, "starter", call),
        stdin=subprocess.DEVNULL,
        pass_fds=(control, memory),
        env=environment,
        start_new_session=True,  # Ctrl-C of the terminal is the parent's
    )


def _forked(ours: socket.socket, theirs: socket.socket, memory: int) -> int:
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    # For the copy: a pool that replaces its starter lets go of its own there.
    kept = above_standard(os.dup(memory))
    process = -1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: who asks knows
            process = os.fork()
    finally:
        if process:
            os.close(kept)
    if process:
        return process
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.setsid()
        ours.close()
        with contextlib.suppress(OSError):
            os.close(0)  # main() puts the null device there
        for name in THREADS:
            os.environ.setdefault(name, "1")
        starter.main(theirs.detach(), kept, parent, False)
    finally:
        os._exit(1)


def _end(
    process: int, opened: subprocess.Popen[bytes] | None, control: socket.socket, timeout_s: float
) -> None:
    control.close()
    until = time.monotonic() + timeout_s
    while not _gone(process, opened):
        if time.monotonic() > until:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
            until += _END_S
        time.sleep(0.001)


def _gone(process: int, opened: subprocess.Popen[bytes] | None) -> bool:
    if opened is not None:
        return opened.poll() is not None
    try:
        return os.waitpid(process, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # somebody waits for every child of this process
        return True
