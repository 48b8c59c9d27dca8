"""Where does a slow study spend its time? A flame graph by py-spy.

The study runs unchanged in its own interpreter, which needs nothing of ours: py-spy looks at it
from outside, with all its threads and worker processes, waiting ones included.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import html
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _launch
import _record
from _launch import Job, Outcome, Refusal

_PRODUCTS = {"flamegraph": "flamegraph.svg", "speedscope": "speedscope.json", "raw": "stacks.txt"}
TRIAL_TIMEOUT_S = 60
_SHELL = Path(__file__).with_name("_keep_exit_code.sh")
# py-spy kills its own child as soon as it sees no Python any more: not the shell that keeps the
# exit code, but another one around it. (`exit` keeps it from becoming the inner one.)
_OUTER_SHELL = ("/bin/sh", "-c", 'trap : HUP INT TERM; /bin/sh "$@"; exit $?', "sh")
RUNNING_S, ENDED_S = 2.0, 30.0  # how long the exit code of a study that runs, or ended, may take
# Idle threads too: without them a thread that waits for the disk vanishes from the picture.
_FLAGS = ["--idle", "--threads", "--subprocesses", "--full-filenames"]


class Time:
    """Samples of the study's stacks, by py-spy."""

    program = "study_time"
    description = (__doc__ or "").split("\n")[0]
    package = None

    def __init__(self) -> None:
        self.py_spy = ""
        self.version = ""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--rate",
            type=_launch.rate,
            default=100,
            metavar="HZ",
            help="samples a second, 1 to 1000 (default: 100)",
        )
        parser.add_argument(
            "--format",
            choices=sorted(_PRODUCTS),
            default="flamegraph",
            help="an SVG, a file for speedscope.app, or collapsed stacks (default: flamegraph)",
        )

    def check(self, job: Job) -> str:
        found = find_py_spy(sys.executable, os.environ.get("PATH"))
        if found is None:
            install = _launch.shell_line([sys.executable, "-m", "pip", "install", "py-spy"])
            raise Refusal(_launch.TOOL_MISSING, f"py-spy is missing; install it with:\n  {install}")
        self.py_spy = found
        self.version = try_py_spy(found, job)
        return f"{job.options.rate} samples a second by {self.version}"

    def record(self, job: Job, recording: _record.Recording) -> Outcome:
        product = _PRODUCTS[job.options.format]
        log = recording.draft("log")
        supervisor = _record.Supervisor(lambda py_spy: _study_pid(recording.folder, py_spy))
        with log.open("wb") as messages:
            out, err = _own_streams()
            command = [
                *(self.py_spy, "record", "--rate", str(job.options.rate), *_FLAGS),
                *("--format", job.options.format, "--output", str(recording.draft(product))),
                *("--", *_OUTER_SHELL, str(_SHELL), str(recording.folder), str(out), str(err)),
                *job.command,
            ]
            try:
                code = supervisor.run(
                    command, stdout=messages, stderr=messages, env=job.environ, cwd=job.folder
                )
            finally:
                os.close(out)
                os.close(err)
        return self._outcome(job, recording, supervisor, code)

    def _outcome(
        self, job: Job, recording: _record.Recording, supervisor: _record.Supervisor, code: int
    ) -> Outcome:
        log = recording.draft("log").read_text(encoding="utf-8", errors="replace")
        study_code = _code_of_the_study(recording.folder)
        if study_code is None:  # py-spy gave up first: the study must not run on unseen
            supervisor.end_group()
        product = _PRODUCTS[job.options.format]
        outcome = Outcome(
            study_code, supervisor.duration_s, supervisor.received, facts=self._facts(job, log)
        )
        wrote = code == 0 or wrote_its_product(log)
        if wrote and recording.draft(product).exists() and outcome.facts["samples"]:
            if job.options.format == "flamegraph":
                entitle(recording.draft(product), _launch.shell_line(["python", *job.words]))
            outcome.product = recording.keep(product)
        elif "No stack counts" in log or "No python processes found" in log or code == 0:
            outcome.reason = "no profile: the study ended before py-spy could take a sample"
            if study_code is None and supervisor.received is None:
                outcome.reason = (
                    "no profile: py-spy found no Python in time and the study was ended; "
                    "is the machine very busy, or the interpreter slow to start? Try again"
                )
        else:
            outcome.reason = f"no profile: py-spy failed: {_last_error(log)}"
        return outcome

    def _facts(self, job: Job, log: str) -> dict[str, Any]:
        counts = re.search(r"Samples: (\d+) Errors: (\d+)", log)
        return {
            "tool": self.version,
            "rate_hz": job.options.rate,
            "samples": int(counts[1]) if counts else 0,
            "sampling_errors": int(counts[2]) if counts else None,
        }


def find_py_spy(executable: str, search_path: str | None) -> str | None:
    """py-spy beside this interpreter, else on the search path; None when it is at neither."""
    beside = shutil.which("py-spy", path=str(Path(executable).parent))
    return beside or shutil.which("py-spy", path=search_path)


