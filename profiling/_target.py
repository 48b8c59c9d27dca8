"""A live process that is to be looked at: what it is, and why it may not be looked at."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _resident
import _words
from _launch import PID_GONE, TOOL_MISSING, Refusal

_SYS_PTRACE = 19  # capability bit
_SETTLED_S, _AGAIN_S = 5.0, 0.01  # in which a process that is to stop has stopped
_BECOMES_S = 1.0  # in which one that becomes another program has
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")


@dataclass(frozen=True)
class Facts:
    """What decides whether one process may look into another.

    yama: kernel.yama.ptrace_scope, 0 where the kernel has none. filtered: this process runs
    under a seccomp filter, as in most containers. capable: it holds CAP_SYS_PTRACE. tracer: the
    process that traces it already, 0 for none.
    """

    pid: int
    own_uid: int
    uid: int
    yama: int
    filtered: bool
    capable: bool
    tracer: int = 0


def find(pid: int) -> None:
    """Make sure there is such a process and that it may be a study; raises Refusal."""
    if pid == os.getpid():
        raise Refusal(PID_GONE, f"{pid} is this very process; give the process id of the study")
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        raise Refusal(
            PID_GONE, f"there is no process {pid}; `pgrep -af python` lists those that run"
        ) from None
    except PermissionError:
        pass
    if state(pid) in ("Z", "X"):
        raise Refusal(PID_GONE, f"process {pid} has ended already (its parent has not noticed yet)")


def not_python(pid: int, said: str) -> Refusal:
    """The refusal for a process in which there is no Python."""
    runs = _command_of(pid)
    what = f"runs no Python: {_words.clean(runs, 120)}" if runs else "has ended"
    return Refusal(PID_GONE, f"process {pid} {what} ({said}); `pgrep -af python` lists Pythons")


def _command_of(pid: int) -> str:
    """Its command line, which a process that becomes another program lacks for a moment."""
    until_s = time.monotonic() + _BECOMES_S
    while not (runs := _resident.command_of(pid)) and time.monotonic() < until_s:
        if state(pid) in ("", "Z", "X"):
            break
        time.sleep(_AGAIN_S)
    return runs


def forbidden(facts: Facts, line: str, said: str) -> Refusal:
    """The refusal when tracing is forbidden: its cause and the exact remedy.

    line: the command to type again.
    """
    cause, remedy = cause_of(facts, line)
    return Refusal(
        TOOL_MISSING, f"process {facts.pid} may not be looked into: {cause} ({said})\n  {remedy}"
    )


def cause_of(facts: Facts, line: str) -> tuple[str, str]:
    """(why tracing is forbidden, what to do), the most certain cause first."""
    if facts.tracer:
        tracer = _words.clean(_resident.command_of(facts.tracer), 80) or "of another container"
        return (
            f"process {facts.tracer} traces it already ({tracer})",
            f"end that look first, then: {line}",
        )
    if facts.yama == 3:
        return (
            "kernel.yama.ptrace_scope is 3, which nothing can change before the next boot",
            "boot with kernel.yama.ptrace_scope=1 in /etc/sysctl.d, then attach with sudo",
        )
    if facts.own_uid != facts.uid and not facts.capable:
        owner = user_name(facts.uid)
        return f"it belongs to the user {owner}", f"sudo -u {owner} {line}"
    if facts.yama in (1, 2) and not facts.capable:
        if facts.own_uid == 0:  # a root without capabilities: in a container
            return f"kernel.yama.ptrace_scope is {facts.yama}", _CAPABILITY
        remedy = f"sudo {line}"
        if facts.yama == 1:
            remedy += "\n  or, until the next boot: sudo sysctl kernel.yama.ptrace_scope=0"
        return f"kernel.yama.ptrace_scope is {facts.yama}", remedy
    if facts.filtered and not facts.capable:
        return "the container's seccomp profile forbids it", _CAPABILITY
    if facts.pid == 1:
        return (
            "it is PID 1, which the kernel protects",
            "start the container with --init, so that the study is not PID 1, or attach from "
            f"the host with the process id that it has there: sudo {line}",
        )
    return "the system forbids it (SELinux, AppArmor or another namespace)", f"sudo {line}"


_CAPABILITY = (
    "start the container with --cap-add SYS_PTRACE (Kubernetes: securityContext.capabilities.add: "
    '["SYS_PTRACE"])'
)


def facts_of(pid: int) -> Facts:
    """What is known of this process and of another; what cannot be read counts as harmless."""
    own = _status("self")
    uid = user_of(pid)
    yama = 0
    with contextlib.suppress(OSError, ValueError):
        yama = int(_YAMA.read_text("ascii"))
    capabilities = int(own.get("CapEff", "0"), 16)
    return Facts(
        pid,
        os.geteuid(),
        os.geteuid() if uid is None else uid,
        yama,
        own.get("Seccomp", "0") != "0",
        bool(capabilities >> _SYS_PTRACE & 1),
        _tracer_of(pid),
    )


def user_of(pid: int) -> int | None:
    """The effective user of a process; None where it is not known.

    Not the owner of its folder in /proc: that is root as soon as it may not be dumped.
    """
    with contextlib.suppress(IndexError, ValueError):
        return int(_status(str(pid)).get("Uid", "").split()[1])
    return None


def group_of(pid: int) -> int | None:
    """The effective group of a process; None where it is not known."""
    with contextlib.suppress(IndexError, ValueError):
        return int(_status(str(pid)).get("Gid", "").split()[1])
    return None


def _tracer_of(pid: int) -> int:
    with contextlib.suppress(ValueError):
        return int(_status(str(pid)).get("TracerPid", "0"))
    return 0


def user_name(uid: int) -> str:
    """The name of a user, else the number as sudo takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"'#{uid}'"


