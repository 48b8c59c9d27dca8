"""Where does a slow study's memory go? A flame graph of its peak by memray, readable offline.

The study runs in its own interpreter, in which memray must be installed. Recorded is the study's
own process; its worker processes run as ever, unrecorded.
"""

from __future__ import annotations

import argparse
import signal
import subprocess

import _launch
import _record
from _launch import Job, Outcome, Refusal

_CAPTURE, _PAGE = "memory.bin", "memory.html"


class Memory:
    """Every allocation of the study, by memray."""

    program = "study_memory"
    description = (__doc__ or "").split("\n")[0]
    package = "memray"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """None: memray sees every allocation, there is no rate to choose."""

    def check(self, job: Job) -> str:
        if job.python.package_version is None:
            install = _launch.shell_line([job.python.path, "-m", "pip", "install", "memray"])
            raise Refusal(
                _launch.TOOL_MISSING,
                f"memray cannot be imported by the study's interpreter; install it with:\n"
                f"  {install}",
            )
        return f"every allocation of the study's own process by memray {job.python.package_version}"

    def record(self, job: Job, recording: _record.Recording) -> Outcome:
        capture = recording.draft(_CAPTURE)
        memray = [job.python.path, "-m", "memray"]
        supervisor = _record.Supervisor(lambda study: study)
        command = [*memray, "run", "--quiet", "--output", str(capture), *job.words]
        code = supervisor.run(command, env=job.environ, cwd=job.folder)
        tool = {"tool": f"memray {job.python.package_version}"}
        outcome = Outcome(code, supervisor.duration_s, supervisor.received, facts=tool)
        try:
            self._draw(memray, job, recording, outcome)
        except KeyboardInterrupt:
            outcome.received = signal.SIGINT
            kept = recording.keep(_CAPTURE)
            draw = _launch.shell_line([*memray, "flamegraph", "--no-web", str(kept)])
            outcome.reason = f"interrupted while the page was drawn; to draw it:\n  {draw}"
        return outcome

    def _draw(
        self, memray: list[str], job: Job, recording: _record.Recording, outcome: Outcome
    ) -> None:
        """Turn the capture into a page; says in the outcome what came of it."""
        page = recording.draft(_PAGE)
        offline = "--no-web" in self._ask([*memray, "flamegraph", "--help"], job).stdout
        web = ["--no-web"] if offline else []
        drawn = self._ask(
            [*memray, "flamegraph", *web, "--output", str(page), str(recording.draft(_CAPTURE))],
            job,
        )
        if drawn.returncode or not page.exists():
            lines = (drawn.stderr or drawn.stdout).strip().splitlines()
            outcome.reason = f"no profile: memray failed: {lines[-1] if lines else 'no reason'}"
            return
        recording.keep(_CAPTURE)
        outcome.product = recording.keep(_PAGE)
        outcome.reason = "only the study's own process was recorded, not its worker processes"
        if not offline:
            outcome.reason += "; this memray is old: its page needs the network"

    @staticmethod
    def _ask(command: list[str], job: Job) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=job.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )


if __name__ == "__main__":
    raise SystemExit(_launch.main(Memory()))
