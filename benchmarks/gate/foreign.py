"""A project that has an asv suite and says nothing about the gate: what can be found out about it.

Both sides of a comparison are written out of git and imported from there, so a project whose
package has to be compiled first is refused, with the file that told, and so is one whose package
needs more of its repository than that (`unstaged.py`).
"""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import Any

from .errors import UsageError
from .own import PACKAGE
from .project import Project
from .unstaged import refuse_unstaged

CONFIG = "asv.conf.json"
LOADER = f"{PACKAGE}.asv_suite:load"

_BACKENDS = ("mesonpy", "maturin", "scikit_build_core", "skbuild", "py_build_cmake", "sipbuild")
_BUILD_TOOLS = re.compile(  # in [build-system] requires
    r"(meson-python|maturin|scikit-build(-core)?|setuptools-rust|cython|pybind11|nanobind|cffi"
    r"|mypy|mypyc|hatch-mypyc|hatch-cython|hatch-cpp|py-build-cmake|sip|f2py|cmake|ninja)\b",
    re.IGNORECASE,
)
_SETUP_WORDS = frozenset(
    {"Extension", "RustExtension", "CMakeExtension", "Pybind11Extension", "cythonize", "mypycify"}
    | {"ext_modules", "rust_extensions", "cffi_modules", "build_ext"}
)
_COMPILED = frozenset({".pyx", ".pyd", ".so", ".dylib", ".rs", ".f90"})
_BUILD_FILES = ("Cargo.toml", "meson.build", "CMakeLists.txt")
_NOT_THE_PROJECTS = frozenset(
    {"node_modules", "__pycache__", "build", "dist", "venv", "env", "site-packages"}
)


def describe_foreign(root: Path, *, code: str = "", config: str = "") -> Project:
    """The project in `root`, by its asv configuration and its packaging files.

    `code`: the package's folder (`--code`), `config`: the asv configuration; both are looked for
    where they are not given. `UsageError` says what was not found or why the project is refused.
    """
    root = root.resolve()
    file = _given(root, config) if config else find_config(root)
    if file is not None and not file.is_file():
        raise UsageError(f"{file} is no file: name the {CONFIG} itself")
    if file is None:
        raise UsageError(
            f"{root} has neither [tool.velocity-gate] in a pyproject.toml nor an {CONFIG}: name "
            f"the project with --root"
        )
    settings = read_config(file)
    suite = (file.parent / str(settings.get("benchmark_dir", "benchmarks"))).resolve()
    if not suite.is_dir() or not suite.is_relative_to(root) or suite == root:
        raise UsageError(f"{file}: its benchmark_dir {suite} is no folder below {root}")
    package = _given(root, code) if code else _find_package(root, str(settings.get("project", "")))
    if not (package / "__init__.py").is_file():
        raise UsageError(f"{package} is no package (it has no __init__.py): name one with --code")
    if reason := compiles(root, package):
        raise UsageError(
            f"{root.name} compiles extensions ({reason}): the gate imports both sides as git holds "
            f"them, so what is compiled would be the same on both, or missing"
        )
    refuse_unstaged(root, package, suite, _pyproject(root))
    return Project(
        root=root,
        code=package.relative_to(root).as_posix(),
        suite=suite.relative_to(root).as_posix(),
        loader=LOADER,
        baselines=".gate/baselines",  # none is stored: both sides are measured in every run
        graph=False,  # reading so much source costs more than it saves
    )


def _given(root: Path, path: str) -> Path:
    place = (root / path).resolve()
    if not place.is_relative_to(root) or not place.exists():
        raise UsageError(f"{path} is not in {root}")
    return place


# --- asv's configuration


def find_config(root: Path) -> Path | None:
    """The asv configuration in `root` or in a folder of it; `UsageError` if there are several."""
    places = (root / CONFIG, *sorted(root.glob(f"[!.]*/{CONFIG}")))
    found = [file for file in places if file.is_file()]
    if len(found) > 1 and found[0].parent != root:
        names = ", ".join(str(file.relative_to(root)) for file in found)
        raise UsageError(f"{root} has several asv suites ({names}): name one with --asv-config")
    return found[0] if found else None


