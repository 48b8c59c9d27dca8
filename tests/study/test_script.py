"""A user's script: how it is run, what is read from it, what is said of one that is no use."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer import SearchSpace
from optimizer.errors import StudyArgumentError
from optimizer.study.script import load_script, told

WHOLE = """
from dataclasses import dataclass
import beside

@dataclass
class Point:
    x: float

def objective(params, context):
    return beside.square(Point(params["x"]).x)

space = {"x": {"type": "float", "min": -1, "max": 1}}
data = {"close": [1.0]}
direction = "maximize"
mode = "fast"
if __name__ == "__main__":
    raise SystemExit("the guard fired")
"""


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in sys.modules.keys() - modules.keys():
        if "script" in name or name == "beside":
            del sys.modules[name]
    sys.path[:] = path


def written(folder: Path, text: str, name: str = "study.py") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_script_that_was_edited_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "study.py"
    for value in (1, 2):
        path.write_text(f"def objective(trial):\n    return {value}\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))  # as if within the same second
        assert load_script(str(path)).objective(None) == value
    assert [one.name for one in tmp_path.iterdir()] == ["study.py"]


def test_a_whole_script(tmp_path: Path) -> None:
    written(tmp_path, "def square(x):\n    return x * x\n", "beside.py")
    path = written(tmp_path, WHOLE)
    script = load_script(path)
    assert (script.path, script.name) == (path, "study")
    assert script.objective({"x": -3.0}, None) == 9.0
    assert script.space == SearchSpace({"x": {"type": "float", "min": -1, "max": 1}})
    assert script.data == {"close": [1.0]}
    assert (script.directions, script.mode) == (("maximize",), "fast")


def test_only_an_objective(tmp_path: Path) -> None:
    script = load_script(written(tmp_path, "def objective(trial): return 1.0", "my study.v2.py"))
    assert script.name == "my study.v2"
    assert dataclasses.astuple(dataclasses.replace(script, objective=max))[3:] == (
        None,
        None,
        ("minimize",),
        None,
        None,
    )


def test_its_functions_travel_by_value(tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    script = load_script(written(tmp_path, "k = 2\ndef objective(params): return k * params['x']"))
    packed = cloudpickle.dumps(script.objective)
    del sys.modules[script.objective.__module__]
    assert cloudpickle.loads(packed)({"x": 3}) == 6


@pytest.mark.parametrize("direction", ["('minimize', 'maximize')", "['minimize', 'maximize']"])
def test_several_directions(tmp_path: Path, direction: str) -> None:
    text = f"direction = {direction}\ndef objective(trial): pass"
    assert load_script(written(tmp_path, text)).directions == ("minimize", "maximize")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no `objective`, expected a function"),
        ("objective = 3", "has objective = 3, expected a function"),
        ("1/0", "cannot be run: ZeroDivisionError: division by zero (study.py, line 1)"),
        ("\ndef f(: pass", "cannot be run: SyntaxError: invalid syntax (study.py, line 2)"),
        ("import nothing_of_this_name", "cannot be run: ModuleNotFoundError: No module named"),
        ("import json\n\njson.loads('{')", "(study.py, line 3)"),
        ("raise SystemExit(3)", "cannot be run: SystemExit: 3 (study.py, line 1)"),
        ("raise ValueError('a\\nb')", "cannot be run: ValueError: a b (study.py, line 1)"),
        ("space = 3\ndef objective(p): pass", "found 3, expected a mapping of at least one name"),
        ("space = {'x': {'type': 'odd'}}\ndef objective(p): pass", "parameter 'x'"),
        ("data = [1]\ndef objective(p): pass", "is a list, expected a dict of names to arrays"),
        ("direction = 'up'\ndef objective(p): pass", "is 'up', expected 'minimize', 'maximize'"),
        ("direction = []\ndef objective(p): pass", "is [], expected 'minimize'"),
        ("direction = 1\ndef objective(p): pass", "is 1, expected 'minimize'"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StudyArgumentError) as caught:
        load_script(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "study.py" in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "no.py", tmp_path):
        with pytest.raises(StudyArgumentError, match="is not a file, expected a Python script"):
            load_script(str(path))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "study.py"
    path.write_bytes(b"\x00\xff")
    with pytest.raises(StudyArgumentError, match=r"cannot be run: \w+Error"):
        load_script(str(path))


def test_where_an_error_was_raised() -> None:
    try:
        SearchSpace({})
    except ValueError as error:
        here = told(error, __file__)
        there = told(error)
    assert "(test_script.py, line " in here
    assert "(space.py, line " in there
    assert told(ValueError("x")) == "ValueError: x"
