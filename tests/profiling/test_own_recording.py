"""What our own sampler writes is read back to the round, and it keeps to its share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from looking import living, skip_unless_permitted, until
from script_modules import ROOT, SCRIPTS, script_module
from test_own_sampler import known_minors

blanked: Any = script_module("_blanked")
clock: Any = script_module("_clock")
interpreter: Any = script_module("_interpreter")
launch: Any = script_module("_launch")
layouts: Any = script_module("_layouts")
promptly: Any = script_module("_promptly")
raw_samples: Any = script_module("_raw_samples")
remote: Any = script_module("_remote")
sampler: Any = script_module("_sampler")
samples: Any = script_module("_samples")
target: Any = script_module("_target")
tree: Any = script_module("_tree")
ways: Any = script_module("_ways")

F, G = ("f", "/home/me/a.py", 3), ("g", "/home/me/a.py", 9)
GATE = ("_wait_for_the_sampler", "/x/_hook/_trial_hook.py", 40)
MISSED = None


def recorded(path: Path, rounds: list[Any], facts: Any = None) -> Path:
    """A file of one thread of process 9, which 7 started; a round is its stack or MISSED."""
    raw = raw_samples.RawSamples()
    numbers = [raw.frames.setdefault(frame, len(raw.frames)) for frame in (F, G, GATE)]
    leaf_first = {"f": numbers[:1], "gf": [numbers[1], numbers[0]], "gate": numbers[2:], "": []}
    for place, stack in enumerate(rounds):
        raw.rounds.append(100.0 + place * 0.005)
        raw.add(9, {} if stack is MISSED else {9: tuple(leaf_first[stack])}, int(stack is MISSED))
    members = {
        7: tree.Member(7, 6, "1", command='python "a" --password s3cret', read=True),
        9: tree.Member(9, 8, "2", command="python b", read=True),
        8: tree.Member(8, 7, "3", command="sh"),
    }
    raw.write(path, members, facts or {"samples": raw.samples})
    return path


def test_samples_come_back_in_their_rounds(tmp_path: Path) -> None:
    rounds = ["f", "f", "gf", MISSED, "gf", "f"]
    found = samples.read(recorded(tmp_path / "x", rounds))
    (lane,) = found.lanes
    assert (lane.pid, lane.tid, lane.name) == (9, 9, "MainThread")
    stacks = [[found.frames[i] for i in found.stacks[stack]] for stack in lane.stacks]
    assert stacks == [[F], [F], [F, G], [F, G], [F]]
    assert lane.places == [0, 1, 2, 4, 5]
    assert found.parents == {9: 7}
    assert found.rounds == pytest.approx([100.0 + n * 0.005 for n in range(6)])
    assert found.count == 5


def test_a_missed_round_counts_as_the_one_before_it(tmp_path: Path) -> None:
    found = samples.read(recorded(tmp_path / "x", ["f", "gf", MISSED, MISSED, "f"]))
    (placed,) = clock.edges(found, {}, 100.0, 0.03, [False] * 2, [True] * 2)
    assert placed == pytest.approx([0.0, 0.005, 0.02, 0.03])


def test_what_is_no_studys_is_taken_off_with_its_rounds(tmp_path: Path) -> None:
    rounds = ["gate", "gate", "f", "gf", "f", *([""] * 6)]
    (lane,) = samples.read(recorded(tmp_path / "x", rounds)).lanes
    assert (lane.held, lane.ending, lane.places) == (2, 6, [2, 3, 4])


def test_a_thread_is_as_old_as_its_process(tmp_path: Path) -> None:
    found = samples.read(recorded(tmp_path / "x", ["f"] * 4))
    lives = {(9, 9): clock.Life(0.25, 2.0)}
    (placed,) = clock.edges(found, lives, 99.0, 1.02, [False], [True])
    assert placed[0] == 0.25  # it began before its first sample
    assert placed[-1] == pytest.approx(1.02)


def test_the_file_is_one_of_speedscopes_and_its_secrets_are_blanked(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x", ["f", "f", "gf"], {"samples": 3, "missed": 0})
    blanked.in_file(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    (profile,) = content["profiles"]
    assert profile["weights"] == [2, 1]
    assert (profile["type"], profile["endValue"]) == ("sampled", 3)
    names = [frame["name"] for frame in content["shared"]["frames"]]
    assert 'process 7:"python "a" --password ******"' in names
    assert ways.facts_in(path) == {"samples": 3, "missed": 0}
    assert ways.facts_in(tmp_path / "none") == {}
    (tmp_path / "torn").write_text('{"profiles": [\n"facts": {"sam', encoding="utf-8")
    assert ways.facts_in(tmp_path / "torn") == {}


def test_a_thread_is_called_by_what_it_runs() -> None:
    raw = raw_samples.RawSamples()
    for name, file in (("Thread._bootstrap", "/lib/threading.py"), ("work", "/home/me/a.py")):
        raw.frames[name, file, 1] = len(raw.frames)
    raw.rounds.append(0.0)
    raw.add(9, {9: (0,), 11: (1, 0), 12: (0,)}, 0)
    stacks = [stack[::-1] for stack in raw._stacks]
    names = [raw._name(lane, stacks) for lane in raw._lanes.values()]
    assert names == ["MainThread", "work 11", ""]


def test_a_thread_of_ours_is_called_by_its_purpose() -> None:
    raw = raw_samples.RawSamples()
    for (file, name), said in raw_samples._THREADS.items():
        assert raw_samples._purpose(name, f"/site-packages{file}") == said
        assert raw_samples._purpose(name, "/home/me/a.py") == name
        raw.frames[name, f"/site-packages{file}", 1] = len(raw.frames)
    raw.rounds.append(0.0)
    raw.add(9, {11: (0,)}, 0)
    (lane,) = raw._lanes.values()
    assert raw._name(lane, [(0,)]) == "delayed storage writes 11"


@pytest.mark.parametrize(("file", "name"), [one for one in raw_samples._THREADS if "opt" in one[0]])
def test_the_threads_of_ours_that_have_a_purpose_are_there(file: str, name: str) -> None:
    text = (ROOT / file.lstrip("/")).read_text(encoding="utf-8")
    owner, _, function = name.partition(".")
    assert f"class {owner}" in text
    assert f"def {function}(" in text


# --- its share


def test_a_rate_that_is_kept_was_not_lowered() -> None:
    for rate in range(1, 1001):
        one = sampler.Sampler(float(rate), 10.0, os.getpid())
        one._weighed = (0.0, time.process_time())
        one._weigh(2.0)
        assert one.facts(0.0)["lowered_to_hz"] is None, rate


def test_the_rate_is_lowered_when_it_costs_too_much_and_raised_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = [0.0]
    monkeypatch.setattr(sampler.time, "process_time", lambda: used[0])
    monkeypatch.setattr(sampler, "processors", lambda: 2)
    one = sampler.Sampler(200, 60.0, 1)
    one._weighed, now = (0.0, 0.0), 0.0
    allowed = 2 * sampler.LARGEST_SHARE
    rates = []
    for share in (2.0, 2.0, 0.1):  # times what is allowed
        for _ in range(30):
            now += 2.0
            used[0] += 2.0 * share * allowed
            one._weigh(now)
        rates.append(round(1 / one._period_s))
    assert rates[0] < 200  # not at once: imports cost more and end
    assert rates[1] == sampler.SLOWEST_HZ
    assert rates[2] == 200
    assert one.facts(0.0)["lowered_to_hz"] == sampler.SLOWEST_HZ


def test_a_short_effort_lowers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    used = [0.0]
    monkeypatch.setattr(sampler.time, "process_time", lambda: used[0])
    monkeypatch.setattr(sampler, "processors", lambda: 2)
    one = sampler.Sampler(200, 60.0, 1)
    one._weighed = (0.0, 0.0)
    used[0] = 0.9 * sampler.SAVED_S * 2 * sampler.LARGEST_SHARE
    one._weigh(2.0)
    assert one.facts(0.0)["lowered_to_hz"] is None


@known_minors
def test_it_ends_when_told_and_leaves_the_study_running(tmp_path: Path) -> None:
    skip_unless_permitted()
    output = tmp_path / "samples"
    script = str(SCRIPTS / "_sampler.py")
    line = [sys.executable, "-E", "-s", "-S", script, "--rate", "100", "--duration", "600"]
    with living() as study:
        own = [*line, "--output", str(output), "--pid", str(study.pid)]
        looking = subprocess.Popen(own, stderr=subprocess.PIPE, text=True)
        assert looking.stderr is not None
        assert "Sampling process" in looking.stderr.readline()
        looking.send_signal(signal.SIGINT)
        _, said = looking.communicate(timeout=60)
        assert looking.returncode == 0, said
        assert "Wrote " in said
        assert target.state(study.pid) == "S"
        assert study.poll() is None
    assert samples.read(output).count > 0


@known_minors
def test_the_study_keeps_its_session_and_its_priority(tmp_path: Path) -> None:
    """The sampler has others: it stands beside the study and must come at once."""
    line = [sys.executable, str(SCRIPTS / "_sampler.py"), "--rate", "100", "--duration", "600"]
    tell = (
        "import os, time; time.sleep(0.5); "
        "print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0), "
        "os.getsid(os.getppid()) != os.getsid(0))"
    )
    own = [*line, "--output", str(tmp_path / "x"), "--", sys.executable, "-S", "-c", tell]
    done = subprocess.run(own, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    nice, session = os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0)
    assert done.stdout == f"{os.SCHED_OTHER} {nice} {session} True\n"


def test_a_sampler_that_nobody_waits_for_ends() -> None:
    assert sampler.Sampler(200, 60.0, 1, waiting=os.getpid()).forsaken
    assert not sampler.Sampler(200, 60.0, 1, waiting=os.getppid()).forsaken
    assert not sampler.Sampler(200, 60.0, 1).forsaken


@known_minors
def test_a_study_without_python_is_said(tmp_path: Path) -> None:
    line = [sys.executable, str(SCRIPTS / "_sampler.py"), "--rate", "100", "--duration", "600"]
    own = [*line, "--output", str(tmp_path / "x"), "--", "/bin/true"]
    done = subprocess.run(own, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Error: No python processes found" in done.stderr
    assert not (tmp_path / "x").exists()


# --- which way


def job(pause: bool = False) -> Any:
    python = interpreter.Interpreter(sys.executable, "3.11.0", "a test")
    return launch.Job("x", ["x.py"], python, {}, Path(), Namespace(rate=100, pause=pause))


@known_minors
def test_this_interpreter_is_read_without_a_pause() -> None:
    way, reason = ways.for_study(job())
    assert (way.pauses, reason) == (False, "")


@pytest.mark.parametrize(
    "error", [layouts.Unknown("Python 3.99.0"), ways._symbols.NoPython(), remote.Gone()]
)
def test_another_interpreter_is_py_spys(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*unused: object) -> None:
        raise error

    monkeypatch.setattr(ways, "Process", unable)
    monkeypatch.setattr(remote, "available", lambda: True)
    monkeypatch.setattr(ways._py_spy, "found", lambda: "py-spy")
    monkeypatch.setattr(ways._py_spy, "try_py_spy", lambda *_: "py-spy 0.4")
    way, reason = ways.for_study(job())
    assert (way.pauses, way.tool) == (True, "py-spy 0.4")
    assert "our sampler does not know" in reason
    assert ways.for_study(job(pause=True)) == (way, "")


def test_a_wrong_stack_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_TRIES", 2)
    monkeypatch.setattr(ways, "_stack_of", lambda pid: [("inner", "<string>", 6)])
    monkeypatch.setattr(remote, "available", lambda: True)
    with pytest.raises(ways.Unable, match="reads a wrong stack"):
        ways.try_own(job())


def test_a_system_without_it_is_said_and_py_spy_still_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "available", lambda: False)
    monkeypatch.setattr(ways._py_spy, "find_py_spy", lambda *_: None)
    with pytest.raises(
        launch.Refusal, match=r"(?s)Linux alone, and .*-m pip install py-spy"
    ) as refused:
        ways.for_study(job())
    assert refused.value.code == launch.TOOL_MISSING


def test_a_system_that_forbids_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*unused: object) -> None:
        raise remote.Forbidden("Operation not permitted")

    monkeypatch.setattr(ways, "Process", forbidden)
    monkeypatch.setattr(remote, "available", lambda: True)
    with pytest.raises(launch.Refusal, match=r"The sampler may not look.*SYS_PTRACE") as refused:
        ways.for_study(job())
    assert refused.value.code == launch.TOOL_MISSING


# --- whoever a dying py-spy was about to stop


@known_minors
def test_an_order_to_stop_that_has_not_arrived_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = target._is_to_stop, [0]

    def is_to_stop(pid: int) -> bool:
        asked[0] += 1
        return asked[0] == 1 or bool(real(pid))

    monkeypatch.setattr(target, "_is_to_stop", is_to_stop)
    with living() as process:
        until(lambda: target.state(process.pid) == "S")
        assert target.wake(process.pid, set()) == [process.pid]
        assert asked[0] > 1
        assert target.wake(process.pid, set()) == []


# --- in time


@pytest.mark.parametrize(("late_in_400", "first"), [(14, False), (15, True)])
def test_rounds_that_come_late_too_often_make_it_come_first(
    monkeypatch: pytest.MonkeyPatch, late_in_400: int, first: bool
) -> None:
    asked: list[bool] = []

    def come_first() -> bool:
        asked.append(True)
        return True

    monkeypatch.setattr(promptly, "come_first", come_first)
    one = promptly.Promptness()
    for number in range(800):
        late = number < late_in_400 or 400 <= number < 400 + late_in_400
        one.came(0.003 if late else 0.0001)
    assert one.first == first
    assert asked == [True] * first  # once is enough
    assert one.share_late() == late_in_400 / 400


def test_where_that_is_not_permitted_it_goes_on_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(promptly.os, "sched_setscheduler", refuse)
    one = promptly.Promptness()
    for _ in range(400):
        one.came(0.003)
    assert not one.first
    assert one.share_late() == 1.0
