"""What the rooms promise each other, without importing each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

Params = Mapping[str, Any]
"""Parameters of one trial: name -> value."""

Signature = bytes
"""16 bytes that are equal exactly if two parameter sets are the same point of the space."""


@runtime_checkable
class SignatureGuard(Protocol):
    """A set of signatures that outlives the process, one namespace per study."""

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before, by any process."""
        ...

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new."""
        ...

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order."""
        ...

    def add_batch(self, signatures: Iterable[Signature]) -> int:
        """Add all or none; how many were new."""
        ...

    def remove(self, signature: Signature) -> bool:
        """Forget it; True if it was there."""
        ...

    def __len__(self) -> int: ...
