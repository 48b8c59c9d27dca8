"""The HTML report: whole, self-contained, escaped, and saying what was found."""

from __future__ import annotations

import itertools
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from sample_report import LOST_INDEX, ODD, ODD_CASE, REGRESSION, SQL, calm, sample

from benchmarks.gate import html, strip
from benchmarks.gate.html_path import TONES
from benchmarks.gate.html_style import STYLE
from benchmarks.gate.judge import Finding
from benchmarks.gate.report import Report
from benchmarks.gate.rules import RANK, Verdict
from benchmarks.gate.view import cases, worst

VOID = {"meta", "br", "hr", "img", "input", "link", "wbr", "source"}
HOSTILE = "\"'><script>x</script><img src=http://x onerror=x>&amp;`|\x00"


class Page(HTMLParser):
    """A page taken apart; a tag that closes another than the last one opened is an error."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def having(self, tag: str, name: str = "") -> list[dict[str, str | None]]:
        """Attributes of each `tag` that has the class `name`."""
        found = [attributes for kind, attributes in self.tags if kind == tag]
        return [a for a in found if not name or name in (a.get("class") or "").split()]


def bare() -> dict[str, Any]:
    """A report as the first form of the gate stored it: no pairs, baselines, growth, exempt."""
    report = sample()
    return {k: v for k, v in report.items() if k not in ("pairs", "baselines", "grew", "exempt")}


def poisoned(value: Any) -> Any:
    """The same report with something hostile at the end of every string."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return value


REPORTS = {
    "sample": sample(),
    "calm": calm(),
    "bare": bare(),
    "poisoned": poisoned(sample()),
    "empty": {"findings": [], "exit_code": 3, "summary": "NOT MEASURED: 0 hot paths"},
    "nothing": {},
}


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html.render(sample()))


