"""The ledger's runs: campaigns that go on, gates that break, loads that are there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sample_ledger import CASES, LINE, LIVE, STAMP, answer, finding

from benchmarks import _ledger, _planting, _records
from benchmarks import _ledger_record as _made
from benchmarks._answer import Answer
from benchmarks._planting import Calibration, Clone, Line, PlantError, alone_in
from benchmarks._plants_cpu import CPU
from benchmarks._plants_kinds import Work, together
from benchmarks._records import LedgerError, append, read
from benchmarks.gate import strace
from benchmarks.gate.baselines import Environment

ROOT = Path(__file__).resolve().parents[2]


def test_a_record_holds_what_was_not_the_same() -> None:
    record = _made.record_of(LIVE, answer(1, finding("same"), finding("worse")))
    assert [found["verdict"] for found in record["findings"]] == ["worse"]
    assert set(record["pairs"]) == set(CASES)
    assert record["exit_code"] == 1
    assert record["errors"] == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Answer(1, {}, "RuntimeError: boom", 1.0), "RuntimeError: boom"),
        (Answer(-9, {}, "", 1.0), "no report"),
        (Answer(124, {}, "gate: it did not end", 1.0), "it did not end"),
        (answer(3, finding("not measured", code=3, sentence="toy, cpu: not measured")), "toy, cpu"),
        (answer(2, finding("failed", code=2, sentence="toy, run: TypeError")), "TypeError"),
    ],
)
def test_a_run_in_which_the_gate_broke_is_red_and_has_no_pairs(given: Answer, said: str) -> None:
    record = _made.record_of(LIVE, given)
    assert said in record["errors"]
    assert record["exit_code"] == given.code
    assert record["pairs"] == {}
    assert _records.is_red(record)


def gate_that(code: str, tmp_path: Path) -> Clone:
    """A clone of a project whose gate is a few lines."""
    gate = tmp_path / "clone" / "benchmarks" / "gate"
    gate.mkdir(parents=True)
    (gate.parent / "__init__.py").touch()
    (gate / "__init__.py").touch()
    (gate / "__main__.py").write_text(code)
    return Clone(tmp_path / "clone", "c0")


def test_a_gate_that_ends_with_a_traceback_has_no_report(tmp_path: Path) -> None:
    given = gate_that("raise RuntimeError('boom')", tmp_path).gate()
    assert (given.code, given.table) == (1, {})
    assert "boom" in _made.record_of(LIVE, given)["errors"]


def test_a_gate_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_planting, "HANGS_S", 0.3)
    given = gate_that("import time; time.sleep(600)", tmp_path).gate()
    assert given.code == _planting.HUNG
    assert "did not end" in _made.record_of(LIVE, given)["errors"]


def test_how_long_it_takes_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_planting, "SAID_EVERY_S", 0.1)
    said: list[str] = []
    code = "import sys, time; time.sleep(0.5); sys.exit('no hot path is called so')"
    with pytest.raises(PlantError, match="no hot path is called so"):
        gate_that(code, tmp_path).rebaseline("synthetic", "budget", said.append)
    assert said


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, True),
        ({"commit": "c1"}, True),
        ({"code": "t1"}, True),
        ({"gate": "g1"}, False),
        ({"suite": "s1"}, False),
        ({"environment": {"python": "3.12"}}, False),
        ({"without": []}, False),
        ({"plants": "p1"}, True),
        ({"load": "same-core"}, False),
        ({"subset": True}, False),
    ],
)
def test_a_campaign_goes_on_for_the_same_gate_and_suites(
    change: dict[str, Any], counted: bool
) -> None:
    record = _made.record_of(LIVE | change, answer())
    assert bool(_made.like([record], LIVE)) is counted


def test_runs_with_other_plants_are_other_runs() -> None:
    stamp = STAMP | {"load": "quiet", "percent": 3.0, "names": ["toy.Path"]}
    record = _made.record_of(stamp | {"plants": "p1"}, answer())
    assert _made.like([record], stamp | {"plants": "p1"})
    assert not _made.like([record], stamp)
    assert _records.plants_hash(CPU) != _records.plants_hash(CPU[1:])


def test_what_a_record_was_made_with_is_known_before_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A campaign must count what is there already before it runs anything."""

    class Ran:
        environment = Environment("3.11", {"numpy": "2"}, {"memory": "long"}, "one")

        def __init__(self, project: object, against: str) -> None: ...

    monkeypatch.setattr(_made, "Run", Ran)
    monkeypatch.setattr(_made, "git", lambda *words: "hash")
    monkeypatch.setattr(strace, "unavailable", lambda: "not installed")
    stamp = _made.stamp_of(Clone(ROOT, "c0"))
    assert stamp["environment"] == STAMP["environment"]
    assert "fsyncs" in stamp["without"]
    assert set(_records.GROUP) <= set(stamp)
    assert stamp.keys() == STAMP.keys()


