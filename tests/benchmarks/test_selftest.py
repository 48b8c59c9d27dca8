"""The self-test's parts: plants that fit the code, sizes that are reached, answers judged right."""

from __future__ import annotations

import ast
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject

from benchmarks import _selftest, _synthetic
from benchmarks._planting import (
    Answer,
    Clone,
    Line,
    PlantError,
    Progress,
    alone_in,
    edited,
    near,
    plant,
)
from benchmarks._plants import CPU, PLANTS, Edit, Plant, Work, after
from benchmarks._selftest import Result, main
from benchmarks._selftest import judged as judge_plant

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


@pytest.mark.parametrize("word", ["a sleep", "--json=x", "--quick", "--list"])
def test_a_budget_stands_alone(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--budget", word])
    assert "--budget stands alone" in capsys.readouterr().err


# --- one at a time


def test_two_self_tests_do_not_share_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_selftest, "SCRATCH", tmp_path)
    with alone_in(tmp_path):
        assert main(["a sleep"]) == 2
    assert f"process {os.getpid()} works in {tmp_path}" in capsys.readouterr().err


def test_sigterm_ends_it_like_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(folder: Path) -> Clone:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    monkeypatch.setattr(_selftest, "SCRATCH", tmp_path)
    monkeypatch.setattr(Clone, "make", killed)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["a sleep"]) == 130
    finally:
        signal.signal(signal.SIGTERM, handler)
    with alone_in(tmp_path):
        pass  # it is free again


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


def test_what_cannot_be_that_small_is_said() -> None:
    line = Line(low_n=100, low=0.12, high_n=800, high=0.82)
    assert not line.too_coarse(0.05)
    assert _selftest.too_coarse(line, 0.05) == ""
    said = _selftest.too_coarse(line, 0.01)
    assert "one unit adds 2.1%, 1.0% was asked for" in said
    assert line.at(line.n_for(0.50)) == pytest.approx(0.50)


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
    assert result.outcome == "caught"


def test_only_the_planted_case_can_catch_a_sized_plant() -> None:
    work = Work("toy.Path", "n=2", "f", "a", "{n}", 1)
    sized = Plant("x", ("toy.Path",), caught_by=("cpu",), work=work, share=0.10)
    beside = answer(1, finding("cpu"), finding("cpu", "same", case="n=2"))
    assert judge_plant(sized, beside).outcome == "missed"


def test_what_could_not_be_had_is_said() -> None:
    table = {"findings": [finding("cpu")], "exempt": ["fsyncs: strace is not installed"]}
    result = judge_plant(CPU_PLANT, Answer(1, table, "", 1.0))
    assert result.without == ["fsyncs"]
    assert result.line().endswith("without fsyncs")
    assert "without" not in judge_plant(CPU_PLANT, answer(1, finding("cpu"))).line()
    lacking = Result("one more fsync", "not possible here")
    assert _selftest.last_line([result, lacking, result]) == (
        "2 caught, 1 not possible here: one more fsync"
    )
    assert _selftest.last_line([result]) == "1 caught"


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


class BudgetClone(Clone):
    """A clone whose gate answers at once, green and then red."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "c0")
        self.done: list[str] = []

    def reset(self) -> None:
        self.done.append("reset")

    def touch(self) -> None:
        self.done.append("touch")

    def commit(self, message: str = "") -> None:
        self.done.append("commit")

    def rebaseline(self, name: str, reason: str, progress: Progress) -> float:
        self.done.append(f"rebaseline {name}")
        return 61.4

    def gate(self, *words: str, python: str = "") -> Answer:
        self.done.append(" ".join(["gate", *words]))
        code = self.done.count("gate") - 1
        return Answer(code, {"findings": [finding("cpu")], "notes": []}, "", 9.6)


def test_a_budget_is_of_stored_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("optimizer", "benchmarks"):
        (tmp_path / folder).mkdir()
    clone = BudgetClone(tmp_path)
    assert _synthetic.budget(clone, lambda line: None) == 0
    stored = ["reset", "commit", "rebaseline synthetic", "touch", "gate", "gate", "reset"]
    assert clone.done == stored
    out = capsys.readouterr().out
    assert "set-up, in no time below: 61 s" in out
    assert "green: 10 s of 180 s for 1 cases (in time)" in out


def test_results_are_json(tmp_path: Path) -> None:
    result = judge_plant(CPU_PLANT, answer(1, finding("cpu")))
    assert json.loads(json.dumps(vars(result)))["outcome"] == "caught"
