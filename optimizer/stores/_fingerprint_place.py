"""What the feeders of a fingerprint share: the walk as they see it, and how a place is told."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from optimizer.errors import FingerprintError

# A place is written out only for an error: until then it is the place around it, a template and
# what belongs there.
Where: TypeAlias = "str | tuple[Where, str, object]"
Feed = Callable[["Walker", Any, Where], None]

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 100
_ADVICE = (
    "Expected functions, classes, plain values, arrays and tables, whose content decides. Pass"
    " version='...' to fingerprint, and change it whenever objective or data change."
)


class Walker(Protocol):
    """A walk, as those see it who feed one kind of object."""

    def leaf(self, tag: str, content: bytes | str) -> None:
        """Feed bytes of a kind, with their length."""

    def raw(self, content: Any) -> None:
        """Feed bytes whose number is known from what was fed before."""

    def visit(self, value: Any, where: Where) -> None:
        """Feed an object."""

    def parts(self, tag: str, values: Iterable[tuple[Any, Where]]) -> None:
        """Feed how many objects there are, and each of them."""

    def ordered(self, values: Iterable[Any], where: Where) -> list[Any]:
        """The elements of a set, in an order that does not depend on the process."""

    def outline(self, value: Any, where: Where) -> bytes:
        """The content of an object, as far as it goes without following names."""

    def source(self, name: str, where: Where) -> None:
        """Feed what stands for the code of a module, which is not imported for it."""

    def ask(self, module: ModuleType, names: frozenset[str], where: Where) -> None:
        """Feed, when all imports are done, what the module holds under these names."""

    def first(self, key: object) -> bool:
        """Whether this is the first time that somebody asks with this key."""


def text_of(where: Where) -> str:
    """The place in words."""
    told: list[str] = []
    while not isinstance(where, str):
        where, template, name = where
        told.append(template.format(_SHOWN.repr(name)))  # copes with what repr raises
    return where + "".join(reversed(told))


def refusal(where: Where, found: str) -> FingerprintError:
    """The error for what has no content that could be read."""
    return FingerprintError(f"{text_of(where)} is {found}. {_ADVICE}")
