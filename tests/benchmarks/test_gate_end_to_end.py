"""The whole gate on a toy project, real git and real workers: green, and a regression."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_project import (
    ALWAYS_SLOWER,
    WIDE,
    Check,
    Toy,
    bare,
    check,
    make_quick,
    nothing_left,
    quick,
    stored,
    toy,
)

from benchmarks.gate import exact, measuring, outcome, rules
from benchmarks.gate.instruments import Kind

__all__ = ["bare", "check", "nothing_left", "quick", "stored", "toy"]  # fixtures
pytestmark = pytest.mark.end_to_end

# --- exit code 0


def test_a_path_without_baseline_is_new(
    bare: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = bare.copy(tmp_path / "toy").check(capsys)
    assert judged.code == 0
    for path in ("toy.Rows", "toy.Work"):
        assert judged.verdicts(path) == {"new", "same"}  # same: both sides agree
        assert any(f"rebaseline {path}" in note for note in judged.report["notes"])
    assert "PASS: 2 hot paths: 2 new, without fsyncs (exit" in judged.out


def test_what_rebaseline_stores(stored: Toy) -> None:
    rows, work = stored.baseline("toy.Rows"), stored.baseline("toy.Work")
    assert rows["tree"] == stored.git("rev-parse", "HEAD~1:optimizer")
    assert rows["commit"] == stored.git("rev-parse", "HEAD~1")
    assert (rows["reason"], rows["history"]) == ("first", [])
    assert rows["counters"]["n=5"]["statements"] == 9
    assert rows["counters"]["n=5"]["commits"] == 2
    assert "fsyncs" not in rows["counters"]["n=5"]  # no strace here
    assert set(work["counters"]) == {"n=20", "n=50"}
    assert set(work["ratios"]) == {"n=20"}  # at 50 there is only after
    ratios = work["ratios"]["n=20"]
    assert ratios["low"] <= ratios["cpu"] <= ratios["high"]


def test_unchanged_code_passes(toy: Toy, check: Check) -> None:
    toy.write({"README.md": "a file that is none of the gate's business"})
    judged = check()
    assert judged.code == 0
    assert judged.err.count("first stage: pair ") == WIDE.first_pairs
    assert re.search(r"^PASS: 2 hot paths: .*\(exit code 0\)$", judged.out, re.MULTILINE)
    assert "report: " in judged.out
    rows = {found["witness"]: found for found in judged.findings("toy.Rows")}
    assert {"agreement", "cpu", "statements", "commits", "steps", "bytecodes"} <= set(rows)
    for name, found in rows.items():
        assert found["code"] == 0
        if name not in {"cpu", "agreement", "wall", "claim"}:
            assert (found["verdict"], found["now"]) == ("same", found["before"])
    assert judged.report["tree"] == toy.baseline("toy.Rows")["tree"]


def test_a_name_selects_a_path_or_a_suite(check: Check) -> None:
    judged = check("toy.Work")
    assert {found["path"] for found in judged.report["findings"]} == {"toy.Work"}
    assert {found["case"] for found in judged.report["findings"]} == {"n=20", "n=50"}


def test_counters_of_another_python_are_counted_here(toy: Toy, check: Check) -> None:
    """What is stored is not believed: it is one statement short."""
    baseline = toy.baseline("toy.Rows")
    baseline["environment"]["python"] = "cpython 2.7"
    baseline["counters"]["n=5"]["statements"] -= 1
    toy.write({"benchmarks/baselines/toy.Rows.json": json.dumps(baseline)})
    judged = check("toy.Rows")
    assert judged.code == 0
    (note,) = (note for note in judged.report["notes"] if "counted here" in note)
    assert note.endswith(": toy.Rows")
    assert "instead of cpython 2.7" in note
    toy.plant()
    assert check("toy.Rows").code == 1


# --- exit code 1


def test_one_more_statement(toy: Toy, check: Check) -> None:
    toy.plant()
    judged = check()
    assert judged.code == 1
    (sentence,) = (line for line in judged.sentences("toy.Rows") if "statements" in line)
    assert sentence == "toy.Rows[n=5], statements: rose from 9 to 10 (no more allowed)"
    assert sentence in judged.out
    assert judged.sentences("toy.Work") == []
    assert "REGRESSION: 2 hot paths: " in judged.out


def second_look(patch: pytest.MonkeyPatch, before: int | None, now: int | None) -> None:
    """Let the second look find so many statements; None: nothing."""

    def take(self: measuring.Measurement, key: outcome.Key, found: int | None, side: str) -> None:
        look = self.outcomes[key].again
        assert look is not None
        getattr(look, side).update({} if found is None else {"statements": [found]})

    patch.setattr(
        measuring.Measurement, "_take_before", lambda m, key, _: take(m, key, before, "before")
    )
    patch.setattr(measuring.Measurement, "_take_now", lambda m, key, _: take(m, key, now, "now"))


@pytest.mark.parametrize("wrong", ["True", "len(CALLS) == 1"])
def test_a_wrong_answer_is_found_where_the_claim_is_measured(
    toy: Toy, check: Check, wrong: str
) -> None:
    """Also one of the first call alone, as a cache that was not filled yet may give."""
    answer = "return sum(i * i for i in range(n))"
    toy.edit("optimizer/__init__.py", answer, f"CALLS.append(n)\n    {answer} + int({wrong})")
    toy.edit("optimizer/__init__.py", "import sqlite3", "import sqlite3\n\nCALLS = []")
    judged = check("toy.Work")
    assert judged.code == 2
    said = "toy.Work[n=20], agreement: before and after gave different answers"
    assert any(one.startswith(said) for one in judged.sentences("toy.Work"))
    assert "agreement of this code" not in judged.err  # nobody else compared it


@pytest.mark.parametrize(
    ("before", "now", "sentences"), [(9, 9, 0), (10, 10, 0), (9, 10, 1), (None, None, 1)]
)
def test_an_increase_is_a_regression_if_both_sides_counted_here_say_so(
    toy: Toy,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    before: int | None,
    now: int | None,
    sentences: int,
) -> None:
    """What was stored only raises the suspicion; what cannot be counted again stays one."""
    second_look(monkeypatch, before, now)
    toy.plant()
    judged = check("toy.Rows")
    said = [line for line in judged.sentences("toy.Rows") if ", statements: " in line]
    assert len(said) == sentences


def test_a_count_that_differs_by_itself_must_rise_in_the_third_look_too(
    toy: Toy, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes of each side may part it by chance; as many more then see both values."""
    looks: list[int] = []

    def taken(side: str, first: int, later: int) -> Callable[..., None]:
        def take(self: measuring.Measurement, key: outcome.Key, answer: object) -> None:
            look = self.outcomes[key].again
            assert look is not None
            values = getattr(look, side).setdefault("statements", [])
            values.append(first if len(values) < measuring.AGAIN[Kind.COUNTERS] else later)
            looks.append(len(values))

        return take

    monkeypatch.setattr(measuring.Measurement, "_take_before", taken("before", 9, 10))
    monkeypatch.setattr(measuring.Measurement, "_take_now", taken("now", 10, 9))
    toy.plant()
    judged = check("toy.Rows")
    assert max(looks) == 2 * measuring.AGAIN[Kind.COUNTERS]
    assert [line for line in judged.sentences("toy.Rows") if ", statements: " in line] == []


