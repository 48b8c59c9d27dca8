"""What a package needs of its repository that no stage would hold.

Only the package and the suite are written out of git. A package or module beside them would be
imported from wherever it is installed, the same on both sides; a file that the build generates
would be missing. Both are told before anything is measured, from the text alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import UsageError
from .imports import read_text
from .repository import Repository

_TESTS = frozenset({"tests", "test"})  # folders: no benchmark imports what stands in them
_CATCHING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def refuse_unstaged(root: Path, package: Path, suite: Path, settings: dict[str, Any]) -> None:
    """`UsageError` names what is imported and will not be staged; `settings`: the pyproject's.

    Cost: the package's and the suite's files are read once; few are parsed.
    """
    for found in (_sibling(root, package, suite), _generated(root, package, settings)):
        if found:
            raise UsageError(found)


def _git_knows(root: Path, file: Path, *kinds: str) -> bool:
    """Whether git lists `file` (a folder: anything in it); True where there is no git to ask."""
    try:
        repository = Repository(root)
    except UsageError:
        return True
    return bool(repository.git("ls-files", "--exclude-standard", *kinds, "--", str(file)))


def _sources(folder: Path) -> Iterator[tuple[Path, str]]:
    """The Python files below `folder` that are no tests, with their text."""
    for file in sorted(folder.rglob("*.py")):
        inside = file.relative_to(folder)
        if _TESTS.isdisjoint(inside.parts) and not re.match(r"test_|conftest\.py", file.name):
            yield file, file.read_text(encoding="utf-8", errors="replace")


# --- packages and modules beside the package


def _sibling(root: Path, package: Path, suite: Path) -> str:
    beside = _beside(package)
    others = beside.keys() - {package.name, suite.name} - sys.stdlib_module_names
    bare = {file.stem for file in suite.iterdir()}  # a suite may put its own folder on the path
    for folder, names in ((package, others), (suite, others - bare)):
        for file, name in _importing(folder, names):
            if _git_knows(root, beside[name], "--cached", "--others"):
                code, place = (_shown(root, path) for path in (package, beside[name]))
                return (
                    f"{_shown(root, file)} imports {name}, which is {place} of this repository: "
                    f"only {code} and {_shown(root, suite)} are compared, so {name} would be the "
                    f"installed copy on both sides. Move it below one of the two, or measure a "
                    f"package that does not need it (--code)"
                )
    return ""


def _beside(package: Path) -> dict[str, Path]:
    """Importable things in the folder that holds the package, by name."""
    found = {file.stem: file for file in package.parent.glob("*.py")}
    inits = package.parent.glob("*/__init__.py")
    return found | {init.parent.name: init.parent for init in inits}


def _importing(folder: Path, names: set[str]) -> Iterator[tuple[Path, str]]:
    """Files below `folder` that import one of `names`, with the name."""
    if not names:
        return
    either = "|".join(map(re.escape, sorted(names)))
    mention = re.compile(rf"(?:import|from)\b[^\n]*\b(?:{either})\b|import_module|__import__")
    for file, text in _sources(folder):
        if mention.search(text):
            said = read_text(file.relative_to(folder.parent).as_posix(), text, ())
            for name in sorted(names & {ref.partition(".")[0] for ref in said.references}):
                yield file, name


# --- files that the build generates


def _generated(root: Path, package: Path, settings: dict[str, Any]) -> str:
    for setting, name in _version_files(settings):
        file = (root / name).resolve()
        if not file.is_relative_to(package) or _git_knows(root, file, "--cached"):
            continue
        module = ".".join(file.with_suffix("").relative_to(package.parent).parts)
        for importer, text in _sources(package):
            if file.stem in text and module in _needed(importer, package.parent, text):
                return (
                    f"{_shown(root, importer)} imports {_shown(root, file)}, which the build "
                    f"writes ({setting} in pyproject.toml) and git does not hold: both sides are "
                    f"imported as git holds them, and nothing is built. Commit that file, or let "
                    f"the import fall back (`except ImportError`), on both sides"
                )
    return ""


def _version_files(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings that name a generated Python file, with the file."""
    tool = settings.get("tool", {})
    build = tool.get("hatch", {}).get("build", {})
    tables = [("setuptools_scm", tool.get("setuptools_scm", {}))]
    for where in (build, *build.get("targets", {}).values()):
        tables.append(("hatch's vcs hook", where.get("hooks", {}).get("vcs", {})))
    for setting, table in tables:
        for key in ("write_to", "version_file", "version-file"):
            if str(table.get(key, "")).endswith(".py"):
                yield f"{key} of {setting}", str(table[key])


def _needed(file: Path, root: Path, text: str) -> set[str]:
    """Dotted names that `file` cannot be imported without: modules, and names in them."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return set()
    package = file.relative_to(root).parent.parts
    found: set[str] = set()
    for node in _unguarded(tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            found |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    return found


def _unguarded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at import, save those whose ImportError is caught."""
    for node in body:
        yield node
        match node:
            case ast.Try():
                if not any(_catches(handler) for handler in node.handlers):
                    yield from _unguarded(node.body)
                yield from _unguarded([*node.orelse, *node.finalbody])
            case ast.If():
                if "TYPE_CHECKING" not in ast.unparse(node.test):
                    yield from _unguarded(node.body)
                yield from _unguarded(node.orelse)
            case ast.With() | ast.ClassDef():
                yield from _unguarded(node.body)


def _catches(handler: ast.ExceptHandler) -> bool:
    """Whether it catches an import that fails."""
    if handler.type is None:
        return True
    return any(
        getattr(part, "id", getattr(part, "attr", "")) in _CATCHING
        for part in ast.walk(handler.type)
    )


def _shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() + ("/" if path.is_dir() else "")
