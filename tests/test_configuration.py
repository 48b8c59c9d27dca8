"""Default configurations and JSON files: read once per version, and every copy is one's own."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import json
import math
import os
import pathlib
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer import _versioned, configuration
from optimizer.configuration import (
    ConfigurationError,
    DefaultConfiguration,
    VersionedFile,
    own_copy,
    read_json,
)

LONG_AGO_S = 1_700_000_000


@dataclasses.dataclass(frozen=True)
class Costs:
    """Nobody can change one."""

    fee_rate: float = 0.0
    tiers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Defaults:
    """Nobody can change one."""

    name: str
    workers: int = 1
    costs: Costs = dataclasses.field(default_factory=Costs)
    side: Literal["long", "short"] = "long"
    stop: float | None = None
    since: datetime.date | None = None
    span: tuple[int, float] = (1, 2.0)


@dataclasses.dataclass
class Open:
    """Everybody can change one."""

    names: list[str] = dataclasses.field(default_factory=list)
    limits: dict[str, float] = dataclasses.field(default_factory=dict)
    rules: list[Costs] = dataclasses.field(default_factory=list)
    extra: Any = None


class Side(enum.Enum):
    """A member is the same everywhere."""

    LONG = 1


class Counting:
    """A validation that counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, table: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        return table


def write(path: pathlib.Path, text: str, at_s: float | None = LONG_AGO_S) -> None:
    """Write it in place; unless None, as if at that time."""
    path.write_text(text, encoding="utf-8")
    if at_s is not None:
        os.utime(path, (at_s, at_s))


@pytest.fixture(name="path")
def _path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "defaults.json"
    write(path, '{"a": [1, {"b": 2}]}')
    return path


# --- once per version


