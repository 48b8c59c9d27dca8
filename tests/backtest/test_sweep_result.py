"""What a sweep shows: the best rows, tables, frames and heat maps."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.backtest._sweep_heatmap import HeatMap, number
from optimizer.backtest._sweep_result import COLUMNS, SweepResult
from optimizer.backtest._sweep_space import Parameters
from optimizer.errors import OptimizerError, SpaceError

SPACE = {"fast": [3, 8, 12], "slow": [15, 40], "rsi": [5], "entry": [45], "exit": [55, 70]}


def result(final: Any, indexes: Any = range(12)) -> SweepResult:
    n = len(indexes)
    measures = np.zeros((7, n))
    measures[0] = final
    measures[1, :] = np.nan
    counts = np.arange(2 * n, dtype=np.int32).reshape(2, n)
    return SweepResult(Parameters(SPACE), indexes, counts, measures, "made up")


def test_the_best_rows_come_first_and_among_equals_the_earlier() -> None:
    nan = math.nan
    comp = result([2.0, 5.0, nan, 5.0, 1.0, 5.0, nan, 3.0, 0.0, 2.0, 2.0, 2.0])
    assert comp.top(5).numbers().tolist() == [1, 3, 5, 7, 0]
    assert comp.top(3, smallest=True).numbers().tolist() == [8, 4, 0]
    assert comp.top(100).numbers().tolist() == [1, 3, 5, 7, 0, 9, 10, 11, 4, 8]
    assert comp.top(2, by="trades").numbers().tolist() == [11, 10]
    assert comp.top(2).params(1) == comp.params(3)
    assert len(comp.top(3, by="mean_return")) == len(comp.top(0)) == len(comp.top(-1)) == 0
    chosen = result([1.0, 9.0, 4.0], np.array([11, 2, 7]))
    assert chosen.top(2).numbers().tolist() == [2, 7]
    stepped = result([1.0, 9.0, 4.0], range(11, 4, -3))
    assert stepped.top(2).numbers().tolist() == [8, 5]
    with pytest.raises(SpaceError, match="found column 'profit', expected one of trades"):
        comp.top(3, by="profit")
    with pytest.raises(IndexError, match="found row 12"):
        comp.params(12)


def test_a_frame_has_parameters_and_columns() -> None:
    pytest.importorskip("pandas")
    frame = result(np.arange(3.0), range(4, 10, 2)).to_frame()
    assert list(frame.columns) == [*SPACE, *COLUMNS]
    assert frame.index.tolist() == [4, 6, 8]
    assert frame.loc[6, "final_equity"] == 1.0
    assert frame.loc[4, ["fast", "slow", "exit"]].tolist() == [8, 15, 55]


def test_the_table_is_text_in_columns() -> None:
    lines = str(result(np.arange(12.0))).splitlines()
    assert len(lines) == 13
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == [*SPACE, *COLUMNS]
    assert lines[3].split()[:8] == ["3", "40", "5", "45", "55", "2", "14", "2"]
    long = SweepResult(
        Parameters({**SPACE, "entry": list(range(30, 60))}),
        range(360), np.zeros((2, 360), np.int32), np.zeros((7, 360)), "made up",
    )  # fmt: skip
    assert str(long).splitlines()[-1] == "... 360 rows in all"
    assert repr(long) == "<SweepResult of 360 combinations by 'made up'>"
    assert str(result([], range(0))).split() == [*SPACE, *COLUMNS]


def test_a_heat_map_reduces_the_other_parameters() -> None:
    final = [1.0, 2.0, 3.0, math.nan, 5.0, -6.0, math.nan, math.nan, 9.0, 10.0, 11.0, 12.0]
    comp = result(final)  # fast x slow x exit
    assert_cells(comp, "max", [[2.0, 5.0, 10.0], [3.0, math.nan, 12.0]])
    assert_cells(comp, "min", [[1.0, -6.0, 9.0], [3.0, math.nan, 11.0]])
    assert_cells(comp, "mean", [[1.5, -0.5, 9.5], [3.0, math.nan, 11.5]])
    part = result([7.0, 8.0], np.array([11, 0]))
    expected = [[8.0, math.nan, math.nan], [math.nan, math.nan, 7.0]]
    np.testing.assert_array_equal(part.heat_map("fast", "slow").cells, expected)


def assert_cells(comp: SweepResult, reduce: Any, expected: Any) -> None:
    heat_map = comp.heat_map("fast", "slow", reduce=reduce)
    np.testing.assert_array_equal(heat_map.cells, expected)
    assert heat_map.x_values.tolist() == [3, 8, 12]
    turned = comp.heat_map("slow", "fast", reduce=reduce)
    np.testing.assert_array_equal(turned.cells, np.transpose(expected))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fast", "fast"), "found the axes 'fast' and 'fast'"),
        (("fast", "stop"), "found the axes 'fast' and 'stop'"),
        (("fast", "slow", "profit"), "found column 'profit'"),
    ],
)
def test_a_heat_map_of_nothing_is_refused(arguments: Any, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        result(np.zeros(12)).heat_map(*arguments)
    with pytest.raises(SpaceError, match="found reduce 'median'"):
        result(np.zeros(12)).heat_map("fast", "slow", reduce="median")  # type: ignore[arg-type]


# --- the picture


def picture(cells: Any) -> HeatMap:
    array = np.array(cells, np.float64)
    rows, columns = array.shape
    return HeatMap("fast", "slow", "a < b & c", np.arange(columns), np.arange(rows) * 5, array)


def elements(heat_map: HeatMap, tag: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(heat_map.to_svg())
    return list(root.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def test_a_picture_has_a_cell_and_a_note_for_every_value() -> None:
    drawn = picture([[1.0, 2.5], [math.nan, 4.0]])
    notes = [element.text for element in elements(drawn, "title")]
    assert notes[:2] == ["fast 0, slow 0: 1", "fast 1, slow 0: 2.5"]
    cells = [one.get("fill") for one in elements(drawn, "rect") if len(one)]
    assert cells[0] == "#440154"
    assert cells[2:] == ["#e6e6e6", "#fde725"]
    texts = ["".join(one.itertext()) for one in elements(drawn, "text")]
    assert texts[:2] == ["a < b & c", "1 (fast 0, slow 0) to 4 (fast 1, slow 5)"]
    assert "nan" not in texts


@pytest.mark.parametrize(
    "cells",
    [
        [[math.nan]],
        [[3.0]],
        [[3.0, 3.0]],
        [[-1e9, 1e-9]],
        [[0.0, 5e-324]],
        [[-1.7e308, 1.7e308]],
        [[1.0, math.inf]],
        np.arange(40_000.0).reshape(100, 400),
    ],
)
def test_any_values_make_a_picture_that_stays_within_its_frame(cells: Any) -> None:
    drawn = picture(cells)
    root = ElementTree.fromstring(drawn.to_svg())
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert 200 < width < 1200
    assert 200 < height < 800
    for rect in elements(drawn, "rect"):
        right = float(rect.get("x", 0)) + float(rect.get("width", 0))
        assert right <= width + 0.5
        assert float(rect.get("y", 0)) + float(rect.get("height", 0)) <= height + 0.5
    for text in elements(drawn, "text"):
        assert 0 <= float(text.get("x", -1)) <= width
        assert 0 <= float(text.get("y", -1)) <= height
    places = [float(found) for found in re.findall(r'y="([-\d.]+)"', drawn.to_svg())]
    assert not any(map(math.isnan, places))


def test_a_picture_with_too_many_cells_is_refused() -> None:
    with pytest.raises(OptimizerError, match="300 x 300 cells, and a picture shows at most"):
        picture(np.zeros((300, 300))).to_svg()


def test_a_picture_is_saved_as_a_page_or_as_itself(tmp_path: Path) -> None:
    drawn = picture([[1.0, 2.0]])
    assert drawn.save(tmp_path / "map.svg").read_text("utf-8") == drawn.to_svg()
    page = drawn.save(str(tmp_path / "map.html")).read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>a &lt; b &amp; c by fast and slow</title>" in page
    assert drawn.to_svg() in page
    assert drawn._repr_html_() == drawn.to_svg()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    with pytest.raises(OptimizerError, match=r"expected .svg or .html"):
        drawn.save(tmp_path / "map.png")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (0.5, "0.5"),
        (12345.6, "12346"),
        (1e9, "1e+09"),
        (0.00012, "0.00012"),
        (55.0, "55"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
