"""The schema of a store file: whose file it is, how old its schema is, how it grows.

A file carries `APPLICATION_ID` and, as SQLite's `user_version`, the number of migrations it has
been through. Both are written into the first page, in rollback mode, before the file is switched
to WAL: whoever reads the main file alone still learns whose it is.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from optimizer.errors import (
    ForeignFileError,
    NewerSchemaError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
)

APPLICATION_ID = 0x4F505456
"""The bytes "OPTV" in the header of every store file."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE studies (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        # No rowid: the primary key is the table, so a look-up reads one tree and not two.
        "CREATE TABLE signatures ("
        " study INTEGER NOT NULL REFERENCES studies (id),"
        " signature BLOB NOT NULL,"
        " PRIMARY KEY (study, signature)) WITHOUT ROWID",
    ),
    (
        # One per study and fingerprint of objective and data. `tick` orders the uses of its
        # entries; `generation` grows whenever an entry goes, so that memory notices.
        "CREATE TABLE namespaces ("
        " id INTEGER PRIMARY KEY,"
        " study INTEGER NOT NULL REFERENCES studies (id),"
        " fingerprint BLOB NOT NULL,"
        " entries INTEGER NOT NULL DEFAULT 0,"
        " tick INTEGER NOT NULL DEFAULT 0,"
        " generation INTEGER NOT NULL DEFAULT 0,"
        " UNIQUE (study, fingerprint))",
        # `value` holds little-endian doubles: SQLite would turn a NaN into NULL. Times are
        # milliseconds since 1970.
        "CREATE TABLE evaluations ("
        " namespace INTEGER NOT NULL REFERENCES namespaces (id),"
        " signature BLOB NOT NULL,"
        " value BLOB NOT NULL,"
        " attributes TEXT,"  # JSON, NULL for none
        " attempt INTEGER NOT NULL,"
        " stored INTEGER NOT NULL,"
        " used INTEGER NOT NULL,"
        " PRIMARY KEY (namespace, signature)) WITHOUT ROWID",
        "CREATE INDEX evaluations_by_use ON evaluations (namespace, used)",
        "CREATE INDEX evaluations_by_age ON evaluations (namespace, stored)",
        # A claim that was released keeps its attempts, with a lease that ended in 1970.
        "CREATE TABLE claims ("
        " namespace INTEGER NOT NULL REFERENCES namespaces (id),"
        " signature BLOB NOT NULL,"
        " owner TEXT NOT NULL,"
        " attempt INTEGER NOT NULL,"
        " lease INTEGER NOT NULL,"
        " PRIMARY KEY (namespace, signature)) WITHOUT ROWID",
        # `state` counts as Optuna does; params and attributes are JSON; times are seconds.
        "CREATE TABLE trials ("
        " study INTEGER NOT NULL REFERENCES studies (id),"
        " number INTEGER NOT NULL,"
        " state INTEGER NOT NULL,"
        " params TEXT NOT NULL,"
        " value BLOB,"
        " attributes TEXT,"
        " signature BLOB,"
        " started REAL,"
        " finished REAL,"
        " PRIMARY KEY (study, number)) WITHOUT ROWID",
        "CREATE TABLE metadata ("
        " study INTEGER NOT NULL REFERENCES studies (id),"
        " name TEXT NOT NULL,"
        " value TEXT NOT NULL,"  # JSON
        " PRIMARY KEY (study, name)) WITHOUT ROWID",
    ),
    (
        # A study as Optuna knows it. The row of a deleted one stays, with `study` NULL: its id is
        # never given again. `change` grows by every change of any of these rows.
        "CREATE TABLE optuna_studies ("
        " id INTEGER PRIMARY KEY,"
        " study INTEGER UNIQUE REFERENCES studies (id),"
        " directions TEXT NOT NULL,"  # JSON, as Optuna numbers them
        " change INTEGER NOT NULL UNIQUE)",
        "CREATE TABLE optuna_attributes ("
        " study INTEGER NOT NULL REFERENCES optuna_studies (id),"
        " kind INTEGER NOT NULL,"  # 0 the user's, 1 Optuna's own
        " name TEXT NOT NULL,"
        " value TEXT NOT NULL,"  # JSON
        " PRIMARY KEY (study, kind, name)) WITHOUT ROWID",
        # The names and distributions of a trial's parameters, in their order, as JSON.
        "CREATE TABLE optuna_spaces ("
        " study INTEGER NOT NULL REFERENCES optuna_studies (id),"
        " id INTEGER NOT NULL,"
        " body TEXT NOT NULL,"
        " PRIMARY KEY (study, id)) WITHOUT ROWID",
        # `change` grows by every change within a study. `params` and `value` hold little-endian
        # doubles, in the order of the space; `steps` 64-bit integers and doubles by turns; times
        # are ISO 8601. The row of the largest id outlives its study, emptied, for the ids' sake.
        "CREATE TABLE optuna_trials ("
        " id INTEGER PRIMARY KEY,"
        " study INTEGER REFERENCES optuna_studies (id),"
        " number INTEGER NOT NULL,"
        " state INTEGER NOT NULL,"
        " change INTEGER NOT NULL,"
        " space INTEGER,"
        " params BLOB,"
        " value BLOB,"
        " user TEXT,"  # JSON, NULL for none
        " system TEXT,"  # JSON, NULL for none
        " steps BLOB,"
        " started TEXT,"
        " finished TEXT)",
        "CREATE INDEX optuna_trials_by_change ON optuna_trials (study, change)",
        "CREATE TABLE optuna_heartbeats (trial INTEGER PRIMARY KEY, beat INTEGER NOT NULL)",
    ),
)
"""Statements that lead from version i to version i + 1. Append only."""

