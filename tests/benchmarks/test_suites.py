"""The benchmarks are linted: a suite that does not measure what it says is a wrong answer."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suite_sources import (
    FOLDER,
    PATHS,
    ROOT,
    SUITES,
    classes,
    imported,
    is_hot_path,
    lineage,
    methods,
    names_read,
    path,
    source_of,
    tree,
)

from benchmarks._registry import RegisteredPath
from benchmarks.gate.baselines import read_baseline
from benchmarks.gate.judge import blind

__all__ = ["path"]  # a fixture

WHOLE_STUDIES = ("study", "optimize")  # they use every room; the second bears a function's name

# --- what the files look like


def test_every_suite_declares_hot_paths_and_nothing_else_public() -> None:
    assert SUITES
    for file in SUITES:
        declared = {name for name, node in classes(file).items() if is_hot_path(node)}
        assert declared, f"{file.name} declares no hot path"
        assert {f"{file.stem}.{name}" for name in declared} <= set(PATHS)
        for node in tree(file).body:
            name = getattr(node, "name", "_")
            assert name.startswith("_") or name in declared, f"{file.name}: {name} is public"


def test_every_suite_is_named_after_a_room_or_module_of_the_code() -> None:
    """Of a module in a room too (twins bear their names), and it drives that one alone.

    Of two modules of a name, in two rooms, the one that it imports.
    """
    code = ROOT / "optimizer"
    for file in SUITES:
        if file.stem in WHOLE_STUDIES:
            continue
        named = [*code.glob(file.stem), *code.glob(file.name), *code.glob(f"*/{file.name}")]
        places = [place for place in named if place.parent.name != "reference"]
        parts = [".".join(one.relative_to(code).with_suffix("").parts) for one in places]
        used = imported(tree(file))
        driven = [part for part in parts if any(_is_of(name, part) for name in used)]
        assert len(driven) == 1, f"{file.name} is named after {parts}, and drives {driven}"


def _is_of(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"optimizer.{part}.")


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.name)
def test_the_code_under_test_is_imported_in_setup(file: Path) -> None:
    """asv runs today's suite on old commits: an import at the top would fail all of them."""
    top = ast.Module([n for n in tree(file).body if isinstance(n, ast.Import | ast.ImportFrom)], [])
    assert not {name for name in imported(top) if name.split(".")[0] == "optimizer"}
    for name, node in classes(file).items():
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and "optimizer" in {
                module.split(".")[0] for module in imported(method)
            }:
                assert method.name == "setup", f"{name}.{method.name}"


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.name)
def test_names_from_elsewhere_are_no_benchmarks(file: Path) -> None:
    """asv takes every public function and class of a module for a candidate."""
    for node in tree(file).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks"):
            for alias in node.names:
                assert (alias.asname or alias.name).startswith("_"), alias.name
        for alias in getattr(node, "names", []):
            if isinstance(alias, ast.alias):
                name = alias.asname or alias.name
                assert not name.startswith(("time_", "track_", "mem_", "peakmem_", "timeraw_"))


GENERATORS = {"Random", "default_rng"}
DRAWING = ("random.", "np.random.", "numpy.random.", "uuid.", "secrets.", "os.urandom")


