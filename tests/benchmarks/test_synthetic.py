"""The gate's budget: generated hot paths, and what is timed of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _registry, _synthetic
from benchmarks._answer import Answer
from benchmarks._planting import Clone, Progress, edited


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
        self.asked: list[tuple[str, ...]] = []

    def reset(self) -> None:
        self.done.append("reset")

    def touch(self, *, kernels: bool = True) -> None:
        self.done.append("touch all" if kernels else "touch")

    def commit(self, message: str = "") -> None:
        self.done.append("commit")

    def rebaseline(self, name: str, reason: str, progress: Progress) -> float:
        self.done.append(f"rebaseline {name}")
        return 61.4

    def gate(self, *words: str, python: str = "", progress: Progress = lambda line: None) -> Answer:
        self.asked.append(words)
        self.done.append("gate")
        code = int(self.done.count("gate") == 3)
        return Answer(
            code, {"findings": [{"path": "toy.Path", "case": "n=1"}], "notes": []}, "", 9.6
        )


@pytest.mark.parametrize("real", [3, 44, 58, 200])
def test_a_budget_is_of_fifty_hot_paths_of_every_kind(real: int) -> None:
    names = [f"path{place:03}" for place in range(real)]
    taken, synthetic = _synthetic.chosen(names)
    assert len(set(taken)) + synthetic == _synthetic.ENOUGH == 50
    assert synthetic >= len(_synthetic.KINDS)
    assert set(taken) <= set(names)
    assert taken == sorted(taken)
    assert names.index(taken[-1]) >= 0.9 * (real - 1)  # not the first ones alone


def test_a_budget_is_of_stored_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("optimizer", "benchmarks"):
        (tmp_path / folder).mkdir()
    clone = BudgetClone(tmp_path)
    assert _synthetic.budget(clone, lambda line: None) == 0
    stored = ["reset", "commit", "rebaseline synthetic", "gate"]
    assert clone.done == [*stored, "touch", "gate", "gate", "reset"]
    first, green, red = clone.asked
    assert first == green == red
    assert len(set(green)) == 50
    declared = {path.name for path in _registry.load()}
    assert {name for name in green if not name.startswith("synthetic.")} <= declared
    assert {"synthetic.Dict0", "synthetic.Strings0"} <= set(green)
    out = capsys.readouterr().out
    assert "set-up, in no time below: 61 s" in out
    assert "green: 10 s of 180 s for 1 case (in time)" in out