VERSION = len(MIGRATIONS)

_RETRY_S = 0.01  # pause between attempts to switch to WAL


class Identity(NamedTuple):
    """What the header of a file says about it."""

    application_id: int
    version: int
    empty: bool  # no table, no index: nobody's file yet

    @property
    def is_new(self) -> bool:
        """Whether the file is a fresh one, free for us to write to."""
        return self.empty and self.application_id == 0 and self.version == 0


def file_uri(path: str, options: str) -> str:
    """The URI by which SQLite opens `path` exactly, whatever characters are in it."""
    return f"{Path(path).as_uri()}?{options}"


def identify(raw: sqlite3.Connection) -> Identity:
    """Read whose file it is; call it inside a transaction, so that the parts belong together."""
    (application_id,) = raw.execute("PRAGMA application_id").fetchone()
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    (objects,) = raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return Identity(application_id, version, objects == 0)


def require_ours(identity: Identity, path: str) -> None:
    """Raise unless this version of the package may write to the file.

    Raises
    ------
    ForeignFileError
        Another program's SQLite file.
    NewerSchemaError
        A store file of a newer version of this package.
    """
    if identity.is_new:
        return
    if identity.application_id != APPLICATION_ID:
        raise ForeignFileError(
            f"{path!r} is an SQLite file of another program: its application_id is"
            f" {identity.application_id:#010x}, expected {APPLICATION_ID:#010x}."
            " Choose another path; the file was left as it was."
        )
    if identity.version > VERSION:
        raise NewerSchemaError(
            f"{path!r} has schema {identity.version}, this version of optuna-velocity knows"
            f" schemas up to {VERSION}. Upgrade optuna-velocity, or choose another path;"
            " the file was left as it was."
        )