def read_config(file: Path) -> dict[str, Any]:
    """An asv configuration: JSON that may hold comments and trailing commas."""
    try:
        settings = json.loads(_plain_json(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UsageError(f"{file} is not JSON with comments: {error}") from None
    if not isinstance(settings, dict):
        raise UsageError(f"{file} holds {type(settings).__name__}, expected an object")
    return settings


def _plain_json(text: str) -> str:
    string = r'"(?:[^"\\]|\\.)*"'
    text = re.sub(
        rf"({string})|//[^\n]*|/\*.*?\*/", lambda match: match[1] or " ", text, flags=re.DOTALL
    )
    return re.sub(rf"({string})|,(?=\s*[]}}])", lambda match: match[1] or "", text)


# --- the package


def _find_package(root: Path, project: str) -> Path:
    names = [name for name in (project, *_declared_names(root)) if name]
    wanted = {re.sub(r"[-_.]+", "_", name).lower() for name in names}
    wanted |= {name.removeprefix("python_") for name in wanted}
    candidates = [
        file.parent
        for pattern in ("*/__init__.py", "src/*/__init__.py", "lib/*/__init__.py")
        for file in sorted(root.glob(pattern))
    ]
    found = [folder for folder in candidates if folder.name.lower() in wanted]
    if len(found) == 1:
        return found[0]
    there = ", ".join(str(folder.relative_to(root)) for folder in found or candidates) or "none"
    raise UsageError(
        f"{'more than one' if found else 'no'} package called {' or '.join(sorted(wanted))} in "
        f"{root}: name its folder with --code (packages there: {there})"
    )


def _declared_names(root: Path) -> Iterator[str]:
    settings = _pyproject(root)
    yield str(settings.get("project", {}).get("name", ""))
    yield str(settings.get("tool", {}).get("poetry", {}).get("name", ""))
    yield str(settings.get("tool", {}).get("flit", {}).get("module", {}).get("name", ""))
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(root / "setup.cfg", encoding="utf-8")
    except ConfigError:
        return
    yield parser.get("metadata", "name", fallback="")


def _pyproject(root: Path) -> dict[str, Any]:
    file = root / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is not TOML: {error}") from None


# --- what compiles


def compiles(root: Path, package: Path) -> str:
    """What tells that the project compiles extensions, with the file's name; empty if nothing."""
    reasons = (*_in_pyproject(_pyproject(root)), *_in_setup(root), *_in_files(root, package))
    return next(iter(reasons), "")


def _in_pyproject(settings: dict[str, Any]) -> Iterator[str]:
    system, tools = settings.get("build-system", {}), settings.get("tool", {})
    backend = str(system.get("build-backend", ""))
    if backend.split(".")[0] in _BACKENDS:
        yield f"pyproject.toml builds with {backend}"
    for requirement in system.get("requires", []):
        if _BUILD_TOOLS.match(requirement):
            yield f"pyproject.toml needs {requirement} to build"
    if "ext-modules" in tools.get("setuptools", {}):
        yield "pyproject.toml declares ext-modules"
    if "build" in tools.get("poetry", {}):
        yield f"pyproject.toml runs {tools['poetry']['build']} to build"
    hatch = tools.get("hatch", {}).get("build", {})
    hooks = hatch.get("hooks", {}) | hatch.get("targets", {}).get("wheel", {}).get("hooks", {})
    for hook in sorted({"mypyc", "cython"} & hooks.keys()):
        yield f"pyproject.toml compiles with {hook}"


def _in_setup(root: Path) -> Iterator[str]:
    file = root / "setup.py"
    if not file.is_file():
        return
    try:
        nodes: Iterable[ast.AST] = ast.walk(ast.parse(file.read_bytes()))
    except (SyntaxError, ValueError):
        yield "setup.py cannot be read"
        return
    for node in nodes:
        name = getattr(node, "id", getattr(node, "attr", getattr(node, "arg", None)))
        if isinstance(node, ast.alias):
            name = node.name.rpartition(".")[2]
        if isinstance(name, str) and name in _SETUP_WORDS:
            yield f"setup.py says {name}"


def _in_files(root: Path, package: Path) -> Iterator[str]:
    for file in _files(root):
        shown = file.relative_to(root)
        if len(shown.parts) <= 3 and file.name in _BUILD_FILES:
            yield f"{shown} is there"
        if file.is_relative_to(package) and file.suffix in _COMPILED:
            yield f"{shown} is there"


def _files(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(n for n in inner if not n.startswith(".") and n not in _NOT_THE_PROJECTS)
        for name in sorted(names):
            yield Path(folder, name)
