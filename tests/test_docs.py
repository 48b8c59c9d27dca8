"""The pages of docs/ keep their word: blocks run, commands work, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks import _registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
NOXFILE = (ROOT / "noxfile.py").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
SESSIONS = set(re.findall(r"^@nox\.session.*\ndef (\w+)\(", NOXFILE, re.MULTILINE))
RUN = {"bench", "tests", *re.findall(r"\$nox -s (\S+)", CI)}  # the first two: the README's lines
# What no run of CI starts, each with its reason.
BY_HAND = {
    "rebaseline": "it changes what is stored",
    "stress": "it takes long",
    "growth": "it takes long",
    "browser": "it needs a headless browser",
    "ledger": "it takes hours",
    "release": "it needs two versions of Python",
}
SAID = {
    "parts.md": "new: evaluate it",
    "durability.md": "True False\n9",
    "efficiency.md": "'lookback': 6",
}
PROGRAMS = {"velocity-gate": ["-m", "benchmarks.gate"], "python": []}


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run_python(page: Path) -> None:
    """Its blocks of Python one after another, as one reader would type them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for number, block in enumerate(blocks(page, "python"), 1):
        where = f"{page.name}, block {number}"
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, where, str(page), 0)
            assert runner.run(test, clear_globs=False).failed == 0, where
            names.update(test.globs)
        else:
            exec(compile(block, where, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_python_runs_and_then_its_commands(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quiet: None,
) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "profiling").symlink_to(ROOT / "profiling")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run_python(page)
    assert SAID.get(page.name, "") in capsys.readouterr().out
    for line in "".join(blocks(page, "console")).splitlines():
        if line.startswith("$ "):
            program, *words = shlex.split(line.removeprefix("$ "))
            command = [sys.executable, *PROGRAMS[program], *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_session_it_names_exists(page: Path) -> None:
    named = set(re.findall(r"nox -s\s+(\w+)", page.read_text(encoding="utf-8")))
    assert named <= SESSIONS


def test_every_session_is_run_by_ci_or_there_is_a_reason() -> None:
    assert RUN | {*BY_HAND} == SESSIONS
    assert RUN & {*BY_HAND} == set()


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert listed == {page.name for page in PAGES} - {"README.md"}


def test_every_exit_code_of_the_gate_is_told() -> None:
    told = set(re.findall(r"^\| (\d) \|", (ROOT / "docs" / "gate.md").read_text(), re.MULTILINE))
    assert told == set("01234")


def test_the_hot_path_that_is_shown_can_be_declared_driven_and_disagreed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of suites of its own, so that it is no hot path of this project."""
    page = ROOT / "docs" / "hot-paths.md"
    (block,) = blocks(page, "python benchmarks/caching.py")
    assert not (ROOT / "benchmarks" / "caching.py").exists()  # else show that one
    (tmp_path / "caching.py").write_text(block, encoding="utf-8")
    monkeypatch.setattr(benchmarks, "__path__", [str(tmp_path)])
    monkeypatch.setattr(_registry, "_declared", {})
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    try:
        (path,) = _registry.load()
    finally:
        sys.modules.pop("benchmarks.caching", None)
        vars(benchmarks).pop("caching", None)
    assert path.name == "caching.LookUps"
    assert f"`{path.name}`" in page.read_text(encoding="utf-8")
    for case in path.cases:
        body = case.open()
        answers = []
        for side in (body.before, body.after):
            body.fresh()
            answers.append(side())
        assert body.agree(*answers)
        assert not body.agree(answers[0], answers[1][:-1])
        body.close()
