"""The loop: starts trials, has them evaluated, and tells them; over any executor."""

from __future__ import annotations

import time
import traceback
import warnings
from contextlib import suppress

import optuna
from optuna.storages._heartbeat import get_heartbeat_thread, is_heartbeat_enabled

from optimizer.errors import StoreError
from optimizer.protocols import Busy, Claim
from optimizer.report import ProgressLine, Tally
from optimizer.study.choosing import Chooser
from optimizer.study.duplicates import KnownPoints
from optimizer.study.evaluations import NoEvaluations
from optimizer.study.executors import Asked, Executor, InProcess, Raised, Returned
from optimizer.study.interrupts import Interrupts
from optimizer.study.jobs import Job
from optimizer.study.limits import Limits
from optimizer.study.remote import Question, Refused
from optimizer.study.settings import Settings
from optimizer.study.starting import Points
from optimizer.study.telling import Teller

BUSY_PAUSE_S = 0.02
"""How long until another process is asked again for a value it is evaluating."""
GLANCE_S = 0.5
"""How often a progress line is looked after while nothing happens."""


class Loop:
    """One run of a study; used once, by one thread.

    A trial is a `Job` from its start to its end, and in exactly one place: with the executor
    (`_running`), behind another of the same point (`followers`), or waiting for another process
    (`_awaited`).
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: Settings,
        executor: Executor,
        *,
        points: Points,
        known: KnownPoints,
        evaluations: NoEvaluations,
        teller: Teller,
        tally: Tally,
        progress: ProgressLine | None,
        chooser: Chooser | None,
        limits: Limits,
    ) -> None:
        self._study = study
        self._settings = settings
        self.executor = executor
        self._points = points
        self._known = known
        self._evaluations = evaluations
        self._teller = teller
        self._tally = tally
        self._progress = progress
        self._chooser = chooser
        self._limits = limits
        self._running: dict[int, Job] = {}
        self._flying: dict[bytes, Job] = {}
        self._awaited: list[Job] = []
        self._followers = 0
        self._starting: Job | None = None
        self._error: BaseException | None = None
        self._beats = is_heartbeat_enabled(study._storage)
        self._serves = settings.duplicates != "evaluate"

    def run(self) -> None:
        """Run the study to its end.

        Raises what an objective raised and `catch` does not name, what a callback or the storage
        raised, and KeyboardInterrupt; however it ends, everything that was told is stored, nothing
        runs any more, and no trial of this run is left running.
        """
        self._study._stop_flag = False
        self._study._thread_local.in_optimize_loop = True
        with Interrupts() as interrupts:
            try:
                self._go(interrupts)
            except BaseException as error:
                interrupts.hold()
                self._abandon(isinstance(error, KeyboardInterrupt), interrupts)
                raise
            finally:
                interrupts.hold()
                self._close()
            interrupts.check()
        if self._error is not None:
            raise self._error

    # --- the loop

    def _go(self, interrupts: Interrupts) -> None:
        while True:
            interrupts.check()
            while self._may_start():
                self._begin(interrupts, promotes=self._limits.is_keeping_back)
            if not self._running and not self._awaited:
                if self._is_over():
                    break
                continue
            self._turn(interrupts)
        self._promote_one(interrupts)

    def _turn(self, interrupts: Interrupts) -> None:
        for event in self._wait(interrupts):
            self._handle(event)
        self._place_again()
        self._show()

    def _is_over(self) -> bool:
        if self._error is not None or self._study._stop_flag or self._limits.are_reached:
            return True
        if self._limits.is_spare and not self._points.has_promotions:
            return True
        return self._limits.left is None and self._serves and self._points.is_exhausted

    def _may_start(self) -> bool:
        executor = self.executor
        busy = len(self._running)
        if busy >= executor.workers + self._ahead():
            return False
        # Trials that wait for others fill no worker; there are never many of them.
        if self._followers + len(self._awaited) > executor.workers:
            return False
        if self._chooser is not None and not self._chooser.may_start(busy):
            self._switch()
            return False
        return not self._is_over()

    def _ahead(self) -> int:
        """Trials drawn ahead of a free worker, where drawing is no trifle beside evaluating."""
        if self.executor.where == "in-process" or self.executor.workers == 1:
            return 0
        return self._teller.is_drawing_slow()

    def _wait(self, interrupts: Interrupts) -> list[Returned | Raised | Asked]:
        timeout_s = GLANCE_S if self._progress is not None else None
        if self._awaited:
            timeout_s = BUSY_PAUSE_S
        started_s = time.perf_counter()
        events = self.executor.wait(timeout_s, interrupts)
        if self.executor.where != "in-process":
            self._tally.add("idle", time.perf_counter() - started_s)
        return events

    def _switch(self) -> None:
        """Trials enough were measured in this process: choose where the others run."""
        assert self._chooser is not None
        if self._running:
            return
        chosen = self._chooser.choose(self._limits.left, self._limits.left_s, self._teller.own_s)
        self._chooser = None
        if isinstance(self.executor, InProcess):
            self.executor.measures = False
        if chosen is not None:
            self.executor.close()
            self.executor = chosen

    # --- a trial starts

    def _begin(self, interrupts: Interrupts, *, promotes: bool) -> None:
        asked_s = time.perf_counter()
        if self._beats:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(self._study)
        self._limits.start()
        job = self._starting = self._points.ask()
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
            self._fail(job, Raised(job.number, error, traceback.format_exc(), 0.0))
        else:
            self._teller.drew(drawn_s - asked_s, time.perf_counter() - drawn_s)
            self._place(job)
        self._starting = None

    def _place(self, job: Job) -> None:
        """Serve it, where its point has a value; let it wait, where it is about to; or evaluate."""
        if not self._serves or job.signature is None or not self._is_known(job):
            self._dispatch(job)

    def _is_known(self, job: Job) -> bool:
        if self._known.is_behind:
            self._known.catch_up(self._study, self._own_numbers())
        if self._settings.duplicates == "resample" and self._has(job):
            for _ in self._points.again(job):
                if not self._has(job):
                    self._tally.resampled += 1
                    break
        assert job.signature is not None  # it was drawn
        known = self._known.get(job.signature)
        if known is not None:
            self._teller.served(job, *known)
            return True
        leader = self._flying.get(job.signature)
        if leader is not None:
            leader.followers.append(job)
            self._followers += 1
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
            self._awaited.append(job)
            return True
        self._known.catch_up(self._study, self._own_numbers())
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
        return self._known.get(signature) is not None or signature in self._flying

    def _dispatch(self, job: Job) -> None:
        self._teller.record(job)
        if job.claim is not None:
            self._evaluations.keep_alive(job)
        if job.signature is not None and self._serves:
            job.flight = job.signature
            self._flying[job.flight] = job
        self._running[job.number] = job
        self.executor.submit(job.number, job)

    def _own_numbers(self) -> set[int]:
        own = {job.number for job in self._awaited} | self._running.keys()
        for job in self._flying.values():
            own.update(one.number for one in job.followers)
        return own

    # --- what happens to it

    def _handle(self, event: Returned | Raised | Asked) -> None:
        job = self._running[event.task]
        if isinstance(event, Asked):
            self._answer(job, event.content)
            return
        self._tally.add("objective", event.seconds)
        self._tally.retried += event.attempt - 1
        if isinstance(event, Raised):
            self._fail(job, event)
            return
        if self._chooser is not None:
            self._chooser.note(event.seconds, event.waited_s)
        self._teller.evaluated(event.seconds)
        try:
            self._teller.apply(job, event.outcome.changes)
        except StoreError:
            raise
        except Exception as error:  # an attribute that the storage does not take, say
            self._fail(job, Raised(job.number, error, traceback.format_exc(), event.seconds))
            return
        if event.outcome.caught is not None:
            why, text = event.outcome.caught
            self._fail(job, Raised(event.task, Exception(why), text, event.seconds, caught=why))
            return
        if event.outcome.pruned is not None:
            self._end(job)
            self._teller.pruned(job, event.outcome.pruned)
        elif self._teller.goes_on(job, event.outcome.value):
            self.executor.submit(job.number, job)
            return
        else:
            self._end(job)
            self._teller.returned(job, event.outcome.value)
        self._release_followers(job)

    def _fail(self, job: Job, event: Raised) -> None:
        self._end(job)
        self._teller.raised(job, event)
        if not (event.is_loss or event.caught or isinstance(event.error, self._settings.catch)):
            self._error = self._error or event.error
        self._release_followers(job)

    def _end(self, job: Job) -> None:
        self._running.pop(job.number, None)

    def _release_followers(self, job: Job) -> None:
        """Its point has a value now, or the next in line is to be evaluated."""
        if job.flight is not None:
            del self._flying[job.flight]
        followers, job.followers = job.followers, []
        self._followers -= len(followers)
        self._awaited.extend(followers)

    def _answer(self, job: Job, asked: Question) -> None:
        try:
            answer = self._teller.answer(job, asked)
        except StoreError:
            raise
        except Exception as error:  # as in Optuna's loop, it is the objective's
            answer = Refused(error)
        self.executor.reply(job.number, answer)

    def _place_again(self) -> None:
        """Look again at the trials that wait: for another process, or until just now for a trial.

        They were started, so they come to their end however the study is stopped, but for an error.
        """
        for _ in range(len(self._awaited)):
            job = self._starting = self._awaited.pop(0)
            if self._error is not None:
                self._teller.abandoned(job)
            else:
                self._place(job)
            self._starting = None

    # --- its end

    def _promote_one(self, interrupts: Interrupts) -> None:
        """A study without a value on all data gets one, where some point was seen on a part."""
        if self._error is not None or not self._teller.lacks_full_value(self._study):
            return
        if self._limits.left == 0:
            return
        self._begin(interrupts, promotes=True)
        while self._running or self._awaited:
            self._turn(interrupts)

    def _show(self) -> None:
        if self._progress is not None:
            self._progress.show(
                self._tally.trials,
                self._teller.best,
                self._tally.served,
                len(self._running),
                self.executor.workers,
            )

    def _abandon(self, interrupted: bool, interrupts: Interrupts) -> None:
        """Tell what came to its end meanwhile, and that the rest did not."""
        if interrupted and self.executor.where != "in-process":
            with suppress(Exception):
                for event in self.executor.wait(0.0, interrupts):
                    if not isinstance(event, Asked):
                        self._handle_late(event)
        left = [*self._running.values(), *self._awaited]
        if self._starting is not None and self._starting not in left:
            left.append(self._starting)
        left += [follower for job in self._flying.values() for follower in job.followers]
        for job in left:
            with suppress(Exception):  # the error that ends the study says more
                self._teller.abandoned(job)
        self._running.clear()
        self._awaited.clear()

    def _handle_late(self, event: Returned | Raised) -> None:
        job = self._running[event.task]
        if isinstance(event, Raised) or job.fraction < 1.0:
            return
        outcome = event.outcome
        if outcome.pruned is None and outcome.caught is None:
            self._teller.apply(job, outcome.changes)
            self._end(job)
            self._teller.returned(job, outcome.value)

    def _close(self) -> None:
        self._study._thread_local.in_optimize_loop = False
        if self._progress is not None:
            self._show()
            self._progress.end()
        self.executor.close()
        self._tally.add("transport", self.executor.figures().transport_s)
        self._evaluations.close()
        self._study._storage.remove_session()
