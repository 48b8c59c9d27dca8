"""The self-test's parts: what is tried at once, sizes that are reached, answers judged right."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject

from benchmarks import _selftest
from benchmarks._answer import Answer
from benchmarks._planting import (
    Calibration,
    Clone,
    Line,
    PlantError,
    Progress,
    alone_in,
    near,
    plant,
)
from benchmarks._plants import PLANTS
from benchmarks._plants_cpu import CPU
from benchmarks._plants_kinds import Edit, Plant, Work
from benchmarks._selftest import Result, main
from benchmarks._selftest import judged as judge_plant

# --- what can be asked for


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


# --- what is tried at once


def checks(*, quick: bool = False) -> list[_selftest.Check]:
    return [check for check in _selftest._checks() if check.quick or not quick]


def test_slower_hot_paths_are_planted_together_and_all_else_alone() -> None:
    turns = _selftest.in_turn(checks())
    tried = [check.name for turn in turns for check in turn]
    assert sorted(tried) == sorted(check.name for check in checks())
    assert tried[0] == "unchanged code"
    many = [[check.plant for check in turn if check.plant] for turn in turns if len(turn) > 1]
    assert all(one.caught_by == ("cpu",) and one.work for plants in many for one in plants)
    assert sum(map(len, many)) >= len(CPU)
    assert len(many) <= 6  # a run of the gate each: the long form has its time, too
    for plants in many:
        assert len({one.paths for one in plants}) == len(plants)


def test_the_short_form_tries_one_at_a_time() -> None:
    assert {len(turn) for turn in _selftest.in_turn(checks(quick=True))} == {1}


class Together(Clone):
    """A clone whose gate gives one answer."""

    def __init__(self, folder: Path, given: Answer) -> None:
        super().__init__(folder, "c0")
        self.given, self.words = given, list[str]()

    def reset(self) -> None: ...

    def gate(self, *words: str, python: str = "", progress: Progress = lambda line: None) -> Answer:
        self.words += words
        return self.given


class Known(Calibration):
    """Every unit of every work adds a hundredth."""

    def __init__(self) -> None: ...

    def lines(self, works: Sequence[Work]) -> dict[Work, Line]:
        return dict.fromkeys(works, Line(0, 0.0, 100, 1.0))


def slow(path: str, share: float) -> _selftest.Check:
    work = Work(path, "n=1", "f", "a", "{n}", 1)
    one = Plant(path, (path,), caught_by=("cpu",), work=work, share=share)
    return _selftest.Check(path, False, plant=one)


def test_each_of_many_is_judged_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[Work, int] = {}
    monkeypatch.setattr(_selftest, "plant", lambda clone, found: sizes.update(found))
    given = answer(1, finding("cpu"), finding("cpu", "same", path="toy.Other"))
    clone = Together(tmp_path, given)
    turn = [slow("toy.Path", 0.10), slow("toy.Other", 0.05)]
    first, second = _selftest._tried(_selftest.Bench(clone, False, Known()), turn)
    assert [first.outcome, second.outcome] == ["caught", "missed"]
    assert list(sizes.values()) == [10, 5]
    assert clone.words == ["toy.Path", "toy.Other", "--against", "HEAD"]
    assert first.size.endswith("nominal +10.0%; 10 planted")
    clone.given = answer(2, finding("cpu"), finding("cpu", path="toy.Other"))  # what broke is open
    found = _selftest._tried(_selftest.Bench(clone, False, Known()), turn)
    assert {result.outcome for result in found} == {"wrong answer"}


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


def test_every_file_is_touched_or_all_that_compiled_kernels_do_not_import(clone: Clone) -> None:
    texts = {
        "mod.py": "from . import room\n",
        "room/_kernels.py": "from ._lanes import LANES\n",
        "room/_lanes.py": "LANES = 4\n",
    }
    for name, text in texts.items():
        file = clone.folder / "optimizer" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def touched() -> list[str]:
        files = ((name, clone.folder / "optimizer" / name) for name in texts)
        return [name for name, file in files if file.read_text() != texts[name]]

    clone.touch(kernels=False)
    assert touched() == ["mod.py"]
    clone.touch()
    assert touched() == list(texts)


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


def test_results_are_json(tmp_path: Path) -> None:
    result = judge_plant(CPU_PLANT, answer(1, finding("cpu")))
    assert json.loads(json.dumps(vars(result)))["outcome"] == "caught"
