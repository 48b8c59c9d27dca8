"""Which files of a package a hot path can reach by imports: who need not be measured again.

Static, and generous: where the text does not say what is imported, everything is. The rules:

- an import counts wherever it stands, except below `if TYPE_CHECKING:`; a module brings the
  `__init__` of every package around it; a file that does not parse reaches everything
- `import_module` and `__import__` of a constant are followed, of `f"name.{x}"` into all of `name`,
  of anything else into everything, as are `exec`, `eval` and their like
- a name that a package with a module-level `__getattr__` does not bind reaches everything, and so
  does any other use of such a package (`getattr`, `import *`); its own `__getattr__` may import
  what it likes
- `import *` of a module takes over the names that it imported, and what those lead to
- the dotted name of a module in a string (`"pkg.worker"`) counts as an import of it, the package's
  bare name (`"-m", "pkg"` or `"from pkg import x"`) as an import of all of it; docstrings do not
  count, nor what is given to `getLogger` and the like
- files that are not Python are reached by all

What it cannot see: a module that another suite's import loads and that changes things from there
(a registry, a monkeypatch), pickles that name modules, plug-ins found by their entry points, a
file of the package that is run by its path, a name that is put together from pieces for another
process, and strings in a file with a module-level `__getattr__`, whose table they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from .imports import CHILDREN, EVERYTHING, ModuleText, Source, read_text

# --- two stages


class Reach:
    """What changed between two stages, and which suite files can reach it; reads each file once."""

    def __init__(self, before: Path, after: Path, package: str) -> None:
        """`before` and `after` are the folders that `package` is imported from."""
        self._package = package
        self._sides = [read_tree(before, package), read_tree(after, package)]
        self.changed = _differing(*self._sides)
        self._graphs: dict[tuple[Path, str], list[Graph]] = {}

    def reaches(self, suite_file: Path, suite_root: Path | None = None) -> bool:
        """Whether `suite_file` can reach a changed file, on either side.

        `suite_root` is the folder its package is imported from (default: found by `__init__.py`).
        """
        if not self.changed:
            return False
        root = suite_root or _import_root(suite_file)
        entry = suite_file.relative_to(root).as_posix()
        key = (root, entry.partition("/")[0])
        if key not in self._graphs:
            suite = read_tree(*key)
            self._graphs[key] = [Graph(suite | side, self._package) for side in self._sides]
        return any(self.changed & graph.reached(entry) for graph in self._graphs[key])


def reaches(before: Path, after: Path, package: str, suite_file: Path) -> bool:
    """Whether a hot path of `suite_file` can reach a file that differs between two stages."""
    return Reach(before, after, package).reaches(suite_file)


def changed(before: Path, after: Path) -> set[str]:
    """Relative paths of the files that differ, were added or removed."""
    return set(_differing(_read(before, before), _read(after, after)))


def read_tree(root: Path, name: str) -> dict[str, bytes]:
    """Every file of `root/name` by its path relative to `root`; compiled files are left out."""
    return _read(root, root / name)


def _read(root: Path, place: Path) -> dict[str, bytes]:
    files = [place] if place.is_file() else sorted(place.rglob("*"))
    return {
        file.relative_to(root).as_posix(): _content(file)
        for file in files
        if "__pycache__" not in file.parts and (file.is_symlink() or file.is_file())
    }


def _content(file: Path) -> bytes:
    if file.is_symlink() and not file.is_file():  # broken, or to a folder
        return bytes(file.readlink())
    return file.read_bytes()


def _differing(before: Mapping[str, Source], after: Mapping[str, Source]) -> frozenset[str]:
    names = before.keys() | after.keys()
    return frozenset(name for name in names if before.get(name) != after.get(name))


def _import_root(file: Path) -> Path:
    folder = file.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


# --- the graph


def reached(files: Mapping[str, Source], package: str, *entries: str) -> set[str]:
    """Those of `files` that belong to `package` and that the files `entries` can reach.

    `files`: path relative to the folder that things are imported from -> text, of the package and
    of the suite. A suite module that is only loaded by name with others (`f"suite.{x}"`) counts
    with what it does when imported, not with what its functions do.
    """
    return Graph(files, package).reached(*entries)


class Graph:
    """The modules of a package and a suite, and what each of them asks for."""

    def __init__(self, files: Mapping[str, Source], package: str) -> None:
        self._files = files
        self._package = package
        # Sorted: of b.py and b/__init__.py the latter comes last and wins, as it does in Python.
        self._modules = {_module_name(file): file for file in sorted(files) if _is_python(file)}
        self._folders = {
            ".".join(parent.parts)
            for file in files
            for parent in PurePosixPath(file).parents
            if parent.parts
        }
        self._tops = {name.partition(".")[0] for name in self._modules}
        self._alone: dict[str, ModuleText] = {}  # texts, by themselves
        self._texts: dict[str, ModuleText] = {}  # with what they take over by `import *`

    def reached(self, *entries: str) -> set[str]:
        """As the function `reached`; each file's text is read once for all calls."""
        seen: dict[str, bool] = {}  # file -> whether its functions count too
        waiting = [(entry, True) for entry in entries]
        while waiting:
            file, whole = waiting.pop()
            if seen.get(file, False) or seen.get(file) == whole:
                continue
            seen[file] = whole
            waiting += self._asked_for(file, whole)
        return {
            file
            for file in self._files
            if self.owns(file) and (file in seen or not _is_python(file))
        }

    def owns(self, file: str) -> bool:
        """Whether `file` is the package's, not the suite's."""
        return file.startswith(f"{self._package}/") or file == f"{self._package}.py"

    def _asked_for(self, file: str, whole: bool) -> Iterator[tuple[str, bool]]:
        """The files that `file` may load, and whether all of their functions count."""
        text = self._text(file)
        for module in _with_parents(_module_name(file)):  # importing it imports those
            if module in self._modules:
                yield self._modules[module], whole
        for reference in text.references if whole else text.at_import:
            by_name = reference.endswith(f".{EVERYTHING}") and not self.owns(file)
            by_name = by_name and reference.partition(".")[0] != self._package
            # A suite that loads by name loads the modules beside it.
            wanted = reference.removesuffix(EVERYTHING) + CHILDREN if by_name else reference
            for found in self._follow(self._placed(wanted, file), set()):
                yield found, self.owns(found) or (whole and not by_name)

    def _placed(self, reference: str, file: str) -> str:
        """A suite that puts its own folder on the path imports its modules by their bare names."""
        first = reference.partition(".")[0]
        beside = f"{'.'.join(PurePosixPath(file).parent.parts)}.{first}"
        if not self.owns(file) and not self._is_module(first) and self._is_module(beside):
            return f"{beside}{reference[len(first) :]}"
        return reference

    def _is_module(self, name: str) -> bool:
        return name in self._modules or name in self._folders

    def _text(self, file: str) -> ModuleText:
        if file not in self._texts:
            text = self._read(file)
            if taken := self._taken_over(file):
                text = copy.deepcopy(text)
                text.follow_names(taken)
                for name, targets in taken.items():
                    text.aliases.setdefault(name, set()).update(targets)
            self._texts[file] = text
        return self._texts[file]

    def _read(self, file: str) -> ModuleText:
        if file not in self._alone:
            source = self._files.get(file, "")
            self._alone[file] = read_text(file, source, self._tops, self._package)
        return self._alone[file]

    def _taken_over(self, file: str) -> dict[str, set[str]]:
        """Names that `import *` brings into `file`, from however far, with what they refer to."""
        taken: dict[str, set[str]] = {}
        waiting, seen = [file], {file}
        while waiting:
            asking = waiting.pop()
            for star in self._read(asking).stars:
                module = self._placed(star, asking)
                for inner in self._modules:
                    if inner.rpartition(".")[0] == module:
                        taken.setdefault(inner.rpartition(".")[2], set()).add(inner)
                source = self._modules.get(module)
                if source is not None and source not in seen:
                    seen.add(source)
                    waiting.append(source)
                    for name, targets in self._read(source).aliases.items():
                        taken.setdefault(name, set()).update(
                            self._placed(target, source) for target in targets
                        )
        return taken

    def _follow(self, reference: str, seen: set[str]) -> Iterator[str]:
        """The files that loading the dotted `reference` may load."""
        if reference in seen:
            return
        seen.add(reference)
        if reference == EVERYTHING:
            yield from filter(self.owns, self._modules.values())
            return
        module = ""
        parts = reference.split(".")
        for i, part in enumerate(parts):
            text = self._text(self._modules[module]) if module in self._modules else ModuleText()
            for target in text.aliases.get(part, ()):
                yield from self._follow(".".join([target, *parts[i + 1 :]]), seen)
            inner = f"{module}.{part}" if module else part
            if not self._is_module(inner):
                yield from self._attribute(module, part, text)
                return
            module = inner
            if module in self._modules:
                yield self._modules[module]

    def _attribute(self, module: str, name: str, text: ModuleText) -> Iterator[str]:
        """What looking `name` up in `module` may load, where no module is called so."""
        if not module:
            return  # another distribution's
        if name in (CHILDREN, EVERYTHING):
            for inner, file in self._modules.items():
                if inner.startswith(f"{module}.") and (
                    name == EVERYTHING or "." not in inner[len(module) + 1 :]
                ):
                    yield file
        if text.lazy and name != EVERYTHING and not (name in text.bound or _is_dunder(name)):
            yield from filter(self.owns, self._modules.values())


def _is_python(file: str) -> bool:
    return file.endswith(".py")


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _module_name(file: str) -> str:
    path = PurePosixPath(file).with_suffix("")
    return ".".join(path.parent.parts if path.name == "__init__" else path.parts)


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]
