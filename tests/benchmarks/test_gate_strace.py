"""How strace is started, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gate import strace

OLD = 'case "$*" in *--seccomp-bpf*) exit 1;; esac'  # before 5.3
FAST = ["--seccomp-bpf"]


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """What is found out once is this machine's again for the next test."""
    known = strace._halts, strace.unavailable
    for one in known:
        one.cache_clear()
    yield
    for one in known:
        one.cache_clear()


@pytest.mark.parametrize(
    ("script", "halts", "reason"),
    [
        ("exit 0", FAST, ""),
        (OLD, [], ""),
        ("exit 1", None, "strace may not trace here"),
        (None, None, "strace is not installed"),
    ],
)
def test_what_this_strace_can(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str | None,
    halts: list[str] | None,
    reason: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "strace").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "strace").chmod(0o755)
        assert strace._halts() == halts
    assert strace.unavailable() == reason
    if not reason:
        assert (FAST[0] in strace.prefix(tmp_path / "log")) == (halts == FAST)
