"""optimize: a whole Optuna study, with everything this package has."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from optimizer.efficiency import EfficiencyConfig, config_of
from optimizer.errors import StudyInterrupted
from optimizer.report import RunReport
from optimizer.study import arguments as read
from optimizer.study.kept import Workers
from optimizer.study.objectives import call, kind_of
from optimizer.study.opening import open_study
from optimizer.study.result import Result
from optimizer.study.run import Run
from optimizer.study.settings import Duplicates, Settings
from optimizer.study.telling import Teller

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from optimizer.space import SearchSpace


def optimize(
    objective: Callable[..., Any],
    space: SearchSpace | Mapping[str, Any] | None = None,
    *,
    n_trials: int | None = None,
    timeout: float | None = None,
    mode: str | EfficiencyConfig | None = None,
    workers: int | Literal["auto"] | Workers | None = None,
    storage: str | os.PathLike[str] | optuna.storages.BaseStorage | None = None,
    study_name: str | None = None,
    data: Mapping[str, Any] | None = None,
    direction: str | optuna.study.StudyDirection | None = None,
    directions: Sequence[str | optuna.study.StudyDirection] | None = None,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    study: optuna.Study | None = None,
    callbacks: Iterable[Callable[[optuna.Study, FrozenTrial], object]] | None = None,
    catch: Iterable[type[Exception]] | type[Exception] = (),
    seed: int | None = None,
    duplicates: Duplicates | None = None,
    retries: int = 1,
    trial_timeout_s: float | None = None,
    warm_start: Any = None,
    progress: bool | None = None,
    compare: int = 0,
    warm_up: Callable[[Mapping[str, Any]], None] | None = None,
    version: str | None = None,
    durability: str = "process",
) -> Result:
    """Run an Optuna study, and say afterwards what that cost and saved.

    Promises

    - With one worker and the same seed, the same parameters and values, trial for trial, as
      `optuna.create_study(sampler=TPESampler(seed=seed)).optimize`, as long as no trial repeats
      the point of an earlier one (`duplicates="evaluate"`: in any case).
    - A point counts once in a study. The first trial there that gets a value is COMPLETE; a later
      one is not evaluated: it is told FAIL, the one state that every sampler leaves out, with the
      user attributes `optimizer:served_of` (the number of the first) and `optimizer:value`. So no
      sampler takes one evaluation for two. While the point is still being evaluated, also by
      another process on the same store file where the space is finite, the trial waits.
    - What was told is stored, as the storage stores it, whatever ends the run; a trial that was
      running then is told FAIL, with the user attribute `optimizer:interrupted`. Ctrl-C ends the
      run within a second (a compilation in this process comes to its end first), and no process
      runs on; a thread ends with its present trial.
    - `best_value` is a value on all data. Where trials are given parts of them, the last ones of
      `n_trials` go to the best points that were only seen in part; a run without a number of
      trials has one more, where no trial has a value on all data.

    Objectives are called as `objective(params)`, `objective(params, context)` or
    `objective(trial)`, by their signature; see `Context`. The space of a trial objective is learnt
    from its first trial; where a later one suggests something else, nothing is drawn ahead any
    more, and a line says so.

    A finite space is enumerated, in an order set by the seed, where no more combinations remain
    than trials are asked for; more are not run (`CapWarning`). So is what a study that is resumed
    has left. Without `n_trials` the sampler begins, and what it leaves is enumerated once it
    repeats itself; the run ends with the last combination. Not with `duplicates="evaluate"`.

    Cost: what the objective, the sampler and the storage take, and one signature per trial; with
    workers, one message there and one back. Evaluations on a store file take one transaction
    together with the end of the trial.

    Args:
        objective: what is evaluated; see above. Returns a number, or one for each direction.
        space: a SearchSpace, specs for one, or Optuna distributions.
        n_trials: how many, counted as Optuna does: each trial that is started. None: no limit but
            the end of the space.
        timeout: seconds after which no trial is started any more.
        mode: "fast", "balanced", "thorough" or an EfficiencyConfig; None for none of its measures.
        workers: how many processes evaluate; 1: this one does. "auto": this process, threads or
            processes, by what the first trials took. `Workers`: the same, and processes stay for
            the next study. None: 1, or "auto" with a mode. With `trial_timeout_s` at least one
            process.
        storage: None for memory; a path or "sqlite:///..." for a SQLiteStorage there; or an Optuna
            storage. A study of that name is resumed.
        study_name: "default" in a file, where none is given.
        data: name -> array, table or setting, for `context.data`. Workers share it. Wherever a
            trial runs, arrays and the numbers in tables are read-only views; in this process other
            objects are those that were given, and objectives must not write into them.
        direction, directions: as for `optuna.create_study`.
        sampler: IncrementalTPESampler(seed=seed) by default; on an Optuna that it does not know
            well enough TPESampler, which suggests the same.
        pruner: the mode's, else Optuna's default.
        study: an existing study, instead of storage, study_name, direction and seed.
        callbacks: called after each trial with the study and the frozen trial; `study.stop()`
            works there, and in objectives.
        catch: exceptions that make their trial fail and let the study go on; any other ends it,
            once the trials that run are done. The traceback is kept as the user attribute
            `optimizer:traceback`. A trial whose worker died or hung never ends the study.
        seed: of the sampler and of the order of an enumeration. Where a study is resumed that has n
            trials already, waiting ones not counted, the sampler gets seed + n (modulo 2**32): it
            would draw its first points again. A sampler that is given keeps its seed.
        duplicates: "serve"; "resample": other parameters are drawn; "evaluate": as Optuna does.
            None: "serve", unless the mode has no caching.
        retries: how often a trial is started again whose worker died or hung.
        trial_timeout_s: seconds for one evaluation, then its worker is replaced.
        warm_start: studies, results or trials of earlier runs: their best points are tried first.
        progress: a live line on stderr; None: where that is a terminal.
        compare: so many trials are run by plain Optuna afterwards, to measure the speedup.
        warm_up: called with the data in each worker before its first trial, and in this process
            where trials are evaluated here: what it imports and compiles is in no trial's time.
        version: stands for objective and data, as for `fingerprint`.
        durability: of a SQLiteStorage.

    Returns:
        Result: best_params, best_value, study, report().

    Raises:
        StudyArgumentError, ObjectiveError, SpaceError, EfficiencyError: an argument.
        StudyInterrupted: Ctrl-C; what was done is its `result`.
        StoreError: the store is full, locked or closed.
        Exception: what the objective raised and `catch` does not name; from a worker process with
            the number of its trial and the traceback there as a note.

    Example:
        >>> import optuna, optimizer
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> space = {"x": {"type": "float", "min": -5, "max": 5}}
        >>> result = optimizer.optimize(lambda p: p["x"] ** 2, space, n_trials=30, seed=1)
        >>> result.best_value < 0.5, len(result.study.trials)
        (True, 30)
    """
    config = config_of(mode)
    known_space = read.read_space(space)
    if duplicates is None:
        duplicates = "serve" if config is None or config.enable_caching else "evaluate"
    if workers is None:
        parallel = config is not None and config.enable_parallel_processing
        workers = "auto" if parallel else 1
    asked = read.read_workers(workers)
    kept = asked if isinstance(asked, Workers) else None
    settings = Settings(
        objective=objective,
        kind=kind_of(objective, known_space is not None),
        space=known_space,
        n_trials=read.read_count("n_trials", n_trials, 0, none=True),
        timeout_s=read.read_seconds("timeout", timeout, positive=False),
        config=config,
        workers="auto" if kept is not None else asked,
        data=read.read_data(data),
        callbacks=read.read_callbacks(callbacks),
        catch=read.read_catch(catch),
        duplicates=read.read_choice("duplicates", duplicates, read.DUPLICATES),
        retries=read.read_count("retries", retries, 0),
        trial_timeout_s=read.read_seconds("trial_timeout_s", trial_timeout_s, positive=True),
        threads=config is not None and not config.use_process_pool,
        seed=read.read_count("seed", seed, 0, none=True),
        warm_start=warm_start,
        progress=read.read_choice("progress", progress, (None, True, False)),
        compare=read.read_count("compare", compare, 0),
        version=version,
        warm_up=read.read_warm_up(warm_up),
        kept=kept,
    )
    opened = open_study(
        study=study,
        storage=storage,
        study_name=study_name,
        direction=direction,
        directions=directions,
        sampler=sampler,
        pruner=pruner,
        seed=settings.seed,
        durability=durability,
        config=config,
    )
    return _run(opened, settings)


def _run(study: optuna.Study, settings: Settings) -> Result:
    run = Run(study, settings)
    try:
        run.loop.run()
    except KeyboardInterrupt as interrupt:
        result = Result(study, run.report())
        told, ended = result.run.trials, result.run.interrupted
        under_way = f", of which {ended} under way failed by that" if ended else ""
        raise StudyInterrupted(
            f"interrupted after {told} trials{under_way}; all that were told are stored, and "
            "`.result` has what was done",
            result,
        ) from (interrupt if _is_in_a_callers_code(interrupt) else None)
    report: RunReport = run.report()
    if settings.compare and report.trials:
        report = run.compared(report)
    return Result(study, report)


_CALLERS = (call.__code__, Teller.call_back.__code__)
"""What calls code of the caller's: an objective in this process, and callbacks."""


def _is_in_a_callers_code(interrupt: KeyboardInterrupt) -> bool:
    """Whether it came in an objective or a callback, whose place is worth to be shown."""
    frames = (frame for frame, _ in traceback.walk_tb(interrupt.__traceback__))
    return any(frame.f_code in _CALLERS for frame in frames)
