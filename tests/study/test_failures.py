"""Failed trials in a line each, as a command line tells them."""

from __future__ import annotations

import pytest

from optimizer.study import failures


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ValueError: x", "ValueError: x"),
        (
            'Traceback:\n  File "/a/b.py", line 3, in f\n    g()\nKeyError: 1',
            "KeyError: 1 (b.py, line 3)",
        ),
        (
            'Traceback:\n  File "/a/s.py", line 3, in f\n  File "/c.py", line 9\nE: one\ntwo\n',
            "E: one two (s.py, line 3)",
        ),
    ],
)  # fmt: skip
def test_a_traceback_in_a_line(text: str, line: str) -> None:
    assert failures.in_a_line(text, "/a/s.py") == line
