"""claims.toml: as it is, and what its reader refuses."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _claims_table, _engine, _peers
from benchmarks._claims_plan import lines_of
from benchmarks._claims_table import (
    BEYOND,
    COMPARED,
    ORDER,
    STUDY_TRIALS,
    Claim,
    Per,
    read_claims,
    read_compared,
    split_case,
)
from benchmarks.backtest import TrackAndTable
from benchmarks.gate.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
TABLES: dict[str, dict[str, Any]] = tomllib.loads(
    _claims_table.FILE.read_text(encoding="utf-8"),
)
TABLES.pop(COMPARED)
TABLES.pop(BEYOND)
PATHS = {path.name: path for path in _engine.load()}
PEERS = {path.name: path for path in _peers.load()}
NEEDED = 'what = "slow → fast"\nsource = "A Report"\n'


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "claims.toml"
    file.write_text(text, encoding="utf-8")
    return file


# --- the file of the project


def test_every_claim_is_known_in_the_order_of_the_reports() -> None:
    claims = read_claims()
    assert tuple(claims) == ORDER
    assert len(set(ORDER)) == len(ORDER) == 51
    assert claims["dedup-insert"].reported == (332.0, 402.0)
    assert claims["eff-overall"].reported == (2.5, 5.0)


def test_every_row_names_its_report() -> None:
    for name, table in TABLES.items():
        assert len(table["source"].split()) > 2, f"{name}: the report's title"


def test_what_it_names_is_there() -> None:
    for claim in read_claims().values():
        assert set(claim.paths) <= {*PATHS}, claim.name
        for path, case in map(split_case, claim.also):
            assert case in {"", *(one.label for one in PATHS[path].cases)}, claim.name
        if not isinstance(claim.trials, int):
            cases = {case.label for name in claim.paths for case in PATHS[name].cases}
            assert set(claim.trials) <= cases, claim.name


@pytest.mark.parametrize("quick", [False, True])
def test_every_line_says_what_it_compares_and_no_two_the_same(quick: bool) -> None:
    """A case that stands below two claims is the same line twice."""
    lines = lines_of(read_claims(), PATHS, quick=quick, compared=read_compared())
    found = {line.name: line.what for line in lines if line.path}
    assert [name for name, what in found.items() if "→" not in what] == []
    assert len({*found.values()}) == len(found)


def test_what_is_compared_is_said_of_lines_that_are_there() -> None:
    lines = lines_of(read_claims(), PATHS, compared=read_compared())
    lines += lines_of({}, PEERS, compared=read_compared(), every_case=True)
    own = {line.path for line in lines if line.role == "claim"}
    shown = {line.name for line in lines} | {line.path for line in lines} - own
    assert {*read_compared()} <= shown


def test_a_line_below_a_claim_has_its_share_of_a_trial() -> None:
    """But for what is asked once, of thousands, and for trials until one is good."""
    lines = lines_of(read_claims(), PATHS)
    without = [line.path for line in lines if line.trials is None and line.role != "ours"]
    found = {"stores.Remembered", "stores.Forgotten", "engine_efficiency.Guided"}
    assert {*without} - {""} == found


def test_what_no_gpu_was_seen_to_do_is_not_said_to_work() -> None:
    assert read_claims()["gpu"].simulated


def test_what_has_no_figure_of_its_own_is_not_judged_by_anothers() -> None:
    claim = read_claims()["precompute-features"]
    assert claim.reported is None
    assert PATHS[claim.hot_path].case().label == "steps=coarse"


def test_the_trades_that_the_notes_speak_of_are_those_of_the_work() -> None:
    claims, found = read_claims(), {}
    for schedule in ("monthly", "many"):
        body = TrackAndTable()
        body.setup(schedule)
        found[schedule] = f"{len(body.tracker.track(body.bars, body.weights)):,}"
    assert claims["tracker"].note.startswith(f"{found['monthly']} trades here")
    assert claims["trade-stats"].note.startswith(
        f"{found['monthly']} trades here, {found['many']} with schedule=many"
    )
    beside = read_compared()["backtest.TrackAndTable[schedule=many]"]
    assert beside.startswith(f"{found['many']} trades")


@pytest.mark.parametrize("name", [name for name in TABLES if "tested_by" in TABLES[name]])
def test_the_test_that_shows_a_claim_exists(name: str) -> None:
    file, _, function = TABLES[name]["tested_by"].partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_header_explains_every_field() -> None:
    header = _claims_table.FILE.read_text(encoding="utf-8").partition("[dedup-insert]")[0]
    for field in set(Claim.__dataclass_fields__) - {"name", "plain_path", "note", "goals"}:
        assert f"# {field} " in header, field
    assert f"# [{COMPARED}]" in header
    assert f"# [{BEYOND}]" in header


# --- the reader


def test_all_fields_are_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        f"""[grid-expand]
{NEEDED}hot_path = "space.GridColumns"
reported = [1.2, 2]
reported_also = {{ "on duplicates" = [10, 100] }}
said = "words"
saved_s = [1, 2.5]
saved_share = 0.01
at_most = {{ bytes = 1_000 }}
per = "study"
counted = {{ allocations = 5, peak_bytes = [2.0, 3.0] }}
also = ["space.GridWalk[n=7]"]
plain = "numpy.meshgrid"
plain_path = "space.GridPlain"
because = "why"
note = "more"
""",
    )
    found = read_claims(file)["grid-expand"]
    assert found == Claim(
        name="grid-expand",
        what="slow → fast",
        source="A Report",
        reported=(1.2, 2.0),
        reported_also={"on duplicates": (10.0, 100.0)},
        said="words",
        saved_s=(1.0, 2.5),
        saved_share=(0.01, 0.01),
        at_most={"bytes": 1_000.0},
        hot_path="space.GridColumns",
        per=Per.STUDY,
        counted={"allocations": (5.0, 5.0), "peak_bytes": (2.0, 3.0)},
        also=("space.GridWalk[n=7]",),
        plain="numpy.meshgrid",
        plain_path="space.GridPlain",
        because="why",
        note="more",
    )
    assert found.paths == ("space.GridColumns", "space.GridWalk", "space.GridPlain")


def test_a_claim_without_a_table_is_there_all_the_same(tmp_path: Path) -> None:
    claims = read_claims(written(tmp_path, ""))
    assert tuple(claims) == ORDER
    assert claims["pool"] == Claim("pool")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", r"claims\.toml is not TOML"),
        (f"[a-claim]\n{NEEDED}", r"\[a-claim\] is no claim of the reports"),
        (f'[pool]\n{NEEDED}hotpath = "x"', r"\[pool\] has an unknown field hotpath; known: "),
        ('[pool]\nwhat = "x"', r"\[pool\] has no source"),
        ('[pool]\nwhat = " "\nsource = "x"', r"\[pool\] has no what"),
        (f"[pool]\n{NEEDED}reported = 1", "reported is 1; expected before / after"),
        (f"[pool]\n{NEEDED}reported = [3, 2]", r"reported is \[3, 2\]"),
        (f"[pool]\n{NEEDED}reported = [2]", r"reported is \[2\]"),
        (f'[pool]\n{NEEDED}reported = "2x"', "reported is '2x'"),
        (f"[pool]\n{NEEDED}reported = true", "reported is True"),
        (f'[pool]\n{NEEDED}hot_path = "x"\nper = "day"', "per is 'day'; expected one of trial"),
        (f'[pool]\n{NEEDED}hot_path = "x"\ntrials = -1', "trials is -1"),
        (f'[pool]\n{NEEDED}hot_path = "x"\ntrials = 1.5', "trials is 1.5"),
        (f'[pool]\n{NEEDED}hot_path = "x"\ntrials = {{ a = 0 }}', "trials is {'a': 0}"),
        (
            f'[pool]\n{NEEDED}hot_path = "x"\ncounted = {{ opens = 0.5 }}',
            "counted.opens is 0.5",
        ),
        (
            f'[pool]\n{NEEDED}hot_path = "x"\nreported_also = {{ a = [3, 2] }}',
            r"reported_also\.a is \[3, 2\]; expected before / after",
        ),
        (f"[pool]\n{NEEDED}reported_also = {{ a = 2 }}", "has reported_also, but no hot_path"),
        (f"[pool]\n{NEEDED}trials = 1", "has trials, but no hot_path to measure"),
        (f"[pool]\n{NEEDED}at_most = {{ bytes = 1 }}", "has at_most, but no hot_path to measure"),
        (f"[pool]\n{NEEDED}saved_s = 0", "saved_s is 0; expected seconds that 100 trials save"),
        (f"[pool]\n{NEEDED}saved_s = [2, 1]", r"saved_s is \[2, 1\]"),
        (f"[pool]\n{NEEDED}saved_share = 1", "saved_share is 1; expected a share of a run"),
        (
            f'[pool]\n{NEEDED}hot_path = "x"\nat_most = {{ bytes = 0 }}',
            "at_most.bytes is 0; expected how many at most",
        ),
        (f'[pool]\n{NEEDED}hot_path = "x"\ntested_by = "y"', "expected one of them"),
        (f"[pool]\n{NEEDED}simulated = true", "has simulated, but no tested_by"),
        (f'[pool]\n{NEEDED}tested_by = "y"\nsimulated = 1', "simulated is 1; expected true"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_claims(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_what_is_compared_is_words(tmp_path: Path) -> None:
    file = written(tmp_path, '[compared]\n"a.B" = "slow → fast"\n"a.B[n=1]" = "x"')
    assert read_compared(file) == {"a.B": "slow → fast", "a.B[n=1]": "x"}
    assert read_claims(file)["pool"] == Claim("pool")
    assert read_compared(written(tmp_path, "")) == {}
    with pytest.raises(UsageError, match=r"\[compared\] a\.B is ' '; expected words"):
        read_compared(written(tmp_path, '[compared]\n"a.B" = " "'))


@pytest.mark.parametrize(
    ("claim", "label", "trials"),
    [
        (Claim("x", trials=7), "n=10", 7),
        (Claim("x", trials=7), "n=1", None),
        (Claim("x", trials={"n=1": 1, "n=10": 10}), "n=1", 1),
        (Claim("x", trials={"n=10": 10}), "n=1", None),
        (Claim("x"), "n=10", None),
        (Claim("x", per=Per.STUDY), "n=1", STUDY_TRIALS),
    ],
)
def test_how_many_trials_the_work_stands_for(claim: Claim, label: str, trials: int | None) -> None:
    assert claim.trials_at(label, judged="n=10") == trials
