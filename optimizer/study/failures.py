"""Trials that failed, in a line each, for a command line."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from optimizer.study.duplicates import SERVED_OF
from optimizer.study.ending import TRACEBACK, logger

_PLACE = re.compile(r'^ *File "(?P<file>.*?)", line (?P<line>\d+)', re.MULTILINE)


class Failures(logging.Filter):
    """Keeps what the last failed trial raised; while entered, the log is silent about such trials.

    Args:
        script: path of the file that places are looked for in.

    Attributes:
        count: of trials that failed: that raised, lost their worker, or returned no number.
        raised: how many of them raised.
        last: which failed last, and why, in one line.
    """

    def __init__(self, script: str) -> None:
        super().__init__()
        self._script = script
        self._why = ""
        self.count = self.raised = 0
        self.last = ""

    def note(self, study: Any, trial: Any) -> None:
        """A callback of a study's."""
        if trial.state.name != "FAIL" or SERVED_OF in trial.user_attrs:
            return
        self.count += 1
        text = trial.user_attrs.get(TRACEBACK)
        if text:
            self.raised += 1
            self.last = f"trial {trial.number} raised {in_a_line(text, self._script)}"
        else:
            self.last = f"trial {trial.number}: {self._why or 'no reason is known'}"

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged: not one about a trial, which is told otherwise."""
        text = record.getMessage()
        if not text.startswith("Trial "):
            return True
        _, told, why = text.partition("because of the following error: ")
        if told:  # the callback is called after this
            self._why = " ".join(why.split()).rstrip(".")
        return False

    def __enter__(self) -> Failures:
        logger.addFilter(self)
        return self

    def __exit__(self, *_: Any) -> None:
        logger.removeFilter(self)


def in_a_line(text: str, script: str) -> str:
    """The error of a traceback, and the last place in the script, or the last of all."""
    lines = text.rstrip().splitlines()
    # An error of several lines begins after the last place and its source.
    started = max((n for n, line in enumerate(lines) if line.startswith(" ")), default=-1) + 1
    error = " ".join(" ".join(lines[min(started, len(lines) - 1) :]).split())
    every = list(_PLACE.finditer(text))
    places = [place for place in every if place["file"] == script] or every
    if not places:
        return error
    return f"{error} ({os.path.basename(places[-1]['file'])}, line {places[-1]['line']})"
