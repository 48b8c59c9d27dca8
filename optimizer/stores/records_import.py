"""Move a folder of trial files into the table, in steps that an interrupt cannot undo."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from optimizer.protocols import Trial
from optimizer.stores.records import TrialRecords
from optimizer.stores.records_files import Problem, read_in_batches, trial_names

BATCH = 512
"""Trials stored by one transaction."""

Progress = Callable[["Imported"], None]


@dataclass
class Imported:
    """How far an import is: counts, and what was wrong."""

    files: int = 0  # names in the folder
    trials: int = 0  # trials read from them, each another number
    stored: int = 0  # of them are new in the table, or took the place of an unfinished one
    kept: int = 0  # of them were in the table already
    refused: int = 0  # of them differ from a finished one in the table; among the problems, too
    problems: list[Problem] = field(default_factory=list)
    missing: set[int] | None = None  # numbers read but not in the table; None until counted

    @property
    def done(self) -> int:
        """Files that were looked at."""
        return self.trials + len(self.problems) - self.refused

    @property
    def verified(self) -> bool:
        """Whether the numbers were counted, and every trial that was read is in the table."""
        return self.missing is not None and not self.missing


def import_trials(
    folder: str | os.PathLike[str],
    records: TrialRecords,
    *,
    progress: Progress | None = None,
    imported: Imported | None = None,
) -> Imported:
    """Store every trial of a folder that is not in the table yet, and count them there.

    Some 500 trials at a time are stored by one transaction and compared with the table, so that
    whoever ends it early, by a kill too, loses none of those before; the next run goes on. A
    finished trial of the table never changes: a file of the same number with another content is a
    problem.

    Cost: one listing; an open and a read per file; per batch one transaction and one query;
    one query at the end. Trials already there are read and compared, too.

    Parameters
    ----------
    folder : str or os.PathLike
        As for `load_trials`.
    records : TrialRecords
        The table, open.
    progress : callable, optional
        Called with the counts so far after each batch.
    imported : Imported, optional
        Filled while it goes, for who wants to know how far it came when it raised.

    Raises
    ------
    StorePathError
        The folder cannot be listed.
    StoreError
        The store cannot be used. What was stored before is stored.
    """
    result = Imported() if imported is None else imported
    names = trial_names(folder)
    result.files = len(names)
    numbers: set[int] = set()
    for batch in read_in_batches(folder, names, result.problems, BATCH):
        numbers.update(trial.number for trial in batch.values())
        _store(batch, records, result)
        if progress is not None:
            progress(result)
    result.missing = numbers - records.numbers()
    return result


def _store(batch: Mapping[str, Trial], records: TrialRecords, result: Imported) -> None:
    stored = records.add_batch(batch.values())
    there = records.get_batch(trial.number for trial in batch.values())
    refused = [
        Problem(name, f"trial {trial.number} is finished in the table with another content")
        for name, trial in batch.items()
        if trial.number in there and not _same(trial, there[trial.number])
    ]
    result.trials += len(batch)
    result.stored += stored
    result.refused += len(refused)
    result.kept += len(batch) - stored - len(refused)
    result.problems += refused


def _same(left: Trial, right: Trial) -> bool:
    # By their texts too, for NaN does not equal itself; the order of names does not count.
    return left == right or _ordered(left) == _ordered(right)


def _ordered(trial: Trial) -> str:
    times = trial.started_s, trial.finished_s
    mappings = _sorted(trial.params), _sorted(trial.attributes)
    return repr((trial.number, trial.state, trial.values, mappings, times))


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return sorted((name, _sorted(inner)) for name, inner in value.items())
    return list(map(_sorted, value)) if isinstance(value, list) else value
