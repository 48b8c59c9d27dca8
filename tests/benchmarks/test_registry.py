"""The registry: one declaration drives the gate, the claims table, the profilers and asv."""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import sys
import textwrap
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import _registry
from benchmarks._registry import RegisteredPath, hot_path


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is gone after it."""
    monkeypatch.setattr(_registry, "_declared", {})


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a suite module from its text, as often as it is called, each time afresh."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(text: str) -> ModuleType:
        text = "from benchmarks._registry import hot_path as _hot_path\n" + textwrap.dedent(text)
        (tmp_path / "toy_suite.py").write_text(text)
        sys.modules.pop("toy_suite", None)
        _registry._declared.clear()
        importlib.invalidate_caches()
        linecache.clearcache()
        return importlib.import_module("toy_suite")

    yield load
    sys.modules.pop("toy_suite", None)


class Plain:
    """A workload that says what was called."""

    params: tuple[Any, ...] = (1, 20)
    param_names: tuple[str, ...] = ("n",)

    def setup(self, *values: Any) -> None:
        self.called = ["setup"]

    def before(self, *values: Any) -> Any:
        self.called.append("before")
        return values

    def after(self, *values: Any) -> Any:
        self.called.append("after")
        return values

    def agree(self, before: Any, after: Any) -> Any:
        return before == after or []


def declared(cls: type[Any], **options: Any) -> RegisteredPath:
    """`cls` as a hot path, by itself in the registry."""
    options = {"claim": "", "witnesses": ("cpu",)} | options
    return RegisteredPath(hot_path(**options)(cls))


def fresh_class(**members: Any) -> type[Any]:
    return type("Fresh", (Plain,), {"__module__": __name__, **members})


@pytest.fixture(autouse=True)
def source_of_made_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes made by `fresh_class` have no source to hash; see `suite` for those that have."""
    original = _registry._workload_hash

    def of(cls: type[Any]) -> str:
        return "0" * 16 if cls.__module__ == __name__ else original(cls)

    monkeypatch.setattr(_registry, "_workload_hash", of)


# --- errors of a declaration


def test_an_unknown_witness_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown witnesses \['luck'\], expected some of .*cpu"):
        hot_path(claim="", witnesses=("cpu", "luck"))


def test_a_path_is_declared_once() -> None:
    declared(fresh_class())
    with pytest.raises(ValueError, match=r"test_registry\.Fresh is declared twice"):
        declared(fresh_class())


def test_an_unknown_path_or_case_lists_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    path = declared(fresh_class())
    monkeypatch.setattr(_registry, "load", lambda: [path])
    assert _registry.find("test_registry.Fresh") is path
    with pytest.raises(KeyError, match=r"no hot path x\.Y; there are: test_registry\.Fresh"):
        _registry.find("x.Y")
    with pytest.raises(KeyError, match="has no case n=3; there are: n=1, n=20"):
        path.case("n=3")


# --- names and cases


def test_a_name_is_module_and_class() -> None:
    path = declared(fresh_class(), claim="a-claim", witnesses=("steps", "cpu"), clock="process")
    assert path.name == "test_registry.Fresh"
    assert (path.witnesses, path.clock) == (("steps", "cpu"), "process")
    assert path.declaration.claim == "a-claim"


def test_cases_of_one_parameter() -> None:
    path = declared(
        fresh_class(params=("a", "b", "c", "d")),
        after_only=("a",),
        slow_before=("b",),
        uncounted=("c",),
        claim_at="b",
    )
    flags = {
        case.label: (case.has_before, case.compared, case.counted, case.judged)
        for case in path.cases
    }
    assert flags == {
        "n=a": (False, False, True, False),
        "n=b": (True, False, True, True),
        "n=c": (True, True, False, False),
        "n=d": (True, True, True, False),
    }
    assert all(case.timed for case in path.cases)


def test_several_parameters_are_combined_as_asv_combines_them() -> None:
    path = declared(
        fresh_class(params=((1, 2), ("x", "y")), param_names=("n", "kind")),
        after_only=((2, "x"),),
        claim_at=(1, "y"),
    )
    labels = ["n=1,kind=x", "n=1,kind=y", "n=2,kind=x", "n=2,kind=y"]
    assert [case.label for case in path.cases] == labels
    assert [case.label for case in path.cases if not case.has_before] == ["n=2,kind=x"]
    assert path.case().label == "n=1,kind=y"


def test_the_default_case_is_where_the_claim_is_judged_or_the_first() -> None:
    assert declared(fresh_class(), claim_at=20).case().label == "n=20"
    _registry._declared.clear()
    assert declared(fresh_class()).case().label == "n=1"
    _registry._declared.clear()
    assert declared(fresh_class()).case("n=20").label == "n=20"


def test_parameters_without_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        declared(fresh_class(param_names=("n", "m")))


def test_an_open_case_binds_its_parameters() -> None:
    body = declared(fresh_class()).case("n=20").open()
    body.fresh()  # does nothing, by default
    assert (body.before(), body.after()) == ((20,), (20,))
    assert body._instance.called == ["setup", "before", "after"]
    assert body.agree(1, 1) is True
    assert body.agree(1, 2) is False  # what `agree` returned becomes a plain bool
    body.close()


def test_figures_are_those_of_the_class_or_none() -> None:
    def figures(self: Any, before: int, after: int) -> dict[str, tuple[int, int]]:
        return {"bytes": (before, after)}

    assert declared(fresh_class()).case().open().figures(2, 1) == {}
    _registry._declared.clear()
    assert declared(fresh_class(figures=figures)).case().open().figures(2, 1) == {"bytes": (2, 1)}


