"""One run of a study: its parts, put together as its settings ask."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import optuna
from optuna.trial import TrialState

from optimizer.efficiency import warm_start_params
from optimizer.report import ProgressLine, RunReport, Tally
from optimizer.report.tally import usable_cores
from optimizer.sampling.enumeration import cap, remaining
from optimizer.stores.optuna_storage import SQLiteStorage
from optimizer.study.choosing import POOL_START_S, Choice, Chooser
from optimizer.study.duplicates import KnownPoints
from optimizer.study.ending import Ending, logger
from optimizer.study.evaluations import NoEvaluations, StoredEvaluations
from optimizer.study.executors import Executor, InProcess, Threads
from optimizer.study.fidelity import FRACTION, Fidelity
from optimizer.study.limits import Limits
from optimizer.study.loop import Loop
from optimizer.study.opening import identify, is_persistent, require_compatible
from optimizer.study.remote import RemoteObjective
from optimizer.study.settings import Settings
from optimizer.study.starting import Points
from optimizer.study.telling import Teller
from optimizer.study.views import read_only

WARM_START_POINTS = 20
"""Points of earlier studies that are tried first, where no mode says how many."""
LAST_SEEN = 20
"""Trials of a study that is resumed which must agree, for their space to be taken as learnt."""


class Run:
    """Everything that one call of `optimize` works with; its `loop` is run once."""

    def __init__(self, study: optuna.Study, settings: Settings) -> None:
        self._study = study
        self._settings = settings
        self._config = settings.config
        self._serves = settings.duplicates != "evaluate"
        self.tally = Tally()
        self._chosen = Choice("in-process", "")
        self._fingerprint, self._since = self._identify()
        ttl_s = None if self._config is None else self._config.cache_ttl_s
        self._known = KnownPoints(settings.space, self._since, ttl_s)
        self._fidelity = Fidelity(self._policy(), study)
        self._points = Points(
            study,
            settings.space,
            learns=settings.kind == "trial" and settings.space is None,
            known=self._known,
            fidelity=self._fidelity,
            signs=self._serves or self._fidelity.policy is not None,
            tried=self._all_tried if settings.n_trials is None and self._serves else None,
        )
        self._take_in()
        self._warm_up()
        limit, spare = self._cap()
        self._fidelity.n_trials = limit
        kept_back = self._fidelity.kept_back(limit)
        if spare is not None:
            kept_back = min(kept_back, max(1, spare))
        evaluations = self._evaluations(ttl_s)
        progress = self._progress(limit)
        teller = Teller(
            study,
            ending=Ending(study, quiet=progress is not None),
            known=self._known,
            evaluations=evaluations,
            fidelity=self._fidelity,
            points=self._points,
            tally=self.tally,
            callbacks=settings.callbacks,
            clearing_interval=0 if self._config is None else self._config.clearing_interval,
            records_late=settings.kind == "trial",
        )
        try:
            executor, chooser = self._executor(limit)
        except BaseException:
            evaluations.close()
            raise
        self.loop = Loop(
            study,
            settings,
            executor,
            points=self._points,
            known=self._known,
            evaluations=evaluations,
            teller=teller,
            tally=self.tally,
            progress=progress,
            chooser=chooser,
            limits=Limits(limit, settings.timeout_s, kept_back, spare or 0),
        )

    # --- what there is already

    def _identify(self) -> tuple[bytes | None, int]:
        settings = self._settings
        if not self._serves or not is_persistent(self._study):
            return None, 0
        found, since, remark = identify(
            self._study, settings.objective, settings.data, settings.version
        )
        if remark:
            self.tally.remarks.append(remark)
        return found, since

    def _take_in(self) -> None:
        """What earlier runs of the study left: its space, its values."""
        if self._settings.space is not None:
            require_compatible(self._study, self._settings.space)
        trials = self._study.get_trials(deepcopy=False)
        if self._settings.kind == "trial" and self._settings.space is None:
            complete = [one for one in reversed(trials) if one.state == TrialState.COMPLETE]
            last = complete[:LAST_SEEN]
            if last and all(one.distributions == last[0].distributions for one in last):
                self._points.learn(last[0].distributions)
        if self._serves:
            self._known.catch_up(self._study)
        self._fidelity.resume(trials[self._since :], self._known)

    def _warm_up(self) -> None:
        """Enqueue the best points of earlier studies."""
        settings = self._settings
        if settings.warm_start is None:
            return
        n = WARM_START_POINTS if self._config is None else self._config.warm_start_points
        direction = self._study.directions[0].name.lower()
        for params in warm_start_params(settings.warm_start, n, direction, settings.space):
            self._study.enqueue_trial(params, skip_if_exists=True)

    # --- how much there is to do

    def _cap(self) -> tuple[int | None, int | None]:
        """How many trials; sees to the enumeration of a space that has no more combinations.

        And how many of them are for points that were good on a part of the data; None where the
        sampler draws.
        """
        settings, space = self._settings, self._settings.space
        n = settings.n_trials
        if n is None or space is None or not self._serves or not isinstance(space.size(), int):
            return n, None
        done, waiting = self._tried()
        tried = done + waiting
        room = max(0, n - len(waiting))
        left = sum(1 for _ in islice(remaining(space, tried), room + 1))
        if left > room:
            return n, None
        self._points.enumerate(self._untried(tried))
        if left < room:
            cap(space, n, done)  # says so
        limit = left + min(n, len(waiting))
        # Every combination is tried, if only on a part of the data: what is asked for beyond them
        # goes to the best of those, as far as a study keeps trials for that.
        spare = min(n - limit, self._fidelity.kept_back(limit))
        return limit + spare, spare

    def _tried(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Parameters of trials that are done, and of those that wait."""
        done, waiting = [], []
        for trial in self._study.get_trials(deepcopy=False)[self._since :]:
            if trial.state == TrialState.WAITING:
                waiting.append(dict(trial.system_attrs.get("fixed_params", {})))
            elif trial.state == TrialState.COMPLETE or (
                trial.state == TrialState.PRUNED and FRACTION not in trial.user_attrs
            ):
                done.append(trial.params)
        return done, waiting

    def _all_tried(self) -> list[dict[str, Any]]:
        done, waiting = self._tried()
        return done + waiting

    def _untried(self, tried: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        assert self._settings.space is not None  # it is finite
        seed = self._settings.seed
        return remaining(
            self._settings.space, tried, seed=random.randrange(2**31) if seed is None else seed
        )

    # --- the parts

    def _policy(self) -> Any:
        """How much of the data trials get; None where the objective cannot tell or there is no
        one value to go by."""
        policy = None if self._config is None else self._config.subsampling
        if policy is None:
            return None
        if self._settings.kind != "context":
            self._say("subsampling needs objective(params, context): all data are used")
            return None
        if len(self._study.directions) > 1:
            self._say("subsampling needs one objective: all data are used")
            return None
        return policy

    def _evaluations(self, ttl_s: float | None) -> NoEvaluations:
        storage, config = self._study._storage, self._config
        caching = config is None or config.enable_caching
        if self._fingerprint is None or not caching or not isinstance(storage, SQLiteStorage):
            return NoEvaluations()
        space = self._settings.space
        evaluations = StoredEvaluations(
            storage,
            self._study.study_name,
            self._fingerprint,
            space=space,
            claimed=space is not None and isinstance(space.size(), int),
            maxsize=None if config is None else config.cached_entries,
            ttl_s=ttl_s,
        )
        evaluations.compare(self._known.signatures())
        return evaluations

    def _progress(self, limit: int | None) -> ProgressLine | None:
        if self._settings.progress is False:
            return None
        if self._settings.progress is None and not sys.stderr.isatty():
            return None
        return ProgressLine(limit)

    def _executor(self, limit: int | None) -> tuple[Executor, Chooser | None]:
        settings = self._settings
        is_here = settings.workers in ("auto", 1) and settings.trial_timeout_s is None
        if settings.warm_up is not None and (is_here or settings.threads):
            settings.warm_up(read_only(settings.data))
        if settings.workers == "auto":
            workers = self._most_workers()
            if settings.trial_timeout_s is None:
                here = InProcess(settings.objective, settings.kind, settings.data)
                here.measures = True
                start_s = POOL_START_S if settings.kept is None else 0.0
                return here, Chooser(workers, self._make, start_s)
        else:
            workers = settings.workers
            if workers == 1 and settings.trial_timeout_s is None:
                self._chosen = Choice("in-process", "")
                return InProcess(settings.objective, settings.kind, settings.data), None
        if settings.threads and settings.trial_timeout_s is None:
            return self._started(Choice("threads", "as the mode asks"), workers, limit), None
        return self._started(Choice("processes", ""), workers, limit), None

    def _make(self, choice: Choice) -> Executor | None:
        """What the chooser chose; None for this process."""
        self._chosen = choice
        if choice.where == "in-process":
            return None
        if choice.where == "processes" and self._settings.threads:
            choice = Choice("threads", f"{choice.why}; as the mode asks")
        return self._started(choice, self._most_workers())

    def _most_workers(self) -> int:
        kept = self._settings.kept
        most = usable_cores() if kept is None or kept.count is None else kept.count
        return most if self._config is None else self._config.workers(most)

    def _started(self, choice: Choice, workers: int, limit: int | None = None) -> Executor:
        settings = self._settings
        self._chosen = choice
        workers = workers if limit is None else max(1, min(workers, limit))
        function = RemoteObjective(
            settings.objective,
            settings.kind,
            prunes=not isinstance(self._study.pruner, optuna.pruners.NopPruner),
            directions=len(self._study.directions),
            catch=settings.catch,
        )
        if choice.where == "threads":
            return Threads(function, workers, settings.data)
        from optimizer.study.processes import processes

        trials = "" if limit is None else f" for {limit} trials"
        logger.info("Launching %d worker processes%s", workers, trials)
        return processes(
            function,
            workers,
            settings.kept,
            data=settings.data,
            warm_up=settings.warm_up,
            timeout_s=settings.trial_timeout_s,
            retries=settings.retries,
        )

    # --- its figures

    def report(self) -> RunReport:
        """The figures of the run, once it is over."""
        executor, chosen = self.loop.executor, self._chosen
        where = f"{chosen.where} ({chosen.why})" if chosen.why else chosen.where
        found = executor.figures()
        return self.tally.report(
            workers=executor.workers,
            where=where,
            workers_cpu_s=found.cpu_s,
            worker_peak_bytes=found.peak_bytes,
            start_s=found.start_s,
        )

    def compared(self, report: RunReport) -> RunReport:
        """The same figures, with the speedup against the plain loop, measured now."""
        from optimizer.study.comparing import compared

        return compared(self._study, self._settings, report)

    def _say(self, remark: str) -> None:
        self.tally.remarks.append(remark)
        logger.info("%s.", remark.capitalize())
