"""Folders of trial files: every name is a trial or a problem, whoever parses."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trial_files import compare, file_of, without_orjson, write

import optimizer
from optimizer import _compat
from optimizer.errors import StorePathError
from optimizer.protocols import Trial
from optimizer.stores import records_files, records_json
from optimizer.stores.records import load_trials

ROOT = Path(optimizer.__file__).parents[1]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    _compat.available.cache_clear()
    yield
    _compat.available.cache_clear()


def test_a_trial_has_all_its_fields(tmp_path: Path) -> None:
    file = {
        "number": 3,
        "state": "PRUNED",
        "params": {"x": 1, "y": None, "z": True, "kind": "ema", "rate": 1e-5},
        "values": [1, 2.5],
        "started_s": 1.5,
        "finished_s": 2,
        "user_attrs": {"a": [1, {"b": None}]},
        "datetime_start": "2024-01-01T00:00:00",
    }
    (tmp_path / "a.json").write_text(json.dumps(file), encoding="utf-8")
    (trial,) = compare(tmp_path).trials.values()
    assert trial == Trial(
        3,
        "pruned",
        {"x": 1, "y": None, "z": True, "kind": "ema", "rate": 1e-5},
        (1.0, 2.5),
        {"user_attrs": {"a": [1, {"b": None}]}, "datetime_start": "2024-01-01T00:00:00"},
        None,
        1.5,
        2.0,
    )
    assert [type(value) for value in trial.values] == [float, float]


@pytest.mark.parametrize(
    ("fields", "state", "values"),
    [
        ({}, "running", ()),
        ({"value": 1}, "complete", (1.0,)),
        ({"value": None, "state": None, "params": None, "values": None}, "running", ()),
        ({"value": 1.0, "state": "COMPLETE"}, "complete", (1.0,)),
        ({"value": 1.0, "state": "complete"}, "complete", (1.0,)),
        ({"value": 1.0, "state": 1}, "complete", (1.0,)),
        ({"state": 0}, "running", ()),
        ({"state": "FAIL"}, "failed", ()),
        ({"state": "failed"}, "failed", ()),
        ({"state": 3}, "failed", ()),
        ({"state": "WAITING"}, "waiting", ()),
        ({"state": 2, "value": math.inf}, "pruned", (math.inf,)),
        ({"value": 1, "values": [1.0]}, "complete", (1.0,)),
        ({"values": [-math.inf, 2]}, "complete", (-math.inf, 2.0)),
        ({"values": []}, "running", ()),
    ],
)
def test_optional_fields(
    tmp_path: Path, fields: dict[str, Any], state: str, values: tuple[float, ...]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"number": 0, **fields}))
    (trial,) = compare(tmp_path).trials.values()
    assert (trial.state, trial.values, trial.params, trial.attributes) == (state, values, {}, {})


def test_nan_is_read(tmp_path: Path) -> None:
    text = (
        '{"number": 0, "value": NaN, "params": {"x": Infinity}, "user_attrs": {"y": [-Infinity]}}'
    )
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_text('{"number": 1, "value": NaN, "values": [NaN]}')
    trials = compare(tmp_path).trials
    assert math.isnan(trials[0].values[0])
    assert math.isnan(trials[1].values[0])
    assert trials[0].params == {"x": math.inf}
    assert trials[0].attributes == {"user_attrs": {"y": [-math.inf]}}


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e400",
        "0.000123456789012345678",
        "-0",
        "-0.0",
        "12345678901234567890.5",
        '"\\ud800"',
        '"1234567890123456789"',
    ],
)
@pytest.mark.parametrize(
    "layout", ["%s", '{"x":%s}', '{"x" : %s }', '{"y":[1,%s],"x":[%s]}', "[\n%s]"]
)
def test_numbers_and_texts_are_what_json_reads(text: str, layout: str) -> None:
    data = layout.replace("%s", text).encode()
    assert repr(records_json.direct()(data)) == repr(json.loads(data))
    for many in ([data, b"1"], [b"1", data]):
        together = records_json.parse_all(many)
        assert together is None or repr(together) == repr(list(map(json.loads, many)))
    assert repr(records_json.parse_many([data.decode(), "1"])) == repr([json.loads(data), 1])


def test_a_deep_file_is_found_among_any_others() -> None:
    flat, rich = b'{"x":1}', b'{"x":[{},{},{},{},{},[],[],[],[]]}'
    deep = {
        depth: b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}" for depth in (100, 101)
    }
    for others in ([], [flat] * 31, [rich] * 31, [b"3"] * 31, [b"[]"] * 31):
        assert records_json.parse_all([*others, deep[101]]) is None
    for many in ([flat] * 32, [rich] * 32, [deep[100]], [*[flat] * 31, deep[100]]):
        assert records_json.parse_all(many) == list(map(json.loads, many))


PROBLEMS = [
    ("a.json", b"", "is empty"),
    ("a.json", bytes(4096), "is empty"),
    ("a.json", b'{"number": 1, "par', "is not whole JSON"),
    ("a.json", b'{"number": 1}' + bytes(100), "is not whole JSON"),
    ("a.json", b'{"number": 1}{"number": 2}', "is not whole JSON"),
    ("a.json", b'{"number": 1, "params": {"x": "\xff"}}', "is not whole JSON"),
    ("a.json", b"\x89PNG\r\n", "is not whole JSON"),
    ("a.json", b"[" * 100_000, "is not whole JSON: nested deeper than 100 levels"),
    ("a.json", b'{"number":1,"x":' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 100"),
    ("a.json", b"[1, 2]", "holds a list, expected an object"),
    ("a.json", b'"text"', "holds a text"),
    ("a.json", b"null", "holds null"),
    ("a.json", b"3", "holds 3"),
    ("a.json", b"{}", "its number is None"),
    ("a.json", b'{"number": -1}', "its number is -1"),
    ("a.json", b'{"number": 1.0}', "its number is 1.0"),
    ("a.json", b'{"number": true}', "its number is True"),
    ("a.json", b'{"number": "1"}', "its number is '1'"),
    ("a.json", b'{"number": 9223372036854775808}', "its number is 9223372036854775808"),
    ("a.json", b'{"number": 1, "params": [1]}', "its params are a list"),
    ("a.json", b'{"number": 1, "params": []}', "its params are a list"),
    ("a.json", b'{"number": 1, "params": {"x": {}}}', "its parameter 'x' is an object"),
    ("a.json", b'{"number": 1, "value": "2"}', "its value is '2'"),
    ("a.json", b'{"number": 1, "value": true}', "its value is True"),
    ("a.json", b'{"number": 1, "value": 1' + b"0" * 400 + b"}", "a double can hold"),
    ("a.json", b'{"number": 1, "values": 2}', "its values are 2, expected a list"),
    ("a.json", b'{"number": 1, "value": 1, "values": [2]}', "its value is 1 but its values"),
    ("a.json", b'{"number": 1, "state": "DONE"}', "its state is 'DONE'"),
    ("a.json", b'{"number": 1, "state": 5}', "its state is 5"),
    ("a.json", b'{"number": 1, "state": true}', "its state is True"),
    ("a.json", b'{"number": 1, "state": [1]}', r"its state is \[1\]"),
    ("a.json", b'{"number": 1, "state": "COMPLETE"}', "has no value"),
    ("a.json", b'{"number": 1, "started_s": "now"}', "its started_s is 'now'"),
    ("a.json", b'{"number": 1, "finished_s": NaN}', "its finished_s is nan"),
    ("a.txt", b'{"number": 1}', r"is not named \*.json"),
    (".a.json.17-ab.tmp", b'{"number": 1}', r"is not named \*.json"),
]


@pytest.mark.parametrize(("name", "data", "found"), PROBLEMS)
def test_a_problem_is_told_and_the_rest_is_read(
    tmp_path: Path, name: str, data: bytes, found: str
) -> None:
    usual = {"state": "COMPLETE", "params": {"x": 1}}  # so that all but one may be read at once
    write(tmp_path, {name: data, **{f"b{i}.json": file_of(100 + i, **usual) for i in range(40)}})
    deep = data.count(b"[") > 50
    loaded = load_trials(tmp_path) if deep else compare(tmp_path)
    (problem,) = loaded.problems
    assert problem.file == name
    with pytest.raises(ValueError, match=found):
        raise ValueError(problem.found)
    assert sorted(loaded.trials) == list(range(100, 140))
    assert repr(without_orjson(lambda: load_trials(tmp_path))) == repr(loaded)


def test_of_two_files_of_a_number_the_first_by_name_counts(tmp_path: Path) -> None:
    write(tmp_path, {"b.json": file_of(1), "a.json": file_of(1, x=1), "c.json": file_of(1)})
    loaded = compare(tmp_path)
    assert loaded.trials[1].attributes == {"x": 1}
    assert [str(problem) for problem in loaded.problems] == [
        f"{name}.json: its number is 1, expected another: a.json has it" for name in "bc"
    ]


def test_names_that_are_no_regular_files(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("nowhere")
    (tmp_path / "good.json").symlink_to(tmp_path / "elsewhere" / "0.json")
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", {"0.json": file_of(0)})
    loaded = load_trials(tmp_path)
    assert sorted(loaded.trials) == [0]
    found = {problem.file: problem.found for problem in loaded.problems}
    assert found == {
        "elsewhere": "is not named *.json, expected trial files alone in the folder",
        "folder.json": "cannot be read: it is a folder",
        "link.json": "cannot be read: No such file or directory",
        "pipe.json": "cannot be read: it is no regular file",
    }


def test_a_file_larger_than_a_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"0.json": file_of(0, text="x" * 100_000), "1.json": file_of(1)})
    assert sorted(compare(tmp_path).trials) == [0, 1]
    monkeypatch.setattr(records_files, "MAX_FILE_BYTES", 1000)
    loaded = load_trials(tmp_path)
    assert sorted(loaded.trials) == [1]
    assert loaded.problems == [("0.json", "cannot be read: it has more than 1000 bytes")]


def test_a_file_that_vanishes_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"0.json": file_of(0)})
    problems: list[records_files.Problem] = []
    batches = records_files.read_in_batches(tmp_path, ["0.json", "1.json"], problems)
    assert [list(batch) for batch in batches] == [["0.json"]]
    assert problems == [("1.json", "cannot be read: No such file or directory")]


def test_no_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {f"{i:03}.json": file_of(i) for i in range(100)})
    (tmp_path / "050.json").unlink()
    (tmp_path / "050.json").symlink_to("nowhere")
    here = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    gap, above = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    os.close(gap)  # the next file opened fills it, those after it lie beyond `above`
    before = sorted(os.listdir(here))
    ref = load_trials(tmp_path)
    assert sorted(os.listdir(here)) == before
    os.fstat(above)
    monkeypatch.setattr(os, "supports_dir_fd", set())
    assert repr(load_trials(tmp_path)) == repr(ref)
    assert sorted(os.listdir(here)) == before
    os.close(above)
    assert len(ref.trials) == 99


def test_few_files_may_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only POSIX limits open files")
    write(tmp_path, {f"{i:03}.json": file_of(i) for i in range(100)})
    ref = load_trials(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(tmp_path, os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 8, limits[1]))
    try:
        comp = load_trials(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert repr(comp) == repr(ref)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorePathError, match=r"cannot be listed.*Expected a folder"):
        load_trials(tmp_path / name)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert load_trials(str(tmp_path)) == ({}, [])


def test_names_that_cannot_be_printed_are_escaped() -> None:
    assert str(records_files.Problem("a\nb.json", "is x")) == r"'a\nb.json': is x"
    assert str(records_files.Problem("\udcff.json", "is x")) == r"'\udcff.json': is x"


def test_the_same_problems_in_a_process_without_orjson(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.json": data for i, (_, data, _) in enumerate(PROBLEMS)})
    code = (
        "import sys, warnings; warnings.simplefilter('ignore');"
        "from optimizer.stores.records import load_trials;"
        "print(ascii(load_trials(sys.argv[1])))"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT), _compat.SWITCH: without},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for without in ("", "orjson")
    ]
    assert texts[0] == texts[1]
    # The last two were only named wrongly; they have the same number.
    assert texts[0].count("Problem(") == len(PROBLEMS) - 1


def test_without_orjson_one_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {f"{i}.json": file_of(i) for i in range(3)})
    monkeypatch.setenv(_compat.SWITCH, "orjson")
    _compat.available.cache_clear()
    with pytest.warns(_compat.SlowFallbackWarning, match="orjson is not available") as warned:
        assert load_trials(tmp_path) == load_trials(tmp_path)
    assert len(warned) == 1
