"""Plants fit the code and the hot paths, and no work is run by a hot path that does not say so."""

from __future__ import annotations

import ast
import io
import re
import sys
import threading
import tokenize
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import optuna
import pytest
from suite_sources import NAMES, PATHS, ROOT, imported, lineage, path, source_of

import optimizer
from benchmarks._planting import PlantError, edited
from benchmarks._plants import KERNELS, PLANTS
from benchmarks._plants_cpu import CPU, ENGINES, IN_KERNELS, SUGGESTING, WITHOUT, WORK_OF
from benchmarks._plants_kinds import Edit, Plant, Work, after, together
from benchmarks._registry import RegisteredCase, RegisteredPath
from optimizer.sampling._tpe_optuna import VERIFIED

__all__ = ["path"]  # a fixture

WORKS = list(dict.fromkeys([*CPU, *(one.work for one in PLANTS if one.work is not None)]))
GROUPS = together(CPU, lambda work: work)


# --- plants fit the code


def planted_texts(edits: tuple[Edit, ...], texts: dict[str, str] | None = None) -> dict[str, str]:
    """The files that the edits touch, edited; each must be Python still."""
    found = dict(texts or {})
    for edit in edits:
        text = found.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
        if edit.old is not None:
            text = edited(text, edit)
            ast.parse(text)
        found[edit.file] = text
    return found


@pytest.mark.parametrize("one", PLANTS, ids=lambda one: one.name)
def test_a_plant_fits_the_code(one: Plant) -> None:
    """The self-test takes long; what would stop it at once shows here."""
    before = planted_texts(one.prior)
    edits = one.edits if one.work is None else (one.work.edit(3),)
    before |= planted_texts(one.work.prior) if one.work else {}
    assert edits
    for edit in edits:
        assert edit.old != edit.new or edit.old is None
    after = planted_texts(edits, before)
    assert after != before or one.edits[0].old is None


@pytest.mark.parametrize("work", WORKS, ids=lambda work: f"{work.path} {work.measure}")
def test_added_work_grows_with_n(work: Work) -> None:
    texts = [planted_texts((work.edit(n),), planted_texts(work.prior)) for n in (1, 5)]
    first, fifth = (texts[i][work.file] for i in (0, 1))
    assert first != fifth
    if work.repeated:
        assert fifth.count(work.statement) == 5 * first.count(work.statement)
        original = planted_texts(work.prior).get(work.file) or (ROOT / work.file).read_text()
        assert planted_texts((work.edit(0),), planted_texts(work.prior))[work.file] == original


@pytest.mark.parametrize("work", WORKS, ids=lambda work: f"{work.path} {work.measure}")
def test_work_stands_between_two_lines(work: Work) -> None:
    """After a part of a line, the rest of it would become a part of the statement."""
    texts = [planted_texts(work.prior).get(work.file) or (ROOT / work.file).read_text()]
    texts.append(planted_texts((work.edit(1),), planted_texts(work.prior))[work.file])
    shipped, planted = (text.splitlines() for text in texts)
    at = next(i for i, line in enumerate(planted) if line != shipped[i])
    assert planted[:at] + planted[at + 1 :] == shipped


@pytest.mark.parametrize("work", WORKS, ids=lambda work: f"{work.path} {work.measure}")
def test_the_added_statement_uses_its_result(work: Work) -> None:
    """What nothing depends on could be optimized away."""
    statement = ast.parse(work.statement.replace("{n}", "7")).body[0]
    if not isinstance(statement, ast.For):
        assert isinstance(statement, ast.Assert | ast.Assign)
        return
    (product,) = statement.body
    assert isinstance(product, ast.AugAssign)
    text = planted_texts((work.edit(7),))[work.file].partition(work.statement.format(n=7))[2]
    rest = re.split(r"\n(?=\S)", text)[0]  # of the function that it stands in
    name = ast.unparse(product.target)
    lines = io.StringIO("\n".join(line.strip() for line in rest.splitlines()))
    assert name in {token.string for token in tokenize.generate_tokens(lines.readline)}


@pytest.mark.parametrize("one", KERNELS, ids=lambda one: one.name)
def test_work_in_a_kernel_is_done_and_changes_no_bit(one: Plant) -> None:
    numba = pytest.importorskip("numba")
    assert one.work is not None
    name = one.work.statement.partition(": ")[2].partition(" ")[0]
    array = one.work.statement.partition("*= ")[2].partition(".")[0]
    source = f"def kernel({array}, {name}):\n    {one.work.statement.format(n=999)}\n"
    places: dict[str, Any] = {}
    exec(f"{source}    return {name}\n", places)
    kernel = numba.njit(places["kernel"])
    for value in (0.0, -0.0, 1 / 3, 1e300, -5e-324):
        assert str(kernel(np.ones(3), value)) == str(value)
    (code,) = kernel.inspect_llvm().values()
    assert "fmul double" in code


def test_an_anchor_that_is_gone_or_ambiguous_is_named() -> None:
    edit = after("some.py", "    old()\n    rest", "new()")
    assert edited("    old()\n    rest\n", edit) == "    old()\n    new()\n    rest\n"
    for text in ("", "    old()\n    rest\n    old()\n    rest\n"):
        with pytest.raises(PlantError, match=r"does not fit some\.py"):
            edited(text, edit)


