"""What a plant is: edits to shipped code, or work of any size, and what must notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Key = tuple[str, str]  # hot path, case
Item = TypeVar("Item")


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which must stand exactly once in `file`, by `new`; both None: delete it."""

    file: str
    old: str | None = None
    new: str | None = None


def after(file: str, anchor: str, line: str) -> Edit:
    """Insert `line` after the first line of `anchor`, with its indent."""
    first, newline, rest = anchor.partition("\n")
    indent = first[: len(first) - len(first.lstrip())]
    inserted = f"{first}\n{indent}{line}" if line else first
    return Edit(file, anchor, f"{inserted}{newline}{rest}")


@dataclass(frozen=True)
class Work:
    """Added work of any size: a statement whose cost grows with n, after the line of `anchor`.

    A statement with `{n}` in it stands there once; one without is written n times.
    """

    path: str
    case: str  # the case whose size is named; others of the path get another share
    file: str
    anchor: str
    statement: str
    probe: int  # an n that costs about as much as the body
    measure: str = "cpu"  # what grows: "cpu", or a counter
    shared: tuple[str, ...] = ()  # every hot path that runs the line, unless it is this one alone
    prior: tuple[Edit, ...] = ()  # on both sides: what the statement needs

    @property
    def key(self) -> Key:
        return self.path, self.case

    @property
    def runners(self) -> tuple[str, ...]:
        """The hot paths that run the line: these, all of them, get slower."""
        return self.shared or (self.path,)

    @property
    def repeated(self) -> bool:
        """Whether the statement is written n times, so that n = 0 is the shipped code."""
        return "{n}" not in self.statement

    def edit(self, n: int) -> Edit:
        """The work, n units of it."""
        line = "; ".join([self.statement] * n) if self.repeated else self.statement.format(n=n)
        return after(self.file, self.anchor, line)

    def meets(self, other: Work) -> bool:
        """Whether one of two hot paths would run the other's work."""
        return other.path in self.runners or self.path in other.runners


def together(items: Iterable[Item], work_of: Callable[[Item], Work]) -> list[list[Item]]:
    """The items in as few groups as a greedy search finds; in none do two works meet."""
    groups: list[list[Item]] = []
    for item in items:
        work = work_of(item)
        for group in groups:
            if not any(work.meets(work_of(other)) for other in group):
                group.append(item)
                break
        else:
            groups.append([item])
    return groups


@dataclass(frozen=True)
class Plant:
    """A defect, the hot paths to look at, and what the gate must answer."""

    name: str
    paths: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    caught_by: tuple[str, ...] = ()  # each of these witnesses must say "worse"
    silent: tuple[str, ...] = ()  # none of these may: they are blind to it, that is the point
    code: int = 1
    says: tuple[str, ...] = ()  # words of the gate's sentences
    prior: tuple[Edit, ...] = ()  # committed first, so that both sides have it
    work: Work | None = None  # instead of `edits`
    share: float = 0.0  # the nominal size of `work`
    stored: bool = False  # judged against the stored baselines, not against the commit below
    needs: tuple[str, ...] = ()  # instruments without which it cannot be caught
    quick: bool = False  # part of the short form
