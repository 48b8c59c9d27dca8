"""Where does a slow study's memory go? Its curve, its growth per trial, its holders.

The study runs in its own interpreter, in which memray must be installed.  A hook records its
process and every worker, whatever starts it: spawn, forkserver or fork.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import _launch
import _marks
import _memory
import _model
import _plain
import _record
import _resident
from _launch import Job, Outcome, Refusal
from _resident import ResidentWatcher

HOOK = Path(__file__).resolve().parent / "_hook"
_LAST_S = 5.0
CAPTURE, PAGE = "memory.bin", "memory.html"
OURS = "VELOCITY_PROFILE_"
_NO_HOOK = "the study's interpreter did not load the hook that records (-I, -S or -E?)"


class Memory:
    """Every allocation of the study and its workers, by memray."""

    program = "study_memory"
    description = (__doc__ or "").split("\n")[0]
    package = "memray"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--blocks-only",
            action="store_true",
            help="leave Python's small objects out: faster and smaller, but what leaks as small "
            "objects is blamed on whoever asked for the next block of them",
        )
        parser.add_argument(
            "--memray-page",
            action="store_true",
            help="also draw memray's own flame graph of the study's own process, memory.html",
        )

    def check(self, job: Job) -> str:
        if job.python.package_version is None:
            install = _launch.shell_line([job.python.path, "-m", "pip", "install", "memray"])
            raise Refusal(
                _launch.TOOL_MISSING,
                f"memray cannot be imported by the study's interpreter; install it with:\n"
                f"  {install}",
            )
        return (
            f"every allocation of the study and its workers by memray {job.python.package_version}"
        )

    def record(self, job: Job, recording: _record.Recording) -> Outcome:
        captures = recording.folder / "captures.part"
        captures.mkdir()
        outcome = Outcome(None, facts={"tool": f"memray {job.python.package_version}"})
        try:
            evidence = self._run(job, captures, outcome)
            _attribute(job, recording, outcome, evidence)
        except KeyboardInterrupt:
            outcome.received = signal.SIGINT
            outcome.reason = f"interrupted while the captures were read; they lie in {captures}"
        else:
            with contextlib.suppress(OSError):
                shutil.rmtree(captures)
        return outcome

    def _run(self, job: Job, captures: Path, outcome: Outcome) -> _memory.Evidence:
        """Run the study to its end; says in the outcome how it ended."""
        # A process that outlives the study still writes marks while the folder is removed.
        with tempfile.TemporaryDirectory(
            prefix="study-marks-", ignore_cleanup_errors=True
        ) as folder:
            marks = Path(folder)
            supervisor = _record.Supervisor(lambda study: study)
            launched_ns, lead_ns = time.monotonic_ns(), _memory.Clock.lead_ns()
            with ResidentWatcher(os.getpid(), with_root=False) as resident:
                environ = armed(job, marks, captures)
                outcome.study_code = supervisor.run(job.command, env=environ, cwd=job.folder)
            ended_ns, drift_ns = time.monotonic_ns(), _memory.Clock.lead_ns() - lead_ns
            outcome.duration_s, outcome.received = supervisor.duration_s, supervisor.received
            _wait_for_the_last(resident)
            known, reasons = _marks.read(marks), _plain.troubles(marks)
        origin_ns = known.processes[0].start_ns if known.processes else launched_ns
        clock = _memory.Clock(origin_ns, lead_ns, (ended_ns - origin_ns) / 1e9)
        paths = captures_in(captures)
        return _memory.Evidence(paths, known, resident.seen, clock, reasons, drift_ns)


def _attribute(
    job: Job, recording: _record.Recording, outcome: Outcome, evidence: _memory.Evidence
) -> None:
    """Turn the captures into a profile; says in the outcome what came of it."""
    reading = _memory.read(evidence, [job.python.path], job.environ)
    main = evidence.marks.processes[0].pid if evidence.marks.processes else None
    kept = _keep(recording, evidence, reading, main)
    if main is None or main not in reading.pids.values():
        outcome.reason = f"no profile: {_why_none(evidence, reading, main)}"
        return
    outcome.profile = _profile(job, evidence, reading)
    if reading.lost:
        outcome.lost = True
        pids = ", ".join(map(str, reading.lost))
        whose = "the study itself" if reading.lost == [main] else "worker processes"
        outcome.reason = f"the capture of {whose} is lost: {pids}"
    if job.options.memray_page:
        _draw(job, recording, kept)


def _why_none(evidence: _memory.Evidence, reading: _memory.Reading, main: int | None) -> str:
    """Why there is nothing to show of the study's own process."""
    if main is None:
        return _NO_HOOK
    if main in evidence.reasons:
        return evidence.reasons[main]
    said = next((one.lost for one in reading.memory.processes if one.pid == main), "")
    whole = all(pid_of(path) != str(main) for path in reading.unread)
    unread = "" if whole else f"; it is kept as {unread_name(main)}"
    return f"the study itself: {said or 'it left no capture'}{unread}"


