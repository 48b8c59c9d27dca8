"""What a run did, and what it saved: counted while it runs, told as text, a dict or one HTML."""

from __future__ import annotations

from optimizer.report.progress import ProgressLine
from optimizer.report.run import PHASES, Measured, RunReport, measured_speedup
from optimizer.report.tally import Tally

__all__ = ["PHASES", "Measured", "ProgressLine", "RunReport", "Tally", "measured_speedup"]