@pytest.mark.parametrize(("done", "runs", "left"), [(0, 3, 3), (2, 3, 1), (3, 3, 0), (5, 3, 0)])
def test_runs_are_counted_in_all(done: int, runs: int, left: int) -> None:
    turns = _ledger._Turns("aa quiet", done, runs)
    taken = 0
    while turns.left:
        turns.begin()
        turns.say(_made.record_of(LIVE, answer()))
        taken += 1
    assert taken == left


class FakeClone:
    """A clone whose gate answers at once."""

    start = "c0"
    folder = ROOT

    def __init__(self, *answers: Answer | type[BaseException]) -> None:
        self.answers = list(answers)
        self.words: list[tuple[str, ...]] = []

    def touch(self) -> None:
        pass

    def gate(self, *words: str) -> Answer:
        self.words.append(words)
        given = self.answers.pop(0)
        if not isinstance(given, Answer):
            raise given
        return given


def campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *answers: Answer | type[BaseException]
) -> FakeClone:
    """A ledger in `tmp_path`, and a clone whose gate answers so."""
    clone = FakeClone(*answers)
    monkeypatch.setattr(Clone, "make", lambda folder: clone)
    monkeypatch.setattr(_made, "stamp_of", lambda clone: STAMP)
    monkeypatch.setattr(_ledger, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(_records, "append", lambda kind, r: append(kind, r, tmp_path))
    monkeypatch.setattr(_records, "read", lambda kind: read(kind, tmp_path))
    return clone


def test_ctrl_c_keeps_what_is_done_and_the_campaign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = answer(1, finding("worse"))
    clone = campaign(tmp_path, monkeypatch, answer(), KeyboardInterrupt, again)
    words = ["aa", "--runs", "2", "--load", "quiet", "--subset"]
    assert _ledger.main(words) == 130
    assert len(read("aa", tmp_path)) == 1
    assert _ledger.main(words) == 0
    assert [record["exit_code"] for record in read("aa", tmp_path)] == [0, 1]
    assert _ledger.main(words) == 0  # nothing left to do
    assert len(clone.words) == 3
    assert set(_ledger.SUBSET) <= set(clone.words[0])


def test_a_broken_gate_is_kept_counts_as_red_and_stops_the_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = campaign(tmp_path, monkeypatch, Answer(1, {}, "RuntimeError: boom", 1.0), answer())
    words = ["aa", "--runs", "2", "--load", "quiet"]
    assert _ledger.main(words) == 2
    assert "the gate broke (exit code 1): RuntimeError: boom" in capsys.readouterr().err
    (kept,) = read("aa", tmp_path)
    assert (kept["exit_code"], kept["pairs"]) == (1, {})
    assert _records.is_red(kept)
    assert _ledger.main(words) == 0  # it was one of the two
    assert len(clone.words) == 2


def inject(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Plants that cost what `LINE` says; returns whether each calibration was made anew."""
    made: list[bool] = []

    class Known(Calibration):
        def __init__(self, clone: Clone, progress: object, *, anew: bool = False) -> None:
            made.append(anew)

        def lines(self, works: Sequence[Work]) -> dict[Work, Line]:
            return dict.fromkeys(works, LINE)

    monkeypatch.setattr(_ledger, "Calibration", Known)
    monkeypatch.setattr(_ledger, "plant", lambda clone, sizes: None)
    return made


def test_a_broken_gate_did_not_catch_what_was_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = answer(3, *(finding("worse", work=work) for work in CPU[1:]))
    campaign(tmp_path, monkeypatch, given)
    inject(monkeypatch)
    assert _ledger.main(["inject", "--percent", "5"]) == 2
    (kept,) = read("inject", tmp_path)
    assert kept["errors"]
    first = kept["planted"][0]
    assert (first["reached"], first["by_cpu"], first["witnesses"]) == (None, False, [])


def test_each_repetition_is_calibrated_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = answer(1, *(finding("worse", work=work) for work in CPU))
    groups = len(together(CPU, lambda work: work))
    campaign(tmp_path, monkeypatch, *[seen] * (4 * groups))
    made = inject(monkeypatch)
    assert _ledger.main(["inject", "--percent", "5", "10", "--runs", "2"]) == 0
    assert made == [True, True]
    records = read("inject", tmp_path)
    assert [record["percent"] for record in records] == ([5] * groups + [10] * groups) * 2
    assert _ledger.main(["inject", "--percent", "5", "10", "--runs", "2"]) == 0
    assert len(made) == 2


def test_a_busy_process_that_died_is_no_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def dead(load: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as process:
            process.wait()
            yield process

    campaign(tmp_path, monkeypatch, answer())
    monkeypatch.setattr(_ledger, "_loaded", dead)
    assert _ledger.main(["aa", "--runs", "1", "--load", "other-core"]) == 2
    assert "ended by itself (exit code 7)" in capsys.readouterr().err
    assert read("aa", tmp_path) == []


@pytest.mark.parametrize(("core", "said"), [(None, "cannot be kept on one core"), (0, "two cores")])
@pytest.mark.parametrize("load", ["other-core", "same-core"])
def test_a_load_that_cannot_be_had_is_refused(
    core: int | None, said: str, load: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_ledger.LOADS, load, lambda: core)
    for name in ("exact_core", "pair_core"):
        monkeypatch.setattr(_ledger, name, lambda: core)
    with pytest.raises(LedgerError, match=said), _ledger._loaded(load):
        pass
    with _ledger._loaded("quiet") as process:
        assert process is None


def test_two_campaigns_do_not_share_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign(tmp_path, monkeypatch, answer())
    with alone_in(tmp_path / "scratch"):
        assert _ledger.main(["aa", "--runs", "1", "--load", "quiet"]) == 2
    assert f"process {os.getpid()} works in" in capsys.readouterr().err
    assert _ledger.main(["aa", "--runs", "1", "--load", "quiet"]) == 0


def test_the_subset_is_five_hot_paths() -> None:
    assert len(set(_ledger.SUBSET)) == 5
    assert set(_ledger.SUBSET) <= {work.path for work in CPU}


def test_what_the_gate_said_of_a_planted_work() -> None:
    other = CPU[1]
    given = answer(
        1, finding("worse"), finding("worse", "instructions"), finding("same", work=other)
    )
    found = _made.planted_of(CPU[0], LINE, 0.07, given)
    assert (found["by_cpu"], found["witnesses"], found["n"]) == (True, ["cpu", "instructions"], 7)
    assert _made.planted_of(other, LINE, 0.07, given)["by_cpu"] is False
    unseen = _made.planted_of(CPU[2], LINE, 0.07, given)
    assert (unseen["reached"], unseen["by_cpu"], unseen["witnesses"]) == (None, False, [])
    assert not found["too_coarse"]
    small = _made.planted_of(CPU[0], LINE, 0.005, given)
    assert (small["n"], small["too_coarse"]) == (1, True)
    assert small["expected"] == pytest.approx(0.01)


def test_another_case_of_the_path_is_not_the_planted_one() -> None:
    found = _made.planted_of(
        CPU[0], LINE, 0.05, answer(1, finding("worse", case="n=7"), finding("same"))
    )
    assert (found["by_cpu"], found["witnesses"]) == (False, [])


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_a_load_is_on_its_core_and_ends_with_the_block() -> None:
    core = max(os.sched_getaffinity(0))
    with _ledger.busy(core) as process:
        deadline = time.monotonic() + 10
        while os.sched_getaffinity(process.pid) != {core}:
            assert time.monotonic() < deadline
    assert process.returncode is not None
