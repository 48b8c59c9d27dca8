"""The loop: starts trials, has them evaluated, and tells them; over any executor."""

from __future__ import annotations

import time

import optuna

from optimizer.report import ProgressLine, Tally
from optimizer.study.choosing import Chooser
from optimizer.study.duplicates import KnownPoints
from optimizer.study.evaluations import NoEvaluations
from optimizer.study.executors import Event, Executor, InProcess
from optimizer.study.handling import Handling
from optimizer.study.interrupts import Interrupts
from optimizer.study.limits import Limits
from optimizer.study.placing import Placing
from optimizer.study.settings import Settings
from optimizer.study.starting import Points
from optimizer.study.telling import Teller
from optimizer.study.underway import Underway

BUSY_PAUSE_S = 0.02
"""How long until another process is asked again for a value it is evaluating."""
GLANCE_S = 0.5
"""How often a progress line is looked after while nothing happens."""


class Loop:
    """One run of a study; used once, by one thread.

    `Placing` starts its trials, `Handling` sees to what happens to them; what both know of them is
    `Underway`. Here is when which of it is done, and until when.
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
        self._points = points
        self._evaluations = evaluations
        self._teller = teller
        self._tally = tally
        self._progress = progress
        self._limits = limits
        self._serves = settings.duplicates != "evaluate"
        self._underway = underway = Underway(executor)
        self._handling = Handling(
            teller=teller, tally=tally, underway=underway, catch=settings.catch, chooser=chooser
        )
        self._placing = Placing(
            study,
            settings,
            points=points,
            known=known,
            evaluations=evaluations,
            teller=teller,
            tally=tally,
            underway=underway,
            failed=self._handling.failed,
        )

    @property
    def executor(self) -> Executor:
        """Where trials run now."""
        return self._underway.executor

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
                self._handling.abandon(isinstance(error, KeyboardInterrupt), interrupts)
                raise
            finally:
                interrupts.hold()
                self._close()
            interrupts.check()
        if self._underway.error is not None:
            raise self._underway.error

    def _go(self, interrupts: Interrupts) -> None:
        underway, teller = self._underway, self._teller
        while True:
            interrupts.check()
            while self._may_start():
                self._placing.begin(interrupts, promotes=self._limits.start())
                if teller.uncalled:
                    teller.call_back()
            if not underway.running and not underway.awaited:
                if self._is_over():
                    break
                continue
            self._turn(interrupts)
        self._promote_one(interrupts)

    def _turn(self, interrupts: Interrupts) -> None:
        for event in self._wait(interrupts):
            self._handling.handle(event)
        if self._underway.awaited:
            self._placing.place_again()
        if self._teller.uncalled:
            self._teller.call_back()
        if self._progress is not None:
            self._show(self._progress)

    def _wait(self, interrupts: Interrupts) -> list[Event]:
        timeout_s = GLANCE_S if self._progress is not None else None
        if self._underway.awaited:
            timeout_s = BUSY_PAUSE_S
        started_s = time.perf_counter()
        executor = self._underway.executor
        events = executor.wait(timeout_s, interrupts)
        if executor.where != "in-process":
            self._tally.add("idle", time.perf_counter() - started_s)
        return events

    # --- whether, and where

    def _is_over(self) -> bool:
        stopped = self._underway.error is not None or self._study._stop_flag
        if stopped or self._limits.are_reached:
            return True
        if self._limits.is_spare and not self._points.has_promotions:
            return True
        return self._limits.left is None and self._serves and self._points.is_exhausted

    def _may_start(self) -> bool:
        underway = self._underway
        busy = len(underway.running)
        if busy >= underway.executor.workers + self._ahead(underway.executor):
            return False
        # Trials that wait for others fill no worker; there are never many of them.
        if underway.followers + len(underway.awaited) > underway.executor.workers:
            return False
        chooser = self._handling.chooser
        if chooser is not None and not chooser.may_start(busy):
            self._switch(chooser)
            return False
        return not self._is_over()

    def _ahead(self, executor: Executor) -> int:
        """Trials drawn ahead of a free worker, where drawing is no trifle beside evaluating."""
        if executor.where == "in-process" or executor.workers == 1:
            return 0
        return self._teller.is_drawing_slow()

    def _switch(self, chooser: Chooser) -> None:
        """Trials enough were measured in this process: choose where the others run."""
        if self._underway.running:
            return
        chosen = chooser.choose(self._limits.left, self._limits.left_s, self._teller.own_s)
        self._handling.chooser = None
        if isinstance(self.executor, InProcess):
            self.executor.measures = False
        if chosen is not None:
            self.executor.close()
            self._underway.executor = chosen

    # --- its end

    def _promote_one(self, interrupts: Interrupts) -> None:
        """A study without a value on all data gets one, where some point was seen on a part."""
        underway = self._underway
        if underway.error is not None or not self._teller.lacks_full_value(self._study):
            return
        if self._limits.left == 0:
            return
        self._limits.start()
        self._placing.begin(interrupts, promotes=True)
        self._teller.call_back()
        while underway.running or underway.awaited:
            self._turn(interrupts)

    def _show(self, line: ProgressLine) -> None:
        line.show(
            self._tally.trials,
            self._teller.best,
            self._tally.served,
            len(self._underway.running),
            self.executor.workers,
        )

    def _close(self) -> None:
        self._study._thread_local.in_optimize_loop = False
        if self._progress is not None:
            self._show(self._progress)
            self._progress.end()
        self.executor.close()
        self._tally.add("transport", self.executor.figures().transport_s)
        self._evaluations.close()
        self._study._storage.remove_session()