# --- the file


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_every_tag_is_closed_in_its_order(report: dict[str, Any]) -> None:
    assert Page(html.render(report)).open == []


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_it_needs_nothing_but_itself(report: dict[str, Any]) -> None:
    source = html.render(report)
    page = Page(source)
    loading = {"script", "link", "img", "iframe", "object", "embed", "base", "image", "use"}
    assert loading.isdisjoint(tag for tag, _ in page.tags)
    style = source[source.index("<style>") : source.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face|http", style)
    identities = {attributes.get("id") for _, attributes in page.tags}
    for _, attributes in page.tags:
        assert not {"src", "srcset", "data", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        target = attributes.get("href")
        assert target is None or (target.startswith("#") and target[1:] in identities)


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())
def test_it_can_be_written_and_parsed_as_text(report: dict[str, Any]) -> None:
    source = html.render(report)
    source.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", source)


def test_a_lone_surrogate_does_not_reach_the_file() -> None:
    report = calm()
    report["notes"] = ["before \ud800after"]
    assert "before after" in html.render(report)


# --- what it says


@pytest.mark.parametrize("make", [sample, bare])
def test_every_failing_sentence_is_there(make: Any) -> None:
    report = make()
    sentences = [f["sentence"] for f in report["findings"] if f["code"]]
    assert len(sentences) >= 6
    text = Page(html.render(report)).text
    for sentence in sentences:
        assert sentence.replace("`", "") in text


def test_the_verdict_and_what_was_compared_come_first(page: Page) -> None:
    text = page.text
    report = sample()
    word, _, rest = report["summary"].partition(": ")
    words = [word, rest, "aaaaaaaaaa", "5f5f5f5f5f", "cpython 3.11.7", "24 new pairs", "62.4 s"]
    words += [
        "9a7e9a7e9a7e9a7e",
        "valgrind is not installed",
        "space.Grid is new",
        "Summary",
        "Hot paths",
    ]
    places = [text.index(part) for part in words]
    assert places == sorted(places)


def test_it_says_how_to_read_a_change(page: Page) -> None:
    assert "> 0 is slower" in page.text
    assert "se is the standard error" in page.text


@pytest.mark.parametrize("make", [sample, calm])
def test_a_case_has_one_row_and_the_failing_ones_come_first(make: Any) -> None:
    report = make()
    found = cases(report)
    names = {(f["path"], f["case"]) for f in report["findings"]}
    page = Page(html.render(report))
    assert len(found) == len(names) == len(page.having("tr", "row"))
    failing = [bool(case.failing) for case in found]
    assert failing == sorted(failing, reverse=True)
    assert [RANK.index(case.verdict) for case in found if not case.failing] == sorted(
        RANK.index(case.verdict) for case in found if not case.failing
    )


def test_only_paths_with_something_wrong_are_open(page: Page) -> None:
    wrong = {case.path for case in cases(sample()) if case.failing}
    every = {case.path for case in cases(sample())}
    paths = page.having("details", "path")
    assert len(paths) == len(every)
    assert sum("open" in path for path in paths) == len(wrong)
    assert not [p for p in Page(html.render(calm())).having("details") if "open" in p]


def test_the_summary_tells_what_grew_most_and_what_is_not_committed() -> None:
    report = sample() | {"uncommitted": ["pkg/a.py", HOSTILE]}
    text = Page(html.render(report)).text
    summary = text[: text.index("Hot paths")]
    first = next(iter(report["grew"][LOST_INDEX].values()))[0]
    assert "what grew most: " in summary
    assert first[0] in summary
    assert "not committed: pkg/a.py, " in summary


def test_what_grew_is_there_to_the_last_row(page: Page) -> None:
    for rows in sample()["grew"][LOST_INDEX].values():
        for name, before, now in rows:
            assert name in page.text
            assert before < now
    assert SQL in page.text


def test_the_commits_since_the_baseline_are_named(page: Page) -> None:
    assert "Validate <each> signature & its length" in page.text
    assert "7d7d7d7d7d" in page.text


def test_equal_code_is_said_to_be_equal() -> None:
    report = sample()
    for baseline in report["baselines"].values():
        baseline |= {"commits": [], "tree": report["tree"]}
    assert "The code is the same as the baseline's." in Page(html.render(report)).text


def test_it_is_said_where_the_baselines_commit_is_not_here() -> None:
    report = sample()
    for baseline in report["baselines"].values():
        baseline["commits"] = None
    text = Page(html.render(report)).text
    assert "not in this clone: which commits touched the code since is unknown" in text
    assert "No commit since then" not in text
    for baseline in report["baselines"].values():
        baseline["commits"] = []
    assert "No commit since then" in Page(html.render(report)).text


def test_every_verdict_has_its_rank_and_its_colour() -> None:
    assert sorted(RANK) == sorted(Verdict) == sorted(TONES)
    assert set(TONES.values()) == set(re.findall(r"\.t-(\w+) {", STYLE))
    drawn = set(re.findall(r"\.v-([\w-]+)", STYLE))
    assert drawn == {verdict.replace(" ", "-") for verdict in Verdict}


def test_a_path_with_a_regression_and_a_skipped_case_is_worse() -> None:
    findings = [
        Finding("a.Path", "n=1", "run", Verdict.SKIPPED),
        Finding("a.Path", "n=2", "cpu", Verdict.WORSE, "a.Path[n=2], cpu: slower", 1),
    ]
    report = Report(findings, [], {})
    assert "1 hot path: 1 worse" in report.last_line()
    assert worst(["skipped", "worse", "same"]) == "worse"
    page = Page(html.render(report.table()))
    assert page.having("details", "t-bad")
    assert page.having("span", "t-quiet")  # the skipped case's word
    assert Report(findings[:1], [], {}).last_line().startswith("PASS: 1 hot path: 1 skipped")


def test_an_unknown_verdict_does_not_look_well() -> None:
    report = calm()
    report["findings"][0]["verdict"] = "splendid"
    assert cases(report)[0].verdict == "splendid"
    assert Page(html.render(report)).having("tbody", "t-bad")


# --- escaping


def test_odd_names_arrive_as_they_are(page: Page) -> None:
    assert ODD in page.text
    assert ODD_CASE.replace("\x08", "") in page.text
    assert not page.having("i")


def test_no_string_of_a_report_becomes_a_tag_or_an_attribute() -> None:
    clean, dirty = (Page(html.render(report)) for report in (sample(), poisoned(sample())))
    tags = {tag for tag, _ in clean.tags}
    attributes = {name for _, found in clean.tags for name in found}
    assert {tag for tag, _ in dirty.tags} <= tags
    assert {name for _, found in dirty.tags for name in found} <= attributes


# --- pictures


def numbers(pattern: str, source: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, source)]


def test_one_dot_for_each_pair_of_each_stage(page: Page) -> None:
    stored = sample()["pairs"].values()
    for stage in ("first", "second"):
        expected = sum(len(pairs.get(stage, ())) for pairs in stored)
        assert len(page.having("circle", stage)) == expected
    assert len(page.having("circle")) == len(page.having("circle", "pair"))


