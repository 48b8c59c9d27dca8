"""`python -m benchmarks claims`, with the measuring replaced."""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sample_claims import TRIAL, claim, measured

from benchmarks import _claims, _claims_code, _engine
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_measured import Measured
from benchmarks._claims_plan import lines_of
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role
from benchmarks._claims_table import ORDER, Claim, read_claims, read_compared, split_case
from benchmarks.gate.errors import BodyRaisedError, NotMeasuredError, UsageError
from benchmarks.gate.machine import processor

PATHS = {path.name: path for path in _engine.load()}
CLAIMS = {
    "dedup-insert": claim(also=("stores.AddEach",), plain_path="stores.SeenEach"),
    "pool": Claim("pool", what="x", source="y"),
    "shared-data": claim("shared-data", hot_path="workers.Share"),
}


# --- the plan


def test_a_claim_brings_what_stands_below_it_and_ours_come_last() -> None:
    lines = lines_of(CLAIMS, PATHS)
    found = [(line.role, line.claim.name, line.path, line.case) for line in lines[:5]]
    assert found == [
        (Role.CLAIM, "dedup-insert", "stores.AddBatch", LONG),
        (Role.BESIDE, "dedup-insert", "stores.AddEach", LONG),
        (Role.PLAIN, "dedup-insert", "stores.SeenEach", "n=100"),
        (Role.CLAIM, "pool", "", ""),
        (Role.CLAIM, "shared-data", "", ""),
    ]
    named = {"stores.AddBatch", "stores.AddEach", "stores.SeenEach"}
    assert [line.path for line in lines[5:]] == [name for name in PATHS if name not in named]
    assert {line.role for line in lines[5:]} == {Role.OURS}
    assert {line.trials for line in lines[5:]} == {None}


def test_below_a_claim_the_case_is_the_claims_where_there_is_one() -> None:
    own, each, plain = lines_of(CLAIMS, PATHS, ["dedup-insert"], quick=True)
    short = "n=100,durability=power"
    assert (own.case, each.case, plain.case) == (short, short, "n=100")
    assert own.judged == each.judged == plain.judged == LONG
    assert own.trials is None  # the table says of n=1000 only
    own, each, _ = lines_of(CLAIMS, PATHS, ["dedup-insert"])
    assert own.trials == each.trials == 1_000


def loading(*also: str, quick: bool = False) -> list[str]:
    """The lines of a claim judged at 100 files, with what it names to stand below it."""
    claims = {"trial-load": claim("trial-load", hot_path="records.LoadFolder", also=also)}
    return [line.name for line in lines_of(claims, PATHS, ["trial-load"], quick=quick)]


def test_below_a_claim_the_case_is_the_one_that_is_named() -> None:
    """The claim's own hot path may stand there at another case."""
    named = "records.LoadFolder[n=10000]", "records.LoadTable[n=10000]"
    assert loading(*named) == ["records.LoadFolder[n=100]", *named]
    unnamed = "records.LoadTable"
    assert loading(unnamed) == ["records.LoadFolder[n=100]", "records.LoadTable[n=100]"]


def test_no_case_stands_twice_below_a_claim() -> None:
    """With `--quick` a named case may become the one that stands there already."""
    named = "records.LoadFolder[n=10000]", "records.LoadTable[n=10000]"
    own, table = "records.LoadFolder[n=100]", "records.LoadTable[n=100]"
    assert loading(*named, quick=True) == [own, table]
    assert loading(own, "records.LoadTable", table) == [own, table]


def test_quick_keeps_what_was_named_apart_where_it_can() -> None:
    """Our default stands beside the claim at a quick case too."""
    also = ("stores.AddBatch[n=1000,durability=process]",)
    lines = lines_of({"dedup-insert": claim(also=also)}, PATHS, ["dedup-insert"], quick=True)
    assert [line.case for line in lines] == ["n=100,durability=power", "n=100,durability=process"]


def test_the_issues_ten_thousand_files_are_measured() -> None:
    names = {line.name for line in lines_of(read_claims(), PATHS, ["trial-load"])}
    for path in ("LoadFolder", "LoadFolderOfJson", "LoadTable"):
        assert f"records.{path}[n=10000]" in names


def test_what_a_line_compares_is_said_by_case_else_by_path_else_by_the_claim() -> None:
    compared = {
        "stores.AddEach": "each",
        "stores.SeenEach": "seen",
        "stores.SeenEach[n=100]": "a hundred",
        "stores.Executemany": "by hand",
    }
    claims = {
        "dedup-insert": claim(also=("stores.AddEach", "stores.SeenEach[n=100]")),
        "dedup-lookup": claim("dedup-lookup", hot_path="stores.SeenBatch", what="own", plain="x"),
    }
    names = ["dedup-insert", "dedup-lookup", "stores.Executemany"]
    found = [line.what for line in lines_of(claims, PATHS, names, compared=compared)]
    assert found == ["slow → fast", "each", "a hundred", "own", "by hand"]


