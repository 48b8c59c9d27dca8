"""The command line: `python -m optimizer demo`, `run`, `import-trials`, `store`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optimizer.errors import EvaluationError, StoreError
from optimizer.stores import store_command
from optimizer.study import command

if TYPE_CHECKING:
    from optimizer.stores.records_import import Imported

DONE, PROBLEMS, USAGE, NO_STORE, NOT_VERIFIED, INTERRUPTED = 0, 1, 2, 3, 4, 130

_IMPORT = """\
Move the trials of a folder of JSON files into a store file, in place of the folder.

DIR holds one file a trial, named *.json: {"number": 0, "state": "COMPLETE",
"params": {"x": 1.5}, "value": 0.25, "user_attrs": {}}. Only the number must be there.
DIR is read, never changed. FILE is created if it is not there.

The import may be interrupted at any time and run again: it goes on with what is
missing. A finished trial that is in FILE already is never changed.
"""
_CODES = """\
exit codes:
  0    every file of DIR is in FILE
  1    files were skipped: each is listed with what was found in it
  2    DIR cannot be read, or the command was not understood
  3    FILE cannot be used; what was stored before is stored
  4    at the end, trials that were read are not in FILE
  130  interrupted (Ctrl-C); run the same command again to go on
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. A user's mistake gives one line, no traceback."""
    chosen, more = _parser().parse_known_args(arguments)
    if more:  # told by the command that was chosen: argparse shows the usage of all of them
        chosen.parser.error(f"unrecognized arguments: {' '.join(more)}")
    try:
        code: int = chosen.run(chosen)
    except KeyboardInterrupt:  # outside of what the command itself says about it
        _say("interrupted")
        code = INTERRUPTED
    if code == INTERRUPTED:
        # Where it passed through code made from a text (numba's, a namedtuple's), Python remembers
        # it though it was caught, and would end by the signal, not by this code: until the next.
        exec("")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m optimizer", description="Parts that make slow Optuna studies fast."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command.add_to(commands)
    trials = commands.add_parser(
        "import-trials",
        help="move a folder of JSON trial files into a store file",
        description=_IMPORT,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trials.add_argument("folder", metavar="DIR", help="the folder of trial files")
    trials.add_argument("file", metavar="FILE", help="the store file")
    trials.add_argument(
        "--study", default="default", metavar="NAME", help="the study in FILE (%(default)s)"
    )
    trials.add_argument("--quiet", action="store_true", help="no progress on stderr")
    trials.set_defaults(run=_import_trials)
    store_command.add_to(commands)
    for chosen in commands.choices.values():
        chosen.set_defaults(parser=chosen)
    return parser


def _import_trials(chosen: argparse.Namespace) -> int:
    from optimizer.stores.records import TrialRecords
    from optimizer.stores.records_import import Imported, import_trials

    if not os.path.isdir(chosen.folder):
        _say(f"{chosen.folder!r} is not a folder, expected one of trial files (*.json)")
        return USAGE
    imported = Imported()
    progress = _Progress(not chosen.quiet)
    try:
        with TrialRecords(chosen.file, study=chosen.study) as records:
            import_trials(chosen.folder, records, progress=progress.show, imported=imported)
    except KeyboardInterrupt:
        progress.end()
        _report(imported)
        _say("interrupted; run the same command again to go on")
        return INTERRUPTED
    except (StoreError, EvaluationError) as error:
        progress.end()
        _report(imported)
        _say(str(error))
        return NO_STORE
    progress.end()
    _report(imported)
    if not imported.verified:
        lost = ", ".join(map(str, sorted(imported.missing or ())[:10]))
        _say(f"trials that were read are not in {chosen.file!r}: {lost}; run it again")
        return NOT_VERIFIED
    return PROBLEMS if imported.problems else DONE


def _report(imported: Imported) -> None:
    """What was done, on stdout: problems first, the counts last."""
    lines = [f"skipped {problem}" for problem in imported.problems]
    counted = ", counted in the table" if imported.verified else ""
    lines.append(
        f"{imported.files} files, {imported.trials} trials{counted}: {imported.stored} stored,"
        f" {imported.kept} there already, {len(imported.problems)} skipped"
    )
    text = "\n".join(lines) + "\n"
    # A name in the folder may hold what the terminal's encoding cannot show.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


class _Progress:
    """Counts on stderr: one line that is rewritten on a terminal, else a line for each tenth."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._rewritten = sys.stderr.isatty()
        self._tenth = 0

    def show(self, imported: Imported) -> None:
        if not self._shown:
            return
        line = f"{imported.done} of {imported.files} files"
        tenth = imported.done * 10 // max(imported.files, 1)
        if self._rewritten:
            sys.stderr.write(f"\r{line}")
        elif tenth > self._tenth:
            sys.stderr.write(f"{line}\n")
        self._tenth = tenth
        sys.stderr.flush()

    def end(self) -> None:
        if self._shown and self._rewritten and self._tenth:
            sys.stderr.write("\n")


def _say(what: str) -> None:
    sys.stderr.write(f"python -m optimizer: {what}\n")


if __name__ == "__main__":
    sys.exit(main())
