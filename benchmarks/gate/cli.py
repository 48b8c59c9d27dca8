"""The command line: a check (the default), `rebaseline` and `rename`."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from . import html, junit, markdown
from .baselines import rename
from .errors import GateError, UsageError
from .files import replace
from .foreign import describe_foreign
from .project import Project, describes_itself, read_project
from .rebaseline import rebaseline
from .repository import Repository
from .rules import CAREFUL, FAST
from .run import Run

LAST, PAGE = "last.json", "last.html"
INTERRUPTED = 130

EXIT_CODES = """\
exit codes:
  0  no hot path is slower than its baseline
  1  regression
  2  a benchmark raised, the two sides disagree, or there is nothing to compare (or no such command)
  3  a declared hot path was not measured
  4  a baseline is missing or unusable
where several hold, the order is 2, 3, 4, 1
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    commands = {
        "rebaseline": (_rebaseline_parser, _rebaseline),
        "rename": (_rename_parser, _rename),
    }
    command = words.pop(0) if words[:1] and words[0] in commands else ""
    parser, act = commands.get(command, (_check_parser, _check))
    options = parser().parse_args(words)
    try:
        return act(options)
    except GateError as error:
        print(f"gate: {error}", file=sys.stderr)
        return error.code
    except Exception as error:  # a defect of ours must not look like a regression
        traceback.print_exc()
        print(f"gate: it broke off ({type(error).__name__}); nothing was judged", file=sys.stderr)
        return GateError.code
    except KeyboardInterrupt:
        print("gate: interrupted; nothing was judged or stored", file=sys.stderr)
        return INTERRUPTED


def _check(options: argparse.Namespace) -> int:
    project, against = _project(options)
    rule = FAST if options.fast else CAREFUL
    rule = dataclasses.replace(rule, every_pair=options.every_pair)
    file = options.json or project.scratch_dir / LAST
    page = options.html or project.scratch_dir / PAGE
    for older in (file, page, options.junit, options.markdown):
        if older:  # a run that ends early must not leave an older verdict behind
            older.unlink(missing_ok=True)
    run = Run(
        project,
        options.names,
        rule,
        _Progress(),
        every=options.all,
        changed=options.changed,
        against=against,
    )
    report = run.judge()
    report.write(file)
    table = report.table()
    replace(page, html.render(table))
    for target, form in ((options.junit, junit), (options.markdown, markdown)):
        if target:
            replace(target, form.render(table))
    print("\n".join(report.lines()))
    print(f"report: {page} (numbers: {file})")
    return report.exit_code


def _project(options: argparse.Namespace) -> tuple[Project, str]:
    """The project, and the commit to compare with; empty for its stored baselines.

    A project that only has an asv suite stores none: HEAD is what its working tree is compared
    with.
    """
    root = options.root.resolve()
    named = options.code or options.asv_config
    if describes_itself(root):
        if named:
            raise UsageError(f"{root} describes itself: --code and --asv-config are for others")
        return read_project(root), options.against
    project = describe_foreign(root, code=options.code, config=options.asv_config)
    if options.against:
        return project, options.against
    if not Repository(root).dirty(project.code):
        raise UsageError(
            f"{project.code} is as HEAD has it, so there is nothing to compare: name a commit "
            f"with --against COMMIT (HEAD~1, main, a tag)"
        )
    return project, "HEAD"


def _storing(options: argparse.Namespace) -> Project:
    """The project, which must be one that stores baselines."""
    root = options.root.resolve()
    if not describes_itself(root):
        raise UsageError(
            f"{root} stores no baselines (its pyproject.toml has no [tool.velocity-gate]): "
            f"compare it with a commit, --against COMMIT"
        )
    return read_project(root)


def _rebaseline(options: argparse.Namespace) -> int:
    project = _storing(options)
    report, files = rebaseline(
        project,
        [] if options.all else options.names,
        reason=options.reason,
        accept_regression=options.accept_regression,
        progress=_Progress(),
    )
    print("\n".join(report.lines()))
    print("stored (commit them):", *files, sep="\n  ")
    return 0


def _rename(options: argparse.Namespace) -> int:
    project = _storing(options)
    file = rename(project.baseline_dir, options.old, options.new)
    print(f"renamed (commit it): {file}")
    return 0


class _Progress:
    """A line for each step, with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        seconds = time.monotonic() - self._started
        print(f"[{seconds:5.1f} s] {line}", file=sys.stderr, flush=True)


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="velocity-gate",
        description=description,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a hot path, or a suite's name")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the project (default: here)")
    return parser


def _rename_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="velocity-gate rename", description="Keep a renamed hot path's baseline."
    )
    parser.add_argument("old", help="the hot path's old name")
    parser.add_argument("new", help="its new name")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the project (default: here)")
    return parser


def _check_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "Compare the working tree's hot paths with their stored baselines. Without NAME: all of "
        "them. `velocity-gate rebaseline --help` tells how a baseline moves, `velocity-gate "
        "rename --help` how it follows a hot path's new name."
    )
    parser.add_argument("--fast", action="store_true", help="fewer pairs, wider limits")
    parser.add_argument(
        "--all",
        action="store_true",
        help="take instructions and claims of unchanged hot paths, too",
    )
    parser.add_argument(
        "--every-pair",
        action="store_true",
        help="measure calm hot paths as long as others: for records that are judged again later",
    )
    parser.add_argument(
        "--changed", action="store_true", help="only hot paths that import a changed file"
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="COMMIT",
        help="compare with a commit instead of the stored baselines (asv suites: default HEAD)",
    )
    parser.add_argument(
        "--code",
        default="",
        metavar="FOLDER",
        help="the package to judge, for a project that has an asv suite and no settings of ours",
    )
    parser.add_argument(
        "--asv-config", default="", metavar="FILE", help="its asv.conf.json, if there are several"
    )
    for form, where in (("json", LAST), ("html", PAGE), ("junit", ""), ("markdown", "")):
        default = f" (default: {where} in the scratch folder)" if where else ""
        parser.add_argument(
            f"--{form}", type=Path, metavar="FILE", help=f"write the report there{default}"
        )
    return parser


def _rebaseline_parser() -> argparse.ArgumentParser:
    parser = _parser("Store this commit's state as the baseline of the named hot paths.")
    parser.prog = "velocity-gate rebaseline"
    parser.add_argument("--all", action="store_true", help="every hot path")
    parser.add_argument("--reason", required=True, help="why, stored in the baseline")
    parser.add_argument("--accept-regression", action="store_true", help="store a slower state too")
    original = parser.parse_args

    def parse(words: Sequence[str]) -> argparse.Namespace:  # one of the two must be said
        options = original(words)
        if bool(options.names) == options.all:
            parser.error("name the hot paths to move, or say --all")
        return options

    parser.parse_args = parse  # type: ignore[method-assign, assignment] # a stricter parser
    return parser
