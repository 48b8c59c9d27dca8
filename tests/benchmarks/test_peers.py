"""What compares us with the field's libraries stands beside the gate, not in it."""

from __future__ import annotations

import sys

import pytest

from benchmarks import _peers, _registry


def test_peers_are_no_hot_paths_of_the_gate() -> None:
    """What they are compared with need not be installed."""
    peers = {path.name for path in _peers.load()}
    assert peers == {f"peers.Vectorbt{part}" for part in ("Trades", "Statistics", "Sweep")}
    assert not peers & {path.name for path in _registry.load()}


def test_a_peer_that_is_not_installed_names_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vectorbt", None)
    for path in _peers.load():
        with pytest.raises(NotImplementedError, match=r"vectorbt.*`nox -s parity` installs it"):
            path.case(path.cases[0].label).open()
