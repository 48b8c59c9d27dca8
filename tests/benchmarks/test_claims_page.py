"""The claims page and its chart: all that the stored run says, and nothing from elsewhere."""

from __future__ import annotations

import argparse
import dataclasses
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sample_claims import measured, report, rows

from benchmarks import _claims, _claims_chart, _claims_page
from benchmarks._claims_cells import spread, times
from benchmarks._claims_chart import Axis, bars_of, svg
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_measured import Measured
from benchmarks._claims_page import render, stored, stored_peers
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role
from benchmarks._claims_table import ORDER

FIRST_WINS = measured(0.5)


class Text(HTMLParser):
    """The words of a page, and whether its tags are closed as they were opened."""

    VOID = ("meta", "br", "wbr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page_of(claims: ClaimsReport, peers: ClaimsReport | None = None) -> str:
    page = render(claims, peers)
    assert Text(page).open == []
    return page


def bodies(page: str) -> dict[str, str]:
    """Claim or hot path -> the part of the table that is about it, as text."""
    found = re.findall(r"<tbody class=.*?</tbody>", page, re.DOTALL)
    return {Text(one).words[0]: " ".join(Text(one).words) for one in found}


def plain(found: str) -> str:
    """The words of a part, with single spaces between them."""
    return " ".join(found.split())


# --- the stored run


def test_every_claim_of_the_reports_has_its_row_as_it_is_stored() -> None:
    claims = stored("claims")
    found = bodies(page_of(claims, stored_peers()))
    own = {row.claim: row for row in claims.rows if row.role is Role.CLAIM}
    for name in ORDER:
        row = own[name]
        assert str(row.verdict) in found[name]
        assert row.what in found[name]
        if row.measured:
            assert spread(row.measured.wall) in found[name]
            assert times(row) in found[name]
        for note in row.notes:
            assert note in found[name]
        built = row.verdict is not ClaimVerdict.NOT_BUILT
        assert f"rerun: {'nox -s' if built else 'nothing, it is not built yet'}" in plain(
            found[name]
        )
    beside = [row for row in claims.rows if row.role in (Role.BESIDE, Role.PLAIN)]
    for row in beside:
        assert row.measured is None or spread(row.measured.wall) in found[row.claim]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("dedup-lookup", "nox -s claims -- dedup-lookup"),
        ("mode-fast", "nox -s modes"),
        ("mode-thorough", "nox -s modes"),
        ("eff-report", "nox -s tests -- tests/report/test_run_report.py::test_figures"),
        ("distributed", "nothing, it is not built yet"),
    ],
)
def test_the_line_that_reruns_a_row(name: str, line: str) -> None:
    found = plain(bodies(page_of(stored("claims")))[name])
    assert found.count("rerun: ") == 1
    assert f"rerun: {line} " in f"{found} "


def test_every_row_beyond_the_reports_is_there() -> None:
    claims, peers = stored("claims"), stored_peers()
    assert peers is not None
    page = unescape(page_of(claims, peers))
    for row in [*(row for row in claims.rows if row.role is Role.OURS), *peers.rows]:
        assert row.what in page
        assert row.measured is None or spread(row.measured.wall) in page
    assert "rerun: <code>nox -s parity -- peers_storage.KeptTrials</code>" in page
    assert "rerun: <code>nox -s claims -- backtest.Track</code>" in page


def test_the_stored_chart_is_the_stored_runs() -> None:
    assert (_claims_page.RESULTS / "claims.svg").read_text(encoding="utf-8") == svg(
        stored("claims")
    )


def test_the_pages_chart_is_the_readmes() -> None:
    claims = stored("claims")
    assert svg(claims) in render(claims, None)


