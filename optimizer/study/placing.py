"""How the loop starts a trial: draws it, then serves it, lets it wait, or has it evaluated."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable

import optuna
from optuna.storages._heartbeat import get_heartbeat_thread, is_heartbeat_enabled

from optimizer.protocols import Busy, Claim
from optimizer.report import Tally
from optimizer.study.duplicates import KnownPoints
from optimizer.study.evaluations import NoEvaluations
from optimizer.study.executors import Raised
from optimizer.study.interrupts import Interrupts
from optimizer.study.jobs import Job
from optimizer.study.settings import Settings
from optimizer.study.starting import Points
from optimizer.study.telling import Teller
from optimizer.study.underway import Underway


class Placing:
    """Starts trials, and finds each its place.

    Args:
        study, settings, points, known, evaluations, teller, tally, underway: of the run.
        failed: called with a trial whose sampler raised.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: Settings,
        *,
        points: Points,
        known: KnownPoints,
        evaluations: NoEvaluations,
        teller: Teller,
        tally: Tally,
        underway: Underway,
        failed: Callable[[Job, Raised], None],
    ) -> None:
        self._study = study
        self._points = points
        self._known = known
        self._evaluations = evaluations
        self._teller = teller
        self._tally = tally
        self._underway = underway
        self._failed = failed
        self._beats = is_heartbeat_enabled(study._storage)
        self._serves = settings.duplicates != "evaluate"
        self._resamples = settings.duplicates == "resample"

    def begin(self, interrupts: Interrupts, *, promotes: bool) -> None:
        """Start a trial.

        Args:
            interrupts: of the run; Ctrl-C is welcome while the sampler draws.
            promotes: whether it is the turn of a point that was good on a part of the data.
        """
        asked_s = time.perf_counter()
        if self._beats:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(self._study)
        job = self._underway.starting = self._points.ask()
        self._known.started(job.number)
        if self._beats:
            job.heartbeat = get_heartbeat_thread(job.trial_id, self._study._storage)
            job.heartbeat.__enter__()
        drawn_s = time.perf_counter()
        try:
            with interrupts.welcome():  # a sampler may compile, or fit a model
                self._points.draw(job, promotes=promotes)
        except Exception as error:
            # In Optuna's loop too, a sampler that raises makes the trial fail.
            self._failed(job, Raised(job.number, error, traceback.format_exc(), 0.0))
        else:
            self._teller.drew(drawn_s - asked_s, time.perf_counter() - drawn_s)
            self._place(job)
        self._underway.starting = None

    def place_again(self) -> None:
        """Look again at the trials that wait: for another process, or until just now for a trial.

        They were started, so they come to their end however the study is stopped, but for an error.
        """
        underway = self._underway
        for _ in range(len(underway.awaited)):
            job = underway.starting = underway.awaited.pop(0)
            if underway.error is not None:
                self._teller.abandoned(job)
            else:
                self._place(job)
            underway.starting = None

    def _place(self, job: Job) -> None:
        """Serve it, where its point has a value; let it wait, where it is about to; or evaluate."""
        if not self._serves or job.signature is None or not self._is_known(job):
            self._dispatch(job)

    def _is_known(self, job: Job) -> bool:
        if self._known.is_behind:
            self._known.catch_up(self._study, self._underway.numbers())
        if self._resamples and self._has(job):
            for _ in self._points.again(job):
                if not self._has(job):
                    self._tally.resampled += 1
                    break
        assert job.signature is not None  # it was drawn
        known = self._known.get(job.signature)
        if known is not None:
            self._teller.served(job, *known)
            return True
        leader = self._underway.flying.get(job.signature)
        if leader is not None:
            self._underway.follow(leader, job)
            return True
        return self._is_known_elsewhere(job)

    def _is_known_elsewhere(self, job: Job) -> bool:
        """Whether the store has its value, or another process is about to."""
        assert job.signature is not None  # as above
        started_s = time.perf_counter()
        found = self._evaluations.look(job.signature)
        self._tally.add("cache", time.perf_counter() - started_s)
        if found is None:
            return False
        if isinstance(found, Claim):
            job.claim = found
            return False
        if isinstance(found, Busy):
            self._underway.awaited.append(job)
            return True
        self._known.catch_up(self._study, self._underway.numbers())
        known = self._known.get(job.signature)
        if known is not None:  # of a trial that another process told just now
            self._teller.served(job, *known)
        else:
            self._teller.found(job, found.values)
        return True

    def _has(self, job: Job) -> bool:
        signature = job.signature
        if signature is None:
            return False
        return self._known.get(signature) is not None or signature in self._underway.flying

    def _dispatch(self, job: Job) -> None:
        self._teller.record(job)
        if job.claim is not None:
            self._evaluations.keep_alive(job)
        if job.signature is not None and self._serves:
            job.flight = job.signature
            self._underway.flying[job.flight] = job
        self._underway.running[job.number] = job
        self._underway.executor.submit(job.number, job)
