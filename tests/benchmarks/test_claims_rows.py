"""A claim's row: its verdict, what is told of it, and its way through JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from sample_claims import TRIAL, claim, line, measured, report, rows, spread

from benchmarks._claims_cells import words
from benchmarks._claims_figures import ClaimVerdict, Counted, Unit
from benchmarks._claims_report import ClaimsFormatError, ClaimsReport
from benchmarks._claims_rows import Line, Role, Row, measured_row, told_row, with_plain
from benchmarks._claims_table import Claim, Per, Range


def made(of: Claim, wall: float = 400.0, counted: Counted | None = None, case: str = "") -> Row:
    case = case or "n=1000"
    asked = line(claim=of, case=case, trials=of.trials_at(case, "n=1000"), what=of.what)
    return measured_row(asked, measured(wall), counted or {}, TRIAL.seconds)


def test_a_row_takes_its_fields_from_the_table() -> None:
    found = made(claim(note="a note", plain="a library"))
    assert (found.claim, found.hot_path, found.case) == (
        "dedup-insert",
        "stores.AddBatch",
        "n=1000",
    )
    assert (found.what, found.source, found.said) == ("slow → fast", "A Report", "332x")
    (figure,) = found.figures
    assert (figure.least, figure.most, figure.found and figure.found.value) == (332.0, 332.0, 400.0)
    assert (figure.unit, figure.verdict) == (Unit.WALL, ClaimVerdict.EXCEEDED)
    assert found.verdict is ClaimVerdict.EXCEEDED
    assert found.notes == ("a note", "plain libraries, not measured: a library")
    assert [share.objective for share in found.shares] == ["trivial", "10 ms", "1 s"]
    assert found.shares[2].slow == pytest.approx(0.00129 / (0.00129 + TRIAL.seconds + 1))


def test_a_row_that_does_not_reproduce_says_why() -> None:
    assert made(claim(because="of X"), wall=2.0).notes == ("not reproduced, because of X",)
    assert made(claim(), wall=2.0).notes == ("not reproduced, because of what nobody looked into",)
    assert made(claim(because="of X")).notes == ()
    wide = ("not reproduced, because the interval is too wide to tell",)
    assert measured_row(line(), measured(290.0, wide=0.2), {}, TRIAL.seconds).notes == wide
    explained = line(claim=claim(because="of X"))
    assert measured_row(explained, measured(400.0, wide=1.0), {}, TRIAL.seconds).notes == wide


def test_a_row_at_another_case_says_so() -> None:
    (elsewhere, no_share) = made(claim(), case="n=100").notes
    assert elsewhere == "measured at n=100; the claim is judged at n=1000"
    assert no_share == "claims.toml says of no trials at n=100: no share of a trial"
    found = made(claim(trials={"n=100": 100}), case="n=100")
    assert found.notes == ("measured at n=100; the claim is judged at n=1000",)
    assert len(found.shares) == 3
    slow = made(claim(), wall=2.0, case="n=100")
    assert slow.notes[0] == "not reproduced, because it was measured at another case"


@pytest.mark.parametrize(
    ("reported", "counts", "verdict", "told"),
    [
        (None, (100, 10), ClaimVerdict.EXCEEDED, "reported 5x, found 100 → 10, 10x: exceeded"),
        (None, (100, 20), ClaimVerdict.REPRODUCED, "found 100 → 20, 5x: reproduced"),
        (None, (100, 90), ClaimVerdict.NOT_REPRODUCED, "found 100 → 90, 1.11x: not reproduced"),
        (None, (100, 0), ClaimVerdict.EXCEEDED, "found 100 → 0: exceeded"),
        ((2.0, 2.0), (100, 90), ClaimVerdict.NOT_REPRODUCED, "1.11x"),
        ((900.0, 900.0), (100, 10), ClaimVerdict.NOT_REPRODUCED, "10x: exceeded"),
    ],
)
def test_counts_are_judged_beside_time_and_the_worst_counts(
    reported: Range | None, counts: tuple[int, int], verdict: ClaimVerdict, told: str
) -> None:
    asked = claim(reported=reported, counted={"allocations": (5.0, 5.0)})
    found = made(asked, counted={"allocations": counts})
    assert found.verdict is verdict
    _, told_of_counts, *_ = words(found)
    assert told_of_counts.startswith("allocations: ")
    assert told in told_of_counts


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [(None, ClaimVerdict.FAILED), ((332.0, 332.0), ClaimVerdict.EXCEEDED)],
)
def test_counts_that_cannot_be_had_are_told(reported: Range | None, verdict: ClaimVerdict) -> None:
    asked = line(claim=claim(reported=reported, counted={"allocations": (5.0, 5.0)}))
    found = measured_row(asked, measured(400.0), {}, TRIAL.seconds, "no memray")
    assert found.verdict is verdict
    assert found.notes == ("not counted: no memray",)
    assert found.measured is not None


def test_a_range_of_counts_is_told_as_one() -> None:
    asked = claim(counted={"peak_bytes": (1.67, 2.5)})
    _, told = words(made(asked, counted={"peak_bytes": (1_000, 500)}))
    assert told == "peak bytes: reported 1.67-2.5x, found 1,000 → 500, 2x: reproduced"


def test_what_stands_beside_a_claim_is_measured_and_not_judged() -> None:
    beside = measured_row(line(Role.BESIDE, "stores.AddEach"), measured(2.0), {}, TRIAL.seconds)
    assert (beside.figures, beside.said, beside.notes) == ((), "", ())
    assert beside.what == "slow stores.AddEach → fast stores.AddEach"
    assert beside.verdict is ClaimVerdict.OURS
    assert len(beside.shares) == 3


def test_what_stands_beside_a_claim_shows_what_the_report_counts() -> None:
    """The reports' own fast way saves fewer allocations than they say: shown, not judged."""
    asked = claim(counted={"allocations": (5.0, 5.0)}, saved_s=(1.0, 1.0))
    beside = line(Role.BESIDE, "space.GridBacktrack", claim=asked)
    row = measured_row(beside, measured(2.0), {"allocations": (111, 100)}, TRIAL.seconds)
    assert list(words(row)) == ["allocations: reported 5x, found 111 → 100, 1.11x"]
    assert row.verdict is ClaimVerdict.OURS


