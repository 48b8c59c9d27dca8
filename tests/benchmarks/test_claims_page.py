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
from benchmarks._claims_page import render, stored, stored_peers
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role
from benchmarks._claims_table import ORDER

PEER_WINS = measured(0.5)


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
        rerun = "nox -s" in found[name]
        assert rerun is (row.verdict is not ClaimVerdict.NOT_BUILT)
    beside = [row for row in claims.rows if row.role in (Role.BESIDE, Role.PLAIN)]
    for row in beside:
        assert row.measured is None or spread(row.measured.wall) in found[row.claim]


def test_every_row_beyond_the_reports_is_there() -> None:
    claims, peers = stored("claims"), stored_peers()
    assert peers is not None
    page = unescape(page_of(claims, peers))
    for row in [*(row for row in claims.rows if row.role is Role.OURS), *peers.rows]:
        assert row.what in page
        assert row.measured is None or spread(row.measured.wall) in page
    assert "nox -s parity -- peers_storage.KeptTrials" in page


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


def test_a_row_in_which_the_peer_is_faster_says_so() -> None:
    ours = next(row for row in rows() if row.role is Role.OURS)
    lost = dataclasses.replace(ours, hot_path="peers_storage.Kept", measured=PEER_WINS)
    found = bodies(page_of(report(), dataclasses.replace(report(), rows=(lost,))))
    assert "the other library is faster" in found["peers_storage.Kept"]
    assert "100% slower" in found["peers_storage.Kept"]
    assert "nox -s parity -- peers_storage.Kept" in found["peers_storage.Kept"]


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
