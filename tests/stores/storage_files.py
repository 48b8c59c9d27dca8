"""What the tests of SQLiteStorage put into a file."""

from __future__ import annotations

from collections.abc import Callable

from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection

from optimizer.stores.optuna_storage import SQLiteStorage

Open = Callable[..., SQLiteStorage]
"""The fixture `open_storage`."""
UNIT = FloatDistribution(0, 1)
LONG_S = 1_000.0  # nothing is written by itself


def new_study(storage: SQLiteStorage) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], "s")
