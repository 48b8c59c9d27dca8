"""What the tests of the fingerprint share: objectives from texts, and processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from optimizer.stores.fingerprint import fingerprint

ROOT = str(Path(__file__).resolve().parents[2])
SHOW = "\nfrom optimizer.stores.fingerprint import fingerprint\nprint(fingerprint({}).hex())"


def only(params: Any) -> float:
    """An objective for tests of data."""
    return 0.0


def objective_of(source: str, name: str = "objective") -> Any:
    """What a module of this source calls so; the module stays, under a name of its own."""
    module = types.ModuleType("mine_of_the_tests")
    sys.modules[module.__name__] = module
    exec(compile(source, "mine_of_the_tests.py", "exec", dont_inherit=True), vars(module))
    return vars(module)[name]


def mark_of(source: str) -> bytes:
    """The fingerprint of the objective of this source."""
    return fingerprint(objective_of(source))


def run_python(code: str, folder: Path, **environment: str) -> str:
    """What the code prints in a process of its own, which finds modules in the folder."""
    known = {"PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **known, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def mark_here(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The fingerprint of the objective of this code, which finds new modules in the folder."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(str(folder))
        patch.chdir(folder)
        for path in folder.iterdir():  # some have the name of a module of Python's
            patch.delitem(sys.modules, path.stem, raising=False)
        before = set(sys.modules)
        try:
            return mark_of(code)
        finally:
            for name in set(sys.modules) - before:
                if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write modules, packages and whatever else, by their path in the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
