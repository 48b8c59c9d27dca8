"""The page, its flame tree and the speedscope file, as text."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hostile_profiles import HOSTILE, deep, hostile, wide
from sample_profiles import HOME, PHASES, empty, growing, leaking, unmarked
from script_modules import script_module

if TYPE_CHECKING:
    import _findings as findings
    import _flame_tree as flame_tree
    import _model as model
    import _page as page
    import _page_cost as cost
    import _page_lanes as lanes
    import _page_memory as memory_page
    import _record as record
    import _report as report
    import _speedscope as speedscope
    import _trend as trend
else:
    findings = script_module("_findings")
    flame_tree = script_module("_flame_tree")
    model = script_module("_model")
    page = script_module("_page")
    cost = script_module("_page_cost")
    trend = script_module("_trend")
    lanes = script_module("_page_lanes")
    memory_page = script_module("_page_memory")
    record = script_module("_record")
    report = script_module("_report")
    speedscope = script_module("_speedscope")

LARGEST_PAGE_BYTES = 500_000
VOID = {"meta", "br", "img", "input", "link", "wbr", "!doctype"}


class Reader(html.parser.HTMLParser):
    """Elements and attributes of a page as a browser would make them, and how they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID and not self._closed_shape(tag):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @staticmethod
    def _closed_shape(tag: str) -> bool:
        return False

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def count(text: str, tag: str) -> int:
    return sum(name == tag for name, _ in Reader(text).found)


@pytest.mark.parametrize("make", [growing, leaking, unmarked, empty, hostile, deep])
def test_a_page_is_whole_small_and_asks_for_nothing(make: Any) -> None:
    text = page.render(report.complete(make()))
    read = Reader(text)
    assert read.open == []
    assert len(text.encode("utf-8", "backslashreplace")) < LARGEST_PAGE_BYTES
    assert "default-src 'none'" in text
    for tag, attributes in read.found:
        assert tag not in {"img", "iframe", "object", "embed", "link", "base", "form", "video"}
        assert "src" not in attributes
        assert not str(attributes.get("href", "")).startswith(("http", "//", "javascript", "data"))
        assert not [name for name in attributes if name.startswith("on")]


def test_hostile_names_make_no_element_that_a_harmless_profile_lacks() -> None:
    """The same profile with plain names has the same elements, one for one."""
    worst = hostile()
    plain = json.loads(model.to_json(worst))

    def harmless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: harmless(one) for key, one in value.items()}
        if isinstance(value, list):
            return [harmless(one) for one in value]
        if isinstance(value, str) and value != "time":
            return f"plain-{HOSTILE.index(value)}" if value in HOSTILE else "plain"
        return value

    tame = model.from_json(json.dumps(harmless(plain)))
    ref = [tag for tag, _ in Reader(page.render(tame)).found if tag not in {"wbr", "code"}]
    comp = [tag for tag, _ in Reader(page.render(worst)).found if tag not in {"wbr", "code"}]
    assert comp == ref


def test_numbers_come_first_then_advice_then_pictures() -> None:
    text = page.render(report.complete(growing()))
    ids = re.findall(r'<section id="(\w+)"', text)
    assert ids == ["phases", "advice", "flame", "lanes", "cost", "run"]
    assert text.index('class="tiles"') < text.index('id="phases"')
    assert "Sampler takes 40% of the time" in text
    assert "above all in sampler" in text


def test_the_phase_table_has_each_phase_with_its_tenths() -> None:
    text = page.render(growing())
    table = text[text.index('<table class="phases') : text.index("</table>")]
    for phase in (*PHASES, "import"):
        assert f"</i>{phase}</span>" in table
    assert "12.0 ms → 71.3 ms" in table
    assert "optuna/<wbr>samplers/<wbr>_tpe/<wbr>sampler.py:480" in table
    assert table.count('class="grown"') == 2  # sampler and dedup