def test_a_dot_stands_where_its_change_says() -> None:
    first = [(1.00, 1.0), (1.018, 1.0), (1.10, 1.0), (0.95, 1.0)]
    picture = strip.pairs({"first": first}, 0.018, "same")
    dots = numbers(r'<circle [^>]*cx="([\d.]+)%"', picture)
    (limit,) = numbers(r'<line class="limit" x1="([\d.]+)%"', picture)
    (zero,) = numbers(r'<line class="zero" x1="([\d.]+)%"', picture)
    assert dots[:2] == pytest.approx([zero, limit], abs=0.011)  # two decimals are written
    assert dots[3] < zero < limit < dots[2]
    heights = numbers(r'<circle [^>]*cy="([\d.]+)"', picture)
    assert heights == sorted(set(heights))


def test_the_band_is_the_mean_and_three_standard_errors_of_the_verdict() -> None:
    report = sample()
    cpu = next(f for f in report["findings"] if f["witness"] == "cpu" and f["verdict"] == "worse")
    pairs = [tuple(pair) for pair in report["pairs"][REGRESSION]["second"]]
    label = f"24 pairs, mean {cpu['change']:+.1%} ± {cpu['plus_minus']:.1%}"
    picture = strip.pairs({"second": [(a, b) for a, b in pairs]}, 0.018, "worse")
    assert label in picture
    (limit,) = numbers(r'<line class="limit" x1="([\d.]+)%"', picture)
    (zero,) = numbers(r'<line class="zero" x1="([\d.]+)%"', picture)
    (mean,) = numbers(r'<line class="mean" x1="([\d.]+)%"', picture)
    ((left, width),) = re.findall(r'"band second" x="([\d.]+)%"[^>]* width="([\d.]+)%"', picture)
    percent_of_width = (limit - zero) / 0.018  # for a change of 1
    assert mean - zero == pytest.approx(cpu["change"] * percent_of_width, rel=0.005)
    half = cpu["plus_minus"] * percent_of_width
    assert [mean - float(left), float(width) / 2] == pytest.approx([half, half], rel=0.01)


def test_a_single_pair_has_no_band() -> None:
    picture = strip.pairs({"first": [(1.0, 1.1)]}, None, "same")
    assert "1 pair, mean" in picture
    assert "band" not in picture


def test_no_pair_no_picture() -> None:
    assert strip.pairs({"first": [], "second": []}, 0.018, "same") == ""


def test_pairs_that_are_no_times_are_left_out() -> None:
    report = sample()
    report["pairs"][REGRESSION]["first"] = [[0.0, 1.0], [1.0, -1.0], [math.nan, 1.0], [2.0, 1.0]]
    before = len(Page(html.render(sample())).having("circle", "first"))
    assert len(Page(html.render(report)).having("circle", "first")) == before - 6 + 1


@pytest.mark.parametrize("change", [-0.5, -0.03, 0.0, 0.01, 0.1, 0.5])
def test_an_interval_runs_from_zero_to_the_change(change: float) -> None:
    scale = strip.common_scale([(0.2, 0.01)], 0.018)
    picture = strip.interval(scale, change, 0.004, "worse", 0.018)
    ((x, width),) = re.findall(r'<rect class="bar" x="([\d.]+)%"[^>]* width="([\d.]+)%"', picture)
    ends = sorted([scale.x(0.0), scale.x(change)])
    assert [float(x), float(x) + float(width)] == pytest.approx(ends, abs=0.02)
    assert ("arrow" in picture) == (abs(change) > scale.high)


def test_an_infinite_interval_is_no_number_in_the_picture() -> None:
    report = calm()
    cpu = next(f for f in report["findings"] if f["witness"] == "cpu")
    cpu["plus_minus"] = math.inf
    source = html.render(report)
    assert "± unknown" in source
    assert not re.search(r'="-?(inf|nan)', source)


@pytest.mark.parametrize(
    ("low", "high"), list(itertools.pairwise([-1.0, -0.1, -0.013, 0.0, 0.004, 0.07, 1.2, 40.0]))
)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = strip.Scale(low, high).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_the_common_axis_ends_at_ten_percent_and_holds_the_limit() -> None:
    assert strip.common_scale([], 0.018) == strip.Scale(-0.03, 0.03)
    assert strip.common_scale([(0.04, 0.005)], 0.018) == strip.Scale(-0.05, 0.05)
    assert strip.common_scale([(3.0, 0.1), (0.01, math.inf)], 0.018) == strip.Scale(-0.1, 0.1)
    assert strip.common_scale([], 0.2).high > 0.2
