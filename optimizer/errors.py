"""Every error this package raises on purpose.

Each message says what was found, what was expected and what to do next. All derive from
`OptimizerError`, so one `except` catches them; where a built-in class fits (`ValueError`,
`TypeError`), the error derives from that too.
"""

from __future__ import annotations

from typing import Any


class OptimizerError(Exception):
    """Base of all errors of this package."""


# --- parameters and spaces


class SpaceError(OptimizerError, ValueError):
    """A search space that cannot be understood, or a value that does not belong to it."""


class SignatureError(OptimizerError, ValueError):
    """Parameters that have no canonical form, or a signature that is not 16 bytes."""


class CacheError(OptimizerError, ValueError):
    """A cache asked for with a size or time to live that makes no sense, or found inconsistent."""


class ConfigurationError(OptimizerError, ValueError):
    """A file that cannot be read, is damaged, or holds what the validation refuses."""


# --- stores


class StoreError(OptimizerError):
    """Something is wrong with a store's file; the file was left as it was."""


class StoreArgumentError(StoreError, ValueError):
    """A study name, durability or time-out that a store cannot work with."""


class StorePathError(StoreError):
    """The path is not one of a file, or its folder is not there."""


class ForeignFileError(StoreError):
    """The file exists, but was not written by this package."""


class NewerSchemaError(StoreError):
    """The file was written by a newer version of this package."""


class StoreLockedError(StoreError):
    """Another connection held the write lock for longer than the time-out."""


class StoreReadOnlyError(StoreError):
    """The file or its folder cannot be written to."""


class StoreCorruptError(StoreError):
    """The file is damaged or truncated."""


class StoreFullError(StoreError):
    """The disk is full: nothing of the failed call was stored."""


class StoreClosedError(StoreError):
    """The store was used after it was closed."""


class EvaluationError(OptimizerError, ValueError):
    """Values, attributes, parameters or metadata that a store cannot keep exactly."""


class FingerprintError(OptimizerError, ValueError):
    """An objective or data that cannot be fingerprinted; the message names the place."""


class ClaimLostError(StoreError):
    """A result came too late: its claim had passed on, or was given up; nothing was stored."""


class ClaimBusyError(StoreError):
    """Another worker was still evaluating the same parameters when the time was up."""


class TrialFinishedError(StoreError):
    """A trial of this number is finished already; finished trials never change."""


# --- efficiency and report


class EfficiencyError(OptimizerError, ValueError):
    """A setting of EfficiencyConfig, a fraction, a threshold or a size that makes no sense."""


class ReportError(OptimizerError):
    """A report that cannot be made here; the message says what to install or to pass."""


# --- backtest


class PriceError(OptimizerError, ValueError):
    """Prices, rebalance bars or weights that cannot be traded on; the message names the place."""


class TradeLogError(OptimizerError, ValueError):
    """A trade log that contradicts itself; the message names the rule and the first trade."""


# --- study


class StudyArgumentError(OptimizerError, ValueError):
    """An argument of `optimize` that makes no sense, or does not go with another."""


class ObjectiveError(OptimizerError, TypeError):
    """An objective that cannot be called in any of the ways that `optimize` knows."""


class StudyInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a study; everything that was told is stored.

    Attributes:
        result: the `Result` of what was done.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


# --- workers


class WorkerError(OptimizerError):
    """A pool of workers that cannot do what it was asked; the message says what to change."""


class WorkerDiedError(WorkerError):
    """Workers ended in a task more often than it may be retried, or one after another at start."""


class TaskTimeoutError(WorkerError, TimeoutError):
    """A task took longer than the time-out, and so did its retries."""


class SharedDataError(WorkerError):
    """Data for the workers that cannot be pickled, or for which there is no memory."""


class RemoteError(WorkerError):
    """A worker's exception that cannot be rebuilt here, told by its name, text and traceback."""

    def __init__(self, type_name: str, text: str, traceback: str) -> None:
        super().__init__(type_name, text, traceback)
        self.type_name = type_name
        self.text = text
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.text} (in a worker; the exception itself did not travel)"
