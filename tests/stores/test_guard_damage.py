"""No permission, damage, no room: one clear error, and nothing acknowledged is lost."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from contract_opening import sig
from faulty_files import AS_ANOTHER_USER, LIMITED, refuse, unchanged, whole_store
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import ForeignFileError, StoreCorruptError, StoreError
from optimizer.stores.guard import NoDupeGuard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


# --- permissions: root may write anywhere, so a process of another user tries


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "match"),
    [
        (0o444, 0o777, "no permission to read and write the file"),
        (0o222, 0o777, "no permission to read and write the file"),
        (0o666, 0o555, "no permission to create files beside it"),
        (None, 0o555, "no permission to create files beside it"),
    ],
)
def test_read_only(
    run: Callable[..., str], open_folder: Path, file_mode: int | None, folder_mode: int, match: str
) -> None:
    path = open_folder / "seen.db"
    if file_mode is not None:
        whole_store(path, 10)
        path.chmod(file_mode)
    open_folder.chmod(folder_mode)
    with unchanged(open_folder):
        assert match in run(AS_ANOTHER_USER + "print(attempt())", path)


def test_folder_that_may_not_be_entered(run: Callable[..., str], open_folder: Path) -> None:
    path = open_folder / "inner" / "seen.db"
    path.parent.mkdir()
    whole_store(path, 10)
    path.parent.chmod(0o600)
    script = AS_ANOTHER_USER.replace("StoreReadOnlyError", "StorePathError")
    assert "cannot be reached" in run(script + "print(attempt())", path)
    path.parent.chmod(0o777)


# --- damage


def test_truncated(path: Path) -> None:
    content = whole_store(path)
    for size in (len(content) // 2, len(content) - 1, 4096, 4095, 600, 50):
        path.write_bytes(content[:size])
        refuse(path, StoreCorruptError, "damaged or truncated")


def test_scrambled_header(path: Path) -> None:
    content = whole_store(path)
    path.write_bytes(random.Random(1).randbytes(100) + content[100:])
    refuse(path, ForeignFileError, "header is damaged")


def test_scrambled_first_page(path: Path) -> None:
    content = whole_store(path)
    path.write_bytes(content[:100] + random.Random(1).randbytes(3996) + content[4096:])
    refuse(path, StoreCorruptError, "damaged or truncated")


def test_scrambled_middle_pages(path: Path) -> None:
    content = whole_store(path)
    middle = len(content) // 2 // 4096 * 4096
    rng = random.Random(1)
    scrambled = rng.randbytes(8192)
    path.write_bytes(content[:middle] + scrambled + content[middle + 8192 :])
    with unchanged(path.parent), NoDupeGuard(path) as guard:
        with pytest.raises(StoreCorruptError, match="damaged or truncated"):
            guard.check()
        signatures = [rng.randbytes(16) for _ in range(2_000)]
        for call in (guard.seen_batch, guard.add_batch):
            with pytest.raises(StoreCorruptError, match="damaged or truncated"):
                call(signatures)


def test_missing_table(path: Path) -> None:
    whole_store(path, 10)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE signatures")
    with (
        unchanged(path.parent),
        NoDupeGuard(path) as guard,
        pytest.raises(StoreCorruptError, match="no such table"),
    ):
        guard.add(sig(1))


_WHOLE: list[bytes] = []


@given(st.integers(0, 2**31), st.binary(min_size=1, max_size=300), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_any_damage_ends_in_one_of_our_errors_or_none(
    place: int, damage: bytes, pages: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seen.db"
        if not _WHOLE:
            _WHOLE.append(whole_store(path, 600))
        content = _WHOLE[0]
        # Half of the examples aim at the headers of pages, where most bytes have a meaning.
        at = place % len(content) if pages == 0 else place % (len(content) // 4096) * 4096
        path.write_bytes((content[:at] + damage + content[at + len(damage) :])[: len(content)])
        try:
            with NoDupeGuard(path, timeout_s=0.05) as guard:
                guard.seen_batch(sig(i) for i in range(20))
                guard.add_batch(sig(i) for i in range(20))
                guard.remove(sig(3))
                guard.check()
        except StoreError as error:
            assert str(path) in str(error)  # noqa: PT017 - no error at all is fine too


# --- no room


def test_no_room_for_a_batch(run: Callable[..., str], path: Path) -> None:
    script = """
guard = NoDupeGuard(path)
guard.add_batch(sig(i) for i in range(100))
before = digest()
limit(100_000)
for _ in range(3):
    try:
        guard.add_batch(sig(i) for i in range(50, 20_000))
    except StoreFullError as error:
        assert "no room left" in str(error) and path in str(error), error
    else:
        raise SystemExit("not refused")
    assert len(guard) == 100 and guard.add(sig(0)) is False
assert digest() == before
limit(resource.RLIM_INFINITY)
assert guard.add_batch(sig(i) for i in range(50, 20_000)) == 19_900
guard.check()
"""
    run(LIMITED + script, path)


@pytest.mark.parametrize("size", [0, 1_000, 5_000, 10_000, 20_000, 30_000])
def test_no_room_to_create(run: Callable[..., str], path: Path, size: int) -> None:
    script = """
limit(int(sys.argv[2]))
try:
    guard = NoDupeGuard(path)
    guard.add_batch(sig(i) for i in range(2_000))
except StoreFullError as error:
    assert "no room left" in str(error)
else:
    raise SystemExit("not refused")
limit(resource.RLIM_INFINITY)
with NoDupeGuard(path) as guard:
    assert len(guard) == 0 and guard.add(sig(1))
    guard.check()
"""
    run(LIMITED + script, path, size)


def test_no_room_says_that_nothing_was_stored_one_by_one(
    run: Callable[..., str], path: Path
) -> None:
    script = """
guard = NoDupeGuard(path)
limit(200_000)
stored = []
for number in range(100_000):
    try:
        if guard.add(sig(number)):
            stored.append(number)
    except StoreFullError:
        break
limit(resource.RLIM_INFINITY)
assert 0 < len(stored) == len(guard) < 100_000
assert not guard.seen(sig(number)) and guard.add(sig(number))
guard.check()
"""
    run(LIMITED + script, path)


def test_many_open_files_are_told_apart(run: Callable[..., str], path: Path) -> None:
    script = """
import resource
guard = NoDupeGuard(path)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 1, 4096))
import threading
found = []
def work():
    try:
        guard.add(sig(1))
    except StoreError as error:
        found.append(error)
thread = threading.Thread(target=work); thread.start(); thread.join()
assert "free file descriptor" in str(found[0]), found
assert guard.add(sig(1))
"""
    run(script, path)
