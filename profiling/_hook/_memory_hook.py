"""Records every allocation of a study's process by memray, from inside.

VELOCITY_PROFILE_MEMORY names the folder of the captures, `<pid>-<ns>.bin`; the child of a fork
writes `<pid of its parent>-<ns>.bin.<its pid>`.  memray writes through a shared mapping, so what a
process did is in its capture however it ends.

With VELOCITY_PROFILE_SIGNAL the process is armed only.  `<pid>.armed` says that it listens: the
signal, `armed`, `recording` or `failed`, and when the process was born.  The file `wanted` says
until when a look wants it to record (monotonic nanoseconds).  A process reads it when the signal
comes, when it is born, and while it records; the recording ends by itself when that time is over,
so nobody records for ever because a look was killed or the signal came late.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import signal
import sys
import time
from typing import Any

_FOLDER = os.environ.get("VELOCITY_PROFILE_MEMORY", "")
_OBJECTS = os.environ.get("VELOCITY_PROFILE_OBJECTS", "1") == "1"
_SIGNAL = os.environ.get("VELOCITY_PROFILE_SIGNAL", "")
_PATIENCE_S = 10
_LOOK_EVERY_S = 0.2  # while it records: is it still wanted?


class _Recorder:
    """At most one tracker of this process at a time."""

    tracker: Any = None
    busy = False  # a thread begins, holds or ends a tracker
    ending = False  # the interpreter
    born = "0"


_changing = [_thread.allocate_lock()]  # held while a tracker is ended


def _new_tracker() -> Any:
    import memray

    path = os.path.join(_FOLDER, f"{os.getpid()}-{time.monotonic_ns()}.bin")
    try:
        return memray.Tracker(path, follow_fork=True, trace_python_allocators=_OBJECTS)
    except TypeError:  # an old memray
        return memray.Tracker(path, follow_fork=True)


def _start() -> None:
    """Begin to record.

    memray leaves out of every stack of the thread that begins as many frames as it has now.  So
    it begins in a thread that has none.  That thread must not import: while `site` runs, the
    lock of the import is held here.
    """
    tracker = _new_tracker()
    began = _thread.allocate_lock()
    failures: list[Exception] = []
    began.acquire()

    def enter() -> None:
        try:
            tracker.__enter__()
            _Recorder.tracker = tracker
        except Exception as error:
            failures.append(error)
        finally:
            began.release()

    _thread.start_new_thread(enter, ())
    if not began.acquire(timeout=_PATIENCE_S):
        raise RuntimeError("memray did not begin in time")
    if failures:
        raise failures[0]


def _stop() -> None:
    if not _changing[0].acquire(timeout=_PATIENCE_S):
        return
    try:
        tracker, _Recorder.tracker = _Recorder.tracker, None
        if tracker is not None:
            tracker.__exit__(None, None, None)
    except Exception as error:
        _complain(error)
    finally:
        _changing[0].release()


def _complain(error: Exception) -> None:
    folder = os.environ.get("VELOCITY_PROFILE_MARKS") or _FOLDER
    try:
        with open(os.path.join(folder, f"{os.getpid()}.trouble"), "a") as trouble:
            trouble.write(f"_memory_hook: {type(error).__name__}: {error}\n")
    except OSError:
        pass


# --- armed: it records while a look wants it to


def _wanted() -> bool:
    """Whether a look wants this process to record now."""
    try:
        wanted = os.open(os.path.join(_FOLDER, "wanted"), os.O_RDONLY)
        try:
            return time.monotonic_ns() < int(os.read(wanted, 40))
        finally:
            os.close(wanted)
    except (OSError, ValueError):
        return False


def _begin_if_wanted(number: int = 0, frame: object = None) -> None:
    """Begin to record; as a handler it runs where the study happens to be.

    It waits for nothing and never raises.
    """
    if _Recorder.busy:
        return
    _Recorder.busy = True
    try:
        if not _wanted():
            _Recorder.busy = False
            return
        if sys.getprofile() is not None:
            raise RuntimeError("a profile function is set (cProfile?) and memray would remove it")
        _thread.start_new_thread(_record, (_new_tracker(),))
    except Exception as error:
        _failed(error)


def _record(tracker: Any) -> None:
    """Record until no look wants it any more: the thread that begins also ends it."""
    try:
        tracker.__enter__()
    except Exception as error:
        _failed(error)
        return
    _Recorder.tracker = tracker
    _note("recording")
    _end_when_unwanted()


def _end_when_unwanted() -> None:
    while not _Recorder.ending and _wanted():
        time.sleep(_LOOK_EVERY_S)
    _stop()
    _Recorder.busy = False
    if not _Recorder.ending:
        _note("armed")


def _failed(error: Exception) -> None:
    _complain(error)
    _Recorder.busy = False
    _note("failed")


def _note(state: str) -> None:
    """Say, in one rename, what this process does with the signal."""
    path = os.path.join(_FOLDER, f"{os.getpid()}.armed")
    try:
        with open(path + ".part", "w") as draft:
            draft.write(f"{_SIGNAL} {state} {_Recorder.born}\n")
        os.rename(path + ".part", path)
    except OSError:
        pass


def _born() -> str:
    """When this process was born, as /proc tells it; 0 where there is none.

    A process id alone may be that of another process later.
    """
    try:
        with open("/proc/self/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return "0"


def _after_fork() -> None:
    _changing[0] = _thread.allocate_lock()
    _Recorder.born = _born()
    try:
        if _Recorder.tracker is None:
            _Recorder.busy = False
            _note("armed")
            _begin_if_wanted()
        else:  # memray follows the fork, the thread that ends it does not
            _note("recording")
            _thread.start_new_thread(_end_when_unwanted, ())
    except Exception as error:
        _complain(error)


def _finish() -> None:
    """At the end of the interpreter: it listens no more, and its capture is closed."""
    _Recorder.ending = True
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(_FOLDER, f"{os.getpid()}.armed"))
    until = time.monotonic() + _PATIENCE_S
    while _Recorder.busy and _Recorder.tracker is None and time.monotonic() < until:
        time.sleep(0.005)  # it just begins
    _stop()


def _import_all_of_memray() -> None:
    """Not in the handler: it may run in the midst of another import."""
    import memray

    with contextlib.suppress(ImportError):  # an old memray has none
        import memray.reporters.module_tools  # noqa: F401  # which a tracker asks for


def _arm() -> None:
    _import_all_of_memray()
    number = int(_SIGNAL)
    if signal.getsignal(number) is not signal.SIG_DFL:
        raise RuntimeError(f"signal {number} is taken")
    _Recorder.born = _born()
    signal.signal(number, _begin_if_wanted)
    _note("armed")
    os.register_at_fork(after_in_child=_after_fork)
    atexit.register(_finish)
    _begin_if_wanted()  # born while a look is on


def _is_the_resource_tracker() -> bool:
    words = getattr(sys, "orig_argv", None)
    if words is None:
        try:
            with open("/proc/self/cmdline", "rb") as line:
                words = [line.read().decode("utf-8", "replace")]
        except OSError:
            words = []
    return any("multiprocessing.resource_tracker" in word for word in words)


if not _is_the_resource_tracker():
    if _SIGNAL:
        _arm()
    else:
        _start()
        atexit.register(_stop)
