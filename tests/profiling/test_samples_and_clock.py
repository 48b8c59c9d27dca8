"""py-spy's ordered samples, and when they were taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script_modules import SCRIPTS, script_module

samples: Any = script_module("_samples")
clock: Any = script_module("_clock")
watch: Any = script_module("_watch")
witness: Any = script_module("_witness")

F, G = ("f", "/home/me/a.py", 3), ("g", "/home/me/a.py", 9)
GATE = ("_wait_for_the_sampler", "/x/_hook/_trial_hook.py", 40)


def tick(second: int, number: int) -> list[tuple[str, str, int]]:
    file = "/x/_witness.py"
    return [(f"second#{second}", file, 26), (f"tick#{number}", file, 19)]


def speedscope(path: Path, *threads: tuple[int, int, list[list[tuple[str, str, int]]]]) -> Path:
    """A file as py-spy writes it; a thread is (process, thread, stacks root first)."""
    frames: list[tuple[str, str, int]] = []
    profiles = []
    for pid, tid, stacks in threads:
        heads = [(f'process {pid}:"python x; y"', "", 0), (f"thread ({tid}): T; {tid}", "", 0)]
        rows = []
        for stack in stacks:
            for frame in [*heads, *stack]:
                if frame not in frames:
                    frames.append(frame)
            rows.append([frames.index(frame) for frame in [*heads, *stack]])
        name = f'Process {pid} Thread {threads[0][1]} "T"'
        profiles.append({"type": "sampled", "name": name, "samples": rows})
    shared = [{"name": name, "file": file, "line": line} for name, file, line in frames]
    path.write_text(json.dumps({"profiles": profiles, "shared": {"frames": shared}}))
    return path


def test_lanes_keep_the_order_of_their_samples(tmp_path: Path) -> None:
    found = samples.read(speedscope(tmp_path / "x", (7, 7, [[F], [F, G], [F, G], [F]])))
    (lane,) = found.lanes
    assert (lane.pid, lane.tid, lane.name) == (7, 7, "T; 7")
    stacks = [[found.frames[i] for i in found.stacks[stack]] for stack in lane.stacks]
    assert stacks == [[F], [F, G], [F, G], [F]]
    assert found.commands == {7: "python x; y"}
    assert found.count == 4


def test_the_witness_tells_the_time_of_every_round(tmp_path: Path) -> None:
    ticks = [[], tick(9, 100), tick(9, 103), [], tick(10, 0)]
    found = samples.read(speedscope(tmp_path / "x", (7, 7, [[F]]), (8, 8, ticks)))
    assert [lane.pid for lane in found.lanes] == [7]
    per_tick = 1 / witness.TICKS
    at = [9 + 100.5 * per_tick, 9 + 100.5 * per_tick, 9 + 103.5 * per_tick]
    assert found.rounds == pytest.approx([*at, at[-1], 10 + 0.5 * per_tick])


def test_what_is_no_studys_is_taken_off(tmp_path: Path) -> None:
    stacks = [[GATE], [GATE], [F], [], [F], *([[]] * 9), [G], [], []]
    found = samples.read(speedscope(tmp_path / "x", (7, 7, stacks)))
    (lane,) = found.lanes
    assert (lane.held, lane.ending) == (2, 12)
    assert [found.frames[found.stacks[stack][0]] for stack in lane.stacks] == [F, F, F]


def test_a_line_that_is_nowhere_is_none(tmp_path: Path) -> None:
    """py-spy reads lines of generated code, and of a frame that is being made, as huge numbers."""
    file = tmp_path / "short.py"
    file.write_text("x = 1\n" * 9, encoding="utf-8")
    absurd = [("unique", "<generated>", 7), ("f", str(file), 3129337200), ("g", str(file), 9)]
    found = samples.read(speedscope(tmp_path / "x", (7, 7, [absurd])))
    (lane,) = found.lanes
    assert [found.frames[i][2] for i in found.stacks[lane.stacks[0]]] == [0, 0, 9]


@pytest.mark.parametrize("text", ["", "{}", '{"shared": {"frames": [{}]}, "profiles": []}', "[]"])
def test_another_file_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x is no speedscope file|Expecting value"):
        samples.read(path)


def lane_of(pid: int, stacks: list[int], tid: int = 0, held: int = 0, ending: int = 0) -> Any:
    return samples.SampledLane(pid, tid or pid, "T", stacks, ending=ending, held=held)


def edges(lanes: list[Any], rounds: list[float], lives: dict[Any, Any], end_s: float) -> Any:
    table = samples.Samples([], [(), (), ()], lanes, {}, {}, rounds)
    # Stack 0 works, stack 1 waits for the disk, stack 2 for others.
    return clock.edges(table, lives, 0.0, end_s, [False, True, False], [True, True, False])


def test_a_lane_lies_where_its_process_ended() -> None:
    rounds = [i * 0.005 for i in range(200)]
    lives = {(7, 7): clock.Life(0.1, 0.7)}
    (placed,) = edges([lane_of(7, [0] * 100, ending=10)], rounds, lives, 1.0)
    assert placed[1] == pytest.approx(0.7 - 110 * 0.005 + 0.005, abs=0.01)
    assert placed[-1] == pytest.approx(0.65, abs=0.01)
    assert placed[0] == 0.1  # what came before the first sample counts as it


def test_the_first_process_begins_where_the_hook_let_it_go() -> None:
    rounds = [i * 0.005 - 0.1 for i in range(200)]
    (placed,) = edges([lane_of(7, [0] * 100, held=30)], rounds, {}, 0.9)
    assert placed[0] == pytest.approx(0.0, abs=1e-9)
    assert placed[-1] == pytest.approx(0.5, abs=0.01)


def test_a_round_that_waited_for_the_disk_belongs_to_its_sample() -> None:
    rounds = [i * 0.005 for i in range(50)] + [0.245 + 0.2 + i * 0.005 for i in range(50)]
    stacks = [0] * 49 + [1] + [0] * 50
    (placed,) = edges([lane_of(7, stacks, held=1)], rounds, {}, rounds[-1] + 0.005)
    assert placed[50] - placed[49] == pytest.approx(0.2, abs=0.03)
    assert max(later - at for at, later in pairwise(placed[:49])) < 0.01


def test_waits_that_hold_rounds_up_are_seen_and_placed() -> None:
    """A wait of three rounds' time takes one round; the late ones follow in a heap."""
    rounds, stacks, at = [0.0], [0], 0.0
    for _ in range(100):
        for distance, stack in ((0.015, 1), (0.001, 0), (0.001, 0), (0.003, 0)):
            stacks.append(stack)
            rounds.append(at)
            at += distance
    still = [False, True, False]
    assert clock.stalls([lane_of(7, stacks)], [1], [*rounds, at], still) == (True, -1)
    (placed,) = edges([lane_of(7, stacks, held=1)], rounds, {}, at)
    waited = sum(b - a for (a, b), stack in zip(pairwise(placed), stacks, strict=True) if stack)
    assert waited == pytest.approx(1.5, abs=0.02)


