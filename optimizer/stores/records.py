"""TrialRecords: the trials of a study in a table, in place of a folder of JSON files.

Folders are read by `load_trials`, and moved into the table by
`python -m optimizer import-trials DIR FILE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from optimizer.errors import EvaluationError
from optimizer.protocols import Trial
from optimizer.stores import _schema
from optimizer.stores._encoding import trial_row
from optimizer.stores._part import CHUNK, Part
from optimizer.stores.records_files import LoadedTrials, Problem, load_trials
from optimizer.stores.records_format import MAX_NUMBER
from optimizer.stores.records_rows import READ_COLUMNS, trials_of

__all__ = ["LoadedTrials", "Problem", "Trial", "TrialRecords", "load_trials"]

# Running is 0 and waiting is 4: only such a trial may still change.
_ADD = """
INSERT INTO trials
 (study, number, state, params, value, attributes, signature, started, finished)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (study, number) DO UPDATE SET
 state = excluded.state, params = excluded.params, value = excluded.value,
 attributes = excluded.attributes, signature = excluded.signature,
 started = excluded.started, finished = excluded.finished
WHERE state IN (0, 4) AND
 (state, params, value, attributes, signature, started, finished) IS NOT
 (excluded.state, excluded.params, excluded.value, excluded.attributes, excluded.signature,
  excluded.started, excluded.finished)
"""
_READ = f"SELECT {READ_COLUMNS} FROM trials WHERE study = ?"  # noqa: S608 - a constant of ours
_PAGE = f"{_READ} AND number > ? ORDER BY number LIMIT {CHUNK}"
_number = attrgetter("number")
_COUNT = "SELECT count(*) FROM trials WHERE study = ?"
_NUMBERS = "SELECT number FROM trials WHERE study = ?"


class TrialRecords(Part):
    """The trials of one study, by number, in a store file.

    Any number of threads and processes may use one file at once. What a call acknowledged is
    stored: under `durability="process"` it survives the death of the process, under `"power"` a
    power cut too. A call that raises has changed nothing. A finished trial never changes; one that
    runs or waits gives way to what is added under its number.

    Parameters
    ----------
    path : str, os.PathLike or Database
        The file; created if it is not there or has no bytes at all.
    study : str
        The namespace; any text that is not empty.
    durability : {"process", "power"}
        What a call that returned survives.
    timeout_s : float
        How long a call waits for other writers, in seconds, before it raises.

    Raises
    ------
    StoreError
        One of its kinds, as `NoDupeGuard` says; `StoreClosedError` after `close`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with TrialRecords(folder.name + "/study.db", study="momentum") as records:
    ...     records.add(Trial(0, "complete", {"fast": 20}, (1.5,)))
    ...     records.load()[0].params
    True
    {'fast': 20}
    >>> folder.cleanup()
    """

    def add(self, trial: Trial) -> bool:
        """Store a trial; True if that changed the table. Cost: one statement.

        Raises
        ------
        EvaluationError
            Something in it cannot be stored exactly: JSON would make something else of it.
        """
        return self._database.change(_ADD, self._row(trial)) == 1

    def add_batch(self, trials: Iterable[Trial]) -> int:
        """Store all or none; how many changed the table.

        Of a number that comes twice the first finished one stays. Cost: one transaction: a
        statement per trial, prepared once, and two around them.

        Raises
        ------
        EvaluationError
            Something in one of them cannot be stored exactly.
        """
        rows = list(map(self._row, trials))
        return self._database.change_many(_ADD, rows) if rows else 0

    def load(self) -> dict[int, Trial]:
        """All trials, number -> `Trial`, in the order of the numbers.

        Cost: as `iterate`, and all are held in memory.
        """
        loaded: dict[int, Trial] = {}
        for page in self._pages():
            loaded.update(zip(map(_number, page), page, strict=True))
        return loaded

    def iterate(self) -> Iterator[Trial]:
        """The trials in the order of their numbers.

        Cost: one query per 500 trials, and no lock is held between two of them. Each query sees one
        moment; a trial that is added behind the place reached so far is not met.
        """
        for page in self._pages():
            yield from page

    def get_batch(self, numbers: Iterable[int]) -> dict[int, Trial]:
        """The trials of those numbers that are there. Cost: one query per 500 numbers."""
        # SQLite has no name for larger ones, so no trial has such a number.
        wanted = [n for n in numbers if not isinstance(n, int) or 0 <= n <= MAX_NUMBER]
        found = dict[int, Trial]()
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            places = ",".join("?" * len(chunk))
            query = f"{_READ} AND number IN ({places}) ORDER BY number"
            page = self._trials(self._database.fetch(query, (self._study_id, *chunk)))
            found.update(zip(map(_number, page), page, strict=True))
        return found

    def numbers(self) -> set[int]:
        """The numbers of all trials. Cost: one query that reads them all."""
        return {number for (number,) in self._database.fetch(_NUMBERS, (self._study_id,))}

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and the trials of this study are whole.

        Cost: reads the whole file.
        """
        super().check()
        for _ in self._pages():
            pass

    def __len__(self) -> int:
        """How many trials this study has. Cost: one query that reads them all."""
        ((count,),) = self._database.fetch(_COUNT, (self._study_id,))
        return int(count)

    def _row(self, trial: Trial) -> tuple[Any, ...]:
        if not isinstance(trial, Trial):
            raise EvaluationError(
                f"found {trial!r} of type {type(trial).__name__}, expected an"
                " optimizer.protocols.Trial"
            )
        return trial_row(self._study_id, trial)

    def _pages(self) -> Iterator[list[Trial]]:
        after = -1
        while rows := self._database.fetch(_PAGE, (self._study_id, after)):
            yield self._trials(rows)
            after = rows[-1][0]

    def _trials(self, rows: list[Any]) -> list[Trial]:
        try:
            return trials_of(rows)
        except (ValueError, TypeError) as error:
            raise _schema.damaged(
                self.path, f"a trial between {rows[0][0]} and {rows[-1][0]} cannot be read: {error}"
            ) from None