def unseeded(node: ast.AST) -> Iterator[str]:
    """Calls that draw from a generator nobody seeded."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        if any(isinstance(part, ast.Call) for part in ast.walk(call.func)):
            continue  # a method of what another call made, which is looked at by itself
        name = ast.unparse(call.func)
        last = name.rpartition(".")[2]
        seeded = bool(call.args) and last in GENERATORS
        seeded |= any(keyword.arg == "seed" for keyword in call.keywords)
        draws = name.startswith(DRAWING) or last in GENERATORS or last.endswith("Sampler")
        if draws and not seeded:
            yield ast.unparse(call)


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.name)
def test_data_is_seeded(file: Path) -> None:
    assert list(unseeded(tree(file))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("random.random()", True),
        ("random.Random()", True),
        ("random.Random(7).random()", False),
        ("np.random.rand(3)", True),
        ("np.random.default_rng()", True),
        ("np.random.default_rng(5).normal()", False),
        ("optuna.samplers.TPESampler()", True),
        ("optuna.samplers.TPESampler(seed=1)", False),
        ("uuid.uuid4()", True),
        ("sorted(rows)", False),
    ],
)
def test_the_check_for_seeds_can_fail(text: str, found: bool) -> None:
    assert bool(list(unseeded(ast.parse(text)))) is found


# --- each hot path


def test_the_version_covers_every_private_name(path: RegisteredPath) -> None:
    """The hash is taken at the decorator: what stands below it in the file is not in it."""
    file, node = source_of(path)
    read: set[str] = set().union(*(names_read(one) for one in lineage(file, node)))
    for other in tree(file).body:
        targets = {
            getattr(target, "id", "")
            for target in getattr(other, "targets", [getattr(other, "target", None)])
        }
        named = {getattr(other, "name", ""), *targets} - {""}
        if named & read and not isinstance(other, ast.Import | ast.ImportFrom):
            assert other.lineno < node.lineno, f"{named} stands below {path.name}"


def test_a_docstring_says_what_is_measured(path: RegisteredPath) -> None:
    assert (ast.get_docstring(source_of(path)[1]) or "").endswith(".")


def test_every_parameter_is_used(path: RegisteredPath) -> None:
    """A parameter that nothing reads draws several equal lines."""
    if len(path.cases) == 1:
        return  # its value is told in the label, and cannot be confused with another
    cls: Any = path._class
    used: set[str] = set()
    for name in ("setup", "fresh", "before", "after"):
        method = methods(path).get(name)
        if method is None:
            continue
        arguments = [argument.arg for argument in method.args.args[1:]]
        assert arguments == list(cls.param_names), f"{path.name}.{name}{arguments}"
        used |= names_read(ast.Module(method.body, []))
    assert set(cls.param_names) <= used


def test_labels_are_unique(path: RegisteredPath) -> None:
    labels = [case.label for case in path.cases]
    assert len(set(labels)) == len(labels) > 0


def test_what_is_declared_of_cases_is_a_case(path: RegisteredPath) -> None:
    declaration, cls = path.declaration, path._class
    several = isinstance(cls.params[0], tuple)
    cases = {*itertools.product(*cls.params)} if several else {*cls.params}
    assert len(cases) == len(path.cases)
    for values in (
        *(declaration.after_only, declaration.slow_before),
        *(declaration.uncounted, declaration.untimed),
    ):
        assert set(values) <= cases
    assert declaration.claim_at in cases
    assert path.case().judged
    assert path.case().has_before


def test_one_case_at_least_is_compared_and_counted_in_every_run(path: RegisteredPath) -> None:
    assert any(case.compared for case in path.cases)
    assert any(case.counted for case in path.cases)


def test_the_name_matches_what_is_called(path: RegisteredPath) -> None:
    """`after` calls what `setup` took from the code under test."""
    after = ast.unparse(methods(path)["after"])
    taken = {
        target.attr
        for item in ast.walk(methods(path)["setup"])
        if isinstance(item, ast.Assign)
        for target in ast.walk(item)
        if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
    }
    reached = after + "".join(
        ast.unparse(method)
        for name, method in methods(path).items()
        if name.startswith("_") and f"self.{name}" in after
    )
    assert any(f"self.{name}" in reached for name in taken)
    assert "self.plain" not in reached
    assert "self.slow" not in reached


def test_witnesses_fit_the_kind_of_path(path: RegisteredPath) -> None:
    modules = set().union(*(imported(node) for node in lineage(*source_of(path))))
    witnesses = set(path.witnesses)
    assert {"cpu", "wall", "instructions"} <= witnesses
    if any(name.startswith("optimizer.stores") for name in modules):
        assert {"statements", "steps", "commits", "fsyncs"} <= witnesses
    else:
        assert "bytecodes" in witnesses  # nothing but Python to count
    if any(case.has_before for case in path.cases) and path.claim:
        assert "claim" in witnesses


def test_no_set_of_witnesses_is_blind_to_what_the_path_was_seen_to_do(path: RegisteredPath) -> None:
    baseline = read_baseline(FOLDER / "baselines" / f"{path.name}.json")
    assert blind({"witnesses": path.witnesses}, baseline.counters) == []
