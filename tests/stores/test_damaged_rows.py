"""Rows that no store wrote: `check` finds them; the error names the file, the row, what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_opening import INF, NAN, ONE, sig

from optimizer.errors import StoreCorruptError
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.metadata import MetadataTable
from optimizer.stores.named_values import NamedValues
from optimizer.stores.sqlite import SqliteStore

TEXTS = pytest.mark.parametrize("text", ['{"a": 1', "", "[" * 100_000, '{"a": 1}{}', b"\xff"])


def damage(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as raw:
        assert raw.execute(statement, values).rowcount == 1


def refused(path: Path, call: Callable[[], object], row: str, remedy: str) -> None:
    with pytest.raises(StoreCorruptError, match=f"{row}.*{remedy}") as caught:
        call()
    assert repr(str(path)) in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("text", ['{"a": 1', "[1]", "3", "[" * 100_000, b"\xff"])
@pytest.mark.parametrize("front", [0, 10])
def test_damaged_attributes(path: Path, text: str, front: int) -> None:
    row, remedy = sig(1).hex(), "`forget` it"
    with EvaluationCache(path, ONE, front=front) as cache, SqliteStore(path) as store:
        cache.put(sig(1), 1.0, {"a": 1})
        cache.put_batch([(sig(0), 0.0), (sig(2), 2.0)])
        damage(path, "UPDATE evaluations SET attributes = ? WHERE signature = ?", text, sig(1))
        many = [sig(i) for i in range(3)]
        for _ in range(2):  # from the file, then from memory
            refused(path, lambda: cache.get(sig(1)), row, remedy)
            refused(path, lambda: cache.get_batch(many), row, remedy)
            refused(path, lambda: cache.get_batch([*many, sig(9)]), row, remedy)
            assert cache.get_batch([sig(0), sig(2)])[1].value == 2.0  # type: ignore[union-attr]  # it is there
        refused(path, lambda: Claims(cache).wait(sig(1)), row, remedy)
        for part in (cache, store):
            refused(path, part.check, row, remedy)
        assert cache.forget(sig(1))
        cache.check()
        assert cache.get(sig(1)) is None


@pytest.mark.parametrize("value", [b"123", "text"])
def test_a_damaged_value(path: Path, value: object) -> None:
    with EvaluationCache(path, ONE) as cache:
        cache.put(sig(1), 1.0)
        damage(path, "UPDATE evaluations SET value = ?", value)
        for call in (lambda: cache.get(sig(1)), lambda: cache.get_batch([sig(1), sig(2)])):
            refused(path, call, sig(1).hex(), "`forget` it")
        with pytest.raises(StoreCorruptError, match="1 evaluations are malformed"):
            cache.check()
        assert cache.forget(sig(1))
        cache.check()


def test_all_attributes_of_all_namespaces_are_looked_at(path: Path) -> None:
    with EvaluationCache(path, ONE) as cache, EvaluationCache(path, bytes(range(16))) as other:
        for number in range(501):
            other.put(sig(number), 1.0, {"n": number})
        cache.check()
        damage(path, "UPDATE evaluations SET attributes = '{' WHERE signature = ?", sig(500))
        refused(path, cache.check, sig(500).hex(), "`forget` it")


def test_attributes_that_only_python_calls_json_are_whole(path: Path) -> None:
    with EvaluationCache(path, ONE) as cache:
        cache.put(sig(1), 1.0, {"nan": NAN, "inf": [INF, -INF], "large": 2**70, "text": "\ud800"})
        cache.check()


@TEXTS
def test_damaged_metadata(path: Path, text: str) -> None:
    row, remedy = "'a' of study 'default'", "set them anew, or remove them"
    with SqliteStore(path) as store, NamedValues(path) as values, MetadataTable(path) as table:
        store.metadata.update({"a": 1, "b": NAN})
        values.check()
        damage(path, "UPDATE metadata SET value = ? WHERE name = 'a'", text)
        calls: tuple[Callable[[], Any], ...] = (
            *(lambda: values.get("a"), values.all, values.check),
            *(lambda: table.get("a"), table.all, store.check),
        )
        for call in calls:
            refused(path, call, row, remedy)
        assert repr(values.get("b")) == "nan"
        with NamedValues(path, study="other") as other:
            other.check()
        assert values.remove("a")
        store.check()
