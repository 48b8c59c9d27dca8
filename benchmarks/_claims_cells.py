"""The cells of the claims' tables, and the words below them: how a row is shown anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks._claims_figures import Figure, Unit
from benchmarks._claims_goals import AT_MOST, Goal, GoalKind
from benchmarks._claims_measured import Amount, Spread
from benchmarks._claims_rows import Role, Row
from benchmarks._claims_share import OBJECTIVES, RUN, Share
from benchmarks._claims_table import STUDY_TRIALS
from benchmarks.gate.table import seconds

_BELOW = (Role.BESIDE, Role.PLAIN)
_NOISE = " (within noise)"
MB = 1_000_000


def speed_cells(row: Row) -> tuple[str, ...]:
    wall = spread(row.wall) if row.wall else "-"
    return label(row), reported(row), wall, times(row), *savings(row), verdict(row)


def share_cells(row: Row) -> tuple[str, ...]:
    assert row.measured is not None
    slow = seconds(row.measured.before_s / row.trials) if row.trials else "-"
    takes = _each(row, lambda share: share.slow)
    return row.name, spread(row.measured.cpu), row.stands_for, slow, *takes


def label(row: Row) -> str:
    """The claim and its case, or the hot path; what stands below a claim is set in."""
    if row.role is Role.CLAIM:
        return f"{row.claim} [{row.case}]" if row.case else row.claim
    if row.role is Role.OURS:
        return row.name
    return f"  {'plain: ' if row.role is Role.PLAIN else ''}{row.name}"


def times(row: Row) -> str:
    """Wall seconds a call of the slow way and of the fast one."""
    if row.measured is None:
        return "-"
    return f"{seconds(row.measured.before_s)} → {seconds(row.measured.after_s)}"


def savings(row: Row) -> Sequence[str]:
    """What is saved of a trial, for each objective."""
    return _each(row, lambda share: share.saved)


def _each(row: Row, pick: Callable[[Share], float]) -> list[str]:
    found = {share.objective: percent(pick(share)) for share in row.shares}
    return [found.get(name, "-") for name in OBJECTIVES]


# --- the verdict


def verdict(row: Row, *, against_plain: bool = True) -> str:
    """The verdict on each figure, and on the best plain way where it was measured.

    What stands below a claim has none; there it says where the second side is the slower one.
    """
    if row.role in _BELOW:
        return slower(row.measured.wall) or "-" if row.measured else str(row.verdict)
    if row.role is Role.OURS and row.measured:
        judged = [goal_verdict(goal) for goal in row.goals if goal.verdict]
        return "; ".join(filter(None, (*(judged or [str(row.verdict)]), slower(row.measured.wall))))
    told = [
        figure.verdict if _is_rows_own(figure) else f"{figure.verdict}: {_short(figure)}"
        for figure in row.figures
        if figure.verdict is not None
    ] or [str(row.verdict)]
    if row.before_plain is not None and against_plain:
        told.append(beside_plain(row.before_plain))
    return "; ".join(told)


def _is_rows_own(figure: Figure) -> bool:
    """Whether it is the wall time that has a cell of its own."""
    return figure.unit is Unit.WALL and not figure.name


def slower(wall: Spread) -> str:
    """How much slower the second side is; nothing where it is not."""
    if wall.ratio >= 1.0:
        return ""
    unclear = _NOISE if wall.high >= 1.0 else ""
    return f"{percent(1 / wall.ratio - 1)} slower{unclear}"


def beside_plain(wall: Spread) -> str:
    """How ours stands against the best plain way."""
    unclear = _NOISE if wall.low <= 1.0 <= wall.high else ""
    told = slower(wall).removesuffix(_NOISE)
    against = f"{told} than" if told else f"{ratio(wall.ratio)}x as fast as"
    return f"{against} the plain way{unclear}"


# --- figures


def reported(row: Row) -> str:
    """The first figure that the report gives, in few words."""
    return figures_cell(row.figures) if row.role is Role.CLAIM else "-"


def figures_cell(figures: Sequence[Figure]) -> str:
    return _reported(figures[0]) if figures else "-"


def _reported(figure: Figure) -> str:
    ends = figure.least, figure.most
    if figure.unit is Unit.BYTES:
        return f"< {size(figure.most)}"
    if figure.unit is Unit.SECONDS:
        return f"{_range(ends)} s"
    if figure.unit in (Unit.SHARE, Unit.QUALITY):
        return f"{_range([100 * end for end in ends])}%"
    return f"{_range(ends)}x{_of(figure)}"


def _range(ends: Sequence[float]) -> str:
    """As the report gives it: one number, or two."""
    return "-".join(dict.fromkeys(f"{end:,.4g}" for end in ends))


def _of(figure: Figure) -> str:
    named = figure.name and figure.unit is not Unit.BYTES
    return f" {figure.name.replace('_', ' ')}" if named else ""


def _short(figure: Figure) -> str:
    """What was found, in few words."""
    if figure.sides is not None:
        if figure.unit is Unit.BYTES:
            return size(figure.sides[1])
        before, after = figure.sides
        return f"{ratio(before / after)}x{_of(figure)}" if after else f"no{_of(figure)}"
    assert figure.found is not None
    return _amount(figure.unit)(figure.found.value) + _of(figure)


def _amount(unit: Unit) -> Callable[[float], str]:
    if unit is Unit.QUALITY:
        return lambda value: f"{100 * value:.1f}%"
    if unit is Unit.WALL:
        return lambda value: f"{ratio(value)}x"
    return percent if unit is Unit.SHARE else _signed


def _signed(value: float) -> str:
    """Seconds, below nothing too."""
    return f"-{seconds(-value)}" if value < 0 else seconds(value)


def _found(figure: Figure) -> str:
    """What was found, with both sides or the interval."""
    if figure.sides is not None:
        form = size if figure.unit is Unit.BYTES else "{:,}".format
        before, after = map(form, figure.sides)
        told = f"{before} → {after}"
        known = figure.unit is Unit.COUNT and figure.sides[1] > 0
        return f"{told}, {_short(figure).removesuffix(_of(figure))}" if known else told
    if figure.found is None:
        return "not measured"
    return _interval(figure.found, _amount(figure.unit))


def _interval(found: Amount, form: Callable[[float], str]) -> str:
    return f"{form(found.value)} ({form(found.low)} to {form(found.high)})"


_NAMES = {
    Unit.SECONDS: f"saved in {STUDY_TRIALS} trials",
    Unit.SHARE: f"saved of a run, its objective taking {RUN}",
    Unit.QUALITY: "quality of what is found",
    Unit.WALL: "wall time",
}


def _told(figure: Figure) -> str:
    """The figure beside what was found, as a line."""
    named = figure.name.replace("_", " ")
    name = " ".join(filter(None, (_NAMES.get(figure.unit), named)))
    told = f"{name}: reported {_reported(figure).removesuffix(_of(figure))}, found {_found(figure)}"
    return told if figure.verdict is None else f"{told}: {figure.verdict}"


def words(row: Row) -> Iterable[str]:
    """What is told of a row below the table."""
    if row.said:
        yield f"reported: {row.said} ({row.source})"
    if row.measured:
        yield from (_told(figure) for figure in row.figures if not _is_rows_own(figure))
        yield from map(goal_words, row.goals)
    else:  # elsewhere, and what was found there is told
        yield from (_told(figure) for figure in row.figures if figure.found is not None)
    yield from row.notes


# --- goals


_GOALS = {
    GoalKind.WALL: "",
    GoalKind.CPU: " CPU",
    GoalKind.ADDED: " a trial more",
    GoalKind.MEMORY: " memory",
    GoalKind.BYTES: " a trial kept",
}
_GOAL_NAMES = {
    GoalKind.WALL: "wall",
    GoalKind.CPU: "CPU",
    GoalKind.ADDED: "a trial takes more by",
    GoalKind.MEMORY: "memory",
    GoalKind.BYTES: "a trial keeps",
}


def goals_cell(row: Row) -> str:
    """The goals of a row, in few words."""
    told = [_bound(goal.kind, goal.goal) for goal in row.goals if goal.goal is not None]
    return ", ".join(told) or "-"


def goal_verdict(goal: Goal) -> str:
    """The verdict on a goal; of wall time it needs no name."""
    return str(goal.verdict) + (f":{_GOALS[goal.kind]}" if _GOALS[goal.kind] else "")


def goal_words(goal: Goal) -> str:
    """A goal beside what was found, as a line."""
    name = _GOAL_NAMES[goal.kind]
    if goal.found is None:
        return f"{name}: not measured"
    form = _found_form(goal.kind)
    exact = goal.found.low == goal.found.high
    told = f"{name}: found {form(goal.found.value) if exact else _interval(goal.found, form)}"
    told += "" if goal.goal is None else f", goal {_bound(goal.kind, goal.goal)}: {goal.verdict}"
    if goal.floor is None:
        return told
    kept = "BROKEN" if goal.broken else "kept"
    return f"{told}, floor {_bound(goal.kind, goal.floor)}: {kept}"


def _found_form(kind: GoalKind) -> Callable[[float], str]:
    if kind is GoalKind.BYTES:
        return size
    return _signed if kind is GoalKind.ADDED else lambda value: f"{ratio(value)}x"


def _bound(kind: GoalKind, value: float) -> str:
    """What it is to be at least, or at most."""
    if kind in AT_MOST:
        form = size if kind is GoalKind.BYTES else seconds
        return f"<= {form(value)}{_GOALS[kind]}"
    return f"{ratio(value)}x{_GOALS[kind]}"


# --- numbers


def ratio(value: float) -> str:
    """Three digits, or all of a large number; never a power of ten."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.3g}"


def spread(found: Spread) -> str:
    return f"{ratio(found.ratio)}x ({ratio(found.low)}-{ratio(found.high)})"


def percent(share: float) -> str:
    """Two digits, never in powers of ten."""
    value = 100 * share
    if abs(value) < 0.001:
        return "<0.001%"
    return f"{value:.0f}%" if abs(value) >= 10 else f"{value:.2g}%"


def size(value: float) -> str:
    """Three digits of decimal bytes."""
    return f"{value / MB:.3g} MB" if value >= MB else f"{value / 1_000:.3g} kB"
