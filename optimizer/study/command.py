"""The commands `python -m optimizer demo` and `python -m optimizer run SCRIPT`."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from optimizer.efficiency import config_of
from optimizer.errors import (
    EfficiencyError,
    ObjectiveError,
    OptimizerError,
    ReportError,
    SpaceError,
    StoreError,
    StudyArgumentError,
    StudyInterrupted,
)

if TYPE_CHECKING:
    from optimizer.stores.optuna_storage import SQLiteStorage
    from optimizer.study.failures import Failures
    from optimizer.study.result import Result
    from optimizer.study.script import Script

DONE, ENDED_EARLY, USAGE, NO_STORE, NO_REPORT, NO_VALUE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_DEMO = """\
Run a study of a momentum portfolio on the shipped S&P data: 20 assets, 1990 to 2022.

It shows its progress, then the best parameters and where the time went.
"""
_RUN = """\
Run the study that a Python script defines.

SCRIPT defines `objective`, a function of params, of params and context, or of an Optuna
trial; and `space`, such as {"x": {"type": "float", "min": 0, "max": 1}}, which an
objective of a trial does without. It may define `data` (a dict of arrays that workers
share), `direction` ("minimize", "maximize", or a list of these) and `mode` ("fast",
"balanced", "thorough" or an EfficiencyConfig). It does not run as __main__.

With --storage, the study is kept in FILE: the same command goes on where it ended, up
to --trials in all.
"""
_CODES = """\
exit codes:
  0    the study has all its trials, or its time is up; some trial of it is complete
  1    the objective raised, which ended the study; --go-on lets it go on
  2    SCRIPT cannot be used, or the command was not understood
  3    FILE of --storage cannot be used; what was stored before is stored
  4    FILE of --html cannot be written, or plotly is not installed
  5    trials were run, and no trial of the study is complete: it has no value
  130  interrupted (Ctrl-C); what was told is stored, if there is a --storage
"""


def add_to(commands: Any) -> None:
    """Add both commands to the subparsers of `python -m optimizer`."""
    demo = _parser_of(commands, "demo", "a study of a momentum portfolio on S&P data", _DEMO)
    _add_options(demo, trials=300, workers=2)
    demo.set_defaults(run=_demo, go_on=False, study=None, trial_timeout=None)
    run = _parser_of(commands, "run", "the study that a script of yours defines", _RUN)
    run.add_argument("script", metavar="SCRIPT", help="a Python file")
    _add_options(run, trials=100, workers=1)
    run.add_argument(
        "--study", metavar="NAME", help="the study in FILE (default: the name of SCRIPT)"
    )
    run.add_argument(
        "--go-on", action="store_true", help="an exception fails its trial, not the study"
    )
    run.add_argument(
        "--trial-timeout",
        type=_positive,
        metavar="SECONDS",
        help="end a trial that takes longer, and replace its worker; it is tried once more",
    )
    run.set_defaults(run=_run)


def _parser_of(commands: Any, name: str, short: str, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=what,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_options(parser: argparse.ArgumentParser, *, trials: int, workers: int) -> None:
    add = parser.add_argument
    add("--trials", type=_count, default=trials, metavar="N", help="in all (%(default)s)")
    add("--workers", type=_workers, default=workers, metavar="N", help="or auto (%(default)s)")
    add("--storage", metavar="FILE", help="keep the study in this file")
    add("--mode", metavar="MODE", help="fast, balanced or thorough (default: the script's)")
    add("--timeout", type=_positive, metavar="SECONDS", help="start no trial after that time")
    add("--seed", type=_seed, metavar="N", help="of the sampler")
    add("--html", metavar="FILE", help="write a report with plots (needs plotly)")
    add("--quiet", action="store_true", help="no progress on stderr")


def _demo(chosen: argparse.Namespace) -> int:
    from optimizer.study import demo
    from optimizer.study.script import Script

    return _study(
        Script(
            path=os.path.abspath(demo.__file__),
            name="demo",
            objective=demo.objective,
            space=_space_of_demo(),
            data=demo.market(),
            directions=(demo.DIRECTION,),
            warm_up=demo.warm_up,
        ),
        chosen,
    )


def _space_of_demo() -> Any:
    from optimizer.space import SearchSpace
    from optimizer.study import demo

    return SearchSpace(demo.SPACE)


def _run(chosen: argparse.Namespace) -> int:
    from optimizer.study.script import load_script

    try:
        script = load_script(chosen.script)
    except StudyArgumentError as error:
        return _complain(error, USAGE)
    return _study(script, chosen)


def _study(script: Script, chosen: argparse.Namespace) -> int:
    """Run it, and tell what came of it; the exit code.

    The storage is closed before the interpreter ends: its thread must not be at work then.
    """
    try:
        with contextlib.ExitStack() as end:
            return _studied(script, end, chosen)
    except StoreError as error:
        return _complain(error, NO_STORE)


def _studied(script: Script, end: contextlib.ExitStack, chosen: argparse.Namespace) -> int:
    from optimizer.study.failures import Failures

    name = chosen.study or script.name
    failures = Failures(script.path)
    try:
        with failures, _short_warnings():
            result = _result(script, name, failures, end, chosen)
    except StudyInterrupted as interrupted:
        return _interrupted(interrupted, name, chosen)
    except StoreError:
        raise
    except ReportError as error:
        return _complain(error, NO_REPORT)
    except (StudyArgumentError, ObjectiveError, EfficiencyError, SpaceError) as error:
        return _complain(error, USAGE)
    except Exception as error:
        if not failures.raised and not isinstance(error, OptimizerError):
            raise  # a defect of this package's: its traceback is wanted
        _complain(failures.last or error, ENDED_EARLY)
        return _complain("the study has ended; with --go-on such a trial fails alone", ENDED_EARLY)
    if result is None:
        return DONE
    _tell(result)
    if failures.count:
        _complain(f"{failures.count} trials failed; the last: {failures.last}", DONE)
    written = _write_html(result, chosen.html)
    return written or (NO_VALUE if result.run.trials and _is_without_value(result) else DONE)


def _result(
    script: Script,
    name: str,
    failures: Failures,
    end: contextlib.ExitStack,
    chosen: argparse.Namespace,
) -> Result | None:
    """What the study came to; None where it has all its trials already."""
    if chosen.html is not None:
        _check_html(chosen.html)
    config_of(chosen.mode or script.mode)  # before a file is made
    storage, left = None, chosen.trials
    if chosen.storage is not None:
        from optimizer.study import earlier

        storage = earlier.opened(chosen.storage)
        end.callback(storage.close)
        told = earlier.trials_told(storage, name, script.directions)
        if told is None and chosen.run is _run and (others := earlier.others(storage)):
            note = f"study {name!r} is new in {storage.path!r}, beside {others}"
            _complain(f"{note}; --study NAME chooses another", DONE)
        left -= told or 0
    if left <= 0:
        _say(f"study {name!r} has {chosen.trials - left} trials already; pass more --trials")
        return None
    return _optimize(script, name, left, storage, failures, chosen)


def _optimize(
    script: Script,
    name: str,
    left: int,
    storage: SQLiteStorage | None,
    failures: Failures,
    chosen: argparse.Namespace,
) -> Result:
    import optuna

    from optimizer.study import optimize

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line per trial hides the progress
    several = len(script.directions) > 1
    return optimize(
        script.objective,
        script.space,
        n_trials=left,
        timeout=chosen.timeout,
        mode=chosen.mode or script.mode,
        workers=chosen.workers,
        storage=storage,
        study_name=name,
        data=script.data,
        direction=None if several else script.directions[0],
        directions=script.directions if several else None,
        callbacks=[failures.note],
        warm_up=script.warm_up,
        catch=(Exception,) if chosen.go_on else (),
        trial_timeout_s=chosen.trial_timeout,
        seed=chosen.seed,
        progress=False if chosen.quiet else None,
    )


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings as one line, without the place in this package that gave them."""
    before = warnings.formatwarning

    def short(message: Warning | str, *_: Any, **__: Any) -> str:
        return f"python -m optimizer: {' '.join(str(message).split())}\n"

    warnings.formatwarning = short
    try:
        yield
    finally:
        warnings.formatwarning = before


