"""The starter's own side: what it reports, however slowly the parent listens."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from optimizer.workers.starter import ENDED, NO_PROCESS, REPORT, Starter

MANY = 20_000  # far more than the system keeps of messages nobody reads


@pytest.fixture
def pair() -> Iterator[tuple[Starter, socket.socket]]:
    ours, theirs = socket.socketpair()
    made = Starter(theirs, -1, os.getppid(), False)
    yield made, ours
    for descriptor in (made._bell, made._ring):
        os.close(descriptor)
    ours.close()
    theirs.close()


def test_reports_wait_for_a_parent_that_does_not_read(pair: tuple[Starter, socket.socket]) -> None:
    """It would stop obeying else, while a parent that sends orders waits for it to read them."""
    made, ours = pair
    for birth in range(MANY):
        made._report(ENDED, birth, 9)
    made._report(NO_PROCESS, text="no more")
    assert made._unsent
    ours.settimeout(10.0)
    received = bytearray()
    while len(received) < (MANY + 1) * REPORT.size + len("no more"):
        received += ours.recv(1 << 16)
        made._send()
    assert not made._unsent
    births = [REPORT.unpack_from(received, at * REPORT.size)[1] for at in range(MANY)]
    assert births == list(range(MANY))
    assert received.endswith(b"no more")


def test_what_waits_is_sent_by_the_loop(pair: tuple[Starter, socket.socket]) -> None:
    made, ours = pair
    for birth in range(MANY):
        made._report(ENDED, birth, 0)
    received = 0

    def read() -> None:
        nonlocal received
        while received < MANY * REPORT.size:
            received += len(ours.recv(1 << 16))
        ours.shutdown(socket.SHUT_WR)  # which ends the loop

    ours.settimeout(30.0)
    reader = threading.Thread(target=read)
    reader.start()
    made._serve()
    reader.join()
    assert received == MANY * REPORT.size
    assert not made._unsent


def test_a_parent_that_is_gone_is_no_error(pair: tuple[Starter, socket.socket]) -> None:
    made, ours = pair
    ours.close()
    made._report(ENDED, 1, 0)
    assert not made._unsent
