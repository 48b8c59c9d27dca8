"""What one Python file's text asks to be loaded, as dotted references; see `reach.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

Source = str | bytes

EVERYTHING = "**"  # as a reference: every module; after a name: every module below it
CHILDREN = "*"  # after a name: the modules directly in it
_IMPORTERS = frozenset({"import_module", "__import__"})
_BEFORE_NAME = r"(?:(?<![\w.-])|(?<=-m))"  # a name in a string begins here
_LOADERS = frozenset(
    {"exec_module", "load_module", "run_module", "run_path", "spec_from_file_location"}
    | {"walk_packages"}
)
_EVALUATORS = frozenset({"exec", "eval"})
# A name given to these loads nothing that is not imported already, or its package's top only.
_ONLY_NAMING = frozenset({"getLogger", "version", "metadata", "distribution", "files"})

Used = list[tuple[list[str], bool]]  # dotted names, each with whether it stands in a function


@dataclass
class ModuleText:
    """What one file says. A reference is a dotted name: of a module, then of a name in it."""

    references: set[str] = field(default_factory=set)
    at_import: set[str] = field(default_factory=set)  # those outside of function bodies
    aliases: dict[str, set[str]] = field(default_factory=dict)  # imported name -> reference
    bound: set[str] = field(default_factory=set)  # at module level
    stars: set[str] = field(default_factory=set)  # modules whose names it takes over
    used: Used = field(default_factory=list)

    @cached_property
    def lazy(self) -> bool:
        """Whether it answers for names that it does not bind."""
        return "__getattr__" in self.bound

    def refer(self, reference: str, inside: bool) -> None:
        """Note a reference; `inside`: it stands in a function's body."""
        self.references.add(reference)
        if not inside:
            self.at_import.add(reference)

    def follow_names(self, aliases: Mapping[str, Iterable[str]]) -> None:
        """Refer to what the names it uses mean by `aliases`."""
        for (root, *rest), inside in self.used:
            for target in aliases.get(root, ()):
                self.refer(".".join([target, *(rest or [CHILDREN])]), inside)


