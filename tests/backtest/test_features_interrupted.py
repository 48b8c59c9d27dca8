"""Streams that Ctrl-C ends in the middle of a call, and streams without end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.backtest import _feature_state, features
from optimizer.backtest.features import FeatureStream
from optimizer.backtest.prices import synthetic_market
from optimizer.errors import PriceError

CLOSE = synthetic_market(60, 1, seed=3).close[:, 0]


class Interrupted:
    """Takes a part of the bars, then Ctrl-C comes."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def advance(self, columns: Any, out: Any) -> None:
        self.state.advance([column[:5] for column in columns], out[:5])
        raise KeyboardInterrupt


def test_a_stream_that_was_interrupted_says_so_and_ends() -> None:
    stream = FeatureStream("rolling_mean", 4)
    stream.extend(CLOSE[:20])
    stream._state = Interrupted(stream._state)
    with pytest.raises(KeyboardInterrupt):
        stream.extend(CLOSE[20:40])
    for _ in range(2):
        with pytest.raises(PriceError, match=r"was interrupted after 20 bars, .* make a new one"):
            stream.extend(CLOSE[20:40])
    assert stream.seen == 20


def test_a_stream_interrupted_at_its_first_bars_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = FeatureStream("rolling_mean", 4)
    monkeypatch.setattr(features, "begin", lambda *a: Interrupted(_feature_state.begin(*a)))
    with pytest.raises(KeyboardInterrupt):
        stream.extend(CLOSE)
    monkeypatch.undo()
    comp = stream.extend(np.column_stack([CLOSE, CLOSE]))  # another form than the refused one
    assert comp[:, 0].tobytes() == features.rolling_mean(CLOSE, 4).tobytes()


def test_a_stream_of_more_bars_than_there_is_room_for_is_refused() -> None:
    for bars in (2**31, 2**63, 10**30):
        with pytest.raises(PriceError, match=f"window of rolling_mean is {bars}; pass less than"):
            FeatureStream("rolling_mean", bars)
