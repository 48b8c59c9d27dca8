"""Ctrl-C in the gate on a toy project: nothing is stored, and no process is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_project import (
    BROKEN,
    Toy,
    bare,
    nothing_left,
    quick,
    stored,
    toy,
)

from benchmarks.gate import cli, harness, outcome, ratio
from benchmarks.gate import rebaseline as moving

__all__ = ["bare", "nothing_left", "quick", "stored", "toy"]  # fixtures
pytestmark = pytest.mark.end_to_end

HANGS = """

@_hot_path(claim="", witnesses=("cpu",))
class Hangs(_Plain):
    params = (1, 2, 3)

    def after(self, n):
        Path(os.environ["TOY_HANGS"], str(os.getpid())).touch()
        time.sleep(600)
"""


def test_rebaseline_stores_all_or_nothing(
    toy: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the second path's ratio is taken."""
    take = ratio.claim_ratio

    def interrupted(side: harness.Side, key: outcome.Key) -> ratio.Ratio:
        if key[0] == "toy.Work":
            raise KeyboardInterrupt
        return take(side, key)

    monkeypatch.setattr(moving, "claim_ratio", interrupted)
    assert toy.rebaseline("--all", reason="second") == cli.INTERRUPTED
    assert "nothing was judged or stored" in capsys.readouterr().err
    assert toy.baseline("toy.Rows")["reason"] == "first"


def lives(pid: str) -> bool:
    """Whether a process is there, and not only an entry that its parent has yet to collect."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except OSError:
        return False


@pytest.mark.parametrize("to_all", [True, False], ids=["terminal", "kill"])
def test_ctrl_c_leaves_nothing_behind(toy: Toy, tmp_path: Path, to_all: bool) -> None:
    """A terminal signals the gate and its workers, `kill` the gate alone."""
    toy.write({"benchmarks/broken.py": BROKEN + HANGS})
    hanging = tmp_path / "hanging"
    hanging.mkdir()
    gate = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gate", "broken.Hangs"],
        cwd=toy.root,
        env={**os.environ, "TOY_HANGS": str(hanging)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(hanging.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)  # until both lanes of the exact phase are in the body
        assert len(list(hanging.iterdir())) == 2
        (os.killpg if to_all else os.kill)(gate.pid, signal.SIGINT)
        out, err = gate.communicate(timeout=20)
        deadline = time.monotonic() + 10  # a killed process may take a moment
        while any(map(lives, os.listdir(hanging))) and time.monotonic() < deadline:
            time.sleep(0.02)
        alive = [pid for pid in os.listdir(hanging) if lives(pid)]
    finally:
        gate.kill()
        gate.communicate()
        for name in os.listdir(hanging):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(name), signal.SIGKILL)
    assert gate.returncode == cli.INTERRUPTED
    assert "gate: interrupted" in err
    assert "Traceback" not in out + err
    assert alive == []
