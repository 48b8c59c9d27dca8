"""The claims on a terminal, in Markdown and in the README."""

from __future__ import annotations

import dataclasses

import pytest
from sample_claims import TRIAL, claim, line, measured, report, rows

from benchmarks import _claims_cells, _claims_markdown
from benchmarks._claims_cells import (
    beside_plain,
    figures_cell,
    percent,
    size,
    slower,
    verdict,
)
from benchmarks._claims_figures import Figure, Unit
from benchmarks._claims_measured import Spread
from benchmarks._claims_rows import Line, Role, measured_row, told_row, with_plain
from benchmarks._claims_table import Per
from benchmarks._claims_text import VERDICTS, peer_lines, readme_lines, terminal_lines

REPORT = report(rows=tuple(with_plain(rows())))


def starting(lines: list[str], word: str) -> str:
    (found,) = [line for line in lines if line.startswith(word)]
    return found


def test_the_terminal_says_first_how_to_read_it() -> None:
    head = "\n".join(terminal_lines(REPORT)[:9])
    assert head.startswith("2026-01-02, Linux x86_64, 2 cores, Python 3.11.7, 61 s")
    for words in (
        "speedup = before / after, > 1 is faster",
        "not ours",
        "a reported time is saved in 100 trials, a percentage of a run with an objective of 1 s",
        "exceeded: all of the interval lies above what is reported; works: no figure is reported",
        "reproduced: at most a tenth of its gain is lacking (of a quality two points); the worst",
        "measured: Optuna 5.0.0 takes 500 µs (± 10 µs) a trial: random sampler, in memory",
        "computed: 10 ms and 1 s added to it; Optuna's default sampler takes 8 ms",
    ):
        assert words in head


def test_the_speeds() -> None:
    lines = terminal_lines(REPORT)
    first = next(i for i, line in enumerate(lines) if line.startswith("claim"))
    assert [line.split()[0] for line in lines[first + 2 : first + 12]] == [
        *("dedup-insert", "stores.AddEach[n=1000]", "plain:", "trial-load", "pool"),
        *("tracker-fallback", "tracker", "signature.Cold[n=1000]", "default-config", "dedup-disk"),
    ]
    own = lines[first + 2]
    assert own.split("  ")[0] == "dedup-insert [n=1000]"
    for words in ("332x", "400x (380-420)", "1.29 s → 3.23 ms", "72%", "11%", "0.13%"):
        assert words in own
    assert own.endswith("exceeded; 1.25x as fast as the plain way")
    assert lines[first + 3].startswith("  stores.AddEach[n=1000]  ")
    assert lines[first + 3].endswith("-")
    assert lines[first + 5].endswith("not reproduced")
    assert lines[first + 6].endswith("not built yet")
    assert lines[first + 8].endswith("not measured")
    assert lines[first + 9].endswith("not reported; 25% slower")
    for words in ("1-2 s", "80x (76-84)", "20 ms → 250 µs", "not reproduced: 19.8 ms"):
        assert words in lines[first + 10]
    for words in ("< 1 MB", "1.1x", "reproduced: 291 kB"):
        assert words in lines[first + 11]


def test_the_shares() -> None:
    lines = terminal_lines(REPORT)
    own = starting(lines, "stores.AddBatch[n=1000]")
    for words in ("200x (190-210)", "1,000 trials", "1.29 ms", "72%", "11%", "0.13%"):
        assert words in own
    assert "once in 100 trials" in starting(lines, "records.Load[n=1000]")
    shares = [line for line in lines if line.startswith("signature.Cold[n=1000]  ")][1]
    assert shares.split()[-5:] == ["-"] * 5


def test_what_a_claim_has_to_say() -> None:
    lines = terminal_lines(REPORT)
    where = lines.index("trial-load: slow records.Load → fast records.Load")
    assert lines[where + 1 : where + 3] == [
        "    reported: 332x (A Report)",
        "    not reproduced, because of X",
    ]
    where = lines.index("default-config: slow configuration.Load → fast configuration.Load")
    assert lines[where + 1 : where + 4] == [
        "    reported: 1-2 s (A Report)",
        "    saved in 100 trials: reported 1-2 s, found 19.8 ms (18.8 ms to 20.7 ms): "
        "not reproduced",
        "    not reproduced, because of Y",
    ]
    assert "    bytes: reported < 1 MB, found 680 kB → 291 kB: reproduced" in lines
    assert "    plain libraries: a pool of the library" in lines
    assert "    not measured: before and after disagree" in lines
    assert lines[-1].endswith("1 not measured; rerun a row: nox -s claims -- CLAIM")


