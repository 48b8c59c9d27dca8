"""Notes, inside the study's process, when each trial begins and ends.

Each process appends to a file of its own, `<pid>-<ns>.marks` in the folder that
VELOCITY_PROFILE_MARKS names, one line and one write per mark; times are monotonic nanoseconds,
which all processes of a machine share:

    P ns tid pid ppid kind version      the process began (main, spawn, forkserver, server, ...)
    M ns tid module                     the trials that this module of Optuna runs are marked
    S ns tid serial number study        a trial began
    E ns tid serial number state study  it ended; serial 0: it began in another process
    X ns tid                            the interpreter ends

`Study.ask`, `Study.tell` and Optuna's own way to tell are wrapped, the objective is not; a trial
costs two writes.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import sys
import threading
import time
from typing import Any, Callable  # noqa: UP035  # Python 3.9, too

GATE_S = 5.0  # a study is not held up longer than this
SETTLE_S = 0.25  # py-spy finds the witness first, and this process at its next look


def _give_names_back() -> None:
    """Set the variables that a shell drops, such as `my.key`, where the profiler kept some.

    Only the study's first process needs them: those that it starts inherit them.
    """
    path = os.environ.pop("VELOCITY_PROFILE_NAMES", None)
    if path is None:
        return
    with open(path, "rb") as kept:
        for item in kept.read().split(b"\0"):
            name, _, value = item.partition(b"=")
            if name:
                os.environb[name] = value


def _wait_for_the_sampler() -> None:
    """Hold the study until it is sampled, so that its first seconds are not missing.

    Only its first process: the variable is gone for those that it starts.
    """
    log = os.environ.pop("VELOCITY_PROFILE_GATE", None)
    until = time.monotonic() + GATE_S
    while log and time.monotonic() < until:
        try:
            with open(log, "rb") as text:
                said = text.read(4096)
            if b"Sampling process" in said:
                if b"unpaused" not in said:  # our own sampler says it when it has this process
                    time.sleep(SETTLE_S)
                return
        except OSError:
            return
        time.sleep(0.005)


class _Marks:
    """The file of this process; writing never raises."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.fd = -1
        self.path = ""
        self.file = (0, 0)
        self.kind = ""
        self.broken = False
        self.begun_ns = 0

    def open(self, kind: str) -> None:
        self.kind = kind
        now = self.begun_ns = time.monotonic_ns()
        self.path = os.path.join(self.folder, f"{os.getpid()}-{now}.marks")
        self._open(os.O_CREAT)
        version = ".".join(str(part) for part in sys.version_info[:3])
        self.write(f"P {now} {_thread()} {os.getpid()} {os.getppid()} {kind} {version}\n")

    def _open(self, more: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | more | getattr(os, "O_CLOEXEC", 0)
        self.fd = -1
        try:
            self.fd = os.open(self.path, flags, 0o600)
            found = os.fstat(self.fd)
            self.file = found.st_dev, found.st_ino
        except OSError:
            self.fd = -1

    def _is_ours(self) -> bool:
        """Whether the descriptor still is our file: once closed, its number goes to another."""
        try:
            found = os.fstat(self.fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.file

    def write(self, line: str) -> None:
        if self.fd >= 0 and not self._is_ours():  # a study that closes what it did not open
            self._open(0)
            if 0 <= self.fd <= 2:  # it has closed stdin, stdout or stderr: not ours to take
                os.close(self.fd)
                self.fd = -1
        if self.fd < 0:
            return
        try:
            os.write(self.fd, line.encode())
        except OSError:
            self.fd = -1  # a full disk

    def after_fork(self) -> None:
        try:
            if self.fd >= 0 and self._is_ours():
                os.close(self.fd)
        except OSError:
            pass
        self.open("forkserver" if self.kind in ("server", "forkserver") else "fork")


_thread = threading.get_native_id
_marks = _Marks(os.environ.get("VELOCITY_PROFILE_MARKS", ""))
_serials = itertools.count(1)
_asked: dict[tuple[int, int, int], int] = {}


def _kind() -> str:
    words = getattr(sys, "orig_argv", None)
    if words is None:  # Python 3.9
        try:
            with open("/proc/self/cmdline", "rb") as line:
                words = line.read().decode("utf-8", "replace").split("\0")
        except OSError:
            words = []
    text = " ".join(words)
    if "multiprocessing.resource_tracker" in text:
        return "tracker"
    if "multiprocessing.forkserver" in text:
        return "server"
    if "--multiprocessing-fork" in text or "multiprocessing.spawn" in text:
        return "spawn"
    return "other"


def _state(result: Any) -> str:
    """The word for a trial's state, out of what Optuna's versions return from telling."""
    if isinstance(result, tuple):
        result = result[0]
    return str(getattr(getattr(result, "state", result), "name", "complete")).lower()


def _study_word(study: Any) -> str:
    """Tells studies apart: those in memory are all numbered alike, and seen by one process."""
    storage = study._storage
    if type(storage).__name__ == "InMemoryStorage":
        return f"{os.getpid()}.{id(storage):x}.{study._study_id}"
    return str(study._study_id)


def _began(start: int, study: Any, trial: Any) -> None:
    serial = next(_serials)
    _asked[id(study._storage), study._study_id, trial.number] = serial
    _marks.write(f"S {start} {_thread()} {serial} {trial.number} {_study_word(study)}\n")


def _ended(study: Any, trial: Any, result: Any) -> None:
    now = time.monotonic_ns()
    number = trial if isinstance(trial, int) else trial.number
    serial = _asked.pop((id(study._storage), study._study_id, number), 0)
    word = _study_word(study)
    _marks.write(f"E {now} {_thread()} {serial} {number} {_state(result)} {word}\n")


def _swallowed(function: Callable[..., None], *arguments: Any) -> None:
    """Call it; an error of ours is noted once and never reaches the study."""
    try:
        function(*arguments)
    except Exception as error:
        if not _marks.broken:
            _marks.broken = True
            _marks.write(f"! {type(error).__name__}: {error}".replace("\n", " ") + "\n")


def _patch_telling(module: Any) -> None:
    """The end of every trial, where it is defined or, in older versions of Optuna, used."""
    original = getattr(module, "_tell_with_warning", None)
    if original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def _tell_with_warning(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        words = dict(zip(("study", "trial"), arguments), **named)  # noqa: B905  # Python 3.9
        _swallowed(_ended, words.get("study"), words.get("trial"), result)
        return result

    module._tell_with_warning = _tell_with_warning


def _patch_study(module: Any) -> None:
    """The beginning of every trial, and the end of those that a script tells itself."""
    study = module.Study
    original_ask, original_tell = study.ask, study.tell
    told_elsewhere = hasattr(getattr(module, "_tell_with_warning", None), "__wrapped__")

    @functools.wraps(original_ask)
    def ask(self: Any, *arguments: Any, **named: Any) -> Any:
        start = time.monotonic_ns()
        trial = original_ask(self, *arguments, **named)
        _swallowed(_began, start, self, trial)
        return trial

    @functools.wraps(original_tell)
    def tell(self: Any, trial: Any, *arguments: Any, **named: Any) -> Any:
        result = original_tell(self, trial, *arguments, **named)
        _swallowed(_ended, self, trial, result)
        return result

    study.ask = ask
    if not told_elsewhere:
        study.tell = tell


_PATCHES: dict[str, Callable[[Any], None]] = {
    "optuna.study._tell": _patch_telling,
    "optuna.study._optimize": _patch_telling,
    "optuna.study.study": _patch_study,
}


class _Finder:
    """Patches the modules of _PATCHES whenever they are imported.

    The finders after this one are asked in turn, so that what they do to these modules is done;
    an error of ours leaves the import to them.
    """

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        patch = _PATCHES.get(name)
        if patch is None or name in self._asking:
            return None
        self._asking.add(name)
        try:
            return self._patched(name, path, target, patch)
        except Exception:
            return None
        finally:
            self._asking.discard(name)

    def _patched(self, name: str, path: Any, target: Any, patch: Callable[[Any], None]) -> Any:
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is None:
                continue
            if not hasattr(spec.loader, "exec_module"):
                return None
            spec.loader = _Loader(spec.loader, patch)
            return spec
        return None


class _Loader:
    """Lets another loader make a module, then patches it; leaves no trace of itself there."""

    def __init__(self, loader: Any, patch: Callable[[Any], None]) -> None:
        self._loader = loader
        self._patch = patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        create = getattr(self._loader, "create_module", None)
        return None if create is None else create(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _swallowed(self._mark, module)

    def _mark(self, module: Any) -> None:
        self._patch(module)
        _marks.write(f"M {time.monotonic_ns()} {_thread()} {module.__name__}\n")


def _install() -> None:
    kind = _kind()
    _wait_for_the_sampler()
    _marks.open(kind)
    _swallowed(_give_names_back)
    if kind == "tracker":
        return
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_marks.after_fork)
    sys.meta_path.insert(0, _Finder())
    atexit.register(lambda: _marks.write(f"X {time.monotonic_ns()} {_thread()}\n"))


_install()
