"""Does the gate work on this machine? Unchanged code must pass, planted defects must not.

    python -m benchmarks._selftest [--quick] [--list] [PLANT ...]

Everything happens in a clone of HEAD under `.gate/selftest/`; the working tree is not touched.
Prints a line for each plant and exits 1 if the gate answered one of them wrongly.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._plants import CPU, FAULTS, Edit, Plant

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".gate" / "selftest"


class SelfTestError(Exception):
    """The self-test itself cannot run: a plant does not fit the code any more."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gate_selftest", description=__doc__)
    parser.add_argument("plants", nargs="*", metavar="PLANT", help="a part of a plant's name")
    parser.add_argument("--quick", action="store_true", help="the short form, for CI")
    parser.add_argument("--list", action="store_true", help="name the plants and stop")
    options = parser.parse_args(arguments)
    checks = [check for check in _checks() if _asked_for(check[0], check[1], options)]
    if options.list:
        print(*(name for name, _, _ in checks), sep="\n")
        return 0
    try:
        wrong = _run(checks)
    except SelfTestError as error:
        print(f"gate_selftest: {error}", file=sys.stderr)
        return 2
    print(f"{len(checks) - wrong} passed, {wrong} failed")
    return 1 if wrong or not checks else 0


Check = tuple[str, bool, Callable[[Path], str]]  # name, quick, run: "" or what was wrong


def _checks() -> Iterator[Check]:
    yield "unchanged code", True, _unchanged
    for plant in (*FAULTS, *CPU):
        yield plant.name, plant.quick, functools.partial(_planted, plant=plant)
    yield "an editable install that wins", True, _editable
    yield "a shallow clone", True, _shallow


def _asked_for(name: str, quick: bool, options: argparse.Namespace) -> bool:
    if options.plants:
        return any(word in name for word in options.plants)
    return quick or not options.quick


def _run(checks: Sequence[Check]) -> int:
    wrong = 0
    clone = _clone()
    for name, _, check in checks:
        started = time.monotonic()
        _git(clone, "reset", "-q", "--hard")
        complaint = check(clone)
        wrong += bool(complaint)
        seconds = time.monotonic() - started
        print(
            f"{'WRONG' if complaint else 'ok':5} {seconds:5.0f} s  {name}  {complaint}", flush=True
        )
    return wrong


def _clone() -> Path:
    clone = SCRATCH / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    _git(SCRATCH, "clone", "-q", str(ROOT), str(clone))
    return clone


def _environment() -> dict[str, str]:
    """Nothing that leads git to another repository, or Python to other code."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PYTHON"))}


def _git(folder: Path, *words: str) -> None:
    """Run git without the user's hooks, signing or name."""
    own = ["-c", "commit.gpgsign=false", "-c", f"core.hooksPath={os.devnull}"]
    own += ["-c", "user.name=self-test", "-c", "user.email=self-test@localhost"]
    command = ["git", *own, *words]
    subprocess.run(command, cwd=folder, env=_environment(), check=True, capture_output=True)


def _gate(
    folder: Path, *words: str, python: str = sys.executable
) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and last error line of a run of the gate in `folder`."""
    report = SCRATCH / "report.json"
    report.unlink(missing_ok=True)
    command = [python, "-m", "benchmarks.gate", "--json", str(report), *words]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True)
    table = json.loads(report.read_text()) if report.exists() else {"findings": []}
    errors = [line for line in done.stderr.splitlines() if line.startswith("gate:")]
    return done.returncode, table, " ".join(errors)


def _complaint(code: int, says: Sequence[str], answer: tuple[int, dict[str, Any], str]) -> str:
    """What was wrong with the gate's answer; empty if it was right."""
    found, table, errors = answer
    sentences = [finding["sentence"] for finding in table["findings"] if finding["sentence"]]
    said = " | ".join([*sentences, errors])
    missing = [words for words in says if words not in said]
    if found == code and not missing:
        return ""
    lacking = f", without {missing}" if missing else ""
    return f"exit code {found} instead of {code}{lacking}; it said: {said or 'nothing'}"


def _unchanged(clone: Path) -> str:
    return _complaint(0, (), _gate(clone))


def _planted(clone: Path, plant: Plant) -> str:
    for edit in plant.edits:
        _apply(clone, edit)
    answer = _gate(clone, *plant.paths)
    for finding in answer[1]["findings"]:
        if finding["witness"] == "cpu" and finding["verdict"] == "worse":
            print(f"      {finding['path']}[{finding['case']}] CPU {finding['change']:+.1%}")
    return _complaint(plant.code, plant.says, answer)


def _apply(clone: Path, edit: Edit) -> None:
    file = clone / edit.file
    if edit.old is None or edit.new is None:
        file.unlink()
        return
    text = file.read_text(encoding="utf-8")
    if text.count(edit.old) != 1:
        raise SelfTestError(f"a plant does not fit {edit.file} any more: {edit.old!r}")
    file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def _editable(clone: Path) -> str:
    """An interpreter in which another `optimizer` stands first on the path, whatever we say."""
    folder = SCRATCH / "editable"
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False)
    here = next(folder.glob("lib/python*/site-packages"), folder / "Lib" / "site-packages")
    packages = sysconfig.get_path("purelib")
    (here / "wins.pth").write_text(f"{packages}\nimport sys; sys.path.insert(0, {str(ROOT)!r})\n")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    answer = _gate(clone, "signature", python=str(python))
    return _complaint(3, ("expected the staged tree",), answer)


def _shallow(clone: Path) -> str:
    """A clone of the last commit only, whose code is not the baselines' code."""
    with _changed_commit(clone) as changed:
        shallow = SCRATCH / "shallow"
        shutil.rmtree(shallow, ignore_errors=True)
        _git(SCRATCH, "clone", "-q", "--depth", "1", changed.as_uri(), str(shallow))
        answer = _gate(shallow, "signature")
    return _complaint(4, ("signature.Cold, baseline", "git fetch --unshallow"), answer)


@contextmanager
def _changed_commit(clone: Path) -> Iterator[Path]:
    with (clone / "optimizer" / "errors.py").open("a", encoding="utf-8") as stream:
        stream.write("\n# a commit after the baselines\n")
    _git(clone, "commit", "-aqm", "a change")
    try:
        yield clone
    finally:
        _git(clone, "reset", "-q", "--hard", "HEAD~1")


if __name__ == "__main__":
    raise SystemExit(main())
