"""Tally: what the loop counts while it runs."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable

from optimizer.errors import ReportError
from optimizer.report.run import PHASES, Measured, RunReport


class Tally:
    """Counts of a run, from its start to its report; used by one thread.

    The loop adds seconds to phases, counts told trials, and changes the other counts as it goes.
    Cost: an addition each.

    Attributes:
        served, repeated, resampled, pruned, subsampled, retried, interrupted: as in `RunReport`;
            the loop adds to them.
        remarks: lines for the end of the report; the loop appends to them.

    Example:
        >>> tally = Tally()
        >>> tally.add("objective", 0.5); tally.told("COMPLETE"); tally.served += 1
        >>> report = tally.report(total_s=1.0)
        >>> report.parallel_efficiency, report.hit_rate
        (0.5, 1.0)
    """

    def __init__(self) -> None:
        self.started_s = time.perf_counter()
        self._cpu_s = time.process_time()
        self._phases_s = dict.fromkeys(PHASES, 0.0)
        self._states: Counter[str] = Counter()
        self.served = self.repeated = self.resampled = 0
        self.pruned = self.subsampled = self.retried = self.interrupted = 0
        self.remarks: list[str] = []

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds to a phase.

        Raises:
            ReportError: no such phase.
        """
        try:
            self._phases_s[phase] += seconds
        except KeyError:
            known = ", ".join(PHASES)
            raise ReportError(f"phase is {phase!a:.80}; pass one of {known}") from None

    def told(self, state: str) -> None:
        """Count a trial that was told with a state of Optuna's: "COMPLETE", "PRUNED", "FAIL"."""
        self._states[state] += 1

    @property
    def trials(self) -> int:
        """Trials told up to now."""
        return sum(self._states.values())

    def report(
        self,
        *,
        total_s: float | None = None,
        workers: int = 1,
        where: str = "",
        workers_cpu_s: float = 0.0,
        worker_peak_bytes: Iterable[int] = (),
        start_s: float = 0.0,
        speedup: Measured | None = None,
    ) -> RunReport:
        """The figures up to now.

        Args:
            total_s: wall time of the run; None: since this object was made.
            workers: how many evaluated.
            where: where trials were evaluated and why, in words.
            workers_cpu_s: CPU seconds of worker processes, the parent's are known.
            worker_peak_bytes: of each worker process.
            start_s: until the first worker process was ready.
            speedup: measured against the plain loop.
        """
        return RunReport(
            total_s=time.perf_counter() - self.started_s if total_s is None else total_s,
            phases_s=dict(self._phases_s),
            workers=workers,
            where=where,
            states=dict(self._states),
            served=self.served,
            repeated=self.repeated,
            resampled=self.resampled,
            pruned=self.pruned,
            subsampled=self.subsampled,
            retried=self.retried,
            cores=usable_cores(),
            cpu_s=time.process_time() - self._cpu_s + workers_cpu_s,
            parent_peak_bytes=peak_bytes(),
            worker_peak_bytes=tuple(worker_peak_bytes),
            speedup=speedup,
            remarks=tuple(self.remarks),
            interrupted=self.interrupted,
            start_s=start_s,
        )


def usable_cores() -> int:
    """The cores that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(usable(0)) if usable else os.cpu_count() or 1


def peak_bytes() -> int:
    """Resident memory of this process at its highest; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
