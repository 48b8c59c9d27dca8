"""The claims on a terminal, in Markdown and in the README."""

from __future__ import annotations

import dataclasses

import pytest
from sample_claims import report, rows

from benchmarks import _claims_markdown
from benchmarks._claims_rows import with_plain
from benchmarks._claims_text import percent, readme_lines, reported, terminal_lines

REPORT = report(rows=tuple(with_plain(rows())))


def starting(lines: list[str], word: str) -> str:
    (found,) = [line for line in lines if line.startswith(word)]
    return found


def test_the_terminal_says_first_how_to_read_it() -> None:
    head = "\n".join(terminal_lines(REPORT)[:6])
    assert head.startswith("2026-01-02, Linux x86_64, 2 cores, Python 3.11.7, 61 s")
    for words in (
        "speedup = before / after, > 1 is faster",
        "not ours",
        "measured: Optuna 5.0.0 takes 500 µs (± 10 µs) a trial: random sampler, in memory",
        "computed: 10 ms and 1 s added to it; Optuna's default sampler takes 8 ms",
    ):
        assert words in head


def test_the_speeds() -> None:
    lines = terminal_lines(REPORT)
    first = next(i for i, line in enumerate(lines) if line.startswith("claim"))
    assert [line.split()[0] for line in lines[first + 2 : first + 10]] == [
        *("dedup-insert", "stores.AddEach", "plain:", "trial-load", "pool"),
        *("tracker-fallback", "tracker", "signature.Cold"),
    ]
    own = lines[first + 2]
    assert own.split("  ")[0] == "dedup-insert"
    for words in ("332x", "400x (380-420)", "1.29 s → 3.23 ms", "72%", "11%", "0.13%"):
        assert words in own
    assert own.endswith("exceeded; 1.25x the plain way")
    assert lines[first + 3].startswith("  stores.AddEach")
    assert lines[first + 3].endswith("-")
    assert lines[first + 5].endswith("not reproduced")
    assert lines[first + 6].endswith("not built yet")
    assert lines[first + 8].endswith("not measured")
    assert lines[first + 9].endswith("not reported")


def test_the_shares() -> None:
    lines = terminal_lines(REPORT)
    own = starting(lines, "stores.AddBatch[n=1000]")
    for words in ("200x (190-210)", "1,000 trials", "1.29 ms", "72%", "11%", "0.13%"):
        assert words in own
    assert "once in 100 trials" in starting(lines, "records.Load[n=1000]")
    assert starting(lines, "signature.Cold[n=1000]").split()[-5:] == ["-"] * 5


def test_what_a_claim_has_to_say() -> None:
    lines = terminal_lines(REPORT)
    where = lines.index("trial-load: slow → fast")
    assert lines[where + 1 : where + 3] == [
        "    reported: 332x (A Report)",
        "    not reproduced, because of X",
    ]
    assert "    plain libraries: a pool of the library" in lines
    assert "    not measured: before and after disagree" in lines
    assert lines[-1].endswith("1 not measured; rerun a row: nox -s claims -- CLAIM")


def test_quick_is_said_everywhere() -> None:
    quick = dataclasses.replace(REPORT, quick=True)
    assert terminal_lines(quick)[0].startswith("QUICK, two processes a row: not to be stored")
    assert _claims_markdown.render(quick).startswith("### Reported claims (quick)\n")
    assert "QUICK" not in "\n".join(terminal_lines(REPORT))
    assert "quick" not in _claims_markdown.render(REPORT).lower()


def test_markdown_has_the_table_and_folds_the_rest() -> None:
    page = _claims_markdown.render(REPORT)
    shown, _, folded = page.partition("<details>")
    assert "1 exceeded, 1 not reproduced" in shown
    assert (
        "| dedup-insert | 332x | 400x (380-420) | 1.29 s → 3.23 ms | 72% | 11% | 0.13% |" in shown
    )
    assert "| · `stores.AddEach` | - |" in shown
    assert "Not built yet: pool." in shown
    assert "| `stores.AddBatch[n=1000]` | 200x (190-210) | 1,000 trials | 1.29 ms |" in folded
    assert "  - not reproduced, because of X" in folded
    assert "x86\\_64" in folded
    assert folded.endswith("</details>\n")
    cells = {line.count("|") for line in shown.splitlines() if line.startswith("|")}
    assert len(cells) == 1


def test_markdown_of_words_that_mean_something_in_it() -> None:
    row = dataclasses.replace(rows()[0], notes=("a|b <c> *d*",))
    page = _claims_markdown.render(dataclasses.replace(REPORT, rows=(row,)))
    assert "  - a&#124;b &lt;c&gt; \\*d\\*" in page


def test_the_readme_shows_what_was_measured_and_counts_the_rest() -> None:
    lines = readme_lines(REPORT)
    assert lines[0] == (
        "2026-01-02, Linux x86_64, 2 cores, Python 3.11.7; speedup = before / after"
    )
    assert "saved of a trial with such an objective, where Optuna itself takes 500 µs" in lines[1]
    own = starting(lines, "dedup-insert")
    assert own.split("  ")[-1] == "exceeded"
    for words in ("332x", "400x", "1.29 s → 3.23 ms", "72%", "0.13%"):
        assert words in own
    assert starting(lines, "tracker-fallback").endswith("works")
    assert not any(line.startswith("pool") for line in lines)
    assert lines[-1] == "claims not built yet: 1"
    assert max(map(len, lines)) <= 120


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


def test_a_reported_range() -> None:
    assert reported((1.2, 2.5)) == "1.2-2.5x"
    assert reported((1000.0, 1000.0)) == "1,000x"
    assert reported(None) == "-"