def try_py_spy(py_spy: str, job: Job) -> str:
    """Let py-spy look at the study's interpreter, before the study starts; returns its version.

    Cost: two short processes. Raises Refusal when it is not permitted or does not know this Python.
    """
    sleep = [job.python.path, "-S", "-c", "import time; time.sleep(0.3)"]
    attempt = [py_spy, "record", "--idle", "--format", "raw", "--output", os.devnull, "--", *sleep]
    quiet = {
        "stdin": subprocess.DEVNULL,
        "capture_output": True,
        "text": True,
        "timeout": TRIAL_TIMEOUT_S,
    }
    try:
        version = subprocess.run([py_spy, "--version"], **quiet).stdout.strip()  # type: ignore[call-overload]  # options shared by two calls
        tried = subprocess.run(attempt, env=job.environ, **quiet)  # type: ignore[call-overload]  # as above
    except OSError as error:
        raise Refusal(_launch.TOOL_MISSING, f"{py_spy} does not run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise Refusal(
            _launch.TOOL_MISSING,
            f"{py_spy} did not end within {TRIAL_TIMEOUT_S} s; is the machine very busy? Try again",
        ) from error
    output = tried.stdout + tried.stderr
    if tried.returncode and not wrote_its_product(output):
        said = _last_error(output)
        raise Refusal(_launch.TOOL_MISSING, explain(said, job, sys.platform))
    return str(version)


def wrote_its_product(log: str) -> bool:
    """Whether py-spy wrote everything, even if it failed after that.

    It says so when the file is closed. What comes later is a race of its own (benfred/py-spy issue
    759): it asks how the study ended when one of its threads has asked already, and fails, with or
    without a word. The study's exit code does not come from py-spy here, so nothing is lost.
    """
    return "Wrote " in log


def explain(said: str, job: Job, system: str) -> str:
    """Why py-spy could not look at a process of its own, and what to do about it."""
    if system == "darwin" and os.geteuid() != 0:
        return f"py-spy needs root on macOS ({said}); run the same line with sudo in front"
    if re.search(r"permi(ssion|tted)|denied|EPERM", said, re.IGNORECASE):
        return (
            f"py-spy may not look into processes here ({said}). In a container: start it with "
            "--cap-add SYS_PTRACE. Elsewhere: `cat /proc/sys/kernel/yama/ptrace_scope` must "
            "say 0 or 1; `sudo sysctl kernel.yama.ptrace_scope=1` sets it"
        )
    return (
        f"py-spy cannot look into {job.python.path}, Python {job.python.version} ({said}); "
        "a newer py-spy or another --python may help"
    )


def _last_error(log: str) -> str:
    """The line in which py-spy says what is wrong (a stack trace may follow it)."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error\b", line, re.IGNORECASE)]
    reasons = [line for line in lines if re.match(r"(Reason|\d+): ", line) and "::" not in line]
    return "; ".join(errors[-1:] + reasons[:1]) or (lines[-1] if lines else "it gave no reason")


def _own_streams() -> tuple[int, int]:
    """Copies of this process's stdout and stderr for the study, apart from py-spy's messages."""
    copies = fcntl.fcntl(1, fcntl.F_DUPFD, 3), fcntl.fcntl(2, fcntl.F_DUPFD, 3)
    if max(copies) > 9:
        raise OSError(f"no free file descriptor below 10, which /bin/sh needs: {copies}")
    return copies


def entitle(flame_graph: Path, title: str) -> None:
    """Name the study at the top of the picture, where py-spy prints its own long command line."""
    short = html.escape(title if len(title) <= 100 else f"{title[:97]}...")
    text = flame_graph.read_text(encoding="utf-8")
    titled = re.sub(r'(<text id="title"[^>]*>)[^<]*', lambda m: m[1] + short, text, count=1)
    flame_graph.write_text(titled, encoding="utf-8")


def _study_pid(folder: Path, py_spy: int) -> int | None:
    if (folder / ".code").exists():
        return None  # it has ended
    # Without an id the study has not begun: then py-spy is the one to stop.
    return _number(folder / ".pid") or py_spy


def _code_of_the_study(folder: Path) -> int | None:
    """Its exit code; None if py-spy gave up and left it running.

    py-spy ends when it finds no Python any more, which may be before the code is written.
    """
    started = time.monotonic()
    while (code := _number(folder / ".code")) is None:
        study = _number(folder / ".pid")
        patience_s = 0.0 if study is None else RUNNING_S if _lives(study) else ENDED_S
        if time.monotonic() - started >= patience_s:
            return None
        time.sleep(0.01)
    return code


def _lives(pid: int) -> bool:
    """Whether there is such a process: an ended one that nobody has waited for counts, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return None


if __name__ == "__main__":
    raise SystemExit(_launch.main(Time()))