def inspect(path: str, timeout_s: float) -> None:
    """Raise if an existing file is not ours to write to; never writes to it.

    The file is opened through SQLite and not by `open`: closing a second descriptor of our own
    would drop every lock this process holds on the file. It is opened as immutable, which makes
    no side files, unless a write-ahead log lies beside it that may hold a newer header. Most damage
    is not judged here, where no lock is held and a checkpoint may be under way, but when the file
    is opened for writing.
    """
    if not os.path.exists(path):
        return
    size_bytes = os.path.getsize(path)
    if size_bytes == 1:
        raise not_a_database(path)  # SQLite takes one byte for none and writes over it
    beside = os.path.realpath(path)
    try:
        has_log = os.path.getsize(beside + "-wal") > 0
    except FileNotFoundError:  # asked first whether it is there, it could be gone by now
        has_log = False
    if size_bytes == 0 and has_log:
        size_bytes = os.path.getsize(path)  # asked again: another process may have just made both
    if size_bytes == 0 and has_log:
        # The schema is in the main file before there is a log; SQLite would delete the log.
        raise damaged(path, "it has no bytes, but a write-ahead log lies beside it")
    uri = file_uri(path, "mode=ro" if has_log else "mode=ro&immutable=1")
    try:
        raw = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
    except sqlite3.OperationalError:
        return
    try:
        raw.execute("BEGIN")
        require_ours(identify(raw), path)
        (page_bytes,) = raw.execute("PRAGMA page_size").fetchone()
        at_rest = not has_log and not os.path.exists(beside + "-journal")
        if at_rest and size_bytes % page_bytes:
            # SQLite rounds up, and would read the missing bytes as zeros.
            found = f"{size_bytes} bytes are no whole number of {page_bytes}-byte pages"
            raise damaged(path, found)
    except UnicodeDecodeError:
        return  # damage in a name that SQLite's message repeats
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise not_a_database(path) from error
    finally:
        raw.close()


def not_a_database(path: str) -> ForeignFileError:
    """The error for a file without SQLite's header."""
    return ForeignFileError(
        f"{path!r} is not an SQLite file, or its header is damaged. Expected a store written by"
        " optuna-velocity or a new path. Choose another path, or restore the file from a copy;"
        " it was left as it was."
    )


def prepare(raw: sqlite3.Connection, path: str, timeout_s: float) -> None:
    """Create or migrate the schema and switch to WAL, where that has not happened yet.

    One transaction, whichever of many processes comes first; the others find it done. A process
    killed half-way leaves an empty file or a finished schema.
    """
    (application_id,) = raw.execute("PRAGMA application_id").fetchone()
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    if (application_id, version) != (APPLICATION_ID, VERSION):
        _migrate(raw, path)
    if raw.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        _switch_to_wal(raw, path, timeout_s)


def _migrate(raw: sqlite3.Connection, path: str) -> None:
    raw.execute("BEGIN IMMEDIATE")
    try:
        identity = identify(raw)
        require_ours(identity, path)
        if identity.version < VERSION:
            for statements in MIGRATIONS[identity.version :]:
                for statement in statements:
                    raw.execute(statement)
            # PRAGMA takes no bound values; both numbers are constants of this module.
            raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            raw.execute(f"PRAGMA user_version = {VERSION}")
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise


def _switch_to_wal(raw: sqlite3.Connection, path: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        mode = ""
        try:
            (mode,) = raw.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # The switch needs the file alone and does not always wait for the busy time-out.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        if mode == "wal":
            return
        if mode:
            raise StoreError(
                f"{path!r} lies on a file system without shared memory (SQLite stayed in journal"
                f" mode {mode!r}, expected 'wal'). Choose a path on a local disk."
            )
        if time.monotonic() >= deadline_s:
            raise StoreLockedError(
                f"{path!r} was in use without a pause for timeout_s={timeout_s:g}, so that it could"
                " not be switched to write-ahead logging. Close the other program, or raise"
                " timeout_s."
            )
        time.sleep(_RETRY_S)


def check(raw: sqlite3.Connection, path: str) -> None:
    """Raise StoreCorruptError unless pages, schema and references of the file are whole.

    Cost: reads the whole file.
    """
    findings = [row[0] for row in raw.execute("PRAGMA integrity_check(5)")]
    if findings != ["ok"]:
        raise damaged(path, "; ".join(findings))
    raw.execute("BEGIN")
    try:
        identity = identify(raw)
    finally:
        raw.execute("COMMIT")
    if (identity.application_id, identity.version) != (APPLICATION_ID, VERSION):
        raise damaged(path, f"its header changed to {identity} while it was open")
    orphans = raw.execute("PRAGMA foreign_key_check").fetchall()
    if orphans:
        raise damaged(path, f"{len(orphans)} rows belong to a study or namespace that is not there")


def damaged(path: str, finding: str) -> StoreCorruptError:
    """The error for a file that is not whole; `finding` says what was seen."""
    return StoreCorruptError(
        f"{path!r} is damaged or truncated: {finding}. Expected a whole SQLite file. Restore it"
        " from a copy, or choose another path; this call wrote nothing to it."
    )