def read_text(file: str, source: Source, tops: Iterable[str], package: str = "") -> ModuleText:
    """What `file` says; `tops`: modules whose names in strings count as imports of them.

    Of `package`, the bare name in a string counts too, as an import of all of it.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ModuleText({EVERYTHING}, {EVERYTHING})
    reader = _Reader(file, tops, package)
    reader.visit(tree)
    return reader.finish()


class _Reader(ast.NodeVisitor):
    """Collects a `ModuleText` from a syntax tree."""

    def __init__(self, file: str, tops: Iterable[str], package: str) -> None:
        self._text = ModuleText()
        self._package = PurePosixPath(file).parent.parts
        self._names = re.compile(
            rf"{_BEFORE_NAME}(?:{'|'.join(map(re.escape, sorted(tops))) or '(?!)'})(?:\.\w+)+"
        )
        self._all_of = package
        self._bare = re.compile(rf"{_BEFORE_NAME}{re.escape(package) or '(?!)'}(?![\w/-]|\.\w)")
        self._scope: list[str] = []  # kinds of block, from the outside in
        self._in_getattr = False
        self._mentioned: list[tuple[str, bool]] = []  # strings that may name a module
        self._functions: set[str] = set()
        self._called_at_import: set[str] = set()

    def finish(self) -> ModuleText:
        """The text, once the whole tree was visited."""
        text = self._text
        text.follow_names(text.aliases)
        if not text.lazy:  # else the strings are its table of names
            for string, inside in self._mentioned:
                for name in self._names.findall(string):
                    text.refer(name, inside)
                if self._bare.search(string):
                    # A bare name imports nothing until a function starts something with it.
                    text.refer(f"{self._all_of}.{EVERYTHING}", inside=True)
        if self._functions & self._called_at_import:
            text.at_import |= text.references
        return text

    @property
    def _inside(self) -> bool:
        return "function" in self._scope

    def _refer(self, reference: str) -> None:
        self._text.refer(reference, self._inside)

    def _bind(self, name: str) -> None:
        if not self._scope:
            self._text.bound.add(name)

    def _import(self, local: str, reference: str) -> None:
        self._bind(local)
        self._text.aliases.setdefault(local, set()).add(reference)

    # --- statements

    def visit_If(self, node: ast.If) -> None:
        if _is_main_guard(node.test):  # nobody who imports the file calls what stands below
            self._scope.append("main")
            self.generic_visit(node)
            self._scope.pop()
            return
        truth = _type_checking(node.test)
        if truth is None:
            self.visit(node.test)
        for statement in [
            *(node.body if truth is not True else []),
            *(node.orelse if truth is not False else []),
        ]:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._refer(alias.name)
            top = alias.name.partition(".")[0]
            self._import(alias.asname or top, alias.name if alias.asname else top)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = (node.module or "").split(".") if node.module else []
        if node.level:
            base = [*self._package[: len(self._package) - node.level + 1], *base]
        for alias in node.names:
            reference = ".".join([*base, alias.name])
            self._refer(reference)
            if alias.name == CHILDREN:
                self._text.stars.add(".".join(base))
            else:
                self._import(alias.asname or alias.name, reference)
            if alias.asname and alias.name in _IMPORTERS:
                self._refer(EVERYTHING)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring's mention imports nothing
            self.visit(node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(part)
        self._visit_body("class", node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name)
        self._functions.add(node.name)
        for part in [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]:
            self.visit(part)
        if node.name == "__getattr__" and not self._scope:
            self._in_getattr = True
        self._visit_body("function", node.body)
        self._in_getattr = self._in_getattr and bool(self._scope)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._visit_body("function", [node.body])

    def visit_Global(self, node: ast.Global) -> None:
        self._text.bound.update(node.names)

    def _visit_body(self, scope: str, body: list[ast.stmt] | list[ast.expr]) -> None:
        self._scope.append(scope)
        for node in body:
            self.visit(node)
        self._scope.pop()

    # --- expressions

    def _visit_comprehension(self, node: ast.AST) -> None:
        self._scope.append("comprehension")  # its names are not the module's
        self.generic_visit(node)
        self._scope.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._mentioned.append((node.value, self._inside))
        elif isinstance(node.value, bytes):  # a program to be piped into another process
            self._mentioned.append((node.value.decode("latin-1"), self._inside))

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id)
            return
        self._text.used.append(([node.id], self._inside))
        if node.id in _IMPORTERS | _EVALUATORS | _LOADERS:
            self._anything()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in _IMPORTERS | _LOADERS:
            self._anything()
        names = _dotted(node)
        if names is None:
            self.visit(node.value)
        else:
            self._text.used.append((names, self._inside))

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in _IMPORTERS:
            self._refer_to_argument(node)
        else:
            self.visit(node.func)
            if not self._inside and "main" not in self._scope:
                self._called_at_import.add(name)
        naming = name in _IMPORTERS | _ONLY_NAMING
        for part in [*node.args, *node.keywords]:
            if not (naming and isinstance(part, ast.Constant)):
                self.visit(part)

    def _anything(self) -> None:
        if not self._in_getattr:
            self._refer(EVERYTHING)

    def _refer_to_argument(self, node: ast.Call) -> None:
        match node.args:
            case [ast.Constant(value=str(name))] if not name.startswith("."):
                self._refer(name)
            case [ast.Constant(value=str(name)), *_] if not name.startswith("."):
                self._refer(name)
                self._refer(f"{name}.{CHILDREN}")  # `__import__` with a list of names
            case [ast.Constant(value=str(name)), ast.Name(id="__package__")]:
                level = len(name) - len(name.lstrip("."))
                package = self._package[: len(self._package) - level + 1]
                self._refer(".".join([*package, name[level:]]))
            case [ast.JoinedStr(values=[ast.Constant(value=str(start)), *_])] if (
                "." in start and not start.startswith(".")
            ):
                self._refer(f"{start.rpartition('.')[0]}.{EVERYTHING}")
            case _:
                self._anything()


def _dotted(node: ast.expr) -> list[str] | None:
    """`a.b.c` as its names; None where it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def _is_main_guard(test: ast.expr) -> bool:
    """Whether it is `__name__ == "__main__"`."""
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return True
    return False


def _type_checking(test: ast.expr) -> bool | None:
    """True for `TYPE_CHECKING`, False for `not TYPE_CHECKING`, None for any other condition."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _type_checking(test.operand)
        return None if inner is None else not inner
    name = getattr(test, "id", getattr(test, "attr", ""))
    return True if name == "TYPE_CHECKING" else None
