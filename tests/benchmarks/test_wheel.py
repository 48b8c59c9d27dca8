"""The wheel holds the package and the gate, nothing else; the gate runs from it. And the sdist.

`nox -s release` names the folder that holds both in BUILT; else they are built here.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from git_project import GitProject

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = """
import sys
from hatchling import build
build.build_sdist(sys.argv[1])
build.build_wheel(sys.argv[1])
"""

ASV_PROJECT = {
    "asv.conf.json": '{"version": 1, "project": "toylib", "benchmark_dir": "benchmarks"}',
    "toylib/__init__.py": "def total(n):\n    return sum(range(n))\n",
    "benchmarks/__init__.py": "",
    "benchmarks/total.py": "import toylib\n\n\ndef time_total():\n    toylib.total(500)\n",
    ".gitignore": ".gate/\n",
}


def test_a_package_asked_for_twice_has_one_lower_bound() -> None:
    """Else `nox -s lowest` tests another one than an extra admits."""
    project = PYPROJECT["project"]
    parts = [
        PYPROJECT["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PYPROJECT["dependency-groups"].values(),
    ]
    bounds = defaultdict(set)
    for line in (line for part in parts for line in part):
        bounds[re.split(r"[\[<>=~! ]", line)[0]].add(line)
    assert {name: lines for name, lines in bounds.items() if len(lines) > 1} == {}


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel and the sdist of the working tree lie."""
    if named := os.environ.get("BUILT"):
        return Path(named)
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("built")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", name="unpacked")
def _unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; nothing is installed."""
    (wheel,) = built.glob("*.whl")
    target = tmp_path_factory.mktemp("wheel") / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def names_below(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def sources_below(folder: str) -> set[str]:
    """Files of the working tree that git does not ignore."""
    words = "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    listed = GitProject(ROOT / folder).git(*words)
    return {name for name in listed.split("\0") if name and (ROOT / folder / name).is_file()}


def gate(unpacked: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it from the wheel; -S: it finds no other package, but its workers do."""
    return subprocess.run(
        [sys.executable, "-S", "-B", "-m", "velocity_gate", *words],
        cwd=unpacked.parent,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )


@pytest.mark.stress
def test_it_holds_the_package_and_the_gate_and_nothing_else(unpacked: Path) -> None:
    (about,) = unpacked.glob("*.dist-info")
    assert {entry.name for entry in unpacked.iterdir()} == {
        "optimizer",
        "velocity_gate",
        about.name,
    }
    for name, source in (("optimizer", "optimizer"), ("velocity_gate", "benchmarks/gate")):
        there = names_below(unpacked / name)
        assert there == sources_below(source)
        assert "__init__.py" in there
        for file in there:
            assert (unpacked / name / file).read_bytes() == (ROOT / source / file).read_bytes()


@pytest.mark.stress
def test_the_sdist_holds_what_git_does(built: Path) -> None:
    """So that no environment, measurement or stage of the gate travels in it."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = [member for member in archive.getmembers() if not member.isdir()]
        there = {member.name.partition("/")[2]: member for member in files}
        assert there.keys() == {*sources_below("."), "PKG-INFO"}
        for name in there.keys() - {"PKG-INFO"}:
            stream = archive.extractfile(there[name])
            assert stream is not None, name
            assert stream.read() == (ROOT / name).read_bytes(), name


@pytest.mark.stress
def test_it_holds_data_types_and_licences(unpacked: Path) -> None:
    (about,) = unpacked.glob("*.dist-info")
    package = names_below(unpacked / "optimizer")
    assert {"py.typed", "data/sp500_dataset.csv.gz", "data/LICENSE-skfolio"} <= package
    assert names_below(about / "licenses") == {"LICENSE", "optimizer/data/LICENSE-skfolio"}


@pytest.mark.stress
def test_its_command_is_the_gate(unpacked: Path) -> None:
    (about,) = unpacked.glob("*.dist-info")
    scripts = configparser.ConfigParser()
    scripts.read(about / "entry_points.txt", encoding="utf-8")
    assert dict(scripts["console_scripts"]) == {"velocity-gate": "velocity_gate.cli:main"}
    done = gate(unpacked, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: velocity-gate")


@pytest.mark.stress
def test_it_judges_other_projects(unpacked: Path, tmp_path: Path) -> None:
    """The exit code of the measured run may be the machine's noise; what was counted is not."""
    pytest.importorskip("asv_runner")
    project = GitProject.create(tmp_path / "toy")
    project.commit(ASV_PROJECT)
    clean = gate(unpacked, "--root", str(project.root))
    assert clean.returncode == 2
    assert "toylib is as HEAD has it, so there is nothing to compare" in clean.stderr
    measured = gate(unpacked, "--root", str(project.root), "--against", "HEAD", "--fast")
    assert measured.returncode in {0, 1}, measured.stderr
    report = json.loads((project.root / ".gate" / "last.json").read_text(encoding="utf-8"))
    found = {one["witness"]: one for one in report["findings"] if one["path"] == "total.time_total"}
    assert found["bytecodes"]["verdict"] == "same"
    assert found["bytecodes"]["now"] > 0
    assert "cpu" in found
