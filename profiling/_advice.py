"""What would help: from the large phases of a profile to the rows of `_advice.toml`.

A figure is only ever read from the last stored run of the claims, or of the comparison with other
libraries (benchmarks/results); whether a part of this project exists is read from its list of
public names. Nothing of either is imported.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _colours
import _findings
import _model
import _trend
import _words

SMALLEST_SHARE = 0.05  # of the whole: smaller phases get no advice
SMALLEST_GROWING_SHARE = 0.02  # unless they grow
_WHERE_SHARE = 0.3  # of the phase's time that must lie below what a row looks for
_MOST_PER_PHASE = 2
_IDLE_SHARE = 0.25
_CLAIMS_FORMAT = 3
_SESSIONS = ("claims", "parity")  # whose runs are stored, in the order in which they are asked
_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent
IDLE = "idle workers"  # advice about the whole, as that about a leak is
SAME_CHANGE = "the figure above: it is the same change"
_TOLD = ("claim", "ours")  # rows of the claims table that stand for themselves


def advise(profile: _model.Profile, repository: Path = _REPOSITORY) -> tuple[_model.Advice, ...]:
    """Advice for every large or growing phase, the largest first; then leak and idle workers."""
    given: list[_model.Advice] = []
    for phase in _findings.ranked(profile):
        grows = _trend.grows(profile, phase)
        least = SMALLEST_GROWING_SHARE if grows else SMALLEST_SHARE
        if phase.share >= least:
            given += _for_phase(profile, phase, repository)
    return (*_each_figure_once(given), *_for_lanes(profile), *_for_leak(profile))


def _each_figure_once(given: list[_model.Advice]) -> list[_model.Advice]:
    """One change may remove two phases: its figure is no second gain."""
    found: list[_model.Advice] = []
    for one in given:
        again = one.figure and any(one.figure == other.figure for other in found)
        found.append(dataclasses.replace(one, figure=SAME_CHANGE, source="") if again else one)
    return found


def table() -> list[dict[str, Any]]:
    """The rows of `_advice.toml`."""
    with (_HERE / "_advice.toml").open("rb") as file:
        rows: list[dict[str, Any]] = tomllib.load(file)["advice"]
    return rows


def _for_phase(
    profile: _model.Profile, phase: _model.Phase, repository: Path
) -> list[_model.Advice]:
    given: list[_model.Advice] = []
    for row in table():
        if row["phase"] != _colours.plain(phase.name) or not _holds(profile, phase, row):
            continue
        advice = _said(row, phase, repository, trend="" if given else _growing(profile, phase))
        if advice is not None and len(given) < _MOST_PER_PHASE:
            given.append(advice)
    return given


def _said(
    row: Mapping[str, Any], phase: _model.Phase, repository: Path, trend: str
) -> _model.Advice | None:
    """The row in words; None where it speaks only of a part that is not built."""
    built = bool(row.get("part")) and row["part"] in public_names(repository)
    ours = row.get("ours", "") if built else ""
    optuna = row.get("optuna", "")
    if not ours and not optuna:
        return None
    figure, source = "", f"see {row['see']}" if row.get("see") else ""
    if (ours or not row.get("part")) and row.get("measure"):
        figure, measured = stored_figure(row["measure"], repository)
        source = "; ".join(part for part in (measured, source) if part)
    text = " ".join(part for part in (trend, ours, optuna) if part)
    return _model.Advice(phase.name, phase.share, text, figure, source)


def _growing(profile: _model.Profile, phase: _model.Phase) -> str:
    if not _trend.grows(profile, phase):
        return ""
    tenths = f"{_words.milliseconds(phase.first_tenth_ms)} → "
    return f"It grows: {tenths}{_words.milliseconds(phase.last_tenth_ms)} a trial."


def _holds(profile: _model.Profile, phase: _model.Phase, row: Mapping[str, Any]) -> bool:
    wanted, unwanted = row.get("where"), row.get("unless")
    if len({lane.pid for lane in profile.lanes}) < row.get("processes", 0):
        return False
    if unwanted and _share_below(profile, phase, unwanted) >= _WHERE_SHARE:
        return False
    return not wanted or _share_below(profile, phase, wanted) >= _WHERE_SHARE


def _share_below(profile: _model.Profile, phase: _model.Phase, wanted: list[str]) -> float:
    """Share of a phase whose stacks, or hot lines where there are none, hold one of the words."""
    whole = found = 0.0
    if profile.flame is not None:
        frames = {
            number
            for number, (function, file, _) in enumerate(profile.flame.frames)
            if _speaks(function, file, wanted)
        }
        for stack in profile.flame.stacks:
            if stack.phase == phase.name:
                whole += stack.seconds
                found += stack.seconds if not frames.isdisjoint(stack.frames) else 0.0
    else:
        whole = sum(hot.seconds for hot in phase.hot)
        found = sum(hot.seconds for hot in phase.hot if _speaks(hot.function, hot.file, wanted))
    return found / whole if whole > 0 else 0.0


def _speaks(function: str, file: str, wanted: list[str]) -> bool:
    # The last folders only: a study that lies in ~/trades/ is not therefore about trades.
    near = "/".join(file.replace("\\", "/").split("/")[-4:]).lower()
    if "site-packages/" in near:
        near = near.rsplit("site-packages/", 1)[1]
    return any(word in near or word in function.lower() for word in wanted)


def _row_of(name: str) -> dict[str, Any]:
    return next(row for row in table() if row["phase"] == name)


def _for_leak(profile: _model.Profile) -> list[_model.Advice]:
    leak = profile.memory.leak if profile.memory else None
    if leak is None or not _findings.leaks(profile):
        return []
    row = _row_of("memory")
    place = _words.place(leak.file, leak.line, str(profile.run.get("working_directory", "")))
    function = _words.clean(leak.function, 80).replace("`", "'")
    text = row["optuna"].format(function=function, place=place)
    figure = f"{_words.size(leak.bytes_per_100_trials)} per 100 trials in this recording"
    return [_model.Advice("memory", 0.0, text, figure, f"see {row['see']}")]


def _for_lanes(profile: _model.Profile) -> list[_model.Advice]:
    idle = _findings.idle_share(profile)
    if len(_findings.workers(profile)) < 2 or idle < _IDLE_SHARE:
        return []
    row = _row_of(IDLE)
    text = row["optuna"].format(idle=_words.share(idle))
    return [_model.Advice(IDLE, idle, text, "", f"see {row['see']}")]


@functools.cache
def public_names(repository: Path) -> frozenset[str]:
    """The public names of `optimizer`, from its source; none where it is not there."""
    try:
        source = (repository / "optimizer" / "__init__.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError):
        return frozenset()
    rooms = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(one, ast.Name) and one.id == "_ROOMS" for one in node.targets)
    )
    names = (key for room in rooms if isinstance(room, ast.Dict) for key in room.keys)
    return frozenset(str(key.value) for key in names if isinstance(key, ast.Constant))


def stored_figure(name: str, repository: Path = _REPOSITORY) -> tuple[str, str]:
    """What a last stored run measured for a claim, a hot path or one case of it, and which run.

    Both are empty where it measured nothing, or where there is no run that this code can read.
    """
    for session in _SESSIONS:
        stored = _stored(repository, session)
        row = next((row for row in stored.get("rows", ()) if _names(row, name)), None)
        if row is not None:
            return _told(row, stored, session) if row.get("measured") else ("", "")
    return "", ""


def _names(row: Mapping[str, Any], name: str) -> bool:
    path = row.get("hot_path")
    return row.get("role") in _TOLD and name in (
        row.get("claim"),
        path,
        f"{path}[{row.get('case')}]",
    )


def _told(row: Mapping[str, Any], stored: Mapping[str, Any], session: str) -> tuple[str, str]:
    measured = row["measured"]
    wall = measured["wall"]
    ratio, low, high = (_words.digits(wall[key]) for key in ("ratio", "low", "high"))
    times = f"{_words.seconds(measured['before_s'])} → {_words.seconds(measured['after_s'])}"
    faster = "as fast" if wall["ratio"] >= 1 else "as fast, which is slower"
    again = f" -- {row.get('claim') or row['hot_path']}" if session == "claims" else ""
    return (
        f"{ratio} times {faster} ({low} to {high}; {times}): {row['what']}",
        f"`{row['hot_path']}` of `nox -s {session}`, {str(stored['date'])[:10]}, "
        f"{stored['machine']}, Python {stored['python']}; here: `nox -s {session}{again}`",
    )


@functools.cache
def _stored(repository: Path, session: str) -> dict[str, Any]:
    file = repository / "benchmarks" / "results" / f"{session}.json"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    readable = isinstance(stored, dict) and stored.get("format") == _CLAIMS_FORMAT
    return stored if readable else {}
