"""What happens to a trial that is evaluated, to its end; and what is left when a study ends."""

from __future__ import annotations

import dataclasses
import traceback
from contextlib import suppress

from optimizer.errors import ObjectiveError, StoreError
from optimizer.report import Tally
from optimizer.study.choosing import Chooser
from optimizer.study.ending import LONGEST_TRACEBACK
from optimizer.study.executors import Asked, Event, Raised, Returned
from optimizer.study.interrupts import Interrupts
from optimizer.study.jobs import Job
from optimizer.study.remote import Question, Refused
from optimizer.study.telling import Teller
from optimizer.study.underway import Underway


class Handling:
    """Takes what an executor says of its trials, and has them answered and told.

    Args:
        teller, tally, underway: of the run.
        catch: errors of an objective that do not end the run.

    Attributes:
        chooser: is shown how long evaluations take, as long as there is one.
    """

    def __init__(
        self,
        *,
        teller: Teller,
        tally: Tally,
        underway: Underway,
        catch: tuple[type[Exception], ...],
        chooser: Chooser | None,
    ) -> None:
        self._teller = teller
        self._tally = tally
        self._underway = underway
        self._catch = catch
        self.chooser = chooser

    def handle(self, event: Event) -> None:
        """A running trial asks, or came to its end."""
        job = self._underway.running[event.task]
        if isinstance(event, Asked):
            self._answer(job, event.content)
            return
        suggesting_s = self._suggesting_s(job, event) if job.trial.sampling_s else 0.0
        seconds = event.seconds - suggesting_s
        self._tally.add("objective", seconds)
        self._tally.retried += event.attempt - 1
        if isinstance(event, Raised):
            self.failed(job, event)
            return
        if self.chooser is not None:
            # What suggesting waited for, a storage say, is no wait of the objective's.
            self.chooser.note(seconds, event.waited_s - min(event.waited_s, suggesting_s))
        self._teller.evaluated(event.seconds)
        try:
            self._teller.apply(job, event.outcome.changes)
        except StoreError:
            raise
        except Exception as error:  # an attribute that the storage does not take, say
            self.failed(job, Raised(job.number, error, traceback.format_exc(), event.seconds))
            return
        self._returned(job, event)

    def failed(self, job: Job, event: Raised) -> None:
        """It ends without a value; so does the run, where nobody expected the error."""
        self._underway.running.pop(job.number, None)
        if isinstance(event.error, ObjectiveError):
            event = dataclasses.replace(event, traceback="")  # its line says what to do
        self._teller.raised(job, event)
        if not (event.is_loss or event.caught or isinstance(event.error, self._catch)):
            self._underway.error = self._underway.error or _with_its_place(event)
        self._underway.release_followers(job)

    def abandon(self, interrupted: bool, interrupts: Interrupts) -> None:
        """Tell what came to its end meanwhile, and that the rest did not."""
        executor = self._underway.executor
        if interrupted and executor.where != "in-process":
            with suppress(Exception):
                for event in executor.wait(0.0, interrupts):
                    if not isinstance(event, Asked):
                        self._handle_late(event)
        for job in self._underway.clear():
            with suppress(Exception):  # the error that ends the study says more
                self._teller.abandoned(job)
        if interrupted:
            with suppress(Exception):  # of trials that had come to their end
                self._teller.call_back()

    def _suggesting_s(self, job: Job, event: Returned | Raised) -> float:
        """Seconds of an evaluation in which its parameters were suggested: not the objective's.

        A worker says how long it waited for them; of one that raised, only what drawing them took
        here is known.
        """
        sampling_s, job.trial.sampling_s = job.trial.sampling_s, 0.0
        self._teller.suggested(sampling_s)
        elsewhere = self._underway.executor.where != "in-process"
        if elsewhere and isinstance(event, Returned):
            sampling_s = event.outcome.asking_s
        return min(sampling_s, event.seconds)

    def _returned(self, job: Job, event: Returned) -> None:
        outcome, underway = event.outcome, self._underway
        if outcome.caught is not None:
            why, text = outcome.caught
            self.failed(job, Raised(event.task, Exception(why), text, event.seconds, caught=why))
            return
        if outcome.pruned is None and self._teller.goes_on(job, outcome.value):
            underway.executor.submit(job.number, job)
            return
        del underway.running[job.number]
        if outcome.pruned is not None:
            self._teller.pruned(job, outcome.pruned)
        else:
            self._teller.returned(job, outcome.value)
        underway.release_followers(job)

    def _answer(self, job: Job, asked: Question) -> None:
        try:
            answer = self._teller.answer(job, asked)
        except StoreError:
            raise
        except Exception as error:  # as in Optuna's loop, it is the objective's
            answer = Refused(error)
        self._underway.executor.reply(job.number, answer)

    def _handle_late(self, event: Returned | Raised) -> None:
        job = self._underway.running[event.task]
        if isinstance(event, Raised) or job.fraction < 1.0:
            return
        outcome = event.outcome
        if outcome.pruned is None and outcome.caught is None:
            self._teller.apply(job, outcome.changes)
            del self._underway.running[job.number]
            self._teller.returned(job, outcome.value)


def _with_its_place(event: Raised) -> BaseException:
    """The error; one that travelled here from a worker without its frames gets them as a note."""
    error = event.error
    if event.traceback and error.__traceback__ is None:
        with suppress(Exception):  # a class may have its own idea of notes
            text = event.traceback[-LONGEST_TRACEBACK:].rstrip()
            error.add_note(f"raised by trial {event.task} in a worker:\n{text}")
    return error
