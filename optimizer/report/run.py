"""RunReport: the figures of one run, as text and as a dict."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optimizer.errors import ReportError

if TYPE_CHECKING:
    import optuna

PHASES = ("objective", "sampler", "storage", "cache", "transport", "idle")
"""Where the time of a run goes; "idle" is the loop waiting for its workers, their start too."""

NOT_COMPARED = "not compared: "
"""How a remark begins that says why the plain loop could not be measured."""

_SEQUENTIAL = ("objective", "sampler", "storage", "cache")
"""What a loop without workers would have to do as well, one after the other."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A ratio that was measured: its 95% interval, and on how many trials.

    Attributes:
        value: the ratio.
        low, high: ends of the interval; None where one trial tells nothing of the spread.
        n: trials measured.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """The figures of one run; plain numbers, immutable. `Tally.report` makes it.

    Two ratios say how busy it was, and differ. `parallel_efficiency` is of the workers' time: what
    one process would have taken for the trials, waiting and compiling included, by the wall time of
    all workers. `cpu_use_ratio` is of the machine's: CPU time of this process and the workers, for
    whatever they did, by the wall time of all cores that they may use. So it is the lower one where
    trials wait for something or there are fewer workers than cores.

    Attributes:
        total_s: wall time of the run.
        phases_s: phase -> seconds. The objective's are summed over the workers, so with several
            of them the phases are more than the total; all others are the loop's own. What an
            objective has suggested while it runs is the sampler's time, not the objective's. The
            sampler's first TPE suggestion loads its compiled code, or compiles it, once for each
            machine and installation.
        workers: how many evaluated.
        where: where trials were evaluated and why, in words.
        states: state of Optuna's -> trials told in this run.
        served: of them, those answered from an evaluation that was known.
        repeated: of the served, those at a point that the study has already: they are told FAIL.
        resampled: points drawn anew because they were known.
        pruned: trials stopped early.
        subsampled: trials that only ever saw a part of the data.
        retried: evaluations that were started again after a death or a time-out.
        cores: that this process may use.
        cpu_s: CPU seconds of the parent and the workers together.
        parent_peak_bytes: resident memory of this process at its highest, since it started.
        worker_peak_bytes: the same of each worker process.
        speedup: measured against the plain loop; None where it was not.
        remarks: what else there is to say, a line each.
        interrupted: trials that were under way when the run was ended: they are told FAIL.
        start_s: until the first worker process was ready: its start, imports, data and warm_up.
            What the loop does not use of it, to draw the first points, is part of "idle". 0.0
            where no processes were started.
    """

    total_s: float
    phases_s: Mapping[str, float] = field(default_factory=dict)
    workers: int = 1
    where: str = ""
    states: Mapping[str, int] = field(default_factory=dict)
    served: int = 0
    repeated: int = 0
    resampled: int = 0
    pruned: int = 0
    subsampled: int = 0
    retried: int = 0
    cores: int = 1
    cpu_s: float = 0.0
    parent_peak_bytes: int = 0
    worker_peak_bytes: tuple[int, ...] = ()
    speedup: Measured | None = None
    remarks: tuple[str, ...] = ()
    interrupted: int = 0
    start_s: float = 0.0

    @property
    def trials(self) -> int:
        """Trials told in this run."""
        return sum(self.states.values())

    @property
    def mean_trial_s(self) -> float:
        """Wall time of the run per trial; 0.0 without one."""
        return self.total_s / self.trials if self.trials else 0.0

    @property
    def hit_rate(self) -> float:
        """Trials served per trial; 0.0 without one."""
        return self.served / self.trials if self.trials else 0.0

    @property
    def sequential_s(self) -> float:
        """What the work takes one after the other: objective, sampler, storage and cache."""
        return sum(self.phases_s.get(phase, 0.0) for phase in _SEQUENTIAL)

    @property
    def parallel_efficiency(self) -> float:
        """Sequential seconds / (wall seconds x workers); 1.0 when no worker ever waits."""
        available_s = self.total_s * self.workers
        return self.sequential_s / available_s if available_s > 0.0 else 0.0

    @property
    def cpu_use_ratio(self) -> float:
        """CPU seconds / (wall seconds x cores)."""
        available_s = self.total_s * self.cores
        return self.cpu_s / available_s if available_s > 0.0 else 0.0

    @property
    def peak_bytes(self) -> int:
        """Peaks of the parent and all workers together; pages they share count in each."""
        return self.parent_peak_bytes + sum(self.worker_peak_bytes)

    @property
    def speedup_measured(self) -> float | None:
        """Plain seconds per trial / ours; above 1 is faster."""
        return None if self.speedup is None else self.speedup.value

    def to_dict(self) -> dict[str, Any]:
        """All fields and properties, as JSON takes them."""
        figures = dataclasses.asdict(self)
        figures["phases_s"] = {name: self.phases_s.get(name, 0.0) for name in PHASES}
        figures["states"] = dict(self.states)
        figures["worker_peak_bytes"] = list(self.worker_peak_bytes)
        figures["remarks"] = list(self.remarks)
        for name in _DERIVED:
            figures[name] = getattr(self, name)
        return figures

    def lines(self) -> list[tuple[str, str]]:
        """Name and figure of each line of the report, the phases aside."""
        counts = {state.lower(): n for state, n in self.states.items()}
        if self.repeated:  # nothing went wrong with those
            counts["fail"] = counts.get("fail", 0) - self.repeated
            counts["served"] = self.repeated
        if self.interrupted:  # nor with these
            counts["fail"] = counts.get("fail", 0) - self.interrupted
            counts["interrupted"] = self.interrupted
        states = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
        cpu = _seconds(self.cpu_s)
        lines = [
            ("trials", f"{self.trials}" + (f" ({states})" if states else "")),
            ("total time", _seconds(self.total_s)),
            ("mean time per trial", _seconds(self.mean_trial_s)),
            ("evaluated", f"{self.workers} worker{'s' * (self.workers != 1)}{_and(self.where)}"),
            ("served from the cache", self._served()),
            ("drawn again", str(self.resampled)),
            ("stopped early", str(self.pruned)),
            ("on a part of the data only", str(self.subsampled)),
            ("started again", str(self.retried)),
            ("workers ready after", _seconds(self.start_s) if self.start_s else "0"),
            ("parallel efficiency", f"{_percent(self.parallel_efficiency)} ({self._work()})"),
            (
                "CPU use",
                f"{_percent(self.cpu_use_ratio)} of {self.cores} cores ({cpu} of CPU time)",
            ),
            ("peak memory", self._memory()),
            ("speedup, plain / ours", self._speedup()),
        ]
        return [line for line in lines if line[1] != "0" or line[0] not in _OPTIONAL]

    def phase_lines(self) -> list[tuple[str, str, str]]:
        """Phase, seconds, and share of the wall time of the run."""
        rows = []
        for phase in PHASES:
            seconds = self.phases_s.get(phase, 0.0)
            share = _percent(seconds / self.total_s) if self.total_s > 0.0 else ""
            rows.append((phase, _seconds(seconds), share))
        return rows

    def text(self) -> str:
        """The report for a terminal; no line ends it."""
        rows = self.lines()
        width = max(len(name) for name, _ in rows)
        told = [f"{name:{width}}  {figure}" for name, figure in rows]
        told += ["", f"{'phase':{width}}  {'time':>10}  {'of total':>9}"]
        told += [f"{a:{width}}  {b:>10}  {c:>9}" for a, b, c in self.phase_lines()]
        if self.workers > 1:
            told.append("(the objective's time is the sum over the workers)")
            told.append("(idle: this process, while it waits for them, until they are ready too)")
        if self.phases_s.get("sampler", 0.0) > _MUCH * self.total_s:
            told.append("(sampler: its first TPE suggestion loads, or once compiles, its kernels)")
        if self.interrupted:
            told.append("(interrupted: under way when the run was ended; they are told FAIL)")
        return "\n".join([*told, *self.remarks])

    def html(self, study: optuna.Study, *, title: str | None = None) -> str:
        """One page with this report and the plots of a study; it needs no network.

        Cost: what the plots cost; plotly's own code of some megabytes is part of the page.

        Args:
            study: whose trials are drawn, any number of objectives.
            title: of the page; None: the study's name.

        Raises:
            ReportError: plotly is not installed; the message says how to.
        """
        from optimizer.report.page import page_of

        return page_of(self, study, title)

    def _served(self) -> str:
        told = f"{self.served} (hit rate {_percent(self.hit_rate)})"
        if self.repeated:
            told += f", {self.repeated} of them told FAIL: the study has the point already"
        return told

    def _work(self) -> str:
        told = f"{_seconds(self.sequential_s)} of work in {_seconds(self.total_s)}"
        return told + (f" by {self.workers} workers" if self.workers > 1 else "")

    def _memory(self) -> str:
        told = _bytes(self.parent_peak_bytes)
        if self.worker_peak_bytes:
            each = ", ".join(_bytes(size) for size in self.worker_peak_bytes)
            told += f", workers {each}"
        return told

    def _speedup(self) -> str:
        if self.speedup is None:
            if any(line.startswith(NOT_COMPARED) for line in self.remarks):
                return "not measured: see below"
            return "not measured: optimize(compare=20) also runs 20 trials by plain Optuna"
        one = self.speedup
        told = f"{one.value:.2f}"
        if one.low is not None and one.high is not None:
            told += f" ({one.low:.2f} to {one.high:.2f}, 95%)"
        return f"{told}, measured on {one.n} trial{'s' * (one.n != 1)} of the plain loop"