def test_without_marks_the_page_says_so_and_shows_no_tenths() -> None:
    text = page.render(unmarked())
    assert "No trials are marked: the study was not armed when it started" in text
    assert "first → last tenth" not in text
    assert 'id="cost"' not in text


def test_the_memory_page_blames_the_line_and_names_the_lost_process() -> None:
    text = page.render(report.complete(leaking()))
    assert "+400 kB" in text
    assert "leaky.py:12" in text
    assert "killed before it wrote" in text
    assert 'class="slope"' in text


def test_a_leak_that_may_be_none_is_not_called_one() -> None:
    sample = leaking()
    assert sample.memory is not None
    assert sample.memory.leak is not None
    leak = dataclasses.replace(sample.memory.leak, low=-1e5, high=9e5)
    sample = dataclasses.replace(sample, memory=dataclasses.replace(sample.memory, leak=leak))
    text = page.render(report.complete(sample))
    assert "can be told from noise" in text
    assert 'id="advice"' not in text
    assert "does not grow from trial to trial" in text


def test_a_line_in_several_processes_is_one_row() -> None:
    rows = [
        model.Allocator("f", "/a.py", 3, 100, 1, 1),
        model.Allocator("g", "/a.py", 9, 150, 1, 1),
        model.Allocator("f", "/a.py", 3, 100, 4, 2),
    ]
    first, second = findings.by_line(rows)
    assert (first.function, first.bytes, first.allocations, first.pids) == ("f", 200, 5, {1, 2})
    assert second.bytes == 150


def test_the_tree_holds_all_the_time() -> None:
    flame = growing().flame
    assert flame is not None
    nodes = flame_tree.grown(flame)
    ref: dict[str, float] = defaultdict(float)
    for stack in flame.stacks:
        ref[stack.phase] += stack.seconds
    assert nodes[0].seconds == pytest.approx(ref)
    path: list[Any] = []
    for node in nodes:
        path[node.depth :] = [node]
        if node.depth:
            assert node.total <= path[node.depth - 1].total + 1e-9
    leaves = {(node.function, node.line) for node in nodes if node.depth > 8}
    assert ("_get_internal_repr", 480) in leaves


def test_a_large_tree_is_cut_at_a_share_that_is_told() -> None:
    flame = wide(stacks=700, lanes=1, seconds=1.0).flame
    assert flame is not None
    text, smallest = flame_tree.encoded(flame)
    assert len(text) <= flame_tree.LARGEST_BYTES
    tree = json.loads(text)
    whole = tree["nodes"][0][3]
    assert all(node[3] >= whole * smallest - 1 for node in tree["nodes"])
    kept = {(node[0], node[3]) for node in tree["nodes"]}
    ref = {
        (node.depth, round(node.total * tree["unit"]))
        for node in flame_tree.grown(flame)
        if node.total * tree["unit"] >= whole * smallest + 1
    }
    assert ref <= kept


def test_the_page_of_a_minute_of_many_workers_is_small_enough() -> None:
    text = page.render(wide(stacks=2_000, lanes=12, seconds=4.0))
    assert len(text.encode()) < LARGEST_PAGE_BYTES


def test_idle_time_is_blank_and_lanes_beyond_the_most_are_told() -> None:
    sample = growing(trials=60)
    one = sample.lanes[0]
    idle = dataclasses.replace(one, segments=(model.Segment(0.0, 9.0, "idle"),))
    text = lanes.section(dataclasses.replace(sample, lanes=(idle,)))
    assert "<path" not in text
    text = lanes.section(dataclasses.replace(sample, lanes=(one,) * (lanes.MOST_LANES + 3)))
    assert "3 more lanes, less busy, are not shown" in text
    assert text.count('class="strip"') == lanes.MOST_LANES


def test_what_a_trial_costs_agrees_with_the_phases() -> None:
    sample = growing()
    groups, size = trend.per_group(sample)
    for phase in sample.phases:
        if phase.name == "import":
            assert phase.name not in groups
            continue
        row = groups[phase.name]
        assert sum(row) / len(row) == pytest.approx(phase.ms_per_trial, rel=0.1)
    sampler = groups["sampler"]
    assert size * len(sampler) <= len(sample.trials)
    assert sum(sampler[-5:]) > 3 * sum(sampler[:5])


