"""Default configurations: read and validated once per version, by whoever asks."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import pickle
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from optimizer import _versioned
from optimizer.configuration import ConfigurationError, DefaultConfiguration, VersionedFile

LONG_AGO_S = 1_700_000_000


@dataclasses.dataclass(frozen=True)
class Named:
    """What a pickle finds by its name."""

    name: str


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
    held = DefaultConfiguration(path, Named, recheck_s=2.5)
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