def state(pid: int) -> str:
    """The state of a process as /proc tells it: R, S, D, T, t, Z, X; empty where not known."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    return ""


def stopped(pid: int) -> set[int]:
    """Those of a process and its descendants that are stopped."""
    return {one for one, _ in _resident.family(pid) if state(one) in ("T", "t")}


def wake(pid: int, before: set[int]) -> list[int]:
    """Let those run on that a dying py-spy has left stopped; returns them.

    before: those that were stopped when nobody had looked at them yet: they stay so.  On a busy
    machine a process that is to stop may get there only later: such an order is taken back.
    """
    woken = []
    deadline = time.monotonic() + _SETTLED_S
    while time.monotonic() < deadline:
        unsettled = False
        for one, _ in _resident.family(pid):
            now = state(one)
            known = born(one)
            if one in before or (now not in ("T", "t") and not _is_to_stop(one)):
                continue
            unsettled = True
            if now != "t" and send(one, signal.SIGCONT, known) and one not in woken:
                woken.append(one)
        if not unsettled:
            break
        time.sleep(_AGAIN_S)
    return woken


def _is_to_stop(pid: int) -> bool:
    """Whether the order to stop waits for one of a process' threads to run."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            status = _status(f"{pid}/task/{task}")
            pending = int(status.get("SigPnd", "0"), 16) | int(status.get("ShdPnd", "0"), 16)
            if pending >> (signal.SIGSTOP - 1) & 1:
                return True
    return False


def born(pid: int) -> str:
    """When a process was born, in ticks since the boot; empty when it has ended.

    With it a process is known again: its id alone may be that of another one later.
    """
    with contextlib.suppress(OSError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return text.rpartition(")")[2].split()[19]
    return ""


def send(pid: int, number: int, known: str) -> bool:
    """Send a signal to the process that was born at a moment, and to no other; whether it went."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not known or born(pid) != known:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal: without one the signal might end it."""
    with contextlib.suppress(ValueError):
        return bool(int(_status(str(pid)).get("SigCgt", "0"), 16) >> (number - 1) & 1)
    return False


def environment(pid: int) -> dict[str, str]:
    """The variables with which a process was started; empty where they may not be read."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "surrogateescape")
        return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)
    return {}


def working_directory(pid: int) -> Path:
    with contextlib.suppress(OSError):
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    return Path.cwd()


def _status(pid: str) -> dict[str, str]:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


class Interruption:
    """Ctrl-C sets an event instead of raising: an attached py-spy must end by itself.

    `asked` is set by the first one, `insisted` by the second.
    """

    def __init__(self) -> None:
        self.asked, self.insisted = threading.Event(), threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, *details: object) -> None:
        if self.asked.is_set():
            self.insisted.set()
        self.asked.set()
