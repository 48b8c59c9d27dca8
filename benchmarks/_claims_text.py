"""A run of the claims as text: for terminals, and narrow for the README."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks._claims_measured import Spread
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import ClaimVerdict, Role, Row
from benchmarks._claims_share import OBJECTIVES, Share
from benchmarks._claims_table import Range
from benchmarks.gate.table import seconds, table

_FIRST, *_OTHERS = OBJECTIVES
SPEEDS = (
    *("claim", "reported", "wall (± 3 se)", "before → after"),
    *(f"saves: {_FIRST}", *_OTHERS, "verdict"),
)
SHARES = (
    *("hot path", "CPU (± 3 se)", "stands for", "slow way a trial"),
    *(f"takes: {_FIRST}", *_OTHERS),
)
_EACH = ", ".join(OBJECTIVES)


def terminal_lines(report: ClaimsReport) -> list[str]:
    """Caveats, both tables, and below them what each claim has to say."""
    measured = [row for row in report.rows if row.measured]
    lines = [headline(report), *caption(report), ""]
    lines += table(SPEEDS, [speed_cells(row) for row in report.rows], right=(1, 2, 4, 5, 6))
    if measured:
        lines += ["", *table(SHARES, [share_cells(row) for row in measured], right=(1, 3, 4, 5, 6))]
    lines += [""]
    for row in report.rows:
        if row.said or row.notes:
            lines += [f"{row.claim or row.name}: {row.what or row.name}"]
            lines += [f"    {word}" for word in words(row)]
    return [*lines, "", f"{report.count()}; rerun a row: nox -s claims -- CLAIM"]


def readme_lines(report: ClaimsReport) -> list[str]:
    """What was measured, narrow; what is not built yet is only counted."""
    shown = [row for row in report.rows if row.measured or row.verdict is ClaimVerdict.WORKS]
    rows = [
        (
            label(row),
            reported(row.reported),
            spread(row.measured.wall) if row.measured else "-",
            times(row),
            *savings(row),
            "-" if row.role in (Role.BESIDE, Role.PLAIN) else str(row.verdict),
        )
        for row in shown
    ]
    head = ("claim", "reported", "wall (± 3 se)", "before → after", *OBJECTIVES, "verdict")
    waiting = sum(row.verdict is ClaimVerdict.NOT_BUILT for row in report.rows)
    return [
        f"{report.date[:10]}, {report.machine}, Python {report.python}; speedup = before / after",
        f"{_EACH}: saved of a trial with such an objective, where Optuna itself takes "
        f"{seconds(report.trial.seconds)}",
        f"    (random sampler, in memory; its default sampler takes "
        f"{seconds(report.trial.default_s)}, which makes every share smaller)",
        *table(head, rows, right=(1, 2, 4, 5, 6)),
        *([f"claims not built yet: {waiting}"] if waiting else []),
    ]


def headline(report: ClaimsReport) -> str:
    quick = "QUICK, two processes a row: not to be stored; " if report.quick else ""
    return (
        f"{quick}{report.date[:10]}, {report.machine}, Python {report.python}, "
        f"{report.seconds:.0f} s"
    )


def caption(report: ClaimsReport) -> list[str]:
    """How to read the tables."""
    trial = report.trial
    return [
        "speedup = before / after, > 1 is faster; reported: what the report says, not ours",
        "before: the report's algorithm, reconstructed; verdicts are of wall time, as reported",
        f"saves, takes: of a trial that uses the slow way, with an objective that is trivial, of "
        f"{' or '.join(_OTHERS)}",
        f"    measured: Optuna {trial.optuna} takes {seconds(trial.seconds)} "
        f"(± {seconds(trial.plus_minus_s)}) a trial: random sampler, in memory, ten parameters",
        f"    computed: {' and '.join(_OTHERS)} added to it; Optuna's default sampler takes "
        f"{seconds(trial.default_s)} and makes every share smaller",
    ]


# --- cells


def speed_cells(row: Row) -> tuple[str, ...]:
    wall = spread(row.measured.wall) if row.measured else "-"
    return label(row), reported(row.reported), wall, times(row), *savings(row), verdict(row)


def share_cells(row: Row) -> tuple[str, ...]:
    assert row.measured is not None
    slow = seconds(row.measured.before_s / row.trials) if row.trials else "-"
    takes = _each(row, lambda share: share.slow)
    return row.name, spread(row.measured.cpu), row.stands_for, slow, *takes


def label(row: Row) -> str:
    """The claim; what stands beside a claim is set in below it."""
    if row.role is Role.CLAIM:
        return row.claim
    if row.role is Role.OURS:
        return row.hot_path
    return f"  {'plain: ' if row.role is Role.PLAIN else ''}{row.hot_path}"


def reported(figures: Range | None) -> str:
    if figures is None:
        return "-"
    least, most = figures
    return f"{least:,.4g}x" if least == most else f"{ratio(least)}-{ratio(most)}x"


def ratio(value: float) -> str:
    """Three digits, or all of a large number; never a power of ten."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.3g}"


def spread(found: Spread) -> str:
    return f"{ratio(found.ratio)}x ({ratio(found.low)}-{ratio(found.high)})"


def times(row: Row) -> str:
    """Wall seconds a call of the slow way and of the fast one."""
    if row.measured is None:
        return "-"
    return f"{seconds(row.measured.before_s)} → {seconds(row.measured.after_s)}"


def savings(row: Row) -> Sequence[str]:
    """What is saved of a trial, for each objective."""
    return _each(row, lambda share: share.saved)


def _each(row: Row, pick: Callable[[Share], float]) -> list[str]:
    found = {share.objective: percent(pick(share)) for share in row.shares}
    return [found.get(name, "-") for name in OBJECTIVES]


def verdict(row: Row) -> str:
    """The verdict on both: the report's way, and the best plain one where it was measured."""
    if row.role in (Role.BESIDE, Role.PLAIN) and row.measured:
        return "-"
    if row.before_plain is None:
        return str(row.verdict)
    return f"{row.verdict}; {ratio(row.before_plain.ratio)}x the plain way"


def percent(share: float) -> str:
    """Two digits, never in powers of ten."""
    value = 100 * share
    if abs(value) < 0.001:
        return "<0.001%"
    return f"{value:.0f}%" if abs(value) >= 10 else f"{value:.2g}%"


def words(row: Row) -> Iterable[str]:
    """What is told of a row below the table."""
    if row.said:
        yield f"reported: {row.said} ({row.source})"
    yield from row.notes
