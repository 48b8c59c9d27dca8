"""Everything that follows from the end of a trial: storage, cache, counts, callbacks."""

from __future__ import annotations

import copy
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.efficiency import is_clearing_due
from optimizer.errors import ClaimLostError
from optimizer.report import Tally
from optimizer.study.duplicates import KnownPoints, Values
from optimizer.study.ending import Ending
from optimizer.study.evaluations import NoEvaluations
from optimizer.study.executors import Raised
from optimizer.study.fidelity import Fidelity
from optimizer.study.jobs import Job
from optimizer.study.objectives import feasible
from optimizer.study.remote import Question
from optimizer.study.starting import Points

SLOW_DRAWING_RATIO = 0.01
"""Of the time of an evaluation: drawing that takes longer is done while all workers are busy."""
COLLECTING_SHARE = 0.01
"""Of the time of a run: what collecting all garbage may take, after a first look at what it takes.

That depends on all that the process has imported: 20 to 100 ms with the field's libraries.
"""


class Teller:
    """Ends trials: each of its methods but `apply`, `record` and the notes tells one.

    Args:
        study, known, evaluations, fidelity, points, tally: of the run.
        ending: tells and logs.
        callbacks: called after each trial, as `Study.optimize` calls them.
        clearing_interval: trials told after which caches in memory are emptied; 0 for never.
        records_late: whether parameters are recorded only as the objective suggests them.
    """

    def __init__(
        self,
        study: optuna.Study,
        *,
        ending: Ending,
        known: KnownPoints,
        evaluations: NoEvaluations,
        fidelity: Fidelity,
        points: Points,
        tally: Tally,
        callbacks: Iterable[Callable[[optuna.Study, Any], object]],
        clearing_interval: int,
        records_late: bool = False,
    ) -> None:
        self._study = study
        self._ending = ending
        self._known = known
        self._evaluations = evaluations
        self._fidelity = fidelity
        self._points = points
        self._tally = tally
        self._callbacks = tuple(callbacks)
        self.uncalled: deque[FrozenTrial] = deque()  # told, and no callback was called for them
        self._clearing_interval = clearing_interval
        self._records_late = records_late
        directions = study.directions
        self._directions = len(directions)
        self._maximizes = directions[0] == optuna.study.StudyDirection.MAXIMIZE
        self._drawing_s = self._suggesting_s = self._evaluating_s = 0.0
        self._drawn = self._evaluated = 0
        self._collecting_s = 0.0  # what it took, the last time
        self._collected_s = 0.0  # when that was
        self.best: float | None = None

    # --- ends

    def served(self, job: Job, number: int, values: Values) -> None:
        """Its point has a value already, that of another trial."""
        started_s = time.perf_counter()
        job.trial.record()
        self._evaluations.release(job)
        self._ending.served(job, number, values)
        self._points.repeated()
        self._tally.served += 1
        self._tally.repeated += 1
        self._told(job, "FAIL", started_s)

    def found(self, job: Job, values: Values) -> None:
        """The store has the value of its point; no trial of this study has."""
        started_s = time.perf_counter()
        job.trial.record()
        self._ending.complete(job, values)
        self._tally.served += 1
        self._note(job, values)
        self._told(job, "COMPLETE", started_s)

    def returned(self, job: Job, value: Any) -> None:
        """The objective returned this."""
        started_s = time.perf_counter()
        values = feasible(value, self._directions)
        if isinstance(values, str):
            self._evaluations.release(job)
            self._fidelity.stopped(job, TrialState.FAIL)
            self._ending.failed(job, values, value=value)
            self._told(job, "FAIL", started_s)
            return
        if job.fraction < 1.0:
            self._partial(job, started_s)
            return
        self._points.ended(job)
        self._ending.note_partial(job)
        self._evaluations.announce(job)
        try:
            self._ending.complete(job, values)
        except ClaimLostError as error:
            self._lost(job, values, error)
            return
        self._note(job, values)
        self._told(job, "COMPLETE", started_s)

    def pruned(self, job: Job, message: str) -> None:
        """The objective gave up; on all data, or on a part."""
        started_s = time.perf_counter()
        self._evaluations.release(job)
        self._fidelity.stopped(job, TrialState.PRUNED)
        if job.fraction < 1.0:  # on all of them it was tried, and is no point for a promotion
            self._ending.note_partial(job)
        self._ending.pruned(job, message)
        self._tally.pruned += 1
        self._told(job, "PRUNED", started_s)

    def raised(self, job: Job, event: Raised) -> None:
        """The objective raised, or its worker was lost."""
        started_s = time.perf_counter()
        self._evaluations.release(job)
        self._fidelity.stopped(job, TrialState.FAIL)
        why = event.caught or (str(event.error) if event.is_loss else repr(event.error))
        self._ending.failed(job, why.rstrip("."), event.traceback)
        self._told(job, "FAIL", started_s)

    def abandoned(self, job: Job) -> None:
        """The study ends before the trial does."""
        self._evaluations.release(job)
        self._ending.abandoned(job)
        self._rest(job)
        self._tally.told("FAIL")
        self._tally.interrupted += 1

    def _partial(self, job: Job, started_s: float) -> None:
        self._evaluations.release(job)
        self._ending.partial(job)
        self._tally.subsampled += 1
        self._told(job, "PRUNED", started_s)

    def _lost(self, job: Job, values: Values, error: ClaimLostError) -> None:
        """Another process took over the claim, for this one stood still too long."""
        found = self._evaluations.dispute(job, error)
        known = None
        if found is not None and job.signature is not None:
            self._known.catch_up(self._study, (job.number,))
            known = self._known.get(job.signature)
        if known is not None:
            self.served(job, *known)
            return
        started_s = time.perf_counter()
        self._ending.complete(job, values if found is None else found.values)
        self._note(job, values if found is None else found.values)
        self._told(job, "COMPLETE", started_s)

    # --- before

    def record(self, job: Job) -> None:
        """It is about to be evaluated, on a part of the data or on all.

        Its parameters go to the storage; those of a trial objective once it suggests them.
        """
        self._fidelity.begin(job)
        if not self._records_late:
            started_s = time.perf_counter()
            job.trial.record()
            self._tally.add("storage", time.perf_counter() - started_s)

    def apply(self, job: Job, changes: Iterable[tuple[Any, ...]]) -> None:
        """What a worker told of its trial."""
        trial = job.trial
        for what, *rest in changes:
            if what == "used":
                (name,) = rest
                if name in trial.ahead:  # else of an attempt whose worker was lost
                    trial.suggest(name, trial.ahead[name][0])
            elif what == "report":
                step, value = rest
                told = job.part or trial
                if step not in told.reported:  # as above
                    told.report(value, step)
            elif what == "user":
                trial.set_user_attr(*rest)
            elif what == "constraint":
                trial.set_constraint(*rest)
            else:
                trial.storage.set_trial_system_attr(trial._trial_id, *rest)

    def answer(self, job: Job, asked: Question) -> Any:
        """What a worker asked about its trial, after what it told of it."""
        self.apply(job, asked.changes)
        if asked.what == "suggest":
            assert asked.distribution is not None  # goes with it
            return job.trial.suggest(asked.name, asked.distribution)
        if asked.what == "prune":
            return (job.part or job.trial).should_prune()
        if asked.what == "stop":
            self._study.stop()
        return None

    def goes_on(self, job: Job, value: Any) -> bool:
        """Whether a value on a part of the data earned it an evaluation on more."""
        if job.fraction == 1.0:
            return False
        values = feasible(value, self._directions)
        return not isinstance(values, str) and self._fidelity.goes_on(job, values[0])

    # --- notes

    def drew(self, asking_s: float, drawing_s: float) -> None:
        """A trial was started: asked of the storage, then drawn by the sampler."""
        self._drawing_s += asking_s + drawing_s
        self._drawn += 1
        self._tally.add("storage", asking_s)
        self._tally.add("sampler", drawing_s)

    @property
    def own_s(self) -> float:
        """Seconds that the loop takes for a trial, drawing above all, ahead or while it runs."""
        return (self._drawing_s + self._suggesting_s) / max(1, self._drawn)

    def suggested(self, seconds: float) -> None:
        """An objective had parameters drawn while it ran."""
        self._suggesting_s += seconds
        self._tally.add("sampler", seconds)

    def evaluated(self, seconds: float) -> None:
        """The objective came to an end."""
        self._evaluating_s += seconds
        self._evaluated += 1

    def is_drawing_slow(self) -> bool:
        """Whether a worker that waits for its next trial waits for long."""
        if not self._evaluated:
            return False
        drawing_s = self._drawing_s / max(1, self._drawn)
        return drawing_s > SLOW_DRAWING_RATIO * self._evaluating_s / self._evaluated

    def lacks_full_value(self, study: optuna.Study) -> bool:
        """Whether trials had values on parts of the data, and none on all."""
        if self._fidelity.policy is None or not self._tally.subsampled:
            return False
        complete = (optuna.trial.TrialState.COMPLETE,)
        return study._storage.get_n_trials(study._study_id, complete) == 0

    def _note(self, job: Job, values: Values) -> None:
        self._known.add(job.signature, job.number, values)
        self._fidelity.finished(job.signature)
        if self._directions == 1:
            value = values[0]
            if self.best is None or (value > self.best if self._maximizes else value < self.best):
                self.best = value

    def _told(self, job: Job, state: str, started_s: float) -> None:
        self._rest(job)
        self._tally.told(state)
        self._tally.add("storage", time.perf_counter() - started_s)
        if self._callbacks:
            self.uncalled.append(self._study._storage.get_trial(job.trial_id))
        if is_clearing_due(self._tally.trials, self._clearing_interval):
            self._evaluations.clear_memory()
            self._collect()

    def _collect(self) -> None:
        """Free what the trials left in cycles, where that takes little of the time."""
        began_s = time.perf_counter()
        if began_s - self._collected_s < self._collecting_s / COLLECTING_SHARE:
            return
        gc.collect()
        self._collected_s = time.perf_counter()
        self._collecting_s = self._collected_s - began_s

    def call_back(self) -> None:
        """Call the callbacks for the trials that were told since the last time.

        To be called where no trial is on its way from its worker to the storage: a callback may
        raise, and what ended before that is told.
        """
        while self.uncalled:
            frozen = self.uncalled.popleft()
            for callback in self._callbacks:
                callback(self._study, copy.deepcopy(frozen))

    def _rest(self, job: Job) -> None:
        """Nobody waits for its heartbeat any more."""
        if job.heartbeat is not None:
            heartbeat, job.heartbeat = job.heartbeat, None
            with suppress(RuntimeError):
                heartbeat.__exit__(None, None, None)
