"""The page in a headless Chromium with the network off: drawn, zoomed, searched, harmless."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import Browser, executable
from hostile_profiles import HOSTILE, hostile, wide
from sample_profiles import growing, leaking, unmarked
from script_modules import script_module

if TYPE_CHECKING:
    import _model as model
    import _page as page
    import _report as report
else:
    model = script_module("_model")
    page = script_module("_page")
    report = script_module("_report")

PROGRAM = executable()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on PATH to open the page with")
COUNT = "document.querySelectorAll({!r}).length"
BOX_OF = (
    "[...document.querySelectorAll('.box')].find(b => flame.nodes[b.dataset.id].function === {!r})"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM) as opened:
        yield opened


def shown(browser: Browser, folder: Path, profile: model.Profile) -> str:
    """Open the profile's page and make sure that it asked for nothing else; returns its text."""
    file = folder / "report.html"
    text = page.render(report.complete(profile))
    file.write_text(text, encoding="utf-8", errors="backslashreplace")
    browser.look(1280, 900)
    browser.open(file)
    assert browser.requests == [file.as_uri()]
    assert browser.errors == []
    return text


def count(browser: Browser, selector: str) -> int:
    return int(browser.run(COUNT.format(selector)))


def test_a_time_profile_is_drawn(browser: Browser, tmp_path: Path) -> None:
    sample = growing()
    shown(browser, tmp_path, sample)
    assert count(browser, "table.phases tbody tr") == len(sample.phases)
    assert count(browser, "#lanes .strip svg path") >= 2 * 5
    assert count(browser, "#cost svg path") >= 5
    assert count(browser, ".box") > 20
    colours = browser.run(
        "[...document.querySelectorAll('.box:not(.mixed)')]"
        ".map(b => getComputedStyle(b).backgroundColor)"
    )
    assert len(set(colours)) >= 6  # a colour for each phase
    drawn = browser.run(
        "[...document.querySelectorAll('#lanes svg path')].every(p => p.getBBox().width > 100)"
    )
    assert drawn is True


@pytest.mark.stress
def test_the_boxes_lie_below_their_callers_and_within_them(
    browser: Browser, tmp_path: Path
) -> None:
    shown(browser, tmp_path, growing())
    outside = browser.run(
        """[...document.querySelectorAll('.box')].filter(box => {
            const parent = flame.nodes[box.dataset.id].parent;
            if (!parent) return false;
            const above = document.querySelector(`.box[data-id="${parent.id}"]`);
            const a = above.getBoundingClientRect(), b = box.getBoundingClientRect();
            return b.left < a.left - 1 || b.right > a.right + 1 || b.top <= a.top;
        }).length"""
    )
    assert outside == 0


@pytest.mark.stress
def test_a_click_zooms_in_and_escape_shows_all(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, growing())
    number = browser.run(f"{BOX_OF.format('rebalance')}.dataset.id")
    selector = f'.box[data-id="{number}"]'
    narrow = browser.run(f"document.querySelector('{selector}').offsetWidth")
    browser.click(selector)
    wide_now = browser.run(f"document.querySelector('{selector}').offsetWidth")
    assert wide_now > 3 * narrow
    assert browser.run("flame.top().function") == "rebalance"
    assert count(browser, ".box.above") == 9  # its callers
    assert "rebalance" in browser.run("document.getElementById('about').textContent")
    assert "portfolio.py:64" in browser.run("document.getElementById('about').textContent")
    browser.key("Escape")
    assert browser.run("flame.top().function") == "all"
    assert browser.run(f"document.querySelector('{selector}').offsetWidth") == narrow


@pytest.mark.stress
def test_the_arrow_keys_walk(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, growing())
    browser.run("document.getElementById('frames').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        browser.key(key)
    assert browser.run("document.querySelector('.box.at').textContent") != ""
    assert browser.run("flame.nodes[document.querySelector('.box.at').dataset.id].depth") == 2


@pytest.mark.stress
def test_search_finds_functions_and_files(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, growing())
    browser.click("#search")
    browser.type("SAMPLERS/_tpe")
    assert count(browser, ".box.hit") == 6
    assert count(browser, ".box.dim") == count(browser, ".box") - 6
    found = browser.run("document.getElementById('found').textContent")
    assert found == "16.4 s, 40% in 2 places"  # what lies below a hit is not counted twice
    browser.type("no such thing")
    assert browser.run("document.getElementById('found').textContent") == "nothing found"
    browser.click("#reset")
    assert count(browser, ".box.hit, .box.dim") == 0


@pytest.mark.stress
def test_a_chip_shows_one_phase(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, growing())
    browser.click("#chips .ph-storage")
    lit = browser.run(
        "[...document.querySelectorAll('.box:not(.dim):not(.mixed)')].map(b => b.className)"
    )
    assert lit
    assert all("ph-storage" in name for name in lit)


@pytest.mark.stress
def test_the_pointer_over_a_lane_tells_second_and_trial(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, growing())
    browser.point("#lanes .strip")
    said = browser.run("document.querySelector('.cursor span').textContent")
    assert said.startswith("10.8 s, trial ")


@pytest.mark.stress
def test_a_memory_profile_is_drawn(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, leaking())
    assert count(browser, "#memory path.line") == 2
    assert count(browser, "#memory path.heap") == 1
    assert count(browser, "#memory path.slope") == 1
    assert count(browser, "table.allocators tbody tr") == 5
    assert count(browser, "table.processes tbody tr") == 3


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.stress
def test_nothing_is_cut_off_at_the_side(
    browser: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    for make in (growing, leaking, unmarked, hostile):
        shown(browser, tmp_path, make())
        browser.look(width, 900, dark=dark)
        assert browser.run("document.documentElement.scrollWidth") <= width
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) < 200) == dark


@pytest.mark.stress
def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, hostile())
    assert browser.run("window.harmed") is None
    assert count(browser, "img") == 0
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.run(
        "for (const box of document.querySelectorAll('.box'))"
        " box.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))"
    )
    text = browser.run("document.body.textContent")
    assert HOSTILE[0] in text
    assert HOSTILE[1] in text
    assert "\u202e" not in text
    assert browser.run("window.harmed") is None
    assert browser.errors == []


@pytest.mark.stress
def test_the_policy_of_the_page_stops_what_slips_through(browser: Browser, tmp_path: Path) -> None:
    """Were a name ever to become markup, its script would not run and nothing would be fetched."""
    text = page.render(dataclasses.replace(growing(trials=40), title="PLACEHOLDER"))
    slipped = (
        "<img src='https://example.invalid/x.png' onerror='window.harmed=1'>"
        "<script>window.harmed=1</script><script src='https://example.invalid/x.js'></script>"
    )
    file = tmp_path / "slipped.html"
    file.write_text(text.replace("PLACEHOLDER", slipped), encoding="utf-8")
    browser.open(file)
    assert browser.run("window.harmed") is None
    assert count(browser, ".box") > 10  # the page's own script runs
    assert [url for url in browser.requests if not url.startswith("file:")] == []


@pytest.mark.stress
def test_a_large_page_answers(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, wide())
    assert count(browser, ".box") > 100
    browser.click(".box:nth-child(3)")
    assert browser.run("flame.top().depth") > 0