def test_the_claims_row_learns_how_it_stands_against_plain_libraries() -> None:
    own, beside, plain, *_ = with_plain(rows())
    assert own.before_plain == spread(1.25)
    assert beside.before_plain is None
    assert plain.before_plain is None
    assert [row.before_plain for row in with_plain(rows()[:2])] == [None, None]


def test_what_is_not_built_names_the_plain_way() -> None:
    row = told_row(Line(Role.CLAIM, claim("pool", hot_path="", plain="a pool")))
    assert row.verdict is ClaimVerdict.NOT_BUILT
    assert row.notes == ("plain libraries: a pool",)
    assert row.name == "pool"
    missing = told_row(Line(Role.CLAIM, claim("pool", hot_path="workers.Pool")))
    assert missing.verdict is ClaimVerdict.NOT_BUILT
    assert missing.notes == ("the suites declare no workers.Pool yet",)


def test_what_a_test_shows_works() -> None:
    row = told_row(Line(Role.CLAIM, claim("space-cap", hot_path="", tested_by="tests/x.py::y")))
    assert row.verdict is ClaimVerdict.WORKS
    assert row.notes == ("shown by pytest tests/x.py::y, not here",)


@pytest.mark.parametrize(
    ("per", "trials", "told"),
    [
        (Per.TRIAL, 1_000, "1,000 trials"),
        (Per.TRIAL, 1, "1 trial"),
        (Per.STUDY, 100, "once in 100 trials"),
        (Per.OBJECTIVE, 100, "100 objectives"),
        (Per.RUN, 200, "200 whole trials"),
        (Per.TRIAL, None, "-"),
    ],
)
def test_what_the_work_stands_for(per: Per, trials: int | None, told: str) -> None:
    assert dataclasses.replace(rows()[0], per=per, trials=trials).stands_for == told


# --- the file


def test_what_a_test_shows_in_a_simulator_alone_is_said_so() -> None:
    asked = claim("gpu", hot_path="", tested_by="tests/x.py::test_y", simulated=True)
    assert told_row(Line(Role.CLAIM, asked)).verdict is ClaimVerdict.SIMULATED


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    before = report(rows=tuple(with_plain(rows())), quick=True)
    file = tmp_path / "not there yet" / "claims.json"
    before.write(file)
    table = json.loads(file.read_text(encoding="utf-8"))
    assert ClaimsReport.from_json(table) == before
    assert ClaimsReport.from_json(table | {"machine": "another"}).machine == "another"
    assert [entry.name for entry in file.parent.iterdir()] == ["claims.json"]
    made = {"tree": "t", "suite": "s", "packages": {"numpy": "2"}, "processor": "a chip"}
    report(**made).write(file)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert ClaimsReport.from_json(found) == report(**made)
    older = {name: value for name, value in found.items() if name not in made}
    assert ClaimsReport.from_json(older) == report()


@pytest.mark.parametrize(("found", "told"), [({}, "format 1,"), ({"format": 2}, "format 2,")])
def test_another_format_says_what_to_do(found: dict[str, int], told: str) -> None:
    with pytest.raises(ClaimsFormatError, match=rf"{told} expected 3: run `nox -s claims`"):
        ClaimsReport.from_json(found)


def test_the_verdicts_are_counted_without_what_stands_below() -> None:
    assert report().count() == (
        "1 exceeded, 1 reproduced, 2 not reproduced, 1 works, 1 not built yet, 1 not reported, "
        "1 not measured"
    )