def test_an_unchanged_file_is_validated_once_and_opened_once(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    plain = _versioned.read_file

    def counted(name: str) -> Any:
        reads.append(name)
        return plain(name)

    monkeypatch.setattr(_versioned, "read_file", counted)
    validate = Counting()
    held = DefaultConfiguration(path, validate)
    assert validate.calls == 0
    for _ in range(5):
        assert held.get() == {"a": [1, {"b": 2}]}
    assert validate.calls == 1
    assert reads == [str(path)]


CHANGES: dict[str, Callable[[pathlib.Path], None]] = {
    "another time": lambda path: write(path, '{"a": [1, {"b": 3}]}', LONG_AGO_S + 1),
    "another size": lambda path: write(path, '{"a": [1, {"b": 33}]}'),
    "put back with its old time and size": lambda path: write(path, '{"a": [1, {"b": 3}]}'),
    "renamed over": lambda path: rename_over(path, '{"a": [1, {"b": 3}]}'),
    "now": lambda path: write(path, '{"a": [1, {"b": 3}]}', None),
}


def rename_over(path: pathlib.Path, text: str) -> None:
    other = path.with_name("other")
    write(other, text)
    os.replace(other, path)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_noticed(path: pathlib.Path, change: str) -> None:
    validate = Counting()
    held = DefaultConfiguration(path, validate)
    held.get()
    time.sleep(0.02)  # a tick of the clock that stamps files
    CHANGES[change](path)
    ref = json.loads(path.read_text())
    assert held.get() == ref != {"a": [1, {"b": 2}]}
    assert held.get() == ref
    assert validate.calls == 2


def test_writes_within_one_tick_of_the_clock_are_noticed(path: pathlib.Path) -> None:
    held = DefaultConfiguration(path)
    for k in range(200):
        write(path, f'{{"k": {k:3d}}}', None)
        assert held.get() == {"k": k}


def test_a_file_written_just_now_is_validated_once(path: pathlib.Path) -> None:
    write(path, '{"a": 1}', None)
    validate = Counting()
    held = DefaultConfiguration(path, validate)
    for _ in range(5):
        assert held.get() == {"a": 1}
    assert validate.calls == 1


def test_within_recheck_s_nobody_looks(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    held = DefaultConfiguration(path, recheck_s=5.0)
    ref = held.get()
    write(path, '{"a": "changed"}', LONG_AGO_S + 1)
    now[0] += 4.9
    assert held.get() == ref
    now[0] += 0.2
    assert held.get() == {"a": "changed"}
    path.unlink()
    now[0] += 4.9
    assert held.get() == {"a": "changed"}
    now[0] += 0.2
    with pytest.raises(ConfigurationError, match="No such file"):
        held.get()


@pytest.mark.parametrize("recheck_s", [-1, -0.1, math.nan, True])
def test_a_recheck_is_seconds(path: pathlib.Path, recheck_s: float) -> None:
    with pytest.raises(ConfigurationError, match="found recheck_s"):
        DefaultConfiguration(path, recheck_s=recheck_s)


# --- threads, forks, processes


def test_many_threads_that_meet_a_new_version_validate_it_once(path: pathlib.Path) -> None:
    calls: list[int] = []
    gate = threading.Barrier(8)

    def validate(table: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.05)  # long enough for all to arrive
        calls.append(table["k"])
        return table

    held = DefaultConfiguration(path, validate)

    def ask(k: int) -> list[Any]:
        found = []
        for version in range(3):
            if gate.wait() == 0:
                write(path, f'{{"k": {version}}}', LONG_AGO_S + version)
            gate.wait()
            found.append(held.get()["k"])
        return found

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(ask, range(8))] == [[0, 1, 2]] * 8
    assert calls == [0, 1, 2]


def test_readers_never_see_half_of_a_renamed_file(path: pathlib.Path) -> None:
    held = DefaultConfiguration(path)
    rename_over(path, '{"v": [0, 0]}')
    done = threading.Event()

    def replace() -> None:
        for k in range(100):
            rename_over(path, json.dumps({"v": [k] * (k % 7 + 2)}))
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(held.get()["v"])
    writer.join()
    assert seen
    assert all(len(set(v)) == 1 and len(v) == v[0] % 7 + 2 for v in seen)
    assert held.get()["v"][0] == 99


def test_a_child_forked_during_a_load_does_not_wait_for_ever(path: pathlib.Path) -> None:
    started, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    def validate(table: dict[str, Any]) -> dict[str, Any]:
        if os.getpid() == parent:
            started.set()
            go_on.wait(30)
        return table

    held = DefaultConfiguration(path, validate)
    thread = threading.Thread(target=held.get)
    thread.start()
    assert started.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on fork with threads
        child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if held.get() == {"a": [1, {"b": 2}]} else 2
        finally:
            os._exit(code)
    try:
        deadline = time.monotonic() + 20
        done, status = os.waitpid(child, os.WNOHANG)
        while not done and time.monotonic() < deadline:
            time.sleep(0.01)
            done, status = os.waitpid(child, os.WNOHANG)
        if not done:
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert done
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        go_on.set()
        thread.join()


def test_a_configuration_travels_to_another_process(path: pathlib.Path) -> None:
    write(path, '{"name": "x"}')
    held = DefaultConfiguration(path, Defaults, recheck_s=2.5)
    again = pickle.loads(pickle.dumps(held))
    assert again.get() == held.get()
    assert repr(again) == repr(held)
    assert again._file.recheck_s == 2.5
    file = pickle.loads(pickle.dumps(VersionedFile(path, len)))
    assert file.value() == len('{"name": "x"}')


def test_the_path_is_of_the_working_directory_of_the_beginning(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.chdir(tmp_path)
    held = DefaultConfiguration("defaults.json")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert held.get() == {"a": [1, {"b": 2}]}
    assert held.path == str(path)


# --- a caller's value is the caller's own


def test_what_a_caller_changes_nobody_else_sees(path: pathlib.Path) -> None:
    held = DefaultConfiguration(path)
    mine = held.get()
    mine["a"][1]["b"] = 99
    mine["a"].append(3)
    mine.clear()
    assert held.get() == {"a": [1, {"b": 2}]}


def test_an_open_dataclass_is_copied_and_a_frozen_one_is_shared(path: pathlib.Path) -> None:
    write(path, '{"names": ["a"], "limits": {"x": 1}, "rules": [{"fee_rate": 1}], "extra": [[1]]}')
    held = DefaultConfiguration(path, Open)
    mine = held.get()
    assert mine == Open(["a"], {"x": 1.0}, [Costs(1.0)], [[1]])
    mine.names.append("b")
    mine.limits["y"] = 2.0
    mine.extra[0].append(2)
    assert held.get() == Open(["a"], {"x": 1.0}, [Costs(1.0)], [[1]])
    write(path, '{"name": "x", "costs": {"tiers": [1, 2]}}', LONG_AGO_S + 1)
    shared = DefaultConfiguration(path, Defaults)
    assert shared.get() is shared.get()


def test_a_frozen_dataclass_that_holds_a_list_is_copied(path: pathlib.Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Half:
        a: list[Any]

    held = DefaultConfiguration(path, Half)
    held.get().a.append(5)
    assert held.get() == Half([1, {"b": 2}])


def test_what_cannot_be_copied_is_refused_when_it_is_read(path: pathlib.Path) -> None:
    held = DefaultConfiguration(path, lambda table: {"lock": threading.Lock()})
    with pytest.raises(ConfigurationError, match="found what its validation refuses, TypeError"):
        held.get()


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.just(Side.LONG),
    st.just(datetime.date(2024, 1, 2)),
    st.just(pathlib.Path("a")),
    st.builds(Costs),
    st.builds(lambda: bytearray(b"x")),
    st.builds(lambda: Costs(0.0, [1])),  # type: ignore[arg-type]  # a list where a tuple belongs
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Open, extra=inner),
    ),
    max_leaves=10,
)


