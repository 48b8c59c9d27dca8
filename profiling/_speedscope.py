"""The profile as a file for speedscope.app: merged stacks, then each lane by phase over time."""

from __future__ import annotations

import json
from typing import Any

import _model

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_CLOSE_S = 1e-9  # segments that touch within this are not reordered by rounding


def rendered(profile: _model.Profile) -> str:
    """The file's text.

    The first profile holds the stacks of `Profile.flame`, heaviest first (they have no order in
    time); each further one is a lane, its phases as frames over its seconds.
    """
    frames: list[dict[str, Any]] = []
    profiles: list[dict[str, Any]] = []
    if profile.flame is not None:
        frames += [_frame(*frame) for frame in profile.flame.frames]
        profiles.append(_sampled(profile.flame))
    numbers: dict[str, int] = {}
    for lane in profile.lanes:
        for segment in lane.segments:
            if segment.phase not in numbers:
                numbers[segment.phase] = len(frames)
                frames.append({"name": f"phase: {segment.phase}"})
        profiles.append(_evented(lane, numbers))
    return json.dumps(
        {
            "$schema": _SCHEMA,
            "name": profile.title,
            "exporter": "optuna-velocity profiling",
            "activeProfileIndex": 0,
            "shared": {"frames": frames},
            "profiles": profiles,
        }
    )


def _frame(function: str, file: str, line: int) -> dict[str, Any]:
    return {"name": function, "file": file, **({"line": line} if line > 0 else {})}


def _sampled(flame: _model.Flame) -> dict[str, Any]:
    stacks = sorted(flame.stacks, key=lambda stack: -stack.seconds)
    return {
        "type": "sampled",
        "name": "all stacks, merged",
        "unit": "seconds",
        "startValue": 0,
        "endValue": round(sum(stack.seconds for stack in stacks), 6),
        "samples": [list(stack.frames) for stack in stacks],
        "weights": [round(stack.seconds, 6) for stack in stacks],
    }


def _evented(lane: _model.Lane, numbers: dict[str, int]) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    now = lane.start_s
    for segment in sorted(lane.segments, key=lambda one: one.start_s):
        start, end = max(segment.start_s, now), max(segment.end_s, now)
        if end - start < _CLOSE_S:
            continue
        frame = numbers[segment.phase]
        events.append({"type": "O", "frame": frame, "at": round(start, 6)})
        events.append({"type": "C", "frame": frame, "at": round(end, 6)})
        now = end
    return {
        "type": "evented",
        "name": f"process {lane.pid}, {lane.thread}: phases",
        "unit": "seconds",
        "startValue": round(lane.start_s, 6),
        "endValue": round(max(lane.end_s, now), 6),
        "events": events,
    }