# --- what is told


def _tell(result: Result) -> None:
    _say("\n".join([*_best(result), "", result.report()]))


def _best(result: Result) -> list[str]:
    study = result.study
    if len(study.directions) > 1:
        return [f"{len(result.best_trials)} trials that no other is better than in everything"]
    try:
        best = result.best_trial
    except ValueError:
        return ["no trial is complete"]
    lines = [f"best value {best.value:.6g}, of trial {best.number}"]
    return lines + [f"  {name} = {value}" for name, value in best.params.items()]


def _is_without_value(result: Result) -> bool:
    return not any(one.state.name == "COMPLETE" for one in result.study.get_trials(deepcopy=False))


def _interrupted(interrupted: StudyInterrupted, name: str, chosen: argparse.Namespace) -> int:
    if interrupted.result is not None:
        _tell(interrupted.result)
    if chosen.storage is None:
        kept = "nothing is stored; --storage FILE keeps a study"
    else:
        kept = f"study {name!r} is stored in {chosen.storage!r}; run the same command to go on"
    return _complain(f"interrupted; {kept}", INTERRUPTED)


def _check_html(path: str) -> None:
    """Before the study runs: can a report be written afterwards?"""
    from optimizer.report.page import require_plotly

    require_plotly()
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.path.isdir(folder):
        raise ReportError(f"{path!r} cannot be written: pass a file in a folder that exists")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ReportError(f"{path!r} cannot be written: pass a file that you may write")


def _write_html(result: Result, path: str | None) -> int:
    if path is None:
        return DONE
    text = result.run.html(result.study)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return _complain(f"{path!r} cannot be written: {error.strerror or error}", NO_REPORT)
    _say(f"report with plots: {os.path.abspath(path)}")
    return DONE


def _say(text: str) -> None:
    # A name may hold what the terminal's encoding cannot show.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _complain(what: object, code: int) -> int:
    line = " ".join(str(what).split())
    encoding = sys.stderr.encoding or "utf-8"
    text = f"python -m optimizer: {line}\n".encode(encoding, "backslashreplace").decode(encoding)
    sys.stderr.write(text)
    return code


# --- numbers


def _count(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _workers(text: str) -> int | str:
    return text if text == "auto" else _whole(text, 1)


def _whole(text: str, lowest: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = lowest - 1
    if number < lowest:
        raise argparse.ArgumentTypeError(f"found {text!a}, expected an integer from {lowest} on")
    return number


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"found {text!a}, expected seconds above 0")
    return number