# --- plants fit the hot paths


def test_every_kind_of_slowdown_of_the_issue_is_planted() -> None:
    caught = {witness for one in PLANTS for witness in one.caught_by}
    assert {"cpu", "statements", "commits", "fsyncs", "steps", "wall"} <= caught
    assert {"peak_bytes", "instructions"} <= caught
    assert {one.share for one in PLANTS if one.caught_by == ("cpu",)} >= {0.03, 0.05, 0.10, 1.0}
    assert {one.code for one in PLANTS} == {1, 2, 3, 4}


@pytest.mark.parametrize("one", PLANTS, ids=lambda one: one.name)
def test_a_plant_names_hot_paths_and_their_witnesses(one: Plant) -> None:
    for name in one.paths:
        assert any(known == name or known.startswith(f"{name}.") for known in NAMES)
    declared = {witness for name in one.paths if name in PATHS for witness in PATHS[name].witnesses}
    declared |= {"peak_bytes"} if "memory" in declared else set()
    declared |= {"synchronous"} if "commits" in declared else set()  # each commit's share of it
    assert set(one.caught_by) <= declared


@pytest.mark.parametrize("work", CPU, ids=lambda work: work.path)
def test_planted_work_is_sized_at_a_timed_case(work: Work) -> None:
    assert PATHS[work.path].case(work.case).timed


def test_every_hot_path_has_a_plant_that_costs_time() -> None:
    planted = sorted({*NAMES} - {*WITHOUT, *IN_KERNELS})
    assert {*IN_KERNELS} <= {plant.paths[0] for plant in KERNELS}
    assert sorted(work.path for work in CPU) == planted
    assert sorted(one.paths[0] for one in PLANTS if one.share == 0.10) == planted


@pytest.mark.parametrize("name", WITHOUT)
def test_a_hot_path_without_a_plant_runs_no_code_of_ours(name: str) -> None:
    modules = set().union(*(imported(node) for node in lineage(*source_of(PATHS[name]))))
    assert not {module for module in modules if module.split(".")[0] == "optimizer"}


# --- who runs what


def test_works_that_are_planted_together_fit_the_code_together() -> None:
    """A calibration and a run of the gate for each group: few groups, or the self-test is slow."""
    assert sorted(work.path for group in GROUPS for work in group) == sorted(WORK_OF)
    assert len(GROUPS) <= 5
    for group in GROUPS:
        assert planted_texts(tuple(work.edit(2) for work in group))


def toy(name: str, *shared: str) -> Work:
    return Work(name, "n=1", "f", "a", "{n}", 1, shared=shared)


def test_works_that_meet_are_kept_apart() -> None:
    """Whichever of the two runs the other's."""
    first, second, third = toy("a"), toy("b", "a", "b"), toy("c", "b", "c")
    assert first.meets(second)
    assert second.meets(first)
    assert second.meets(third)
    assert not first.meets(third)
    assert first.meets(toy("a"))
    found = together([first, second, third], lambda work: work)
    assert found == [[first, third], [second]]


def place(work: Work) -> tuple[str, int]:
    """File and line of what runs next after the work: it runs where the work does."""
    file = Path(optimizer.__file__).parents[1] / work.file
    text = file.read_text(encoding="utf-8")
    at = text[: text.index(work.anchor)].count("\n") + 1
    lines = text.splitlines()
    while not lines[at].strip() or lines[at].lstrip().startswith("#"):
        at += 1
    return str(file), at + 1


def lines_run(case: RegisteredCase, files: set[str]) -> set[tuple[str, int]]:
    """The lines of those files that `after` runs."""
    found: set[tuple[str, int]] = set()

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        found.add((frame.f_code.co_filename, frame.f_lineno))
        return lines

    def calls(frame: FrameType, event: str, _: Any) -> Any:
        return lines if frame.f_code.co_filename in files else None

    body = case.open()
    traced = sys.gettrace()
    try:
        body.fresh()
        sys.settrace(calls)
        threading.settrace(calls)
        body.after()
    finally:
        sys.settrace(traced)
        threading.settrace(None)
        body.close()
    return found


def test_a_hot_path_runs_the_works_that_say_so_and_no_other(path: RegisteredPath) -> None:
    """Work that another path runs too would be measured there, and take its own plant's place."""
    if path.name in SUGGESTING and optuna.__version__ not in VERIFIED:
        pytest.skip("on this Optuna every suggestion is handed over")
    if path.name in ENGINES and optuna.__version__ not in VERIFIED:
        pytest.skip("this Optuna asks for all trials more often: other works are run, too")
    places = {work.path: place(work) for work in CPU}
    # The first case where it is timed at a long one: its lines are the same.
    case = path.cases[0] if path.name == "study.MomentumStudy" else None
    timed = path.case(WORK_OF[path.name].case) if path.name in WORK_OF else path.case()
    run = lines_run(case or timed, {file for file, _ in places.values()})
    met = {name for name, where in places.items() if where in run}
    assert met == {work.path for work in CPU if path.name in work.runners}