@given(trees)
def test_a_copy_is_equal_and_shares_nothing_that_can_change(tree: Any) -> None:
    comp = own_copy(tree)
    assert comp == tree == copy.deepcopy(tree)
    assert not {*map(id, changing(comp))} & {*map(id, changing(tree))}


def changing(value: Any) -> Iterator[Any]:
    """Everything in a tree that somebody could change."""
    if isinstance(value, (list, dict, bytearray, Open)):
        yield value
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    elif isinstance(value, (Costs, Open)):
        inner = vars(value).values()
    for one in inner:
        yield from changing(one)


def test_what_nobody_can_change_is_shared() -> None:
    for value in ("text" * 99, 10**99, (1, ("a", None)), frozenset({1}), Side.LONG, Costs()):
        assert own_copy(value) is value
    mapping = [1]
    frozen = MappingProxyType({"a": mapping})
    with pytest.raises(TypeError):
        own_copy(frozen)
    marked = Costs()
    object.__setattr__(marked, "note", [1])
    assert own_copy(marked) is not marked


# --- TOML and JSON


def test_toml_is_read_with_its_dates(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "defaults.TOML"
    write(
        path, 'name = "ä"\nsince = 2024-01-02\nstop = 1\n[costs]\nfee_rate = 0.001\ntiers = [3]\n'
    )
    comp = DefaultConfiguration(path, Defaults).get()
    assert comp == Defaults(
        "ä", costs=Costs(0.001, (3,)), stop=1.0, since=datetime.date(2024, 1, 2)
    )
    assert type(comp.stop) is float


def test_a_byte_order_mark_is_no_damage(path: pathlib.Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert DefaultConfiguration(path).get() == {"a": 1}


@pytest.mark.parametrize("name", ["defaults.yaml", "defaults", "json", "defaults.json.bak", ""])
def test_other_suffixes_are_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"found the suffix .* expected \.json or \.toml"):
        DefaultConfiguration(name)


DAMAGE = [
    (b"", "found damage, JSONDecodeError: Expecting value"),
    (b'{"a": 1', "found damage, JSONDecodeError"),
    (b'{"a": 1}}', "Extra data"),
    (b'{"a": "\xff"}', "found damage, UnicodeDecodeError"),
    (b'{"a": 1, "b": 2, "a": 3}', "the name 'a' stands twice"),
    (b'{"a": [{"b": 1, "b": 1}]}', "the name 'b' stands twice"),
    (b'{"a": NaN}', "NaN is no JSON number"),
    (b'{"a": -Infinity}', "-Infinity is no JSON number"),
    (b'{"a": ' + b"9" * 5_000 + b"}", "found damage, ValueError"),
    (b'{"a": ' * 50_000, "found damage, RecursionError"),
    (b"[1]", r"found \[1\] at the top, expected a table"),
    (b"null", "found None at the top"),
    (b"\x00" * 100, "found damage"),
]


@pytest.mark.parametrize(("data", "message"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_file_is_one_clear_error_until_it_is_mended(
    path: pathlib.Path, data: bytes, message: str
) -> None:
    held = DefaultConfiguration(path)
    held.get()
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=message) as caught:
            held.get()
        assert str(caught.value).startswith(f"{path}: found ")
        assert len(str(caught.value)) < 500
        assert caught.value.__cause__ is None
    write(path, '{"a": 2}')
    assert held.get() == {"a": 2}


@pytest.mark.parametrize(
    "text", ["a = ", "a = 1\na = 2", "[a]\n[a]\n", "a = nan x", "a = 1\x00", "= 1"]
)
def test_damaged_toml_is_one_clear_error(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "defaults.toml"
    write(path, text)
    with pytest.raises(ConfigurationError, match="found damage, TOMLDecodeError"):
        DefaultConfiguration(path).get()


def test_a_file_cut_anywhere_is_an_error_or_whole(path: pathlib.Path) -> None:
    text = json.dumps({"a": [1, {"b": 2.5, "c": None}], "d": "ä"})
    for length in range(len(text)):
        path.write_text(text[:length], encoding="utf-8")
        with pytest.raises(ConfigurationError, match="found damage"):
            DefaultConfiguration(path).get()


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: pathlib.Path) -> None:
    held = DefaultConfiguration(tmp_path / "none.json")
    with pytest.raises(ConfigurationError, match=r"none\.json: found 'No such file or directory'"):
        held.get()
    (tmp_path / "none.json").mkdir()
    with pytest.raises(ConfigurationError, match="found no regular file"):
        held.get()
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ConfigurationError, match="found no regular file"):
        DefaultConfiguration(tmp_path / "pipe.json").get()
    write(tmp_path / "file.json", "{}")
    with pytest.raises(ConfigurationError, match="Not a directory"):
        DefaultConfiguration(tmp_path / "file.json" / "x.json").get()


def test_a_file_that_never_rests_is_refused(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _versioned.read_file

    def written_meanwhile(name: str) -> Any:
        before, data, after = plain(name)
        return before, data, (after[0] + 1, *after[1:])

    monkeypatch.setattr(_versioned, "read_file", written_meanwhile)
    with pytest.raises(ConfigurationError, match="found it changed during each of 5 reads"):
        DefaultConfiguration(path).get()


# --- validation


REFUSED: list[tuple[type, Any, str]] = [
    (Defaults, {}, "found no 'name', expected one"),
    (Defaults, {"name": 1}, "found 1 of type int for 'name', expected str"),
    (Defaults, {"name": "x", "worker": 1}, "found the name 'worker', expected one of name, work"),
    (Defaults, {"name": "x", "workers": True}, "found True of type bool for 'workers', expected"),
    (Defaults, {"name": "x", "workers": 1.0}, "found 1.0 of type float for 'workers'"),
    (Defaults, {"name": "x", "workers": "4"}, "found '4' of type str for 'workers'"),
    (Defaults, {"name": "x", "costs": {"fee": 1}}, "found the name 'costs.fee', expected one of"),
    (Defaults, {"name": "x", "costs": {"fee_rate": None}}, "for 'costs.fee_rate', expected float"),
    (Defaults, {"name": "x", "costs": {"tiers": [1, 2.5]}}, "found 2.5 .* for 'costs.tiers.1.'"),
    (Defaults, {"name": "x", "costs": [1]}, "for 'costs', expected Costs"),
    (Defaults, {"name": "x", "side": "both"}, "found 'both' .* for 'side', expected .*Literal"),
    (Defaults, {"name": "x", "stop": "1"}, "for 'stop', expected float | None"),
    (Defaults, {"name": "x", "stop": False}, "found False of type bool for 'stop'"),
    (Defaults, {"name": "x", "since": "2024-01-02"}, "for 'since'"),
    (Defaults, {"name": "x", "span": [1]}, "for 'span', expected tuple"),
    (Defaults, {"name": "x", "span": [1, 2, 3]}, "for 'span', expected tuple"),
    (Open, {"names": ["a", 1]}, "found 1 of type int for 'names.1.', expected str"),
    (Open, {"limits": {"x": "y"}}, "found 'y' of type str for 'limits.x', expected float"),
    (Open, {"rules": [{"fee": 1}]}, "found the name 'rules.0..fee'"),
    (Open, {"rules": {}}, "for 'rules', expected list"),
]


@pytest.mark.parametrize(("cls", "table", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_dataclass_refuses_what_it_is_not(
    path: pathlib.Path, cls: type, table: Any, message: str
) -> None:
    write(path, json.dumps(table))
    with pytest.raises(ConfigurationError, match=message) as caught:
        DefaultConfiguration(path, cls).get()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_dataclass_takes_what_it_is(path: pathlib.Path) -> None:
    write(path, '{"name": "x", "side": "short", "stop": 2, "span": [3, 4], "workers": 7}')
    ref = Defaults("x", 7, side="short", stop=2.0, span=(3, 4.0))
    assert DefaultConfiguration(path, Defaults).get() == ref


def test_a_dataclass_may_refuse_by_itself(path: pathlib.Path) -> None:
    @dataclasses.dataclass
    class Positive:
        a: int

        def __post_init__(self) -> None:
            if self.a <= 0:
                raise ValueError(f"a is {self.a}")

    write(path, '{"a": -1}')
    with pytest.raises(ConfigurationError, match="refuses, ValueError: a is -1; mend the file"):
        DefaultConfiguration(path, Positive).get()


def test_a_refused_version_is_asked_for_again_and_never_answered_by_the_last(
    path: pathlib.Path,
) -> None:
    refusing = [False]

    def validate(table: dict[str, Any]) -> int:
        if refusing[0]:
            raise KeyError("no")
        return len(table)

    held = DefaultConfiguration(path, validate)
    assert held.get() == 1
    refusing[0] = True
    write(path, '{"a": 1, "b": 2}', LONG_AGO_S + 1)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="KeyError: 'no'") as caught:
            held.get()
        assert isinstance(caught.value.__cause__, KeyError)
    refusing[0] = False
    assert held.get() == 2


# --- JSON files


@pytest.fixture(name="kept", params=["", "1"])
def _kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv(configuration.JSON_CACHE, request.param)
    return bool(request.param)


def test_json_is_what_json_load_returns_either_way(path: pathlib.Path, kept: bool) -> None:
    for text in ('{"a": [1, {"b": 2}]}', "[NaN, 1e400]", "18446744073709551616", '"x"', "null"):
        write(path, text)
        ref = json.loads(text)
        for _ in range(2):
            comp = read_json(path)
            assert repr(comp) == repr(ref)
            if isinstance(comp, (dict, list)):
                comp.clear()


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b'"\xff"', b"[" * 100_000])
def test_damaged_json_is_the_same_error_either_way(
    path: pathlib.Path, kept: bool, data: bytes
) -> None:
    read_json(path)
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"found damage.*expected JSON") as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ConfigurationError, match="No such file"):
        read_json(path.with_name("none"))
    assert str(path.with_name("none")) not in configuration._json_files


@pytest.mark.parametrize(
    ("value", "parses"),
    [(None, 3), ("", 3), ("0", 3), ("off", 3), ("False", 3), ("1", 1), ("true", 1), ("on", 1)],
)
def test_json_is_kept_where_the_environment_says_so(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, value: str | None, parses: int
) -> None:
    monkeypatch.delenv(configuration.JSON_CACHE, raising=False)
    if value is not None:
        monkeypatch.setenv(configuration.JSON_CACHE, value)
    calls: list[bytes] = []
    plain = json.loads

    def counted(data: bytes) -> Any:
        calls.append(data)
        return plain(data)

    monkeypatch.setattr(json, "loads", counted)
    for _ in range(3):
        read_json(str(path))["a"].clear()
    assert len(calls) == parses
    write(path, '{"changed": 1}', LONG_AGO_S + 1)
    assert read_json(path) == {"changed": 1}


def test_relative_names_go_by_the_working_directory_of_the_call(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(configuration.JSON_CACHE, "1")
    for k in (1, 2):
        folder = tmp_path / str(k)
        folder.mkdir()
        write(folder / "x.json", str(k))
        monkeypatch.chdir(folder)
        assert read_json("x.json") == k
