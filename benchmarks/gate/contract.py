"""What a suite offers the gate: hot paths, their cases, and a body that can be driven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

SUITE_FOLDER = "VELOCITY_GATE_SUITE"  # environment of a worker: the staged folder of the suite


class Body(Protocol):
    """One case of a hot path, set up and ready to be driven."""

    def fresh(self) -> None:
        """Bring back the state that `before` and `after` start from; never timed."""

    def before(self) -> Any:
        """The slow way."""

    def after(self) -> Any:
        """The way that ships."""

    def agree(self, before: Any, after: Any) -> bool:
        """Whether both ways gave the same answer."""

    def close(self) -> None:
        """Release files and connections."""


class Case(Protocol):
    """A hot path with one choice of parameters."""

    @property
    def label(self) -> str: ...

    @property
    def counted(self) -> bool:
        """Whether exact counters are taken of this case."""

    @property
    def timed(self) -> bool:
        """Whether CPU pairs are taken of this case."""

    @property
    def compared(self) -> bool:
        """Whether `before` is quick enough here to compare both sides in every run."""

    @property
    def has_before(self) -> bool:
        """Whether there is a `before` to take a claim ratio of in reasonable time."""

    @property
    def cpu_floor(self) -> float | None:
        """The least speedup (before / after, CPU time) promised of this case, anywhere."""

    def open(self) -> Body:
        """Set it up; raises `NotImplementedError` where the code under test lacks the part."""


class HotPath(Protocol):
    """A hot path as the registry declares it."""

    @property
    def name(self) -> str: ...

    @property
    def witnesses(self) -> Sequence[str]: ...

    @property
    def claim(self) -> str:
        """The reported speedup it reproduces; empty if none."""

    @property
    def source(self) -> str:
        """Its file below the suite's folder: what it imports decides which changes reach it."""

    @property
    def clock(self) -> str:
        """`"thread"`; `"process"` where the body uses threads, `"tree"` where processes."""

    @property
    def workload(self) -> str:
        """Hash of everything that defines the work, so that a changed workload is noticed."""

    @property
    def cases(self) -> Sequence[Case]: ...
