"""Optuna's trials in a store file: what a storage does with them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study._study_direction import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optimizer.errors import StoreArgumentError, StoreCorruptError
from optimizer.protocols import Claim, Params, Signature
from optimizer.stores import _optuna_rows as rows
from optimizer.stores._mirror import StudyMirror
from optimizer.stores._mirrors import DAMAGED, Mirrors, TrialFinishedMeanwhile
from optimizer.stores._open_trials import OpenTrial
from optimizer.stores._recording import Recording
from optimizer.stores._trial_copies import own_copy
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache

_MANY_STEPS = 256


class StoredTrials(Mirrors):
    """The half of `optuna.storages.BaseStorage` that speaks of trials."""

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """The next trial of the study, a running one or like the template; its id.

        Cost: one transaction.
        """
        with self._lock:
            mirror = self._mirror(study_id)
            started = datetime.now().isoformat()
            waits = template_trial is not None
            with self._changing(mirror, waits) as writer:
                if self._pending and self._batches:
                    self._write_pending(mirror, writer)
                trial = OpenTrial(0, len(mirror), mirror.spaces)
                if template_trial is None:
                    trial.started = started
                    writer.start(trial)
                else:
                    trial.imitate(template_trial)
                    writer.add(trial)
            if self._batches:
                self._drop_written()
            return trial.id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter; ValueError if the study knows it with another kind of distribution."""
        with self._lock:
            mirror, trial = self._open(trial_id)
            trial.set_param(param_name, float(param_value_internal), distribution)
            self._keep(mirror, trial)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change the state; False if a running trial is to run. Cost: one transaction.

        Of many who want to run a waiting trial, exactly one gets True.
        """
        with self._lock:
            mirror, number = self._place(trial_id)
            target = int(state)
            now = datetime.now().isoformat()
            # Of many who fail a trial exactly one may succeed: Optuna then retries it.
            recording = self._recordings.get(trial_id) if self._recordings else None
            later = self._batches and rows.FINISHED[target] and target != rows.FAIL
            if later and recording is None:
                self._tell_later(trial_id, target, values, now)
                return True
            try:
                with self._changing(mirror, rows.FINISHED[target]) as writer:
                    trial = mirror.open_trial(number)
                    if trial is None or rows.FINISHED[trial.state]:
                        raise TrialFinishedMeanwhile
                    if target == rows.RUNNING and trial.state != rows.WAITING:
                        return False
                    self._write(writer, trial, target, trial.ending(target, values, now))
                    if recording is not None and target == rows.COMPLETE:
                        recording.write(writer.raw, values or ())
            except TrialFinishedMeanwhile:
                self._recordings.pop(trial_id, None)
                self.check_trial_is_updatable(trial_id, rows.STATES[mirror.state(number)])
                raise AssertionError("a finished trial is not updatable") from None
            self._pending.pop(trial_id, None)
            if recording is not None and rows.FINISHED[target]:
                del self._recordings[trial_id]
                if target == rows.COMPLETE:
                    recording.written()
            return True

    def record_at_end(
        self,
        trial_id: int,
        where: EvaluationCache | Claims,
        what: Params | Signature | Claim,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Have the values that the trial will be told stored as an evaluation too.

        Both happen in one transaction, whoever tells the trial through this object: no crash can
        leave them apart. Under "batch" such an end is written at once. A trial that ends in another
        way than COMPLETE stores nothing, and a claim of it stays held. Where the parameters have a
        value already, that stays, and the trial has its own. Announced again, the last one holds.

        Parameters
        ----------
        trial_id : int
            Optuna's id of a trial that is not finished.
        where : EvaluationCache or Claims
            Of the same file as this storage; with a connection of its own.
        what : mapping, bytes or Claim
            The parameters or their signature for a cache; for `Claims`, a claim that is held.
        attributes : mapping, optional
            As for `EvaluationCache.put`.

        Raises
        ------
        StoreArgumentError
            Another file, or parts that do not belong together.
        ClaimLostError
            Not here, but where the trial is told, if the claim was lost; it is not told then.
        """
        recording = Recording(where, what, attributes)
        with self._lock:
            if recording.file != self._database.file:
                raise StoreArgumentError(
                    f"found an evaluation of another file, expected one of {self._database.path!r}:"
                    " one transaction cannot hold both."
                )
            self._open(trial_id)
            self._recordings[trial_id] = recording

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Report a value, with all that was not written yet. Cost: one transaction.

        Beyond some hundred values of a trial they are written after the delay, several at once:
        each time all values of the trial are.
        """
        with self._lock:
            mirror, trial = self._open(trial_id)
            trial.change("step", rows.require_step(step), float(intermediate_value))
            if self._batches or len(trial.steps) > _MANY_STEPS:
                self._keep(mirror, trial)
            else:
                mirror.touch(trial)
                self._write_now(mirror, trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute, which JSON can hold."""
        text = rows.attribute(key, value)
        with self._lock:
            mirror, trial = self._open(trial_id)
            trial.change("user", key, text)
            self._keep(mirror, trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of Optuna's own."""
        text = rows.attribute(key, value)
        with self._lock:
            mirror, trial = self._open(trial_id)
            trial.change("system", key, text)
            self._keep(mirror, trial)

    # --- trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial; KeyError if there is none."""
        with self._lock:
            mirror, number = self._place(trial_id)
            self._refresh(mirror)
            try:  # no `with`: this is called all the time
                return mirror.trial(number)
            except DAMAGED as error:
                raise self._unreadable(error) from None

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials of the study, or those in the states, in the order of their numbers.

        Cost: makes those that changed since the last call; `deepcopy` copies all of them, and all
        in them but the distributions, which nobody changes.
        """
        with self._lock:
            mirror = self._study(study_id)
            try:
                trials = mirror.trials(states)
            except DAMAGED as error:
                raise self._unreadable(error) from None
        return list(map(own_copy, trials)) if deepcopy else trials

    def get_n_trials(
        self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None
    ) -> int:
        """How many trials the study has in the states. Cost: makes no trial."""
        with self._lock:
            states = (state,) if isinstance(state, TrialState) else state
            return self._study(study_id).count(states)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The completed trial of the best value, the first among equals.

        Cost: looks at those completed since the last call. ValueError if there is none;
        RuntimeError if the study has several objectives.
        """
        with self._lock:
            mirror = self._study(study_id)
            directions = self._studies.require(study_id).directions
            if not mirror.count((TrialState.COMPLETE,)):
                raise ValueError("No trials are completed yet.")
            if len(directions) > 1:
                raise RuntimeError(
                    "Best trial can be obtained only for single-objective optimization."
                )
            with self._reading_rows():
                number = mirror.best(directions[0] == StudyDirection.MAXIMIZE)
                assert number is not None  # there is a completed one
                return mirror.trial(number)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """The id of the trial of that number; KeyError if there is none."""
        with self._lock:
            try:
                return self._study(study_id).id_of(trial_number)
            except IndexError:
                raise KeyError(
                    f"No trial with trial number {trial_number} exists in study with study_id"
                    f" {study_id}."
                ) from None

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """The number of the trial; KeyError if there is none."""
        with self._lock:
            mirror, number = self._place(trial_id)
            self._refresh(mirror)
            return number

    def get_trial_param(self, trial_id: int, param_name: str) -> float:
        """The parameter as Optuna stores it; KeyError if there is none.

        Cost: of a finished trial, one query: what users see of it may stand for two choices.
        """
        with self._lock:
            mirror, number = self._place(trial_id)
            self._refresh(mirror)
            trial = mirror.open_trial(number)
            if trial is None:
                found = self._database.fetch(rows.ONE, (trial_id,))
                if not found:  # deleted just now
                    raise KeyError(f"No trial with trial_id {trial_id} exists.")
                with self._reading_rows():
                    trial = OpenTrial.of_row(found[0], mirror.spaces)
            return trial.param(param_name)

    # ---

    def _check_trials(self, study_id: int) -> None:
        """Read and make all trials of a study anew; StoreCorruptError if that fails."""
        mirror = StudyMirror(study_id, {})
        self._refresh(mirror)
        with self._reading_rows():
            mirror.trials(None)

    def _tell_later(
        self, trial_id: int, target: int, values: Sequence[float] | None, now: str
    ) -> None:
        mirror, trial = self._open(trial_id)
        ending = trial.ending(target, values, now)
        self._pending[trial_id] = (mirror, trial)  # first: what memory shows will be written
        trial.change("end", target, ending)
        self._keep(mirror, trial)

    def _drop_written(self) -> None:
        self._pending = {key: kept for key, kept in self._pending.items() if kept[1].pending}

    @contextmanager
    def _reading_rows(self) -> Iterator[None]:
        """What goes wrong in the block is damage of the file."""
        try:
            yield
        except DAMAGED as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> StoreCorruptError:
        return self._damaged(f"a trial cannot be read: {error!r}")