# --- the page


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = page_of(stored("claims"), stored_peers())
    assert not re.search(r"<script|<link|<img|@import|url\(|\ssrc=", page)
    assert set(re.findall(r"https?://[^\"\s<]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_machine_versions_and_date_stand_on_it() -> None:
    claims = dataclasses.replace(report(), packages={"optuna": "5.0.0"}, tree="abc" * 8)
    words = " ".join(Text(page_of(claims)).words)
    for part in (claims.date[:10], claims.machine, f"Python {claims.python}", "optuna 5.0.0"):
        assert part in words


def test_a_claim_that_a_part_did_not_ask_for_has_its_row_too() -> None:
    found = bodies(page_of(report()))
    assert set(ORDER) <= found.keys()
    assert "not asked for in this run" in found["grid-expand"]
    assert "not built yet" in found["pool"]
    assert "nox -s tests -- tests/x.py" in found["tracker-fallback"]
    assert "before and after disagree" in found["tracker"]


@pytest.mark.parametrize("suite", ["peers_storage", "evaluations"])
def test_a_row_in_which_the_first_side_is_faster_says_so(suite: str) -> None:
    page = beyond_page(f"{suite}.Kept", FIRST_WINS)
    found = bodies(page)[f"{suite}.Kept"]
    assert "the first side is faster" in found
    assert "100% slower" in found
    session = "parity" if suite == "peers_storage" else "claims"
    assert f"nox -s {session} -- {suite}.Kept" in found
    assert '<tbody class="t-bad">' in page.partition("Beyond the reports</h2>")[2]


def test_within_noise_neither_side_is_the_faster_one() -> None:
    page = beyond_page("peers_storage.Kept", measured(0.97, wide=0.1))
    found = bodies(page)["peers_storage.Kept"]
    assert "the first side is faster" not in found
    assert "3.1% slower (within noise)" in found
    assert '<tbody class="t-bad">' not in page.partition("Beyond the reports</h2>")[2]


def beyond_page(name: str, found: Measured) -> str:
    """The page of one row beyond the reports."""
    ours = next(row for row in rows() if row.role is Role.OURS)
    row = dataclasses.replace(ours, hot_path=name, measured=found)
    return page_of(report(rows=()), report(rows=(row,)))


def test_words_cannot_break_the_page() -> None:
    first, *rest = rows()
    evil = dataclasses.replace(first, what='<script>alert("x")</script> & more')
    page = page_of(dataclasses.replace(report(), rows=(evil, *rest)))
    assert "<script" not in page
    assert evil.what in unescape(page)


# --- the chart


def test_the_chart_is_xml_with_a_line_for_every_factor() -> None:
    claims = stored("claims")
    root = ElementTree.fromstring(svg(claims))
    kinds = [element.get("class") for element in root.iter()]
    bars = bars_of(claims)
    assert kinds.count("measured") == 2 * (1 + sum(bar.measured is not None for bar in bars))
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    for bar in bars:
        assert bar.name in words
    assert _claims_chart.caption(claims) in words


def test_what_has_no_line_of_the_chart_is_named_below_it() -> None:
    claims = stored("claims")
    told = _claims_chart.lacking(claims)
    shown = {bar.name for bar in bars_of(claims)}
    assert "distributed (not built yet)" in told
    named = set(re.findall(r"[a-z]+(?:-[a-z0-9]+)*", told))
    assert {name for name in ORDER if name in named} == set(ORDER) - shown
    root = ElementTree.fromstring(svg(claims))
    words = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert told in " ".join(words)
    height = float(root.attrib["height"])
    places = [float(element.get("y", 0)) for element in root.iter()]
    assert max(places) < height
    alone = claims.rows[0]
    assert _claims_chart.lacking(dataclasses.replace(claims, rows=(alone,))) == ""


def test_what_is_not_built_comes_last_with_what_is_reported() -> None:
    bars = bars_of(stored("claims"))
    order = [bar.measured is None for bar in bars]
    assert order == sorted(order)
    assert all(bar.reported for bar in bars if bar.measured is None)


def test_a_higher_factor_stands_further_right() -> None:
    axis = Axis.around([0.5, 2.0, 500.0])
    places = [axis.place(value) for value in (0.5, 1.0, 10.0, 100.0, 500.0)]
    assert places == sorted(places)
    assert places[2] - places[1] == pytest.approx(places[3] - places[2])  # logarithmic
    assert list(axis.powers) == [0, 1, 2]


def test_no_factor_no_chart() -> None:
    assert svg(dataclasses.replace(report(), rows=())) == ""


# --- the command


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    _claims.add_arguments(parser)
    return parser.parse_args(words)


def test_the_page_is_made_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*words: object) -> int:
        raise AssertionError("measured")

    monkeypatch.setattr(_claims, "_run", never)
    file = tmp_path / "claims.html"
    assert _claims.main(parsed("--page", str(file))) == 0
    assert file.read_text(encoding="utf-8") == render(stored("claims"), stored_peers())
    assert capsys.readouterr().out == f"page: {file}\n"


def test_without_a_stored_run_there_is_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_claims_page, "stored", lambda name: stored(name, tmp_path))
    assert _claims_page.main(tmp_path / "claims.html") == 1
    assert "claims.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
