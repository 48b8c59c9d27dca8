"""Generated blocks of a README: what stands between two comments comes from stored runs."""

from __future__ import annotations

from collections.abc import Iterable


class MissingBlockError(ValueError):
    """A text has lost a block that is generated into it."""


def filled(text: str, name: str, lines: Iterable[str]) -> str:
    """`text` with its block `name` holding `lines`, and nothing else changed.

    Raises `MissingBlockError` where the block's start, or its end after that, is not there.
    """
    start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    head, found, rest = text.partition(start)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise MissingBlockError(f"the README lost its block {name!r}: restore it from git")
    return "\n".join([head + start + "```text", *lines, "```", end]) + tail