def test_a_first_step_that_compiles_does_not_flatten_the_picture() -> None:
    sample = growing()
    first = sample.lanes[0].segments[1]
    long = dataclasses.replace(first, end_s=first.end_s + 0.1, phase="compile")
    lane = dataclasses.replace(sample.lanes[0], segments=(long,) * 50 + sample.lanes[0].segments)
    text = cost.section(dataclasses.replace(sample, lanes=(lane, *sample.lanes[1:])))
    assert re.search(r"\d steps? (is|are) taller than drawn, up to", text)
    assert "taller than drawn" not in cost.section(sample)


def test_thinning_a_curve_keeps_its_peak() -> None:
    points = [(n / 10, 100 + n % 7, None) for n in range(5_000)]
    points[3_217] = (321.7, 9_999, None)
    comp = memory_page.thinned(points)
    assert len(comp) <= 600
    assert (321.7, 9_999, None) in comp
    assert [point[0] for point in comp] == sorted(point[0] for point in comp)


@pytest.mark.parametrize(("last", "expected"), [(2.0, 1), (1.1, 0), (0.5, -1)])
def test_a_trend_needs_more_than_chance(last: float, expected: int) -> None:
    sample = growing()
    phases = tuple(
        dataclasses.replace(one, last_tenth_ms=(one.first_tenth_ms or 0.0) * last)
        for one in sample.phases
    )
    found = trend.growth(dataclasses.replace(sample, phases=phases))
    assert found is not None
    assert found.trend == expected


def test_the_speedscope_file_holds_stacks_and_lanes() -> None:
    sample = growing(trials=60)
    comp = json.loads(speedscope.rendered(sample))
    stacks, *others = comp["profiles"]
    assert stacks["type"] == "sampled"
    assert sum(stacks["weights"]) == pytest.approx(stacks["endValue"])
    assert len(stacks["weights"]) == len(stacks["samples"])
    frames = comp["shared"]["frames"]
    heaviest = [frames[number]["name"] for number in stacks["samples"][0]]
    assert heaviest == ["<module>", "<module>", "_find_and_load"]  # of 60 trials, the imports
    assert all(0 <= number < len(frames) for row in stacks["samples"] for number in row)
    assert len(others) == len(sample.lanes)
    for lane in others:
        at = [event["at"] for event in lane["events"]]
        assert at == sorted(at)
        assert [event["type"] for event in lane["events"]] == ["O", "C"] * (len(at) // 2)
        assert lane["startValue"] <= at[0]
        assert at[-1] <= lane["endValue"]


@pytest.mark.parametrize("make", [growing, leaking, hostile])
def test_a_recording_gets_all_files_whole(make: Any, tmp_path: Path) -> None:
    sample = make()
    recording = record.Recording.create(tmp_path, "study", datetime(2026, 1, 2, tzinfo=UTC))
    (recording.folder / "memory-1000.html").write_text("memray's")
    (recording.folder / '"><img src=x>.bin').write_text("")
    comp = report.write(sample, recording)
    names = {path.name for path in recording.folder.iterdir()}
    assert {"report.html", "profile.json"} <= names
    assert ("speedscope.json" in names) == (sample.flame is not None)
    assert not [name for name in names if name.startswith(".")]
    text = comp.read_text(encoding="utf-8")
    assert '<a href="memory-1000.html">' in text
    assert "<img" not in text
    kept = model.from_json((recording.folder / "profile.json").read_text(encoding="utf-8"))
    assert kept == report.complete(sample)


def test_paths_of_the_study_are_shown_from_its_folder() -> None:
    text = page.render(growing())
    assert "portfolio.py:64" in text
    assert f">{HOME}/portfolio.py:64" not in text
