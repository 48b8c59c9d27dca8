"""The README keeps its word: its code runs, its tables are those of the stored runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _readme

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_generated_blocks_are_those_of_the_stored_runs() -> None:
    assert _readme.rendered(TEXT) == TEXT


def test_a_changed_figure_is_noticed() -> None:
    start = TEXT.index("<!-- generated: claims -->")
    changed = TEXT[:start] + TEXT[start:].replace("x", "0x", 1)
    assert _readme.rendered(changed) != changed


def test_the_code_runs(tmp_path: Path) -> None:
    assert len(BLOCKS) == 2
    script = "\n".join(["import optimizer", *BLOCKS])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "new: evaluate it" in done.stdout


def test_its_two_lines_are_what_ci_runs() -> None:
    lines = re.findall(r"^    (python3 -m venv .*)$", TEXT, flags=re.MULTILINE)
    setup = 'python3 -m venv .venv && .venv/bin/pip install "nox[uv]" && .venv/bin/nox -s '
    assert lines == [setup + "bench", setup + "tests"]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("session", sorted(set(re.findall(r"nox -s (\w+)", TEXT))))
def test_every_session_it_names_exists(session: str) -> None:
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert re.search(rf"@nox\.session\ndef {session}\(", source)
