"""Optuna's TPE sampler, suggestion for suggestion, from observations that are kept."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optimizer.sampling import _tpe_optuna
from optimizer.sampling._tpe_observations import FINISHED, Column, Observations
from optimizer.sampling._tpe_space import TogetherSpace
from optimizer.sampling._tpe_suggestion import SamplerCounters, Suggester

__all__ = ["HandedOverWarning", "IncrementalTPESampler", "SamplerCounters"]

HandedOverWarning = _tpe_optuna.HandedOverWarning

Space = dict[str, BaseDistribution]

_RELATIVE = "tpe:relative_params"
_MOST_CHARACTERS = 2045  # of an attribute, on a database


class IncrementalTPESampler(BaseSampler):
    """`optuna.samplers.TPESampler` with the same suggestions, made from kept observations.

    Promises: with the same seed and settings, the same sequence of suggestions as Optuna's own
    sampler, bit for bit; on one storage both may work side by side. Safe for the threads of
    `study.optimize(n_jobs=...)`. Pickled, copied and forked as Optuna's: the generator travels, and
    what is kept of a study is taken in again.

    Cost: each finished trial is looked at once; a suggestion is linear in the trials, with a few
    machine operations each. Memory: at most 80 bytes for each trial and parameter. The first
    suggestion on a machine compiles the kernels; without numba Optuna's own arithmetic does the
    rest on the kept observations, with one warning.

    Some studies are handed over to Optuna's own sampler, which shares the generator, so the
    sequence stays equal: those with several objectives, those whose pruner filters trials
    (Hyperband), parameters about whose kind trials disagree, and `warn_independent_sampling`; and
    everything on an Optuna that this class was not compared with, with one warning. `counters` says
    how much.

    With threads or workers, when somebody else's trial comes to be known is left to chance, here as
    in Optuna; a trial that was told in this thread is always known.

    Args:
        seed: of the generator; None for one that differs each time.
        options: every other argument of TPESampler, which checks them.

    Example:
        >>> import optuna
        >>> from optimizer import IncrementalTPESampler
        >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
        >>> def best(sampler):
        ...     study = optuna.create_study(sampler=sampler)
        ...     study.optimize(lambda trial: trial.suggest_float("x", -5, 5) ** 2, n_trials=30)
        ...     return study.best_params
        >>> best(IncrementalTPESampler(seed=1)) == best(optuna.samplers.TPESampler(seed=1))
        True
    """

    def __init__(self, *, seed: int | None = None, **options: Any) -> None:
        self._optuna = TPESampler(seed=seed, **options)
        self.counters = SamplerCounters()
        self._warned = False
        self._choose()

    def _choose(self) -> None:
        self._own = _tpe_optuna.inside()
        if self._own is None and not self._warned:
            self._warned = True  # copies do not say it again
            _tpe_optuna.warn_of_handing_over()
        self._suggester = None if self._own is None else Suggester(self._optuna, self._own)
        self._reset()

    def _reset(self) -> None:
        """Forget what is kept of every study: it is taken in again."""
        self._lock = threading.Lock()
        self._studies: weakref.WeakKeyDictionary[Any, dict[int, Observations | None]] = (
            weakref.WeakKeyDictionary()
        )
        _SAMPLERS.add(self)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_lock", "_studies", "_own", "_suggester"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._choose()

    # --- Optuna's hooks

    def reseed_rng(self) -> None:
        """Go on with another sequence."""
        self._optuna.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """The parameters that are suggested together."""
        kept = self._observations(study)
        if kept is None:
            return self._optuna.infer_relative_search_space(study, trial)
        if kept.together is None:
            return {}
        trials = study._get_trials(deepcopy=False, use_cache=True)
        with kept:
            kept.catch_up(trials)
            return kept.suggested_together()

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        """Values for these parameters; none before there are enough trials."""
        kept = self._observations(study)
        if kept is None:
            self.counters.handed_over += bool(search_space)
            return self._optuna.sample_relative(study, trial, search_space)
        params: dict[str, Any] = {}
        if kept.together is not None and self._optuna._group:
            for group in kept.together.groups():
                part = {name: one for name, one in group.items() if name in search_space}
                params.update(self._relative(kept, study, trial, part))
        else:
            params = self._relative(kept, study, trial, search_space)
        if params and self._optuna._constant_liar:
            _share(study, trial, params)
        return params

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value for one parameter; a random one before there are enough trials."""
        tpe = self._optuna
        kept = self._observations(study)
        if kept is None or tpe._warn_independent_sampling:
            self.counters.handed_over += 1
            return tpe.sample_independent(study, trial, param_name, param_distribution)
        if not self._enough(study):
            self.counters.startup += 1
            return tpe._random_sampler.sample_independent(
                study, trial, param_name, param_distribution
            )
        return self._sample(kept, study, trial, {param_name: param_distribution})[param_name]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As Optuna's."""
        self._optuna.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As Optuna's: stores the constraints of the trial."""
        self._optuna.after_trial(study, trial, state, values)

    # --- which path

    def _observations(self, study: Study) -> Observations | None:
        """What is kept of this study; None where Optuna's own sampler suggests."""
        if self._own is None or not _tpe_optuna.is_plain_study(study):
            return None
        studies = self._studies.get(study._storage)
        if studies is None or study._study_id not in studies:
            kept = self._fresh(study)
            with self._lock:
                studies = self._studies.setdefault(study._storage, {})
                studies.setdefault(study._study_id, kept)
        return studies[study._study_id]

    def _fresh(self, study: Study) -> Observations | None:
        """Nothing kept yet; None for a study with several objectives."""
        assert self._own is not None
        directions = study.directions
        if len(directions) > 1:
            return None
        together = None
        if self._optuna._is_multivariate(study):
            together = TogetherSpace(self._own.group() if self._optuna._group else None)
        return Observations(directions[0], together)

    def _enough(self, study: Study) -> bool:
        """Whether there are as many finished trials as random ones were asked for."""
        missing = self._optuna._n_startup_trials
        if missing <= 0:
            return True
        for trial in study._get_trials(deepcopy=False, use_cache=True):
            if trial.state in FINISHED:
                missing -= 1
                if missing <= 0:
                    return True
        return False

    def _relative(
        self, kept: Observations, study: Study, trial: FrozenTrial, space: Space
    ) -> dict[str, Any]:
        if not space:
            return {}
        if not self._enough(study):
            return {}  # each is drawn, and counted, alone
        return self._sample(kept, study, trial, space)

    def _sample(
        self, kept: Observations, study: Study, trial: FrozenTrial, space: Space
    ) -> dict[str, Any]:
        assert self._own is not None
        assert self._suggester is not None
        tpe = self._optuna
        liar = tpe._constant_liar
        trials = study._get_trials(deepcopy=False, use_cache=not liar)
        with kept:
            kept.catch_up(trials)
            columns = kept.columns_of(space)
            running = {}
            if liar:
                others = (one for one in kept.running(trials) if one.number != trial.number)
                running = {one.number: tpe._get_params(one, study) for one in others}
            kept.show_running(running)
            if tpe._gamma is None:
                tpe._gamma = self._own.default_gamma  # and for all later studies, as Optuna does
            n_below = tpe._gamma(len(kept.order))
            agreed = kept.ordered and n_below >= 0
            if agreed and all(map(Column.agrees, columns, space.values())):
                split = kept.split(tuple(space), n_below, list(running))
                suggested = self._suggester.suggest(kept, columns, split, space, self.counters)
                return {
                    name: one.to_external_repr(value)
                    for (name, one), value in zip(space.items(), suggested, strict=True)
                }
        self.counters.handed_over += 1
        return tpe._sample(study, trial, space)


def _share(study: Study, trial: FrozenTrial, params: dict[str, Any]) -> None:
    """Let other workers know, where Optuna's own sampler looks for it."""
    text = json.dumps(params)
    for number, start in enumerate(range(0, len(text), _MOST_CHARACTERS)):
        study._storage.set_trial_system_attr(
            trial._trial_id, f"{_RELATIVE}:{number}", text[start : start + _MOST_CHARACTERS]
        )


_SAMPLERS: weakref.WeakSet[IncrementalTPESampler] = weakref.WeakSet()


def _after_fork() -> None:
    """A lock may have been held, and what it guards half done: the child starts anew."""
    for sampler in list(_SAMPLERS):
        sampler._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
