"""The page's picture of growing cost: what a trial costs, from the first trial to the last."""

from __future__ import annotations

import _model
import _trend
import _words
from _html import axis, percent, text, ticks
from _page_lanes import legend, stacked

_USUAL, _TOWERING = 0.9, 3.0  # a step so many times the 90th percentile is cut


def section(profile: _model.Profile) -> str:
    """Milliseconds per trial by phase, over groups of trials; empty where that is not known."""
    costs, size = _trend.per_group(profile)
    if not costs:
        return ""
    count = len(next(iter(costs.values())))
    sums = [sum(row[index] for row in costs.values()) for index in range(count)]
    highest, cut = _scale(sums)
    if highest <= 0:
        return ""
    scale = ticks(highest, 4)
    shapes = stacked({name: [100 * one / highest for one in row] for name, row in costs.items()})
    lines = "".join(f'<i style="bottom:{percent(tick, highest)}"></i>' for tick in scale)
    labels = "".join(
        f'<span style="bottom:{percent(tick, highest)}">{_words.milliseconds(tick)}</span>'
        for tick in scale
    )
    return (
        f'<section id="cost"><h2>{_title(profile)}</h2><p class="hint">Each step is '
        f"{_words.counted(size, 'trial')} in the order they ended: the time of all lanes "
        "meanwhile, by phase and without waits for each other, divided by their number. What "
        f"rises to the right makes a study slower the longer it runs.{_cut(cut, max(sums))}</p>"
        f'<div class="card chart"><div class="scale">{labels}</div><div class="plot">{lines}'
        f'<svg viewBox="0 0 {count} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(_title(profile))}">{shapes}</svg></div>'
        f"<span></span>{_trial_axis(count, size)}</div>{legend(profile)}</section>"
    )


def _scale(sums: list[float]) -> tuple[float, int]:
    """The height of the picture, and how many steps are taller: the first often compiles."""
    usual = sorted(sums)[int(_USUAL * (len(sums) - 1))]
    if usual <= 0 or max(sums) <= _TOWERING * usual:
        return max(sums) * 1.04, 0
    highest = 1.5 * usual
    return highest, sum(one > highest for one in sums)


def _cut(count: int, tallest: float) -> str:
    if not count:
        return ""
    what = "1 step is" if count == 1 else f"{count} steps are"
    return f" {what} taller than drawn, up to {_words.milliseconds(tallest)}."


def _title(profile: _model.Profile) -> str:
    found = _trend.growth(profile)
    if found is None or found.trend == 0:
        return "What a trial costs"
    word = "rises" if found.trend > 0 else "falls"
    return (
        f"What a trial costs {word} from {_words.milliseconds(found.first_ms)} "
        f"to {_words.milliseconds(found.last_ms)}"
    )


def _trial_axis(count: int, size: int) -> str:
    shown = [round(tick) for tick in ticks(count * size, 8) if tick == round(tick)]
    return axis(
        [
            (percent(number, count * size), f"trial {number:,}" if number else "0")
            for number in shown
        ]
    )
