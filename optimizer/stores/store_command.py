"""The command `python -m optimizer store FILE`: what is in it, dropping a study, compacting."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from optimizer.errors import StoreError
from optimizer.stores import _removal
from optimizer.stores._connection import Database
from optimizer.stores._inspection import Content, StudyContent, content_of

DONE, NOT_DONE, NO_STORE = 0, 1, 3

_WHAT = """\
Say what is in a store file: its studies, their trials by state, the size of each table.

With --drop-study NAME, all that is kept of that study is removed: trials, signatures,
evaluations, records, metadata. With --compact, the file is written anew without the
room that was freed; nobody else may be using it meanwhile.
"""
_CODES = """\
exit codes:
  0    done
  1    nothing was removed: no such study, or the question was not answered with y
  3    FILE cannot be used
"""


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of `python -m optimizer`."""
    parser = commands.add_parser(
        "store",
        help="look into a store file, drop a study, compact the file",
        description=_WHAT,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the store file")
    parser.add_argument("--drop-study", metavar="NAME", help="remove all that is kept of a study")
    parser.add_argument("--yes", action="store_true", help="drop it without asking")
    parser.add_argument("--compact", action="store_true", help="give freed room back to the disk")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what was asked, then say what is in the file; the exit code."""
    try:
        content = content_of(chosen.file)  # first: a file that is not a store is left alone
        if chosen.drop_study is not None and not _drop(content, chosen):
            return NOT_DONE
        if chosen.compact:
            _compact(content)
        _say(_lines(content_of(chosen.file)))
    except StoreError as error:
        _complain(str(error))
        return NO_STORE
    return DONE


def _drop(content: Content, chosen: argparse.Namespace) -> bool:
    name = chosen.drop_study
    study = next((study for study in content.studies if study.name == name), None)
    if study is None or study.is_empty:
        known = ", ".join(repr(study.name) for study in content.studies if not study.is_empty)
        _complain(f"{content.path!r} has no study {name!r}, it has: {known or 'none'}")
        return False
    if not chosen.yes and not _agreed(study):
        _complain(f"the study {name!r} was left as it was; --yes drops it without asking")
        return False
    database = Database(content.path)
    try:
        with database.transaction() as raw:
            _removal.drop(raw, name)
    finally:
        database.close()
    _say([f"dropped {_described(study)}"])
    return True


def _agreed(study: StudyContent) -> bool:
    _say([f"drop {_described(study)}? [y/N]"])
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _compact(content: Content) -> None:
    database = Database(content.path)
    try:
        database.change("VACUUM")
        database.fetch("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def _lines(content: Content) -> list[str]:
    lines = [
        f"{content.path}: schema {content.version}, {content.size_bytes} bytes,"
        f" of them {content.free_bytes} free; log {content.log_bytes} bytes"
    ]
    lines += [_described(study) for study in content.studies if not study.is_empty]
    if content.tables is None:
        return [*lines, "sizes of tables: unknown, SQLite was built without dbstat"]
    width = max(map(len, content.tables), default=0)
    lines += [f"table {name:{width}} {size:>12} bytes" for name, size in content.tables.items()]
    return lines


def _described(study: StudyContent) -> str:
    parts = [f"{count} {what}" for what, count in study.counts.items() if count]
    if study.trials is not None:
        states = ", ".join(f"{count} {state}" for state, count in study.trials.items())
        total = f"{sum(study.trials.values())} trials"
        parts.insert(0, f"{total} ({states})" if states else total)
    return f"study {study.name!r}: {', '.join(parts) or 'empty'}"


def _say(lines: list[str]) -> None:
    # A name may hold what the terminal's encoding cannot show.
    encoding = sys.stdout.encoding or "utf-8"
    text = "".join(line + "\n" for line in lines)
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _complain(what: str) -> None:
    sys.stderr.write(f"python -m optimizer: {what}\n")
