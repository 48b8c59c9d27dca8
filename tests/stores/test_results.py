"""Results: a path of its own for every study and trial, written whole or not at all."""

from __future__ import annotations

import errno
import math
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optimizer
from optimizer.errors import (
    EvaluationError,
    StoreArgumentError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StorePathError,
    StoreReadOnlyError,
)
from optimizer.stores.results import escape, read_result, result_path, write_result

ROOT = Path(optimizer.__file__).parents[1]
NASTY = [
    "..",
    ".",
    "/",
    "a/b",
    "../../etc/passwd",
    "con",
    "a\0b",
    "a\nb",
    "~",
    "%2E",
    "é",
    "é" * 90,
]


def as_seen_by_any_file_system(name: str) -> str:
    return name.casefold()


@given(st.text(min_size=1), st.text(min_size=1))
def test_other_names_have_other_paths(one: str, two: str) -> None:
    for name in (one, two):
        try:
            name.encode()
        except UnicodeEncodeError:
            with pytest.raises(StoreArgumentError, match="lone surrogate"):
                escape(name)
            return
    same = as_seen_by_any_file_system(escape(one)) == as_seen_by_any_file_system(escape(two))
    assert same == (one == two)


@pytest.mark.parametrize("name", [*NASTY, "x" * 121, "X" * 10_000, "ok-1_2"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    path = result_path(tmp_path, name, 3)
    assert path.parent.parent == tmp_path
    assert len(path.parent.name.encode()) <= 255
    assert set(escape(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_%~ABCDEF")
    assert read_result(write_result(path, {"name": name})) == {"name": name}
    assert os.listdir(tmp_path) == [path.parent.name]


def test_upper_and_lower_case_differ_where_case_is_ignored() -> None:
    names = ["abc", "ABC", "Abc", "aBC"]
    assert len({as_seen_by_any_file_system(escape(name)) for name in names}) == 4


def test_long_names_that_begin_alike_differ() -> None:
    assert escape("x" * 500) != escape("x" * 501)
    assert escape("x" * 120) == "x" * 120


@pytest.mark.parametrize("number", [-1, 1.0, True, "1", None])
def test_a_number_that_is_none(number: Any) -> None:
    with pytest.raises(StoreArgumentError, match="the trial number is"):
        result_path("results", "s", number)


@pytest.mark.parametrize("study", ["", None, b"s"])
def test_a_study_that_is_none(study: Any) -> None:
    with pytest.raises(StoreArgumentError, match="the study is"):
        result_path("results", study, 0)


def test_numbers_sort_like_their_names() -> None:
    names = [result_path("r", "s", number).name for number in (0, 9, 10, 99_999_999)]
    assert names == sorted(names)
    assert result_path("r", "s", 10**8).name == "trial-100000000.json"


@pytest.mark.parametrize("result", [None, 1, 2**80, 0.1, "é\ud800", [1, {"a": None}], math.inf, {}])
def test_a_result_comes_back(tmp_path: Path, result: Any) -> None:
    path = write_result(tmp_path / "new" / "folder" / "a.json", result)
    assert path == tmp_path / "new" / "folder" / "a.json"
    assert repr(read_result(path)) == repr(result)
    assert os.listdir(path.parent) == ["a.json"]


def test_the_path_returned_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_result("a.json", 1) == tmp_path / "a.json"


def test_nothing_is_listed(tmp_path: Path) -> None:
    code = """
import sys
from optimizer.stores.results import read_result, result_path, write_result
read_result(write_result(result_path(sys.argv[1], "s", 0), 0))
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
path = write_result(result_path(sys.argv[1], "s", 1), {"a": 1})
assert read_result(path) == {"a": 1}
print({"os.listdir", "os.scandir", "glob.glob"} & set(seen), seen.count("open"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "set() 3\n"  # the folder, the file, the reading


def test_what_is_no_result_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    write_result(tmp_path / "a.json", 1)
    with pytest.raises(EvaluationError, match="the result"):
        write_result(tmp_path / "a.json", {"x": object()})
    assert read_result(tmp_path / "a.json") == 1
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EROFS, StoreReadOnlyError),
        (errno.EIO, StoreError),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StoreError], call: str
) -> None:
    path = write_result(tmp_path / "a.json", "old")

    def fail(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error, match=r"a\.json' cannot be written") as caught:
        write_result(path, "new")
    assert type(caught.value) is error
    monkeypatch.undo()
    assert read_result(path) == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def sync_until_the_folder(code: int) -> Callable[[int], None]:
    """`os.fsync`, which fails for folders."""
    plain = os.fsync

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        plain(descriptor)

    return sync


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_name_that_does_not_reach_the_disk_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = write_result(tmp_path / "a.json", "old")
    monkeypatch.setattr(os, "fsync", sync_until_the_folder(code))
    with pytest.raises(StoreError, match=r"a\.json' was written, but .* repeat the call") as caught:
        write_result(path, "new")
    assert type(caught.value) is StoreError  # none of those that say that nothing was stored
    assert errno.errorcode[code] in str(caught.value)
    monkeypatch.undo()
    assert read_result(path) == "new"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "fsync", sync_until_the_folder(code))
    assert read_result(write_result(tmp_path / "new" / "a.json", 1)) == 1


def test_a_folder_that_cannot_be_synced_is_refused_before_anything_is_written(
    run: Callable[..., str], open_folder: Path
) -> None:
    path = write_result(open_folder / "inner" / "a.json", "old")
    path.parent.chmod(0o333)  # files may be made in it, but it cannot be opened
    script = """
from optimizer.stores.results import write_result
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    write_result(path, "new")
except StoreReadOnlyError as error:
    assert "permission to read and write its folder" in str(error), error
    print("refused")
"""
    assert run(script, path) == "refused\n"
    path.parent.chmod(0o777)
    assert read_result(path) == "old"
    assert os.listdir(path.parent) == ["a.json"]


def test_the_name_of_every_new_folder_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    plain = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    path = write_result(tmp_path / "one" / "two" / "a.json", 1)
    one, two = tmp_path / "one", tmp_path / "one" / "two"
    assert synced == [os.stat(each).st_ino for each in (tmp_path, one, path, two)]
    write_result(path, 2)
    assert synced[4:] == [os.stat(each).st_ino for each in (path, two)]


@pytest.mark.parametrize("character", ["x", "é", "\N{SNOWMAN}", "\U0001f600", "\udcff"])
def test_every_name_that_a_file_system_takes_can_be_written(tmp_path: Path, character: str) -> None:
    path = tmp_path / (character * (255 // len(os.fsencode(character))))
    assert read_result(write_result(path, 1)) == 1
    assert os.listdir(tmp_path) == [path.name]


def test_a_part_that_was_written_is_followed_by_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: plain(descriptor, data[:3]))
    path = write_result(tmp_path / "a.json", list(range(100)))
    monkeypatch.undo()
    assert read_result(path) == list(range(100))


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name in ("", "a\0b"):
        for call in (lambda n=name: write_result(n, 1), lambda n=name: read_result(n)):
            with pytest.raises(StorePathError, match="does not name a file"):
                call()
    for path in (tmp_path / "file" / "a.json", tmp_path / "folder", tmp_path / ("x" * 300)):
        with pytest.raises(StorePathError, match="Expected the path of a file"):
            write_result(path, 1)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_results_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorePathError, match="no result can be read at"):
        read_result(tmp_path / "missing.json")
    (tmp_path / "a.json").write_text('{"half')
    with pytest.raises(StoreCorruptError, match="is damaged or not ours"):
        read_result(tmp_path / "a.json")


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = write_result(tmp_path / "a.json", [0] * 3_000)
    done = threading.Event()

    def write(value: int) -> None:
        for _ in range(20):
            write_result(path, [value] * 3_000)

    def watch() -> None:
        while not done.is_set():
            seen.append(read_result(path))

    seen: list[list[int]] = []
    writers = [threading.Thread(target=write, args=(value,)) for value in (1, 2)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert seen
    assert all(len(set(values)) == 1 and len(values) == 3_000 for values in seen)
    assert os.listdir(tmp_path) == ["a.json"]
