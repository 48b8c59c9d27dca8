"""Every hot path is run once: its two sides agree, and would be caught if they did not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from suite_sources import methods, path

from benchmarks._registry import RegisteredPath

__all__ = ["path"]  # a fixture


@pytest.fixture
def driven(path: RegisteredPath) -> Iterator[tuple[Any, Any, Any]]:
    """The first compared case, both sides run: body, before's answer, after's answer."""
    case = next(case for case in path.cases if case.compared)
    body = case.open()
    try:
        body.fresh()
        before = body.before()
        body.fresh()
        yield body, before, body.after()
    finally:
        body.close()


class Changed:
    """An answer of which one part, named as `agree` reads it, is changed."""

    def __init__(self, answer: Any, part: str) -> None:
        self._answer, self._part = answer, part

    def __len__(self) -> int:
        return len(self._answer) + (self._part == "__len__")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._answer, name)
        if name != self._part:
            return found
        return (lambda *arguments: wrong(found(*arguments))) if callable(found) else wrong(found)


def wrong(value: Any) -> Any:
    """`value` with its last item changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    items = value.copy()
    within = isinstance(items[-1], bool | int | float | list | np.ndarray)
    items[-1] = wrong(items[-1]) if within else items[0]  # bytes and records: another one
    return items


def parts_compared(path: RegisteredPath) -> set[str]:
    """What `agree` reads of `after`: attributes, `__len__`, or nothing but the whole of it."""
    body = ast.Module(methods(path)["agree"].body, [])
    parts = set()
    for item in ast.walk(body):
        if isinstance(item, ast.Attribute) and ast.unparse(item.value) == "after":
            parts.add(item.attr)
        elif ast.unparse(item) == "len(after)":
            parts.add("__len__")
    return parts


def test_sides_agree_and_could_disagree(path: RegisteredPath, driven: tuple[Any, Any, Any]) -> None:
    body, before, after = driven
    assert body.agree(before, after)
    if isinstance(after, list | np.ndarray):
        assert not body.agree(before, wrong(after)), "agree() cannot say no"
        return
    parts = parts_compared(path)
    assert parts
    for part in parts:
        assert not body.agree(before, Changed(after, part)), f"a wrong {part} passes"
