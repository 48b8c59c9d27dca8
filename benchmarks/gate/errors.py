"""What can go wrong before or during a measurement, each with the exit code it leads to."""

from __future__ import annotations


class GateError(Exception):
    """A failure that ends up as a sentence in the verdict."""

    code = 2


class UsageError(GateError):
    """The command line or the project's description makes no sense."""

    code = 2


class BodyRaisedError(GateError):
    """A benchmark raised, or its process died."""

    code = 2


class NotMeasuredError(GateError):
    """A declared hot path could not be measured: missing part, or the wrong code was imported."""

    code = 3


class SkippedError(NotMeasuredError):
    """The suite itself skips a case on one side; where it skips both, that is no failure."""

    def __init__(self, message: str, side: str) -> None:
        super().__init__(message)
        self.side = side


class BaselineError(GateError):
    """A stored baseline is missing, damaged or out of reach."""

    code = 4


class BaseLacksError(BaselineError):
    """The baseline's code lacks what a hot path needs: where nothing is stored, the path is new."""
