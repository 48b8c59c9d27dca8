"""Both sides of a hot path promise the same, and agreement proves what it says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from suite_sources import PATHS

from benchmarks._registry import OpenCase

NORMAL, FULL = 1, 2  # SQLite's `synchronous`; FULL waits for the disk at each commit


@contextmanager
def opened(name: str, case: str) -> Iterator[OpenCase]:
    body = PATHS[name].case(case).open()
    try:
        yield body
    finally:
        body.close()


def synchronous(database: Any) -> int:
    ((found,),) = database.fetch("PRAGMA synchronous")
    return int(found)


@pytest.mark.parametrize("name", ["stores.AddBatch", "stores.AddEach"])
@pytest.mark.parametrize(("durability", "expected"), [("power", FULL), ("process", NORMAL)])
def test_a_claim_of_adding_promises_what_its_slow_way_does(
    name: str, durability: str, expected: int
) -> None:
    assert PATHS[name].case().label == "n=1000,durability=power"
    with opened(name, f"n=100,durability={durability}") as body:
        assert synchronous(body._instance.fast._database) == expected
        with closing(sqlite3.connect(body._instance.slow_file)) as slow:
            assert slow.execute("PRAGMA synchronous").fetchone() == (FULL,)


@pytest.mark.parametrize(
    ("name", "case"), [("stores.Executemany", "n=1000"), ("stores.Settings", "n=100")]
)
def test_a_plain_connection_promises_what_ours_does(name: str, case: str) -> None:
    with opened(name, case) as body:
        assert synchronous(body._instance.fast._database) == FULL
        assert body._instance.slow.execute("PRAGMA synchronous").fetchone() == (FULL,)


def test_metadata_that_is_not_flushed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened("metadata.WriteMetadata", "n=100") as body:
        body.fresh()
        before = body.before()
        body.fresh()
        assert body.agree(before, body.after())
        body.fresh()
        monkeypatch.setattr(body._instance.fast, "flush", lambda: None)
        assert not body.agree(before, body.after())


def test_metadata_that_is_not_written_anew_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of an earlier call holds the same values: it must not answer for this one."""
    with opened("metadata.WriteMetadata", "n=100") as body:
        body.fresh()
        before = body.before()
        body.fresh()
        body.after()
        body.fresh()
        monkeypatch.setattr(body._instance.fast._batch._target, "update", lambda values: None)
        with pytest.raises(FileNotFoundError):
            body.agree(before, body.after())


@pytest.mark.parametrize(
    ("name", "case", "part"),
    [
        ("configuration.ValueClone", "trials=1000", ("user_attrs", "folds")),
        ("configuration.ValueClone", "trials=1000", ("params",)),
        ("configuration.JsonAgain", "files=100", ("user_attrs", "folds")),
        ("configuration.DefaultConfig", "handed_out=table", ("data",)),
        ("configuration.DefaultConfig", "handed_out=table", ("flags",)),
    ],
)
def test_a_part_that_two_copies_share_is_noticed(
    name: str, case: str, part: tuple[str, ...]
) -> None:
    with opened(name, case) as body:
        before, after = body.before(), body.after()
        assert body.agree(before, after)
        original = body._instance.trials[0] if "ValueClone" in name else equal_to(after[0], after)
        holder, source = after[0], original
        for name_of_part in part[:-1]:
            holder, source = holder[name_of_part], source[name_of_part]
        assert holder[part[-1]] == source[part[-1]]
        holder[part[-1]] = source[part[-1]]
        assert not body.agree(before, after)


def equal_to(value: Any, others: list[Any]) -> Any:
    """Another object with the same values."""
    return next(other for other in others if other == value and other is not value)