_OPTIONAL = frozenset(
    {
        *("drawn again", "stopped early", "on a part of the data only", "started again"),
        "workers ready after",
    }
)
_MUCH = 0.2
"""Of the wall time: a sampler that took more is explained."""

_DERIVED = (
    *("trials", "mean_trial_s", "hit_rate", "sequential_s", "parallel_efficiency"),
    *("cpu_use_ratio", "peak_bytes", "speedup_measured"),
)

# Two-sided 95% points of Student's t by degrees of freedom; beyond them, the next lower entry.
_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23,
      12: 2.18, 15: 2.13, 20: 2.09, 30: 2.04, 60: 2.00, 120: 1.98, 1_000: 1.96}  # fmt: skip


def measured_speedup(plain_s: Sequence[float], ours_s: float) -> Measured:
    """The ratio of what a trial takes in the plain loop, on a sample, to what it took here.

    The interval speaks of the sample of plain trials alone: the mean of all of ours is known.

    Args:
        plain_s: seconds of each sampled trial in the plain loop, at least one.
        ours_s: mean seconds of a trial of the run.

    Raises:
        ReportError: no sample, or times that are not finite and above 0.

    Example:
        >>> measured_speedup([2.0, 4.0], 1.0)
        Measured(value=3.0, low=0.0, high=15.71, n=2)
    """
    if not plain_s or not all(0.0 < s < math.inf for s in (*plain_s, ours_s)):
        raise ReportError(
            f"found {len(plain_s)} plain trials and {ours_s} s for one of ours, expected at least "
            f"one, all finite and above 0: compare with more trials"
        )
    n, mean = len(plain_s), statistics.fmean(plain_s)
    if n == 1:
        return Measured(mean / ours_s, None, None, n)
    error = statistics.stdev(plain_s) / math.sqrt(n) * _T[max(df for df in _T if df < n)]
    return Measured(mean / ours_s, max(0.0, mean - error) / ours_s, (mean + error) / ours_s, n)


def _seconds(seconds: float) -> str:
    if seconds >= 100.0:
        return f"{seconds:.0f} s"
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def _percent(ratio: float) -> str:
    return f"{ratio * 100.0:.1f}%"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e3:.0f} kB"


def _and(where: str) -> str:
    return f", {where}" if where else ""
