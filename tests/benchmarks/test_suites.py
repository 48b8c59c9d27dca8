"""The benchmarks are linted: a suite that does not measure what it says is a wrong answer."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _registry
from benchmarks._plants import CPU, PLANTS, Plant, Work
from benchmarks._registry import RegisteredPath
from benchmarks.gate.baselines import read_baseline
from benchmarks.gate.judge import blind

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
SUITES = sorted(file for file in FOLDER.glob("*.py") if not file.name.startswith("_"))
BASELINES = sorted((FOLDER / "baselines").glob("*.json"))
CLAIMS = tomllib.loads((FOLDER / "claims.toml").read_text(encoding="utf-8"))

PATHS = {path.name: path for path in _registry.load()}
NAMES = sorted(PATHS)

Class = ast.ClassDef


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@functools.cache
def classes(file: Path) -> dict[str, Class]:
    return {node.name: node for node in tree(file).body if isinstance(node, Class)}


def is_hot_path(node: Class) -> bool:
    called = (decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call))
    return any(getattr(call.func, "id", "").lstrip("_") == "hot_path" for call in called)


def lineage(file: Path, node: Class) -> list[Class]:
    """The class and its bases in the same file."""
    found = [node]
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes(file):
            found += lineage(file, classes(file)[base.id])
    return found


def source_of(path: RegisteredPath) -> tuple[Path, Class]:
    module, name = path.name.split(".")
    file = FOLDER / f"{module}.py"
    return file, classes(file)[name]


def methods(path: RegisteredPath) -> dict[str, ast.FunctionDef]:
    """Every method the path's class has, by name, its own before its bases'."""
    found: dict[str, ast.FunctionDef] = {}
    for node in lineage(*source_of(path)):
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                found.setdefault(item.name, item)
    return found


def imported(node: ast.AST) -> set[str]:
    """Modules that the code below `node` imports."""
    found: set[str] = set()
    for item in ast.walk(node):
        if isinstance(item, ast.ImportFrom) and item.module:
            found.add(item.module)
        elif isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
    return found


def names_read(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


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
    code = ROOT / "optimizer"
    for file in SUITES:
        if file.stem != "study":  # a whole study uses every room
            assert (code / file.stem).is_dir() or (code / file.name).is_file(), file.name


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


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest) -> RegisteredPath:
    return PATHS[request.param]


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
    for values in (declaration.after_only, declaration.slow_before, declaration.uncounted):
        assert set(values) <= set(cls.params)
    assert declaration.claim_at in cls.params
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


# --- driven


@pytest.fixture
def driven(path: RegisteredPath) -> Iterator[tuple[Any, Any, Any]]:
    """The first compared case, both sides run: body, before's answer, after's answer."""
    case = next(case for case in path.cases if case.compared)
    body = case.open()
    try:
        body.fresh()
        before = body.before()
        body.fresh()
        yield body, before, body.after()
    finally:
        body.close()


class Changed:
    """An answer of which one part, named as `agree` reads it, is changed."""

    def __init__(self, answer: Any, part: str) -> None:
        self._answer, self._part = answer, part

    def __len__(self) -> int:
        return len(self._answer) + (self._part == "__len__")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._answer, name)
        if name != self._part:
            return found
        return (lambda *arguments: wrong(found(*arguments))) if callable(found) else wrong(found)


def wrong(value: Any) -> Any:
    """`value` with its last item changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    items = value.copy()
    plain = isinstance(items[-1], bool | int | float)
    items[-1] = wrong(items[-1]) if plain else items[0]  # bytes and records: another one
    return items


def parts_compared(path: RegisteredPath) -> set[str]:
    """What `agree` reads of `after`: attributes, `__len__`, or nothing but the whole of it."""
    body = ast.Module(methods(path)["agree"].body, [])
    parts = set()
    for item in ast.walk(body):
        if isinstance(item, ast.Attribute) and ast.unparse(item.value) == "after":
            parts.add(item.attr)
        elif ast.unparse(item) == "len(after)":
            parts.add("__len__")
    return parts


def test_sides_agree_and_could_disagree(path: RegisteredPath, driven: tuple[Any, Any, Any]) -> None:
    body, before, after = driven
    assert body.agree(before, after)
    if isinstance(after, list):
        assert not body.agree(before, wrong(after)), "agree() cannot say no"
        return
    parts = parts_compared(path)
    assert parts
    for part in parts:
        assert not body.agree(before, Changed(after, part)), f"a wrong {part} passes"


# --- claims, baselines and plants


def test_every_claim_has_a_hot_path_and_all_its_fields() -> None:
    for claim, table in CLAIMS.items():
        assert table["hot_path"] in PATHS, claim
        assert PATHS[table["hot_path"]].declaration.claim == claim
        assert {"hot_path", "what", "reported", "source"} <= set(table)
        optional = {"note", "because", "cpu_floor"}
        assert set(table) <= {"hot_path", "what", "reported", "source"} | optional
        assert table["reported"] > 1
        assert len(table["source"].split()) > 2, "the report's title"
        assert table["what"].strip()


def test_every_hot_path_with_a_claim_is_in_claims_toml() -> None:
    declared = [p.declaration.claim for p in PATHS.values() if p.declaration.claim]
    assert sorted(declared) == sorted(CLAIMS)


@pytest.mark.skipif(not BASELINES, reason="no baselines are stored yet")
def test_every_hot_path_has_a_baseline_and_every_baseline_a_hot_path() -> None:
    assert [file.stem for file in BASELINES] == NAMES


@pytest.mark.parametrize("file", BASELINES, ids=lambda file: file.stem)
def test_a_baseline_can_be_read_and_fits_its_path(file: Path) -> None:
    baseline = read_baseline(file)
    path = PATHS[baseline.path]
    assert set(baseline.counters) == {case.label for case in path.cases if case.counted}
    assert set(baseline.ratios) == {case.label for case in path.cases if case.has_before}
    assert baseline.reason


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_names_hot_paths_and_their_witnesses(plant: Plant) -> None:
    """That its edits fit the code is asked in test_selftest.py."""
    for name in plant.paths:
        assert any(path == name or path.startswith(f"{name}.") for path in NAMES)
    declared = {
        witness for name in plant.paths if name in PATHS for witness in PATHS[name].witnesses
    }
    declared |= {"peak_bytes"} if "memory" in declared else set()
    assert set(plant.caught_by) <= declared


@pytest.mark.parametrize("work", CPU, ids=lambda work: work.path)
def test_planted_work_is_sized_at_a_timed_case(work: Work) -> None:
    assert PATHS[work.path].case(work.case).timed


def test_floors_stand_where_the_gate_measures_a_claim() -> None:
    for claim, fields in CLAIMS.items():
        floors = fields["cpu_floor"]
        cases = {case.label: case for case in PATHS[fields["hot_path"]].cases}
        assert {label: cases[label].cpu_floor for label in floors} == floors, claim
        assert all(cases[label].compared for label in floors), claim
        assert all(floor > 1.0 for floor in floors.values()), claim


def test_every_hot_path_has_a_plant_that_costs_time() -> None:
    assert [work.path for work in CPU if work.path not in NAMES] == []
    assert {work.path for work in CPU} == set(NAMES)
    assert {plant.paths[0] for plant in PLANTS if plant.share == 0.10} == set(NAMES)