def test_quick_takes_a_case_whose_before_is_quick() -> None:
    lines = [line for line in lines_of(read_claims(), PATHS, quick=True) if line.path]
    assert {line.path for line in lines} == set(PATHS)
    for line in lines:
        assert PATHS[line.path].case(line.case).compared, line.name


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("dedup-insert", ["stores.AddBatch", "stores.AddEach", "stores.SeenEach"]),
        ("stores.AddEach", ["stores.AddEach"]),
        ("metadata", ["metadata.WriteMetadata"]),
        ("pool", [""]),
    ],
)
def test_a_row_is_named_by_claim_hot_path_or_suite(name: str, paths: list[str]) -> None:
    assert [line.path for line in lines_of(CLAIMS, PATHS, [name])] == paths


@pytest.mark.parametrize(
    ("name", "meant"),
    [("dedup-insrt", "; did you mean dedup-insert?"), ("zzz", " (--list names them)")],
)
def test_an_unknown_name_is_one_line(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _claims.main(parse("dedup-insert", name)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"claims: no claim, hot path or suite {name}{meant}")
    assert err.count("\n") == 1


# --- the command

LONG = "n=1000,durability=power"
Asked = list[tuple[str, str, bool]]


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What would have been measured: hot path, case, quick."""
    found: Asked = []

    class NoRun:
        head = None
        tree = "t0"

        def __init__(self, project: object) -> None:
            assert project is not None

    def measure(side: None, key: tuple[str, str], *, quick: bool, begun: Any) -> Measured:
        begun(1, 2)
        found.append((*key, quick))
        begun(2, 2)
        return measured(500.0)

    def count_both(side: None, key: object, counters: Any) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(counters, (10, 1))

    monkeypatch.setattr(_claims, "Run", NoRun)
    for taking in ("measure", "measure_once"):
        monkeypatch.setattr(_claims, taking, measure)

    def answered(side: None, key: object, names: Any) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(names, (680_000, 291_000))

    monkeypatch.setattr(_claims, "count_both", count_both)
    monkeypatch.setattr(_claims, "answered", answered)
    monkeypatch.setattr(_claims, "trial_cost", lambda quick: TRIAL)
    return found


def parse(*words: str, folder: Path = Path("/nowhere")) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    _claims.add_arguments(parser)
    files = ["--json", str(folder / "c.json"), "--markdown", str(folder / "c.md")]
    files += ["--html", str(folder / "c.html")]
    return parser.parse_args([*words, *files])


def test_everything_is_measured_where_its_claim_is_judged(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _claims.main(parse(folder=tmp_path)) == 0
    assert {path for path, _, _ in asked} == set(PATHS)
    assert len(asked) == len({(path, case) for path, case, _ in asked})
    assert not any(quick for _, _, quick in asked)
    for name, case, _ in asked:
        below = [split_case(also) for found in read_claims().values() for also in found.also]
        beside = (name, case) in below or (name, "") in below
        told = f"{name}[{case}]" in read_compared()
        assert beside or told or case == PATHS[name].case().label, name
    table = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    found = ClaimsReport.from_json(table)
    assert [row.claim for row in found.rows if row.role is Role.CLAIM] == list(ORDER)
    assert (found.whole, found.quick, found.exit_code) == (True, False, 0)
    assert (found.tree, found.suite) == ("t0", _claims_code.suites(_claims.ROOT, peers=False))
    assert {"numpy", "optuna"} <= set(found.packages)
    assert found.packages["SQLite"] == sqlite3.sqlite_version
    assert found.processor == processor()
    out, err = capsys.readouterr()
    assert f"rows: {tmp_path / 'c.json'}; as Markdown: {tmp_path / 'c.md'}" in out
    assert (tmp_path / "c.md").read_text(encoding="utf-8").startswith("### Reported claims\n")
    measured_rows = sum(bool(row.hot_path) for row in found.rows)
    assert f"row {measured_rows} of {measured_rows}" in err
    assert " s left" in err


def test_each_feature_has_a_line_of_its_own(asked: Asked, tmp_path: Path) -> None:
    assert _claims.main(parse("features.Rolling", "features.Smoothed", folder=tmp_path)) == 0
    shown = {case.partition(",")[0] for _, case, _ in asked}
    names = ("rolling_mean", "zscore", "volatility", "momentum", "ewma", "rsi", "atr")
    assert shown == {f"feature={name}" for name in names}
    assert len(asked) == len({*asked}) == 9  # two of them into memory that is kept, too


def test_some_rows_are_no_whole_run(asked: Asked, tmp_path: Path) -> None:
    assert _claims.main(parse("dedup-lookup", "--quick", folder=tmp_path)) == 0
    assert asked[0] == ("stores.SeenBatch", "n=100", True)
    table = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert (table["whole"], table["quick"]) == (False, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [(BodyRaisedError("they disagree"), 2), (NotMeasuredError("no part"), 3)],
)
def test_a_row_that_cannot_be_measured_does_not_end_the_others(
    asked: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
) -> None:
    works = vars(_claims)["measure"]

    def measure(side: Any, key: Any, **options: Any) -> Measured:
        if key[0] == "stores.SeenBatch":
            raise error
        found: Measured = works(side, key, **options)
        return found

    monkeypatch.setattr(_claims, "measure", measure)
    assert _claims.main(parse("dedup-lookup", "tracker", folder=tmp_path)) == code
    table = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert table["exit_code"] == code
    found = {row.hot_path: row for row in ClaimsReport.from_json(table).rows}
    assert found["stores.SeenBatch"].verdict is ClaimVerdict.FAILED
    assert found["stores.SeenBatch"].notes == (f"not measured: {error}",)
    assert found["backtest.DayLoop"].measured is not None


def test_what_cannot_be_counted_keeps_its_times(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_both(side: None, key: tuple[str, str], counters: Any) -> dict[str, tuple[int, int]]:
        assert key == ("stores.AddBatch", LONG)
        assert set(counters) == {"allocations"}
        raise NotMeasuredError("memory cannot be counted here: no memray")

    counting = {"dedup-insert": claim(counted={"allocations": (5.0, 5.0)})}
    monkeypatch.setattr(_claims, "read_claims", lambda: counting)
    monkeypatch.setattr(_claims, "count_both", count_both)
    assert _claims.main(parse("dedup-insert", folder=tmp_path)) == 3
    table = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    (row,) = ClaimsReport.from_json(table).rows
    assert row.measured == measured(500.0)
    assert row.notes == ("not counted: memory cannot be counted here: no memray",)


def test_what_the_answers_hold_is_printed_beside_what_is_reported(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _claims.main(parse("dedup-disk", folder=tmp_path)) == 0
    out = capsys.readouterr().out
    assert "bytes: reported < 1 MB, found 680 kB → 291 kB: reproduced" in out
    table = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    (row,) = ClaimsReport.from_json(table).rows
    assert row.figures[0].sides == (680_000, 291_000)
    assert "reproduced: 291 kB" in (tmp_path / "c.md").read_text(encoding="utf-8")


def test_an_interrupted_run_prints_what_it_has_and_writes_nothing(
    asked: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    works = vars(_claims)["measure"]

    def measure(side: Any, key: Any, **options: Any) -> Measured:
        if key[0] == "backtest.DayLoop":
            raise KeyboardInterrupt
        found: Measured = works(side, key, **options)
        return found

    monkeypatch.setattr(_claims, "measure", measure)
    handler = signal.getsignal(signal.SIGTERM)
    assert _claims.main(parse("dedup-insert", "tracker", folder=tmp_path)) == 130
    out, err = capsys.readouterr()
    assert out.startswith("INTERRUPTED, a part of the rows:\n")
    assert f"stores.AddBatch[{LONG}]" in out
    assert "stores.Executemany[n=1000]" in out
    assert "claims: interrupted, 3 of 6 rows were measured; no file was written\n" in err
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is handler


def test_interrupted_before_anything_was_measured(
    asked: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def trial_cost(quick: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_claims, "trial_cost", trial_cost)
    assert _claims.main(parse("tracker", folder=tmp_path)) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert "interrupted, 0 of 3 rows were measured" in err


def test_a_failure_of_the_gate_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(project: object) -> None:
        raise UsageError("why")

    monkeypatch.setattr(_claims, "Run", refuse)
    assert _claims.main(parse("tracker")) == 2
    assert capsys.readouterr().err.endswith("claims: why\n")


def test_the_list_measures_nothing(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert _claims.main(parse("--list")) == 0
    out = capsys.readouterr().out
    assert asked == []
    assert [line.split()[0] for line in out.splitlines() if line[0] not in " -─"][1:] == [*ORDER]
    for words in (
        f"stores.AddBatch[{LONG}]",
        "332-402x",
        "not built yet",
        "shown by a test",
        "1-2 s",
    ):
        assert words in out


def test_the_help_tells_verdicts_exit_codes_and_defaults() -> None:
    parser = argparse.ArgumentParser()
    _claims.add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for words in ("verdicts: exceeded", "exit codes:", "(default: .gate/claims.md)", "--list"):
        assert words in text
    defaults = parser.parse_args([])
    assert defaults.json == _claims.ROOT / ".gate" / "claims.json"
