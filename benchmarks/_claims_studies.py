"""What a whole study gains by the length of its objective: from stored runs of one that has none.

The objective's time is added, since measuring a sleep would prove nothing. It is the same on both
sides, so the longer it takes, the less of the study is left to gain.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks._claims_cells import percent, ratio
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Row
from benchmarks.gate.table import seconds, table

STUDIES = "peers_sampling.WholeStudy"
OBJECTIVES = {"1 ms": 0.001, "100 ms": 0.1, "1 s": 1.0, "10 s": 10.0}  # of a trial, seconds
_HEAD = ("trials", "objective", "a trial: before → after", "study", "of the study saved")


def study_lines(report: ClaimsReport) -> list[str]:
    """A line for each length of a study and of its objective; nothing where none was measured."""
    rows = [row for row in report.rows if row.hot_path == STUDIES and row.measured and row.trials]
    cells = [line for row in sorted(rows, key=_trials) for line in _cells(row)]
    if not cells:
        return []
    return [
        f"{report.date[:10]}, {report.where}; study = before / after, by "
        f"one worker, the objective added",
        *table(_HEAD, cells, right=(0, 1, 2, 3, 4)),
    ]


def _trials(row: Row) -> int:
    assert row.trials is not None
    return row.trials


def _cells(row: Row) -> Iterable[tuple[str, ...]]:
    assert row.measured is not None
    own = [side / _trials(row) for side in (row.measured.before_s, row.measured.after_s)]
    for name, objective_s in OBJECTIVES.items():
        before, after = (side + objective_s for side in own)
        yield (
            f"{_trials(row):,}",
            name,
            f"{seconds(before)} → {seconds(after)}",
            f"{ratio(before / after)}x",
            percent((before - after) / before),
        )
