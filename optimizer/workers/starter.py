"""The process between the parent and its workers: it starts, ends and outlives them.

It imports what workers need once and forks them from there, so that a worker is there at once
and never runs the user's main module. It ends every worker when the parent ends, however that
happens, and with a worker everything that it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import time
import warnings
from collections.abc import Iterable
from typing import Any

from optimizer.workers import frames, worker
from optimizer.workers.shared import Placed

ORDER = struct.Struct("<IQ")  # towards the starter: what, and which birth
PLACES = 1 << 16  # births are numbered by turns of this many, so that each tells its place
START, KILL = 0x4F565321, 0x4F565322
REPORT = struct.Struct("<IQiI")  # from it: what, which birth, wait status, length of a text
ENDED, NO_IMPORT, NO_PROCESS = 0x4F565331, 0x4F565332, 0x4F565333

_ASK_AFTER_PARENT_MS = 500  # only where the system cannot tell of its end
_LAST_WAIT_S = 1.0  # for processes that were killed to be gone
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main(control: int, memory: int, parent: int, fresh: bool) -> None:
    """The whole life of the starter, given its descriptors; never returns.

    Args:
        control: a stream socket to the parent.
        memory: what `shared.place` made.
        parent: its process id.
        fresh: each worker is a new interpreter, and not forked from this one.
    """
    try:
        _fill_standard()
        with socket.socket(fileno=control) as line:
            Starter(line, memory, parent, fresh).run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _fill_standard() -> None:
    # Else a line to the parent would get the number that a worker prints to.
    while (nothing := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(nothing, True)
    os.close(nothing)


class Starter:
    def __init__(self, control: socket.socket, memory: int, parent: int, fresh: bool) -> None:
        self._control = control
        self._memory = memory
        self._parent = parent
        self._fresh = fresh
        self._births: dict[int, int] = {}  # by process
        self._processes: dict[int, int] = {}  # by birth
        self._bell, self._ring = os.pipe()
        self._end_of_parent: int | None = None
        self._unsent = bytearray()  # reports that the parent has no room for yet

    def run(self) -> None:
        """Serves until the parent closes its side or ends."""
        self._settle()
        settings = Placed(self._memory).load(("settings",))
        sys.argv[:] = settings["argv"]
        if not self._fresh:
            worker.loading.set()
            self._import(settings["preload"], settings["perhaps"])
            gc.collect()
            gc.freeze()  # else the first collection of each worker would copy every page
        self._hear_of_ends()
        try:
            self._serve()
        finally:
            self._end_all()

    def _settle(self) -> None:
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of workers come here
        with contextlib.suppress(AttributeError, OSError):
            self._end_of_parent = os.pidfd_open(self._parent)

    def _hear_of_ends(self) -> None:
        # After the imports, which may set signals too; the parent may have had this one blocked.
        os.set_blocking(self._ring, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))

    def _import(self, needed: Iterable[str], perhaps: Iterable[str]) -> None:
        for name in needed:
            try:
                importlib.import_module(name)
            except BaseException as fault:
                lines = str(fault).splitlines() or [""]
                self._report(NO_IMPORT, text=f"{name!r} ({type(fault).__name__}: {lines[0]})")
        for name in perhaps:
            with contextlib.suppress(BaseException):  # whoever needs it will say so
                importlib.import_module(name)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()  # else each worker would print it again

    def _serve(self) -> None:
        poll = select.poll()
        for descriptor in (self._control.fileno(), self._bell, self._end_of_parent):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        wait_ms = None if self._end_of_parent is not None else _ASK_AFTER_PARENT_MS
        while os.getppid() == self._parent:
            wanted = select.POLLIN | (select.POLLOUT if self._unsent else 0)
            poll.modify(self._control.fileno(), wanted)
            ready = dict(poll.poll(wait_ms))
            if self._bell in ready:
                os.read(self._bell, 1 << 12)
                self._reap()
            line = ready.get(self._control.fileno(), 0)
            if line & select.POLLOUT:
                self._send()
            if line & ~select.POLLOUT and not self._obey():
                return

    def _obey(self) -> bool:
        try:
            order, sent, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
            if len(order) < ORDER.size:
                return False
        except ConnectionError:
            return False
        kind, number = ORDER.unpack(order)
        if kind == START:
            self._start(number, sent[0])
        elif kind == KILL and number in self._processes:
            _kill_group(self._processes[number])
        return True

    def _start(self, birth: int, line: int) -> None:
        try:
            process = os.fork()
        except OSError as fault:
            os.close(line)
            self._report(NO_PROCESS, text=str(fault))
            return
        if process == 0:
            self._become_worker(birth, line)
        os.close(line)
        with contextlib.suppress(OSError):  # both sides do it, so that it is done for either
            os.setpgid(process, process)
        self._births[process] = birth
        self._processes[birth] = process

    def _become_worker(self, birth: int, line: int) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            starter = os.getppid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != starter:
                os._exit(1)
            self._control.close()
            for descriptor in (self._bell, self._ring, self._end_of_parent):
                if descriptor is not None:
                    os.close(descriptor)
            place = birth % PLACES
            if self._fresh:
                for descriptor in (line, self._memory):
                    os.set_inheritable(descriptor, True)
                call = f"worker.serve({line}, {place}, {self._memory})"
                os.execv(sys.executable, interpreter(sys.path, "worker", call))
            worker.serve(line, place, self._memory)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while True:
            process, status = self._next_dead()
            if not process:
                return
            birth = self._births.pop(process, None)
            if birth is not None:
                del self._processes[birth]
                self._report(ENDED, birth, status)

    def _next_dead(self) -> tuple[int, int]:
        """A child that ended, and how; 0 where there is none. Kills what a worker started."""
        try:
            if not hasattr(os, "waitid"):
                process, status = os.waitpid(-1, os.WNOHANG)
                _kill_group(process, leader=False)
                return process, status
            # Looked at first: as long as it is not taken away, nobody else gets its number.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return 0, 0
            if ended.si_pid in self._births:
                _kill_group(ended.si_pid, leader=False)
            return os.waitpid(ended.si_pid, 0)
        except ChildProcessError:
            return 0, 0

    def _report(self, kind: int, birth: int = 0, status: int = 0, text: str = "") -> None:
        body = text.encode(errors="replace")
        self._unsent += REPORT.pack(kind, birth, status, len(body)) + body
        self._send()

    def _send(self) -> None:
        # Never waits: a parent that sends orders meanwhile would wait for this side to read them.
        try:
            while self._unsent:
                del self._unsent[: self._control.send(self._unsent, frames.AT_ONCE)]
        except BlockingIOError:
            pass
        except ConnectionError:  # the parent is gone: the next read tells
            self._unsent.clear()

    def _end_all(self) -> None:
        for process in self._births:
            _kill_group(process)
        until = time.monotonic() + _LAST_WAIT_S
        while time.monotonic() < until:
            for orphan in _children():
                with contextlib.suppress(OSError):
                    os.kill(orphan, signal.SIGKILL)
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.001)
            except ChildProcessError:
                return


def interpreter(path: list[str], module: str, call: str) -> list[str]:
    """The command line of a new interpreter that only runs this call of this room."""
    places = [entry or os.getcwd() for entry in path]
    code = f"import sys; sys.path[:] = {places!r}; from optimizer.workers import {module}; {call}"
    return [sys.executable, *_flags(), "-c", code]


def _flags() -> list[str]:
    import subprocess

    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    return flags


def _children() -> list[int]:
    """Processes whose parent is this one now; none where the system does not list them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(process) for process in file.read().split()]
    except OSError:
        return []


def _kill_group(process: int, *, leader: bool = True) -> None:
    if process:
        with contextlib.suppress(OSError):
            os.killpg(process, signal.SIGKILL)
        if leader:
            with contextlib.suppress(OSError):  # the group may not be there yet
                os.kill(process, signal.SIGKILL)


def _prctl(option: int, value: int) -> Any:
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
