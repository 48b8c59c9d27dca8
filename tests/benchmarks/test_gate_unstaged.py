"""What a stage would lack: packages beside the package, and files that the build generates."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_project import GitProject

from benchmarks.gate.errors import UsageError
from benchmarks.gate.foreign import describe_foreign

PLAIN = {
    "asv.conf.json": '{"project": "toy"}',
    "toy/__init__.py": "",
    "toy/core.py": "import math",
    "benchmarks/__init__.py": "",
    "benchmarks/one.py": "from toy import core",
    ".gitignore": "toy/_version.py\nlocal_*\n",
}


@pytest.fixture
def toy(tmp_path: Path) -> GitProject:
    made = GitProject.create(tmp_path / "toy-project")
    made.commit(PLAIN)
    return made


def _refusal(toy: GitProject) -> str:
    """The sentence of the refusal; empty where there is none."""
    try:
        describe_foreign(toy.root)
    except UsageError as error:
        return str(error)
    return ""


# --- siblings


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("toy/core.py", "import helpers"),
        ("toy/core.py", "from helpers.inner import x"),
        ("toy/core.py", "def f():\n    from helpers import (\n        x,\n    )"),
        ("toy/deep/more.py", "try:\n    import os, helpers\nexcept ImportError:\n    pass"),
        ("toy/core.py", "import importlib\nimportlib.import_module('helpers.inner')"),
        ("benchmarks/one.py", "import helpers as h"),
    ],
)
@pytest.mark.parametrize("place", ["helpers/__init__.py", "helpers.py"])
def test_what_stands_beside_and_is_imported(
    toy: GitProject, importer: str, statement: str, place: str
) -> None:
    toy.write({place: "", "toy/deep/__init__.py": "", importer: statement})
    said = _refusal(toy)
    shown = "helpers/" if place.endswith("__init__.py") else place
    assert said.startswith(f"{importer} imports helpers, which is {shown} of this repository")
    assert "only toy/ and benchmarks/ are compared" in said
    assert "Move it below one of the two" in said


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("toy/core.py", ""),
        ("toy/core.py", "from . import helpers\nfrom .helpers import x\nfrom toy import helpers"),
        ("toy/core.py", "'helpers.inner'  # import helpers\nNAME = 'import helpers'"),
        ("toy/core.py", "if TYPE_CHECKING:\n    import helpers"),
        ("toy/tests/test_core.py", "import helpers"),
        ("toy/conftest.py", "import helpers"),
        ("toy/core.py", "import json, local_settings, benchmarks, toy, helpers_of_others"),
        ("toy/core.py", "def ("),
    ],
)
def test_what_is_not_imported_or_not_of_this_repository(
    toy: GitProject, importer: str, text: str
) -> None:
    beside = {"helpers/__init__.py": "", "json.py": "", "local_settings.py": "import toy"}
    toy.write({**beside, "toy/helpers.py": "", importer: text})
    assert _refusal(toy) == ""


def test_a_suites_own_module_of_the_same_name(toy: GitProject) -> None:
    toy.write({"common.py": "", "benchmarks/common.py": "", "benchmarks/one.py": "import common"})
    assert _refusal(toy) == ""
    toy.write({"toy/core.py": "import common"})
    assert _refusal(toy).startswith("toy/core.py imports common")


def test_beside_the_package_is_where_it_is_imported_from(toy: GitProject) -> None:
    (toy.root / "src").mkdir()
    toy.git("mv", "toy", "src/toy")
    toy.write({"helpers.py": "", "src/toy/core.py": "import helpers"})
    assert _refusal(toy) == ""  # another distribution's: nothing here is found by that name
    toy.write({"src/helpers.py": ""})
    assert "which is src/helpers.py of this repository" in _refusal(toy)


# --- generated files

SETTINGS = {
    "scm": '[tool.setuptools_scm]\nwrite_to = "toy/_version.py"\n',
    "scm file": '[tool.setuptools_scm]\nversion_file = "toy/_version.py"\n',
    "hatch": '[tool.hatch.build.hooks.vcs]\nversion-file = "toy/_version.py"\n',
    "hatch target": "[tool.hatch.build.targets.wheel.hooks.vcs]\n"
    'version-file = "toy/_version.py"\n',
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("built", [False, True])
def test_a_version_file_that_git_ignores(toy: GitProject, settings: str, built: bool) -> None:
    files = {"pyproject.toml": settings, "toy/__init__.py": "from ._version import version"}
    toy.commit(files | ({"toy/_version.py": "version = '1'"} if built else {}))
    said = _refusal(toy)
    assert said.startswith("toy/__init__.py imports toy/_version.py, which the build writes (")
    assert "Commit that file, or let the import fall back" in said


def test_a_version_file_that_nobody_added_yet(toy: GitProject) -> None:
    toy.commit({"pyproject.toml": SETTINGS["scm"], ".gitignore": ""})
    toy.write({"toy/_version.py": "", "toy/__init__.py": "import toy._version"})
    assert "toy/_version.py" in _refusal(toy)
    toy.git("add", "--all")
    assert _refusal(toy) == ""


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("from . import _version", True),
        ("from toy import _version", True),
        ("if True:\n    from toy._version import version", True),
        ("try:\n    from ._version import version\nfinally:\n    pass", True),
        ("try:\n    from ._version import version\nexcept KeyError:\n    pass", True),
        ("try:\n    pass\nexcept ImportError:\n    from ._version import version", False),
        ("try:\n    from ._version import version\nexcept ImportError:\n    version = ''", False),
        ("try:\n    from ._version import v\nexcept (OSError, ImportError):\n    v = ''", False),
        ("try:\n    from ._version import v\nexcept:\n    v = ''", False),
        ("if TYPE_CHECKING:\n    from ._version import version", False),
        ("def __getattr__(name):\n    from ._version import version\n    return version", False),
        ("from ._versions import version", False),
        ("", False),
    ],
)
def test_only_an_import_that_must_succeed_counts(toy: GitProject, text: str, refused: bool) -> None:
    toy.commit({"pyproject.toml": SETTINGS["hatch"], "toy/__init__.py": text})
    assert bool(_refusal(toy)) == refused


def test_a_version_file_in_git(toy: GitProject) -> None:
    toy.commit({".gitignore": "", "pyproject.toml": SETTINGS["scm"], "toy/_version.py": ""})
    toy.write({"toy/__init__.py": "from ._version import version"})
    assert _refusal(toy) == ""


def test_settings_of_another_form_are_passed_over(toy: GitProject) -> None:
    text = '[tool.setuptools_scm]\nversion_file = "toy/VERSION.txt"\nwrite_to = "docs/v.py"\n'
    toy.commit({"pyproject.toml": text, "toy/__init__.py": "import toy.v"})
    assert _refusal(toy) == ""
