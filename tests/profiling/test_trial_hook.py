"""The hook in the study's process: no file of the study's own, no import of its own is harmed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import SCRIPTS, script_module

marks: Any = script_module("_marks")
HOOK = SCRIPTS / "_hook"

# A package of Optuna's shape: what the hook wraps, and nothing else.
OPTUNA = {
    "optuna/__init__.py": "",
    "optuna/study/__init__.py": "",
    "optuna/study/study.py": (
        "class Study:\n    def ask(self): return None\n    def tell(self, trial): return None\n"
    ),
    "optuna/study/_optimize.py": "def _tell_with_warning(*a, **k): return None\n",
}
BOTH = {"optuna.study.study", "optuna.study._optimize"}
IMPORTED = "import optuna.study.study as s, optuna.study._optimize as o\n"


@pytest.fixture
def optuna(tmp_path: Path) -> Path:
    for name, text in OPTUNA.items():
        file = tmp_path / "lib" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path / "lib"


def run(folder: Path, program: str, *path: Path) -> str:
    noted = folder / "noted"
    noted.mkdir(exist_ok=True)
    environ = {
        **os.environ,
        "VELOCITY_PROFILE_MARKS": str(noted),
        "PYTHONPATH": os.pathsep.join(map(str, (HOOK, *path))),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


CLOSES = """
import os, sys
hook = sys.modules["_trial_hook"]
os.closerange(3, 64)
files = [open(f"{i}.txt", "w") for i in range(6)]
hook._marks.write("S 5 1 1 0 0\\n")
if os.fork() == 0:
    for file in files:
        file.write("own")
        file.close()
    os._exit(0)
_, code = os.wait()
hook._marks.write("E 9 1 1 0 complete 0\\n")
print(code, [os.path.getsize(f"{i}.txt") for i in range(6)])
"""


def test_a_file_of_the_studys_own_is_never_written_to(tmp_path: Path) -> None:
    assert run(tmp_path, CLOSES) == f"0 {[3] * 6}\n"
    (trial,) = marks.read(tmp_path / "noted").trials
    assert (trial.start_ns, trial.end_ns) == (5, 9)  # and the marks go on


def test_a_study_without_stdout_does_not_print_into_the_marks(tmp_path: Path) -> None:
    program = (
        "import os, sys\nout = os.dup(1)\nos.closerange(0, out); os.closerange(out + 1, 64)\n"
        "sys.modules['_trial_hook']._marks.write('S 5 1 1 0 0\\n')\n"
        "os.write(out, str(os.open('mine', os.O_RDWR | os.O_CREAT)).encode())\n"
        "os._exit(0)\n"
    )
    assert run(tmp_path, program) == "0"
    assert marks.read(tmp_path / "noted").trials == []


# --- imports


def test_looking_for_a_module_does_not_use_the_patch_up(tmp_path: Path, optuna: Path) -> None:
    program = (
        "import importlib.util\n"
        "assert importlib.util.find_spec('optuna.study.study') is not None\n"
        f"{IMPORTED}"
        "print(type(s.__loader__).__name__, type(s.__spec__.loader).__name__)\n"
    )
    assert run(tmp_path, program, optuna) == "SourceFileLoader SourceFileLoader\n"
    assert marks.read(tmp_path / "noted").patched == BOTH


def test_a_module_that_is_loaded_again_is_marked_again(tmp_path: Path, optuna: Path) -> None:
    program = f"import importlib\n{IMPORTED}importlib.reload(s)\n"
    wrapped = "print(hasattr(s.Study.ask, '__wrapped__'))\n"
    assert run(tmp_path, program + wrapped, optuna) == "True\n"


def test_other_finders_still_do_what_they_do(tmp_path: Path, optuna: Path) -> None:
    program = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Loader:\n"
        "    def __init__(self, inner): self.inner = inner\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module):\n"
        "        module.CHECKED = True\n"
        "        self.inner.exec_module(module)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        spec = PathFinder.find_spec(name, path)\n"
        "        if spec is not None and name.startswith('optuna.study.'):\n"
        "            spec.loader = Loader(spec.loader)\n"
        "        return spec\n"
        "sys.meta_path.insert(1, Finder())\n"
        f"{IMPORTED}"
        "print(s.CHECKED, o.CHECKED, type(s.__loader__).__name__)\n"
    )
    assert run(tmp_path, program, optuna) == "True True Loader\n"
    assert marks.read(tmp_path / "noted").patched == BOTH


def test_a_finder_that_fails_fails_by_itself(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, *unused): raise AttributeError('as planned')\n"
        "finder, before = sys.meta_path[0], len(sys.meta_path)\n"
        "sys.meta_path.insert(1, Broken())\n"
        "print(finder.find_spec('optuna.study.study'), len(sys.meta_path) - before)\n"
        "class Old:\n"
        "    def find_spec(self, *unused):\n"
        "        return type('Spec', (), {'loader': object()})\n"
        "sys.meta_path[1] = Old()\n"
        "print(finder.find_spec('optuna.study.study'))\n"
        "del sys.meta_path[1]\n"
    )
    assert run(tmp_path, program) == "None 1\nNone\n"


# --- studies that are numbered alike


ALIKE = """
import sys
from types import SimpleNamespace as Of
hook = sys.modules["_trial_hook"]
class InMemoryStorage: pass
one, other = [Of(_storage=InMemoryStorage(), _study_id=0) for _ in range(2)]
trial = Of(number=0)
hook._began(5, one, trial)
hook._began(6, other, trial)
hook._ended(one, trial, None)
"""


def test_studies_in_memory_are_told_apart(tmp_path: Path) -> None:
    run(tmp_path, ALIKE)
    first, second = marks.read(tmp_path / "noted").trials
    assert first.study != second.study
    assert first.end_ns is not None
    assert (second.start_ns, second.end_ns) == (6, None)