def _draw(job: Job, recording: _record.Recording, capture: Path) -> None:
    """memray's own page of the study's own process, where memray can draw it offline."""
    memray = [job.python.path, "-m", "memray"]
    if "--no-web" not in _ask([*memray, "flamegraph", "--help"], job).stdout:
        return
    page = recording.draft(PAGE)
    draw = [*memray, "flamegraph", "--no-web", "--output", str(page), str(capture)]
    if _ask(draw, job).returncode == 0 and page.exists():
        recording.keep(PAGE)


def _ask(command: list[str], job: Job) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=job.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )


def unprofiled(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what another profiler of ours has put into it."""
    kept = {name: value for name, value in environ.items() if not name.startswith(OURS)}
    if len(kept) < len(environ):
        path = [one for one in kept.get("PYTHONPATH", "").split(os.pathsep) if one != str(HOOK)]
        kept["PYTHONPATH"] = os.pathsep.join(path)
        if not any(path):
            del kept["PYTHONPATH"]
    return kept


def armed(job: Job, marks: Path, captures: Path) -> dict[str, str]:
    """The study's environment, with the hooks that mark trials and record memory."""
    objects = "0" if job.options.blocks_only else "1"
    environ = unprofiled(job.environ)
    before = environ.get("PYTHONPATH")
    return {
        **environ,
        "PYTHONPATH": f"{HOOK}{os.pathsep}{before}" if before else str(HOOK),
        "VELOCITY_PROFILE_MARKS": str(marks),
        "VELOCITY_PROFILE_MEMORY": str(captures),
        "VELOCITY_PROFILE_OBJECTS": objects,
    }


def _wait_for_the_last(resident: ResidentWatcher) -> None:
    """Let processes end that outlive the study for a moment, as a fork server does.

    Their captures are being closed; one that is still written is read as far as it goes.
    """
    deadline = time.monotonic() + _LAST_S
    while time.monotonic() < deadline and any(
        _resident.resident_bytes(one) is not None and _resident.is_python(one)
        for one in list(resident.seen)
    ):
        time.sleep(0.02)


def captures_in(folder: Path) -> list[Path]:
    """memray's captures, without the drafts of those that it is just packing."""
    return sorted(one for one in folder.iterdir() if re.search(r"\.bin(\.\d+)*$", one.name))


def _profile(job: Job, evidence: _memory.Evidence, reading: _memory.Reading) -> _model.Profile:
    trials = evidence.marks.model_trials(evidence.clock.origin_ns)
    remarks = [*reading.remarks, *evidence.marks.troubles[:3]]
    if job.options.blocks_only:
        remarks.append("Python's small objects were not recorded one by one (--blocks-only)")
    return _model.Profile(
        kind="memory",
        title=_launch.shell_line(["python", *job.words]),
        run={},
        duration_s=evidence.clock.end_s,
        trials=trials,
        trials_absent="" if trials else "no trial of Optuna began",
        phases=(),
        lanes=(),
        flame=None,
        memory=reading.memory,
        advice=(),
        remarks=tuple(remarks),
    )


def unread_name(pid: int | str) -> str:
    """The file of a capture that could not be read: a later memray, or more memory, may."""
    return f"memory-unread-{pid}.bin"


def _keep(
    recording: _record.Recording,
    evidence: _memory.Evidence,
    reading: _memory.Reading,
    main: int | None,
) -> Path:
    """Give the captures names that say whose they are; returns that of the study itself.

    Those that could not be read are kept as well: what is in them is hours of a study.
    """
    kinds = {one.pid: one.kind for one in reading.memory.processes}
    taken: set[str] = set()
    kept = recording.folder / CAPTURE
    for path in evidence.captures:
        pid = reading.pids.get(path)
        if pid is None:
            name = unread_name(pid_of(path))
        elif pid == main:
            name = CAPTURE
        elif pid in kinds:
            name = f"memory-{kinds[pid]}-{pid}.bin"
        else:
            continue  # between fork and exec
        if name in taken:
            name = f"{name.removesuffix('.bin')}-{len(taken)}.bin"
        taken.add(name)
        path.rename(recording.folder / name)
    return kept


def pid_of(path: Path) -> str:
    """Whose a capture is, by its name: the child of a fork adds its own id at the end."""
    return path.name.rpartition(".bin.")[2] if ".bin." in path.name else path.name.split("-")[0]


if __name__ == "__main__":
    raise SystemExit(_launch.main(Memory()))
