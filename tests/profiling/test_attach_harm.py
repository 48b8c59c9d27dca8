"""Live targets are left unharmed: they work on, give the right answers and end well."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import LIMIT_S, skip_unless_permitted, until
from script_modules import SCRIPTS, script_module

HERE = Path(__file__).resolve().parent
MANNERS = ("time", "memory", "armed", "interrupted", "killed", "paused", "paused and killed")
LONG = ("interrupted", "killed", "paused and killed")
TARGETS = 50

armed_of = script_module("_armed")
target_of = script_module("_target")


class Target:
    """A live process that checks its own work; see live_target.py."""

    def __init__(self, folder: Path, scratch: str, method: str, armed: bool) -> None:
        folder.mkdir()
        self.beat = folder / "beat"
        words = [str(HERE / "live_target.py"), str(self.beat), method]
        arm = [str(SCRIPTS / "attach.py"), "--arm", "--python", sys.executable] if armed else []
        self.process = subprocess.Popen(
            [sys.executable, *arm, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if armed else None,
            text=True,
            env={**os.environ, "TMPDIR": scratch},
        )

    def is_ready(self) -> bool:
        assert self.process.stdout is not None
        return self.process.stdout.readline() == "ready\n"

    @property
    def rounds(self) -> int:
        return self.beat.stat().st_size if self.beat.exists() else 0

    def works_on(self) -> bool:
        before, deadline = self.rounds, time.monotonic() + LIMIT_S
        while self.rounds < before + 3 and time.monotonic() < deadline:
            time.sleep(0.02)  # leaves the processor to the target
        return self.rounds >= before + 3

    def end(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextlib.contextmanager
def living(folder: Path, method: str, armed: bool = False) -> Iterator[Target]:
    # Not below `folder`: a forkserver's socket there could have too long a path.
    with tempfile.TemporaryDirectory(prefix="live-") as scratch:
        target = Target(folder, scratch, method, armed)
        try:
            assert target.is_ready()
            yield target
        finally:
            if target.process.poll() is None:
                target.process.kill()
                target.process.communicate()


def attach(target: Target, output: Path, manner: str) -> tuple[int, str]:
    words = [str(SCRIPTS / "attach.py"), "--pid", str(target.process.pid), "--output", str(output)]
    words += ["--duration", "20" if manner in LONG else "1"]
    words += ["--memory"] if manner in ("memory", "armed") else []
    words += ["--pause"] if "paused" in manner else []
    looking = subprocess.Popen(
        [sys.executable, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        if manner in LONG:
            until(lambda: _samples(output))
        if manner == "interrupted":
            time.sleep(1.5)  # fewer samples than it takes for a profile are no profile
            looking.send_signal(signal.SIGINT)
        if "killed" in manner:
            sampler = _sampler_of(looking.pid)
            until(lambda: _held(target.process.pid) or manner == "killed")
            os.kill(sampler, signal.SIGKILL)
        _, said = looking.communicate(timeout=LIMIT_S)
    finally:
        looking.kill()
    return looking.returncode, said


def _samples(output: Path) -> bool:
    """Whether the sampler has said that it samples."""
    return any(b"Sampling process" in log.read_bytes() for log in output.glob("*/.log.part"))


def _sampler_of(pid: int) -> int:
    """The process id of what takes the samples."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children}
    return next(int(child) for child, line in lines.items() if b"--rate" in line)


def _held(pid: int) -> bool:
    """Whether py-spy holds a thread of a process just now."""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return any(one.read_bytes().rpartition(b")")[2].split()[0] == b"t" for one in stats)


CODES = {"interrupted": 130, "killed": 5, "paused and killed": 5}  # else 0


def harm(folder: Path, manner: str, method: str) -> str:
    """What an attach in some manner did to a live target; empty when nothing."""
    with living(folder / "target", method, armed=manner == "armed") as target:
        if not target.works_on():
            return "it did not work before"
        code, said = attach(target, folder / "profiles", manner)
        few = code == 5 and "a guess; look longer" in said  # a busy machine: no harm to the target
        if code != CODES.get(manner, 0) and not few:
            return f"attach ended with {code}: {said}"
        if not target.works_on():
            return "it stood still afterwards"
        if target_of.stopped(target.process.pid):
            return "a process of it was left stopped"
        if manner == "armed" and still_recording(target.process.pid):
            return "it records on"
        code, printed = target.end()
        return "" if (code, printed) == (0, "") else f"it ended with {code}: {printed}"


def still_recording(pid: int) -> list[int]:
    one = armed_of.find(pid)
    assert one is not None
    found: list[int] = armed_of.recording(one)
    return found


def test_a_live_target_is_not_harmed(tmp_path: Path) -> None:
    skip_unless_permitted()
    assert harm(tmp_path, "time", "fork") == ""


WAITS = """
import multiprocessing, sys, time
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        waiting = pool.map_async(time.sleep, [8, 8])
        print("ready", flush=True)
        waiting.get()
        assert pool.map(len, ["a", "bc"]) == [1, 2]
        sys.stdin.read()
"""


@pytest.mark.stress
@pytest.mark.skipif(importlib.util.find_spec("memray") is None, reason="memray is not installed")
def test_a_study_that_waits_for_its_workers_is_recorded_and_let_go(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text(WAITS)
    line = [sys.executable, str(SCRIPTS / "attach.py")]
    study = subprocess.Popen(
        [*line, "--arm", "--python", sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert study.stdout is not None
        assert study.stdout.readline() == "ready\n"
        look = [*line, "--pid", str(study.pid), "--memory", "--duration", "2"]
        done = subprocess.run(
            [*look, "--output", str(tmp_path / "x")],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        assert "did not answer" not in done.stderr
        assert len(list((tmp_path / "x").glob("*/*.bin*"))) == 3
        assert still_recording(study.pid) == []
        study.communicate(timeout=LIMIT_S)
        assert study.returncode == 0
    finally:
        study.kill()


@pytest.mark.stress
def test_none_of_fifty_live_targets_is_harmed(tmp_path: Path) -> None:
    skip_unless_permitted()
    harmed = {}
    for n in range(TARGETS):
        manner, method = MANNERS[n % len(MANNERS)], ("fork", "spawn", "forkserver")[n % 3]
        folder = tmp_path / str(n)
        folder.mkdir()
        done = harm(folder, manner, method)
        if done:
            harmed[n, manner, method] = done
    assert harmed == {}, "\n".join(f"{key}: {said[-2000:]}" for key, said in harmed.items())
