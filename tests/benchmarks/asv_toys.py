"""Toy asv suites for tests: written, found, opened, and forgotten again. (Not a test file.)"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate.asv_suite import AsvBody, Paths, discover

Write = Callable[[dict[str, str]], Path]
_numbers = itertools.count()


@contextlib.contextmanager
def toy_suites(tmp_path: Path) -> Iterator[Write]:
    """Writes suites and returns their folders; each has a name of its own.

    Afterwards path, modules and working directory are as they were; what a body left behind lies
    in `tmp_path`, as it does in the folder of a worker.
    """

    def write(files: dict[str, str]) -> Path:
        folder = tmp_path / "stage" / f"toy_suite_{next(_numbers)}"
        for name, text in ({"__init__.py": ""} | files).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return folder

    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        yield write
    for name in set(sys.modules) - before:
        if name.startswith("toy_suite_"):
            del sys.modules[name]


def shown(paths: Paths) -> dict[str, list[str]]:
    """Labels of the cases by path."""
    return {path.name: [case.label for case in path.cases] for path in paths}


def open_case(write: Write, text: str, case: int = 0) -> AsvBody:
    """A case of the only benchmark in `text`."""
    [path] = discover(write({"one.py": f"LOG = []\n{text}"}))
    body = path.cases[case].open()
    assert isinstance(body, AsvBody)
    return body


def log_of(body: AsvBody) -> list[Any]:
    """What the toy benchmark noted."""
    found: list[Any] = body._benchmark._attr_sources[0].__globals__["LOG"]
    return found
