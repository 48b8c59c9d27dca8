"""How a trial starts: where its parameters come from, and what its point is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from optimizer.errors import SpaceError
from optimizer.sampling.enumeration import remaining
from optimizer.space import SearchSpace
from optimizer.study.drawing import LateTrial
from optimizer.study.duplicates import KnownPoints, sign
from optimizer.study.ending import logger
from optimizer.study.fidelity import Fidelity
from optimizer.study.jobs import Job

REDRAWN = 10
"""How often a duplicate is drawn again before an untried point is looked for."""


class Points:
    """Starts trials: asks the study, and draws what can be drawn ahead.

    Args:
        study: which is asked.
        space: the space, if it was given.
        learns: whether the space is learnt from finished trials: of a trial objective without one.
        known: points that have a value.
        fidelity: who gets how much of the data.
        signs: whether points are signed at all.
        tried: tells all points that were tried, where the run has no number of trials: a sampler
            that repeats itself would never come to the end of a finite space.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace | None,
        *,
        learns: bool,
        known: KnownPoints,
        fidelity: Fidelity,
        signs: bool = True,
        tried: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
    ) -> None:
        self._study = study
        self._learns = learns
        self._known = known
        self._fidelity = fidelity
        self._untried: Iterator[dict[str, Any]] | None = None
        self._next: dict[str, Any] | None = None  # of those
        self._tried = tried
        self._repeats = 0
        self._signs = signs
        self._branches = False
        self.distributions: Mapping[str, BaseDistribution] | None = None
        if space is not None:
            self.distributions = space.to_distributions()

    def enumerate(self, untried: Iterator[dict[str, Any]]) -> None:
        """Take these combinations, in their order, instead of the sampler's."""
        self._untried = untried
        self._next = next(untried, None)

    def repeated(self) -> None:
        """A trial was at a point that has a value already.

        Where nobody said how many trials, the points that are left are enumerated once as many
        trials were at no new one: more would hardly be found by drawing.
        """
        self._repeats += 1
        space = self._known.space
        if self._tried is None or self._untried is not None or space is None or not self.is_finite:
            return
        if self._repeats >= space.size() - len(self._known):
            self.enumerate(remaining(space, self._tried(), seed=self._repeats))

    def ask(self) -> Job:
        """The next trial, as the study has it."""
        trial = LateTrial.of(self._study.ask())
        return Job(trial, trial.number, is_promising=trial.is_fixed)

    def draw(self, job: Job, *, promotes: bool = False) -> None:
        """Draw its parameters, where they are known.

        Args:
            job: a trial that was asked for.
            promotes: whether it is the turn of a point that was good on a part of the data.
        """
        trial = job.trial
        if not job.is_promising:
            self._choose(job, promotes)
        if self.distributions:
            job.params = trial.draw(self.distributions)
            if self._signs and not self._branches:
                job.signature = sign(job.params, self._known.space)
        job.fraction = self._fidelity.fraction(job)

    def again(self, job: Job) -> Iterator[Job]:
        """The same trial with other parameters, some times; the last ones are untried.

        None where somebody enqueued it.
        """
        if job.trial.is_fixed or self.distributions is None:
            return
        space = self._known.space
        for _ in range(REDRAWN):
            job.params = job.trial.draw(self.distributions)
            job.signature = sign(job.params, space)
            yield job
        for params in self._remaining(space):
            job.trial.fix(params)
            job.params = job.trial.draw(self.distributions)
            job.signature = sign(job.params, space)
            yield job

    def ended(self, job: Job) -> None:
        """A trial is about to be told its value: learn its space, or that there is none.

        A trial that suggested what was not drawn is no point of the space: it has no signature.
        """
        recorded = job.trial.recorded
        if job.params:
            left = job.trial.forget()
            if not recorded.keys() <= job.params.keys():
                job.signature = None
                self._note_branching()
            elif left and self._learns:
                self._note_branching()
            return
        if not self._learns or self._branches or not recorded:
            return
        if self.distributions is None:
            self.learn(recorded)
        elif dict(self.distributions) != dict(recorded):
            self._note_branching()
        if not self._branches and self._signs:
            job.params = dict(job.trial.values)
            job.signature = sign(job.params, self._known.space)

    def learn(self, distributions: Mapping[str, BaseDistribution]) -> None:
        """Take these for the space, until a trial says otherwise."""
        try:
            self._known.space = SearchSpace.from_distributions(distributions)
        except SpaceError:  # choices that have no form to be signed by
            self._note_branching()
            return
        self.distributions = dict(distributions)

    @property
    def has_promotions(self) -> bool:
        """Whether some point was seen on a part of the data only."""
        return self._fidelity.has_unfinished

    @property
    def is_finite(self) -> bool:
        """Whether the space has an end of combinations."""
        space = self._known.space
        return space is not None and not self._branches and isinstance(space.size(), int)

    @property
    def is_exhausted(self) -> bool:
        """Whether every combination has a value, or was enumerated."""
        space = self._known.space
        if self._untried is not None and self._next is None and self.is_finite:
            return True
        return space is not None and self.is_finite and len(self._known) >= space.size()

    def _choose(self, job: Job, promotes: bool) -> None:
        params = self._fidelity.promoted() if promotes else None
        job.is_promising = promotes
        if params is None and self._untried is not None:
            params, self._next = self._next, next(self._untried, None)
        if params is not None:
            job.trial.fix(params)

    def _remaining(self, space: SearchSpace | None) -> Iterator[dict[str, Any]]:
        if space is None or not self.is_finite:
            return iter(())
        trials = self._study.get_trials(deepcopy=False)
        return remaining(
            space, [trial.params for trial in trials if trial.params], seed=len(trials)
        )

    def _note_branching(self) -> None:
        if self._branches:
            return
        self._branches = True
        if self._learns:
            self.distributions = None
        logger.warning(
            "The objective does not suggest the same parameters in every trial: its parameters are "
            "suggested one by one where it runs, and duplicates are evaluated again."
        )
