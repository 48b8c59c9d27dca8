"""py-spy, which samples where our own sampler cannot, or where it is asked for by `--pause`.

It stops a process for the moment of each sample.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import _launch
from _launch import Job, Refusal

TRIAL_TIMEOUT_S = 60
# Idle threads too: without them a thread that waits for the disk vanishes from the picture.
# Of py-spy's formats only this one keeps the order of the samples.
FLAGS = ("--idle", "--threads", "--subprocesses", "--full-filenames", "--format", "speedscope")


def found() -> str:
    """py-spy; raises Refusal with the line that installs it where there is none."""
    path = find_py_spy(sys.executable, os.environ.get("PATH"))
    if path is None:
        install = _launch.shell_line([sys.executable, "-m", "pip", "install", "py-spy"])
        raise Refusal(_launch.TOOL_MISSING, f"py-spy is missing; install it with:\n  {install}")
    return path


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
        "errors": "replace",
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
        said = last_error(output)
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


def last_error(log: str) -> str:
    """The line in which py-spy says what is wrong (a stack trace may follow it)."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error\b", line, re.IGNORECASE)]
    reasons = [line for line in lines if re.match(r"(Reason|\d+): ", line) and "::" not in line]
    return "; ".join(errors[-1:] + reasons[:1]) or (lines[-1] if lines else "it gave no reason")