def test_every_line_says_what_it_compares_and_no_two_the_same() -> None:
    lines = terminal_lines(REPORT)
    assert "    stores.AddEach[n=1000]: slow stores.AddEach → fast stores.AddEach" in lines
    assert "signature.Cold[n=1000]: slow signature.Cold → fast signature.Cold" in lines
    compared = [line for line in lines if "slow " in line and "→ fast " in line]
    assert len(set(compared)) == len(compared) == sum(bool(row.measured) for row in REPORT.rows) + 1


def test_quick_is_said_everywhere() -> None:
    quick = dataclasses.replace(REPORT, quick=True)
    assert terminal_lines(quick)[0].startswith("QUICK, two processes a row: not to be stored")
    assert _claims_markdown.render(quick).startswith("### Reported claims (quick)\n")
    assert "QUICK" not in "\n".join(terminal_lines(REPORT))
    assert "quick" not in _claims_markdown.render(REPORT).lower()


def test_markdown_has_the_table_and_folds_the_rest() -> None:
    page = _claims_markdown.render(REPORT)
    shown, _, folded = page.partition("<details>")
    assert "1 exceeded, 1 reproduced, 2 not reproduced" in shown
    assert (
        "| dedup-insert \\[n=1000\\] | 332x | 400x (380-420) | 1.29 s → 3.23 ms | 72% | 11% |"
        in shown
    )
    assert "| · `stores.AddEach[n=1000]` | - |" in shown
    assert "Not built yet: pool." in shown
    assert "| `stores.AddBatch[n=1000]` | 200x (190-210) | 1,000 trials | 1.29 ms |" in folded
    assert "\n  - not reproduced, because of X" in folded
    assert "\n- **dedup-insert** slow stores.AddBatch → fast stores.AddBatch\n" in folded
    assert "\n  - `stores.AddEach[n=1000]` slow stores.AddEach → fast stores.AddEach\n" in folded
    assert "x86\\_64" in folded
    assert "\n- speedup = before / after" in folded
    assert "\n  - measured: Optuna 5.0.0" in folded
    assert folded.endswith("</details>\n")
    cells = {line.count("|") for line in shown.splitlines() if line.startswith("|")}
    assert len(cells) == 1


def test_markdown_of_words_that_mean_something_in_it() -> None:
    row = dataclasses.replace(rows()[0], notes=("a|b <c> *d*",))
    page = _claims_markdown.render(dataclasses.replace(REPORT, rows=(row,)))
    assert "  - a&#124;b &lt;c&gt; \\*d\\*" in page


def test_the_verdicts_are_defined_wherever_they_stand() -> None:
    assert len(VERDICTS) == 2
    for shown in (terminal_lines(REPORT), readme_lines(REPORT)):
        assert set(VERDICTS) <= set(shown)
    page = _claims_markdown.render(REPORT)
    assert all(told.strip() in page for told in VERDICTS)


def test_the_processor_is_told_where_it_is_known() -> None:
    known = dataclasses.replace(REPORT, processor="A Chip (R) 3000")
    told = "Linux x86_64, 2 cores, A Chip (R) 3000, Python 3.11.7"
    for shown in (terminal_lines(known), readme_lines(known), peer_lines(known)):
        assert told in shown[0]
    assert "Linux x86_64, 2 cores, Python 3.11.7" in terminal_lines(REPORT)[0]


