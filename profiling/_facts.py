"""What `run.json` says of a recording."""

from __future__ import annotations

import platform
from datetime import datetime
from typing import TYPE_CHECKING, Any

import _blanked
import _report

if TYPE_CHECKING:
    from _launch import Job, Outcome


def of(program: str, job: Job, outcome: Outcome, now: datetime, code: int) -> dict[str, Any]:
    """How the study was run and how that ended; secrets of its command line are blanked."""
    return {
        "profiler": program,
        "command": _blanked.words(job.command),
        "working_directory": str(job.folder),
        "interpreter": job.python.path,
        "python_version": job.python.version,
        "interpreter_origin": job.python.origin,
        "platform": platform.platform(),
        "start_utc": now.isoformat(timespec="seconds"),
        "duration_s": round(outcome.duration_s, 3),
        "study_exit_code": outcome.study_code,
        "signal": outcome.received,
        "exit_code": code,
        "product": _product_name(outcome),
        "remark": outcome.reason or None,
        **outcome.facts,
    }


def _product_name(outcome: Outcome) -> str | None:
    if outcome.profile is not None:
        return _report.PAGE
    return outcome.product.name if outcome.product else None
