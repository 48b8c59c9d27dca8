"""The hot paths with their sides swapped, for a worker that counts what the slow way does.

The gate's instruments count one call of `after`: behind this loader that is the slow way.
"""

from __future__ import annotations

from typing import Any

from benchmarks import _engine

LOADER = f"{__name__}:load"


def load() -> list[Any]:
    """Every hot path, `before` for `after`."""
    return [_Swapped(path) for path in _engine.load()]


class _Swapped:
    """A hot path or a case; what it opens, or lists, is swapped."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    @property
    def cases(self) -> list[_Swapped]:
        return [_Swapped(case) for case in self._original.cases]

    def open(self) -> _SwappedBody:
        return _SwappedBody(self._original.open())


class _SwappedBody:
    """A case that is set up."""

    def __init__(self, body: Any) -> None:
        self.fresh, self.close = body.fresh, body.close
        self.before, self.after = body.after, body.before