def test_each_side_is_counted_again_on_each_core_as_often(
    toy: Toy, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy core makes a call take longer, and what is done twice a second is done more there."""
    cores = [outcome.exact_core(), None]
    again: Counter[tuple[str, int | None]] = Counter()
    do = exact._do

    def watched(job: exact.Job, *rest: Any) -> None:
        if job.instrument is Kind.COUNTERS:
            again[job.side.name, rest[-1]] += 1
        do(job, *rest)

    def begin(self: measuring.Measurement, key: outcome.Key, kind: Kind) -> bool:
        again.clear()  # of all that came before the second look
        return changed(self, key, kind)

    changed = measuring.Measurement._changed
    monkeypatch.setattr(exact, "all_cores", lambda: cores)
    monkeypatch.setattr(exact, "_do", watched)
    monkeypatch.setattr(measuring.Measurement, "_changed", begin)
    toy.plant()
    assert check("toy.Rows").code == 1
    names = {name for name, _ in again}
    assert len(names) == 2
    of_each = measuring.AGAIN[Kind.COUNTERS]  # in two looks on two cores
    assert again == Counter(
        (name, core) for name in names for core in cores for _ in range(of_each)
    )


def test_what_grew_is_named(toy: Toy, check: Check) -> None:
    toy.plant()
    judged = check("toy.Rows")
    (grew,) = judged.report["grew"].values()
    assert ["SELECT ?", 0, 1] in grew["SQL statements"]
    assert "toy.Rows[n=5], what grew most: " in judged.out
    (functions,) = [rows for kind, rows in grew.items() if kind == "bytecodes by function"]
    assert any(name.startswith("rows (optimizer/") for name, _, _ in functions)


def test_cpu_time_is_measured_again_and_then_fails(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_quick(monkeypatch, ALWAYS_SLOWER)
    judged = check("toy.Rows")
    assert judged.code == 1
    assert "a second look at toy.Rows[n=5]" in judged.err
    assert "a third look at toy.Rows[n=5]" in judged.err
    (sentence,) = judged.sentences("toy.Rows")
    assert sentence.startswith("toy.Rows[n=5], CPU time: rose by ")


def test_what_looks_faster_is_measured_again_before_a_baseline_is_asked_for(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "GAIN_PAIRS", 2)
    looks = iter([True, False, True, True])  # of two runs: the first pairs, the new ones
    monkeypatch.setattr(rules.Paired, "faster", property(lambda pairs: next(looks)))
    by_luck, faster = check("toy.Rows"), check("toy.Rows")
    for judged in (by_luck, faster):
        assert judged.code == 0
        assert "a second look at what looks faster: toy.Rows[n=5]" in judged.err
        assert len(judged.report["pairs"]["toy.Rows[n=5]"]["gain"]) == 2
    assert by_luck.verdicts("toy.Rows") == {"same"}
    assert "is faster" not in by_luck.out
    assert "toy.Rows is faster: keep it with `rebaseline toy.Rows" in faster.out


def test_what_a_third_look_denies_is_no_regression_and_is_said(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_quick(monkeypatch, ALWAYS_SLOWER)
    monkeypatch.setattr(rules.Paired, "confirmed", lambda second, third, rule: False)
    judged = check("toy.Rows")
    assert judged.code == 0
    assert "toy.Rows[n=5] looked slower in 2 process pairs (" in judged.out
    assert "later ones (" in judged.out
    assert set(judged.report["pairs"]["toy.Rows[n=5]"]) >= {"first", "second", "third"}
