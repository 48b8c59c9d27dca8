"""The self-test's parts: plants that fit the code, sizes that are reached, answers judged right."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject

from benchmarks import _synthetic
from benchmarks._planting import Answer, Clone, Line, PlantError, edited, near, plant
from benchmarks._plants import CPU, PLANTS, Edit, Plant, Work, after
from benchmarks._selftest import judged as judge_plant
from benchmarks._selftest import main

ROOT = Path(__file__).resolve().parents[2]
WORKS = list(dict.fromkeys([*CPU, *(one.work for one in PLANTS if one.work is not None)]))


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
def test_the_added_statement_uses_its_result(work: Work) -> None:
    """What nothing depends on could be optimized away."""
    statement = ast.parse(work.statement.replace("{n}", "7")).body[0]
    assert isinstance(statement, ast.Assert | ast.Assign)


def test_an_anchor_that_is_gone_or_ambiguous_is_named() -> None:
    edit = after("some.py", "    old()\n    rest", "new()")
    assert edited("    old()\n    rest\n", edit) == "    old()\n    new()\n    rest\n"
    for text in ("", "    old()\n    rest\n    old()\n    rest\n"):
        with pytest.raises(PlantError, match=r"does not fit some\.py"):
            edited(text, edit)


def test_names_are_told_apart_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    names = [one.name for one in PLANTS]
    assert len(set(names)) == len(names)
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in names)
    assert "unchanged code" in listed
    assert main(["--quick", "--list"]) == 0
    short = capsys.readouterr().out.splitlines()
    assert 0 < len(short) < len(names)
    assert main(["no such plant"]) == 2


def test_every_kind_of_slowdown_of_the_issue_is_planted() -> None:
    caught = {witness for one in PLANTS for witness in one.caught_by}
    assert {"cpu", "statements", "commits", "fsyncs", "steps", "wall"} <= caught
    assert {"peak_bytes", "instructions"} <= caught
    assert {one.share for one in PLANTS if one.caught_by == ("cpu",)} >= {0.03, 0.05, 0.10, 1.0}
    assert {one.code for one in PLANTS} == {1, 2, 3, 4}


# --- sizes


def test_the_n_for_a_share_lies_on_the_line() -> None:
    line = Line(low_n=100, low=0.12, high_n=800, high=0.82)  # 2% for the statement, 0.1% a unit
    assert line.n_for(0.05) == 30
    assert line.n_for(0.50) == 480
    assert line.n_for(1.00) == 980
    assert line.n_for(0.01) == 1  # less than the statement costs: the least there is


@pytest.mark.parametrize(
    ("change", "n"), [(0.8, 20), (0.04, 200), (0.0, 200), (-1.0, 200), (400.0, 1)]
)
def test_the_smaller_size_is_near_the_smallest_asked_for(change: float, n: int) -> None:
    assert near(400, change) == n


@pytest.mark.parametrize("high", [0.12, 0.05, float("nan")])
def test_work_that_costs_nothing_is_refused(high: float) -> None:
    with pytest.raises(PlantError, match="costs nothing"):
        Line(100, 0.12, 800, high).n_for(0.1)


# --- the clone


PLANTED = Work("toy.Path", "n=1", "code/mod.py", "    work = 1", "extra = {n}", 9, measure="steps")


@pytest.fixture(name="clone")
def _clone(tmp_path: Path) -> Clone:
    project = GitProject.create(tmp_path / "project")
    project.commit(
        {"code/mod.py": "def f():\n    work = 1\n    return work\n", ".gitignore": "no/\n"}
    )
    project.write({"code/new.py": "", "no/thing": ""})  # neither is committed
    return Clone.make(tmp_path / "scratch" / "clone", project.root)


def test_a_clone_holds_the_working_tree(clone: Clone) -> None:
    assert (clone.folder / "code/new.py").exists()
    assert not (clone.folder / "no").exists()


def test_a_clone_can_be_changed_and_reset(clone: Clone) -> None:
    clone.apply([Edit("code/mod.py", "work = 1", "work = 2"), Edit("code/new.py")])
    clone.commit()
    (clone.folder / "stray.py").touch()
    clone.reset()
    assert "work = 1" in (clone.folder / "code/mod.py").read_text()
    assert (clone.folder / "code/new.py").exists()
    assert not (clone.folder / "stray.py").exists()
    with pytest.raises(PlantError, match=r"no code/gone\.py"):
        clone.apply([Edit("code/gone.py")])


def test_only_n_differs_between_the_sides_of_counted_work(clone: Clone) -> None:
    plant(clone, {PLANTED: 7})
    assert "    extra = 7\n" in (clone.folder / "code/mod.py").read_text()
    committed = Clone.make(clone.folder.parent / "again", clone.folder)
    committed.reset()
    project = GitProject(clone.folder)
    assert "    extra = 0" in project.git("show", "HEAD:code/mod.py")


# --- answers


def finding(witness: str, verdict: str = "worse", **more: Any) -> dict[str, Any]:
    return {
        "path": "toy.Path",
        "case": "n=1",
        "witness": witness,
        "verdict": verdict,
        "sentence": f"toy.Path[n=1], {witness}: told" if verdict == "worse" else "",
        "before": 100.0,
        "now": 101.0,
        "change": 0.01,
        "plus_minus": None,
        **more,
    }


def answer(code: int, *findings: dict[str, Any]) -> Answer:
    return Answer(code, {"findings": list(findings)}, "", 1.0)


CPU_PLANT = Plant("x", ("toy.Path",), caught_by=("cpu",), silent=("instructions",))


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (answer(1, finding("cpu")), "caught"),
        (answer(1, finding("cpu"), finding("wall")), "caught"),
        (answer(0, finding("cpu", "same")), "missed"),
        (answer(1, finding("wall")), "missed"),
        (answer(1, finding("cpu"), finding("instructions")), "falsely accused"),
        (answer(2, finding("cpu")), "wrong answer"),
        (Answer(4, {}, "gate: no baseline", 1.0), "wrong answer"),
    ],
)
def test_an_answer_is_judged(given: Answer, outcome: str) -> None:
    result = judge_plant(CPU_PLANT, given)
    assert result.outcome == outcome
    assert outcome in result.line()


def test_a_fault_must_be_said_in_words() -> None:
    fault = Plant("x", ("toy",), code=3, says=("toy.Path[n=1], cpu",))
    assert judge_plant(fault, answer(3, finding("cpu"))).outcome == "caught"
    assert judge_plant(fault, answer(3, finding("wall"))).outcome == "missed"


def test_the_size_is_that_of_the_planted_case() -> None:
    work = Work("toy.Path", "n=2", "f", "a", "{n}", 1)
    sized = Plant("x", ("toy.Path",), caught_by=("cpu",), work=work, share=0.10)
    other = finding("cpu", change=0.5)
    found = finding("cpu", case="n=2", change=0.097, plus_minus=0.004)
    result = judge_plant(sized, answer(1, other, found))
    assert result.reached == 0.097
    assert result.size == "cpu +9.7% ± 0.4%, nominal +10.0%"


# --- synthetic hot paths


@pytest.mark.parametrize("count", [1, 13, 42])
def test_a_synthetic_suite_declares_as_many_hot_paths(count: int) -> None:
    tree = ast.parse(_synthetic.suite(count))
    names = [n.name for n in tree.body if isinstance(n, ast.ClassDef) and n.decorator_list]
    assert len(set(names)) == len(names) == count


def test_synthetic_work_answers_and_can_be_slowed() -> None:
    functions: dict[str, Any] = {}
    exec(_synthetic.CODE, functions)
    slowed: dict[str, Any] = {}
    exec(edited(_synthetic.CODE, _synthetic.SLOWER), slowed)
    for kind in _synthetic.KINDS:
        assert functions[kind.function](100) == slowed[kind.function](100)
        assert functions[kind.function](100) != functions[kind.function](300)


def test_results_are_json(tmp_path: Path) -> None:
    result = judge_plant(CPU_PLANT, answer(1, finding("cpu")))
    assert json.loads(json.dumps(vars(result)))["outcome"] == "caught"