def test_each_opened_case_has_a_state_of_its_own() -> None:
    path = declared(fresh_class())
    first, second = path.case("n=1").open(), path.case("n=1").open()
    first.after()
    assert second._instance.called == ["setup"]


# --- asv


def test_asv_methods() -> None:
    class Counted(Plain):
        def fresh(self, *values: Any) -> None:
            self.called.append("fresh")

    Counted.__module__ = __name__
    cls: Any = hot_path(claim="", witnesses=("cpu",), after_only=(20,))(Counted)
    body = cls()
    body.setup(1)  # asv's: everything that must not be timed
    body.time_before(1)
    body.time_after(1)
    assert body.called == ["setup", "fresh", "before", "after"]
    assert body.track_cost_ratio(1) > 0
    assert body.called[4:7] == ["fresh", "before", "fresh"]
    for side in ("time_before", "track_cost_ratio"):
        getattr(cls, side).setup(1)
        with pytest.raises(NotImplementedError, match="take too long"):
            getattr(cls, side).setup(20)
    assert not hasattr(cls.time_after, "setup")
    assert cls.track_cost_ratio.unit == "after/before"


@pytest.mark.parametrize(
    ("clock", "timer"), [("thread", time.thread_time), ("process", time.process_time)]
)
def test_asv_uses_the_clock_of_the_path(clock: str, timer: Callable[[], float]) -> None:
    cls = fresh_class()
    declared(cls, clock=clock)
    earlier, read, later = timer(), cls().timer(), timer()
    assert earlier <= read <= later


def test_subclasses_of_one_base_keep_their_own_methods() -> None:
    """The decorator changes the class it is given, not the base they share."""
    one, two = fresh_class(), type("Two", (Plain,), {"__module__": __name__})
    declared(one, after_only=(1,))
    declared(two)
    for name in ("time_before", "time_after", "track_cost_ratio", "hot_path", "version"):
        assert name not in vars(Plain)
    assert one.time_before is not two.time_before  # type: ignore[attr-defined] # added by hot_path
    two.time_before.setup(1)  # type: ignore[attr-defined] # added by hot_path


# --- version


TOY = """
    _ROUNDS = 3
    _COSTS = {"fee": 0.001}
    public = 4

    def _work(n):
        return n * 2

    class _Base:
        params = (1,)
        param_names = ("n",)

        def setup(self, n):
            self.n = n

        def before(self, n):
            return n

        def agree(self, before, after):
            return before == after

    @_hot_path(claim="", witnesses=("cpu",))
    class Toy(_Base):
        def after(self, n):
            return _work(n)
"""


def version(module: Any) -> str:
    path = RegisteredPath(module.Toy)
    assert path.workload == module.Toy.version
    return path.workload


def test_the_version_is_stable(suite: Callable[[str], Any]) -> None:
    first = version(suite(TOY))
    assert len(first) == 16
    assert version(suite(TOY)) == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return _work(n)", "return _work(n) + 0"),
        ("params = (1,)", "params = (2,)"),
        ("return n * 2", "return n * 3"),
        ("_ROUNDS = 3", "_ROUNDS = 4"),
        ('"fee": 0.001', '"fee": 0.002'),
        ("return before == after", "return True"),
    ],
    ids=["body", "params in the base", "helper", "number", "dict", "agree in the base"],
)
def test_the_version_follows_the_workload(suite: Callable[[str], Any], old: str, new: str) -> None:
    assert TOY.count(old) == 1
    assert version(suite(TOY)) != version(suite(TOY.replace(old, new)))


def test_the_version_ignores_what_is_no_part_of_it(suite: Callable[[str], Any]) -> None:
    other = TOY.replace("public = 4", "public = 5")
    assert version(suite(TOY)) == version(suite(other))


def noted(function: Callable[[str], Any], texts: list[str]) -> Callable[[str], Any]:
    """`function`, which notes its argument."""

    def call(text: str) -> Any:
        texts.append(text)
        return function(text)

    return call


def test_the_source_that_is_hashed_is_what_inspect_finds(suite: Callable[[str], Any]) -> None:
    module = suite(TOY)
    things = [
        thing
        for thing in vars(module).values()
        if getattr(thing, "__module__", None) == module.__name__
    ]
    assert any(map(inspect.isclass, things))
    for thing in things:
        assert _registry._source(thing) == textwrap.dedent(inspect.getsource(thing))


def test_a_class_that_stands_in_no_module_line_is_found_by_inspect(
    suite: Callable[[str], Any],
) -> None:
    module = suite("if True:\n    class Nested:\n        params = (1,)\n")
    assert _registry._source(module.Nested) == "class Nested:\n    params = (1,)\n"


def test_a_suite_is_parsed_once_for_all_its_classes(
    suite: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(ast, "parse", noted(ast.parse, parsed))
    one, other = textwrap.dedent(TOY), textwrap.dedent(TOY).replace("class Toy", "class Other")
    suite(f"# parsed by no other test\n{one}\n{other}")
    assert len(parsed) == 1


def test_the_claims_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(tomllib, "loads", noted(tomllib.loads, read))
    _registry._claims_file.cache_clear()
    found = [bool(_registry._floors(name)) for name in ("dedup-insert", "dedup-lookup", "", "none")]
    assert found == [True, True, False, False]
    assert len(read) == 1