def test_a_disk_that_holds_nobody_up_is_not_suspected() -> None:
    rounds = [i * 0.005 for i in range(400)]
    lane = lane_of(7, [0, 1] * 199)
    assert clock.stalls([lane], [0], rounds, [False, True, False]) == (False, 0)


def test_ordinary_distances_are_evened_out() -> None:
    at, rounds = 0.0, []
    for i in range(128):
        rounds.append(at)
        at += 0.001 if i % 2 else 0.009
    even, excess = clock.evened([*rounds, at])
    assert not any(excess)
    assert [later - one for one, later in pairwise(even)] == pytest.approx([0.005] * 128)
    assert (even[0], even[-1]) == pytest.approx((0.0, at))


def test_processes_that_hand_work_to_each_other_are_moved_together() -> None:
    turns = [0] * 10 + [2] * 10
    first, second = turns * 5, (turns[10:] + turns[:10]) * 5
    lanes = [lane_of(7, first, held=1), lane_of(8, second)]
    firsts = clock.together(lanes, [20, 23], [True, True, False], 200)
    assert firsts == [20, 20]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=300), st.integers(1, 400))
def test_edges_never_go_back(distances: list[float], count: int) -> None:
    rounds = [sum(distances[:i]) for i in range(len(distances))]
    (placed,) = edges([lane_of(7, [0] * count)], rounds, {}, sum(distances))
    assert len(placed) == count + 1
    assert all(later >= at - 1e-9 for at, later in pairwise(placed))


def test_a_study_that_was_never_sampled_has_no_lanes() -> None:
    assert edges([], [0.0, 0.005], {}, 1.0) == []


def test_without_a_witness_a_lane_is_spread_over_its_life() -> None:
    (placed,) = edges([lane_of(7, [0, 0])], [], {(7, 7): clock.Life(1.0, 2.0)}, 5.0)
    assert placed == [1.0, 1.5, 2.0]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="there is no /proc")
def test_a_process_is_seen_from_birth_to_end(tmp_path: Path) -> None:
    with watch.Watcher(tmp_path) as watcher:
        before = time.monotonic_ns()
        process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(0.4)"])
        (tmp_path / f"{process.pid}-1.marks").touch()
        process.wait()
        after = time.monotonic_ns()
        time.sleep(0.3)
        life = watcher.lives(before)[process.pid, process.pid]
    assert life.born_s == pytest.approx(0.0, abs=0.1)
    assert life.seen_s == pytest.approx((after - before) / 1e9, abs=0.1)


def test_the_witness_ends_with_the_study(tmp_path: Path) -> None:
    line = [sys.executable, "-I", "-S", str(SCRIPTS / "_witness.py"), str(tmp_path)]
    process = subprocess.Popen(line)
    time.sleep(0.2)
    assert process.poll() is None
    (tmp_path / ".code").write_text("0\n")
    assert process.wait(timeout=10) == 0


def test_a_witness_without_its_shell_ends(tmp_path: Path) -> None:
    script = (
        f'"{sys.executable}" -I -S "{SCRIPTS / "_witness.py"}" "{tmp_path}" & echo $!; sleep 0.3'
    )
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=20)
    pid = int(done.stdout)
    assert any(_is_gone(pid) for _ in range(100))


def _is_gone(pid: int) -> bool:
    time.sleep(0.05)  # a look every so often
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
