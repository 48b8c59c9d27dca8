"""Moving the baselines of a toy project: what is refused, and what is stored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from toy_project import (
    BROKEN,
    Toy,
    bare,
    nothing_left,
    quick,
    stored,
    toy,
)

from benchmarks.gate.baselines import Baseline, Environment
from benchmarks.gate.rebaseline import _keep_claims

__all__ = ["bare", "nothing_left", "quick", "stored", "toy"]  # fixtures
pytestmark = pytest.mark.end_to_end


def test_rebaseline_refuses_a_dirty_tree(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    before = toy.baseline("toy.Rows")
    toy.plant()
    assert toy.rebaseline("toy.Rows") == 1
    assert "(optimizer/__init__.py): commit first" in capsys.readouterr().err
    toy.git("checkout", "--quiet", "optimizer")
    toy.write({"benchmarks/new.py": ""})
    assert toy.rebaseline("toy.Rows") == 1
    assert "(benchmarks/new.py): commit first" in capsys.readouterr().err
    assert toy.baseline("toy.Rows") == before


def test_rebaseline_refuses_a_slower_result_unless_told(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    before = toy.baseline("toy.Rows")
    toy.plant()
    toy.commit({}, "slower")
    assert toy.rebaseline("toy.Rows") == 1
    err = capsys.readouterr().err
    assert "gate: nothing was stored: toy.Rows[n=5]" in err
    assert "statements: rose from 9 to 10" in err
    assert "if that is intended, add --accept-regression" in err
    assert toy.baseline("toy.Rows") == before

    assert toy.rebaseline("toy.Rows", "--accept-regression", reason="on purpose") == 0
    assert "toy.Rows.json" in capsys.readouterr().out
    after = toy.baseline("toy.Rows")
    assert after["counters"]["n=5"]["statements"] == 10
    assert after["tree"] == toy.git("rev-parse", "HEAD:optimizer")
    assert after["reason"] == "on purpose"
    kept = {name: before[name] for name in ("tree", "commit", "reason", "date")}
    assert after["history"] == [kept]
    assert toy.baseline("toy.Work")["reason"] == "first"  # the other one did not move

    # A baseline that moved and is not committed yet does not make the tree dirty.
    assert toy.rebaseline("toy.Rows", reason="once more") == 0
    assert [entry["reason"] for entry in toy.baseline("toy.Rows")["history"]] == [
        "first",
        "on purpose",
    ]


def test_rebaseline_refuses_a_broken_path(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.commit({"benchmarks/broken.py": BROKEN})
    assert toy.rebaseline("broken", "toy.Rows", "--accept-regression") == 1
    assert "nothing was stored: broken.Dies[n=1]" in capsys.readouterr().err
    assert not list((toy.root / "benchmarks/baselines").glob("broken*"))
    assert toy.baseline("toy.Rows")["reason"] == "first"


def test_a_stored_ratio_goes_down_only_where_that_is_accepted(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    def moved_from(factor: float, *options: str) -> float:
        """The stored ratio after a move, as a multiple of what had been stored before."""
        text = toy.baseline("toy.Work")
        for name in text["ratios"]["n=20"]:
            text["ratios"]["n=20"][name] *= factor
        toy.write({"benchmarks/baselines/toy.Work.json": json.dumps(text)})
        assert toy.rebaseline("toy.Work", *options) == 0
        now: float = toy.baseline("toy.Work")["ratios"]["n=20"]["cpu"]
        return now / float(text["ratios"]["n=20"]["cpu"])

    assert moved_from(1000.0) == 1.0
    assert "so its stored ratio of" in capsys.readouterr().err
    assert moved_from(1.0, "--accept-regression") < 0.1
    assert moved_from(0.001) > 10.0
    assert "so its stored ratio of" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("low", "elsewhere", "kept"),
    [(8.0, "", True), (6.0, "", False), (8.0, "processor", False), (8.0, "packages", False)],
)
def test_a_ratio_that_stays_was_surely_more_on_the_same_kind_of_machine(
    low: float, elsewhere: str, kept: bool
) -> None:
    here = Environment("cpython 3.11.7", {"numpy": "2"}, {}, "processor")
    there = replace(here, processor="another") if elsewhere == "processor" else here
    if elsewhere == "packages":
        there = replace(here, packages={"numpy": "1"})
    stored = {"cpu": 9.0, "low": low}  # less in the mean, and yet surer with 8
    old = Baseline("a.B", "t", "c", "w", there, {}, {"n=1": stored}, "", "")
    new = replace(old, environment=here, ratios={"n=1": {"cpu": 10.0, "low": 7.0}})
    _keep_claims(new, old, lambda line: None)
    assert (new.ratios["n=1"] == stored) is kept