def test_the_readme_shows_what_was_measured_and_names_the_rest() -> None:
    lines = readme_lines(REPORT)
    assert lines[0] == (
        "2026-01-02, Linux x86_64, 2 cores, Python 3.11.7; speedup = before / after"
    )
    assert "saved of a trial with such an objective, where Optuna itself takes 500 µs" in lines[2]
    own = starting(lines, "dedup-insert [n=1000]")
    assert own.split("  ")[-1] == "exceeded"
    assert starting(lines, "  plain: stores.Plain[n=1000]").split("  ")[-1] == "-"
    for words in ("332x", "400x", "1.29 s → 3.23 ms", "72%", "0.13%"):
        assert words in own
    assert starting(lines, "tracker-fallback").endswith("works")
    alone = claim("gpu", hot_path="", tested_by="tests/x.py::test_y", simulated=True)
    simulated = readme_lines(report(rows=(told_row(Line(Role.CLAIM, alone)),)))
    assert starting(simulated, "gpu").endswith("simulator only")
    assert not any(line.startswith("pool") for line in lines)
    assert lines[-1] == "claims not built yet: pool"
    assert max(map(len, lines)) <= 130


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (1.0, "100%"),
        (0.7234, "72%"),
        (0.0999, "10%"),
        (0.0123, "1.2%"),
        (0.0009, "0.09%"),
        (0.00001234, "0.0012%"),
        (0.000001, "<0.001%"),
        (-0.034, "-3.4%"),
        (0.0, "<0.001%"),
    ],
)
def test_shares_have_two_digits(share: float, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        (Figure(Unit.WALL, 1.2, 2.5), "1.2-2.5x"),
        (Figure(Unit.WALL, 1000.0, 1000.0), "1,000x"),
        (Figure(Unit.WALL, 1.075, 1.075), "1.075x"),
        (Figure(Unit.WALL, 10.0, 100.0, "on duplicates"), "10-100x on duplicates"),
        (Figure(Unit.SECONDS, 0.2, 0.5), "0.2-0.5 s"),
        (Figure(Unit.SHARE, 0.01, 0.02), "1-2%"),
        (Figure(Unit.COUNT, 5.0, 5.0, "peak_bytes"), "5x peak bytes"),
        (Figure(Unit.BYTES, 1e6, 1e6, "bytes"), "< 1 MB"),
    ],
)
def test_a_reported_figure(figure: Figure, told: str) -> None:
    assert figures_cell([figure, Figure(Unit.WALL, 9.0, 9.0)]) == told


def test_no_figure_is_a_dash() -> None:
    assert figures_cell([]) == "-"


# --- verdicts


@pytest.mark.parametrize(
    ("wall", "alone", "against_plain"),
    [
        (Spread(0.8, 0.7, 0.9), "25% slower", "25% slower than the plain way"),
        (
            Spread(0.96, 0.9, 1.02),
            "4.2% slower (within noise)",
            "4.2% slower than the plain way (within noise)",
        ),
        (Spread(1.25, 1.2, 1.3), "", "1.25x as fast as the plain way"),
        (Spread(1.25, 0.9, 1.6), "", "1.25x as fast as the plain way (within noise)"),
    ],
)
def test_what_is_slower_is_called_slower(wall: Spread, alone: str, against_plain: str) -> None:
    assert slower(wall) == alone
    assert beside_plain(wall) == against_plain


@pytest.mark.parametrize("role", [Role.BESIDE, Role.PLAIN])
def test_a_line_below_a_claim_says_where_it_is_slower(role: Role) -> None:
    row = measured_row(line(role), measured(0.8), {}, TRIAL.seconds)
    assert verdict(row) == "25% slower"
    assert verdict(measured_row(line(role), measured(1.25), {}, TRIAL.seconds)) == "-"


def test_the_verdict_of_each_figure_is_told_beside_what_was_found() -> None:
    asked = claim(reported=None, saved_s=(0.2, 0.5), counted={"allocations": (5.0, 5.0)})
    counts = {"allocations": (1_000, 10)}
    row = measured_row(line(claim=asked), measured(2.0, before_s=1.0), counts, TRIAL.seconds)
    assert verdict(row) == "not reproduced: 50 ms; exceeded: 100x allocations"
    none = measured_row(
        line(claim=asked), measured(2.0, before_s=1.0), {"allocations": (9, 0)}, TRIAL.seconds
    )
    assert verdict(none) == "not reproduced: 50 ms; exceeded: no allocations"


def test_a_further_factor_of_the_same_work_is_judged_by_its_name() -> None:
    asked = claim(reported=(3.0, 11.0), reported_also={"on duplicates": (10.0, 100.0)})
    row = measured_row(line(claim=asked), measured(8.0), {}, TRIAL.seconds)
    assert verdict(row) == "reproduced; not reproduced: 8x on duplicates"
    assert row.verdict == "not reproduced"
    assert row.wall == measured(8.0).wall
    assert list(_claims_cells.words(row))[1] == (
        "wall time on duplicates: reported 10-100x, found 8x (7.6x to 8.4x): not reproduced"
    )


def test_a_share_of_a_run_is_told_as_one() -> None:
    asked = claim(reported=None, saved_share=(0.01, 0.02), per=Per.RUN)
    row = measured_row(line(claim=asked), measured(2.0, before_s=1.0), {}, TRIAL.seconds)
    assert verdict(row) == "not reproduced: 0.05%"
    slow = measured_row(line(claim=asked), measured(0.5, before_s=1.0), {}, TRIAL.seconds)
    assert verdict(slow) == "not reproduced: -0.1%"


def test_bytes_have_three_digits() -> None:
    assert (size(291_234), size(1e6), size(2_345_678)) == ("291 kB", "1 MB", "2.35 MB")
