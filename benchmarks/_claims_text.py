"""A run of the claims as text: for terminals, and narrow for the README."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks._claims_cells import (
    goals_cell,
    label,
    reported,
    savings,
    share_cells,
    speed_cells,
    spread,
    times,
    verdict,
    words,
)
from benchmarks._claims_code import OPTIMIZERS, TRACKERS
from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Role, Row
from benchmarks._claims_share import OBJECTIVES, RUN
from benchmarks._claims_table import STUDY_TRIALS
from benchmarks._registry import PEERS
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
_SAVED = (
    f"a reported time is saved in {STUDY_TRIALS} trials, a percentage of a run with an objective "
    f"of {RUN}"
)

VERDICTS = (
    "exceeded: all of the interval lies above what is reported; works: no figure is reported",
    "reproduced: at most a tenth of its gain is lacking (of a quality two points); the worst of a "
    "claim's figures is its own verdict",
)


def terminal_lines(report: ClaimsReport) -> list[str]:
    """Caveats, both tables, and below them what each claim has to say."""
    measured = [row for row in report.rows if row.measured]
    lines = [headline(report), *caption(report), ""]
    lines += table(SPEEDS, [speed_cells(row) for row in report.rows], right=(1, 2, 4, 5, 6))
    if measured:
        lines += ["", *table(SHARES, [share_cells(row) for row in measured], right=(1, 3, 4, 5, 6))]
    lines += ["", *(line for row in report.rows for line in told(row))]
    peers = all(row.hot_path.startswith(PEERS) for row in report.rows)
    again = "nox -s parity -- HOT_PATH" if peers else "nox -s claims -- CLAIM"
    modes = {row.rerun for row in report.rows if row.rerun.endswith(" modes")}
    again = ", a mode: ".join((again, *modes))
    return [*lines, "", f"{report.count()}; rerun a row: {again}"]


def told(row: Row) -> Iterable[str]:
    """What a row compares, and what there is to say of it; set in below its claim's."""
    inset = "    " if row.role in (Role.BESIDE, Role.PLAIN) else ""
    name = row.claim if row.role is Role.CLAIM else row.name
    yield f"{inset}{name}: {row.what}"
    yield from (f"{inset}    {word}" for word in words(row))


def readme_lines(report: ClaimsReport) -> list[str]:
    """What was measured, narrow; what is not built yet is only named."""
    tested = (ClaimVerdict.WORKS, ClaimVerdict.SIMULATED)
    shown = [
        row
        for row in report.rows
        if row.measured or row.verdict in tested or any(figure.found for figure in row.figures)
    ]
    rows = [
        (
            label(row),
            reported(row),
            spread(row.wall) if row.wall else "-",
            times(row),
            *savings(row),
            verdict(row, against_plain=False),  # which has a line of its own
        )
        for row in shown
    ]
    head = ("claim", "reported", "wall (± 3 se)", "before → after", *OBJECTIVES, "verdict")
    waiting = ", ".join(row.claim for row in report.rows if row.verdict is ClaimVerdict.NOT_BUILT)
    return [
        f"{report.date[:10]}, {report.where}; speedup = before / after",
        f"{_SAVED}; beside the verdict: ours",
        f"{_EACH}: saved of a trial with such an objective, where Optuna itself takes "
        f"{seconds(report.trial.seconds)}",
        f"    (random sampler, in memory; its default sampler takes "
        f"{seconds(report.trial.default_s)}, which makes every share smaller)",
        *VERDICTS,
        *table(head, rows, right=(1, 2, 4, 5, 6)),
        *([f"claims not built yet: {waiting}"] if waiting else []),
    ]


def peer_lines(report: ClaimsReport) -> list[str]:
    """Us against the field's libraries, narrow."""
    rows = [
        (label(row), spread(row.measured.wall), times(row), spread(row.measured.cpu))
        for row in report.rows
        if row.measured and not row.goals
    ]
    head = ("slow side", "wall (± 3 se)", "before → after", "CPU (± 3 se)")
    return [
        f"{report.date[:10]}, {report.where}; speedup = before / after",
        *_beside(report, TRACKERS),
        *table(head, rows, right=(1, 3)),
        *beyond_lines(report),
    ]


def beyond_lines(report: ClaimsReport) -> list[str]:
    """What no report speaks of, beside what this project set itself; nothing if there is none."""
    rows = [
        (
            *(row.name, goals_cell(row), spread(row.measured.wall), times(row)),
            *(spread(row.measured.cpu), *savings(row), verdict(row)),
        )
        for row in report.rows
        if row.measured and row.goals
    ]
    head = ("beyond the reports", "goal", "wall (± 3 se)", "before → after", "CPU (± 3 se)")
    if not rows:
        return []
    return [
        "",
        f"beyond the reports: goals of our own; {_EACH}: saved of a trial with such an objective",
        *_beside(report, OPTIMIZERS),
        *table((*head, *OBJECTIVES, "verdict"), rows, right=(2, 4, 5, 6, 7)),
    ]


def _beside(report: ClaimsReport, libraries: Iterable[str]) -> list[str]:
    """The versions of the libraries that a run stands beside, in a line."""
    known = [f"{name} {report.packages[name]}" for name in libraries if name in report.packages]
    return [f"beside {', '.join(known)}"] if known else []


def headline(report: ClaimsReport) -> str:
    quick = "QUICK, two processes a row: not to be stored; " if report.quick else ""
    return f"{quick}{report.date[:10]}, {report.where}, {report.seconds:.0f} s"


def caption(report: ClaimsReport) -> list[str]:
    """How to read the tables."""
    trial = report.trial
    return [
        "speedup = before / after, > 1 is faster; reported: what the report says, not ours",
        f"    {_SAVED} (the reports' take longer); beside the verdict: ours",
        "before: the report's algorithm, reconstructed; verdicts are of wall time, as reported",
        *VERDICTS,
        f"saves, takes: of a trial that uses the slow way, with an objective that is trivial, of "
        f"{' or '.join(_OTHERS)}",
        f"    measured: Optuna {trial.optuna} takes {seconds(trial.seconds)} "
        f"(± {seconds(trial.plus_minus_s)}) a trial: random sampler, in memory, ten parameters",
        f"    computed: {' and '.join(_OTHERS)} added to it; Optuna's default sampler takes "
        f"{seconds(trial.default_s)} and makes every share smaller",
    ]
