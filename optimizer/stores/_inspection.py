"""What is in a store file, read without changing it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass, field

from optimizer.errors import StorePathError
from optimizer.stores import _faults, _schema
from optimizer.stores._arguments import absolute
from optimizer.stores._encoding import STATES

_TIMEOUT_S = 10.0
_COUNTS = {
    "signatures": "SELECT count(*) FROM signatures WHERE study = ?",
    "evaluations": "SELECT coalesce(sum(entries), 0) FROM namespaces WHERE study = ?",
    "records": "SELECT count(*) FROM trials WHERE study = ?",
    "metadata": "SELECT count(*) FROM metadata WHERE study = ?",
}
_TABLE_OF = {"evaluations": "namespaces", "records": "trials"}
_STATES = (
    "SELECT state, count(*) FROM optuna_trials WHERE study ="
    " (SELECT id FROM optuna_studies WHERE study = ?) GROUP BY state"
)
_SIZES = (
    "SELECT coalesce(tbl_name, dbstat.name), sum(pgsize) FROM dbstat"
    " LEFT JOIN sqlite_master ON sqlite_master.name = dbstat.name GROUP BY 1 ORDER BY 2 DESC, 1"
)


@dataclass(frozen=True, slots=True)
class StudyContent:
    """How much a file keeps of one study; `trials` is None where Optuna has none of that name."""

    name: str
    trials: dict[str, int] | None
    counts: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the name is left."""
        return self.trials is None and not any(self.counts.values())


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file. Sizes in bytes; `tables` is None where SQLite cannot tell them."""

    path: str
    version: int
    size_bytes: int
    log_bytes: int
    free_bytes: int
    studies: list[StudyContent] = field(default_factory=list)
    tables: dict[str, int] | None = None


def content_of(path: str | os.PathLike[str]) -> Content:
    """What is in the file, of this schema or an older one; nothing is written or migrated.

    Cost: reads the whole file.

    Raises
    ------
    StoreError
        One of its kinds: no file, another program's, a newer one, a damaged one.
    """
    name = absolute(path)
    _require_file(name)
    _schema.inspect(name, _TIMEOUT_S)
    try:
        raw = _connect(name)
    except _faults.SQLITE_ERRORS as error:
        raise _faults.translate(error, name, _TIMEOUT_S) from error
    try:
        raw.execute("BEGIN")
        return _read(raw, name)
    except _faults.SQLITE_ERRORS as error:
        raise _faults.translate(error, name, _TIMEOUT_S) from error
    finally:
        raw.close()


def _require_file(name: str) -> None:
    if not os.path.exists(name):
        raise StorePathError(f"{name!r} is not there. Expected the path of a store file.")
    if not os.path.isfile(name):
        raise StorePathError(f"{name!r} is no file. Expected the path of a store file.")


def _connect(name: str) -> sqlite3.Connection:
    # As immutable it makes no side files; where there is a log, that must be read as well.
    options = "mode=ro" if _size(os.path.realpath(name) + "-wal") else "mode=ro&immutable=1"
    return sqlite3.connect(
        _schema.file_uri(name, options), uri=True, timeout=_TIMEOUT_S, isolation_level=None
    )


def _read(raw: sqlite3.Connection, name: str) -> Content:
    identity = _schema.identify(raw)
    _schema.require_ours(identity, name)
    page_bytes, free_pages = _pragma(raw, "page_size"), _pragma(raw, "freelist_count")
    tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    named = []
    if "studies" in tables:
        named = raw.execute("SELECT id, name FROM studies ORDER BY name").fetchall()
    return Content(
        name,
        identity.version,
        _size(name),
        _size(os.path.realpath(name) + "-wal"),
        page_bytes * free_pages,
        [_study(raw, tables, *study) for study in named],
        _sizes(raw),
    )


def _study(raw: sqlite3.Connection, tables: set[str], study: int, name: str) -> StudyContent:
    counts = {}
    for what, query in _COUNTS.items():
        if _TABLE_OF.get(what, what) in tables:
            ((counts[what],),) = raw.execute(query, (study,)).fetchall()
    trials = None
    if "optuna_studies" in tables:
        query = "SELECT 1 FROM optuna_studies WHERE study = ?"
        if raw.execute(query, (study,)).fetchall():
            found = raw.execute(_STATES, (study,)).fetchall()
            trials = {STATES[state]: count for state, count in found}
    return StudyContent(name, trials, counts)


def _sizes(raw: sqlite3.Connection) -> dict[str, int] | None:
    try:
        return dict(raw.execute(_SIZES).fetchall())
    except sqlite3.OperationalError as error:
        if "dbstat" in str(error):
            return None  # an option of SQLite's own build
        raise


def _pragma(raw: sqlite3.Connection, name: str) -> int:
    ((value,),) = raw.execute(f"PRAGMA {name}").fetchall()  # a name of ours
    return int(value)


def _size(name: str) -> int:
    try:
        return os.path.getsize(name)
    except FileNotFoundError:
        return 0
