"""The whole gate on a toy project: real git, real worker processes, every exit code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from git_project import GitProject
from toy_project import (
    ALWAYS_SLOWER,
    CODE,
    SUITE,
    WIDE,
    Check,
    Toy,
    bare,
    check,
    make_quick,
    nothing_left,
    quick,
    stored,
    toy,
)

from benchmarks.gate import cli, harness, measuring, outcome, ratio
from benchmarks.gate import rebaseline as moving

__all__ = ["bare", "check", "nothing_left", "quick", "stored", "toy"]  # fixtures

BROKEN = """\
import os
import time
from pathlib import Path

from benchmarks._registry import hot_path as _hot_path


class _Plain:
    params = (1,)
    param_names = ("n",)

    def setup(self, n):
        self.here = "here"

    def before(self, n):
        return n

    def after(self, n):
        return n

    def agree(self, before, after):
        return before == after


@_hot_path(claim="", witnesses=("cpu",))
class Raises(_Plain):
    def after(self, n):
        raise ArithmeticError("on purpose")


@_hot_path(claim="", witnesses=("cpu",))
class Disagrees(_Plain):
    def before(self, n):
        return n + 1


@_hot_path(claim="", witnesses=("cpu",))
class Dies(_Plain):
    def after(self, n):
        os._exit(7)


@_hot_path(claim="", witnesses=("cpu",))
class Lacks(_Plain):
    def setup(self, n):
        raise NotImplementedError("no room called cellar")
"""

HANGS = """

@_hot_path(claim="", witnesses=("cpu",))
class Hangs(_Plain):
    params = (1, 2, 3)

    def after(self, n):
        Path(os.environ["TOY_HANGS"], str(os.getpid())).touch()
        time.sleep(600)
"""

# --- exit code 0


def test_a_path_without_baseline_is_new(
    bare: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = bare.copy(tmp_path / "toy").check(capsys)
    assert judged.code == 0
    for path in ("toy.Rows", "toy.Work"):
        assert judged.verdicts(path) == {"new", "same"}  # same: both sides agree
        assert any(f"rebaseline {path}" in note for note in judged.report["notes"])
    assert "PASS: 2 hot paths: 2 new, without fsyncs (exit" in judged.out


def test_what_rebaseline_stores(stored: Toy) -> None:
    rows, work = stored.baseline("toy.Rows"), stored.baseline("toy.Work")
    assert rows["tree"] == stored.git("rev-parse", "HEAD~1:optimizer")
    assert rows["commit"] == stored.git("rev-parse", "HEAD~1")
    assert (rows["reason"], rows["history"]) == ("first", [])
    assert rows["counters"]["n=5"]["statements"] == 9
    assert rows["counters"]["n=5"]["commits"] == 2
    assert "fsyncs" not in rows["counters"]["n=5"]  # no strace here
    assert set(work["counters"]) == {"n=20", "n=50"}
    assert set(work["ratios"]) == {"n=20"}  # at 50 there is only after
    ratios = work["ratios"]["n=20"]
    assert ratios["low"] <= ratios["cpu"] <= ratios["high"]


def test_unchanged_code_passes(toy: Toy, check: Check) -> None:
    toy.write({"README.md": "a file that is none of the gate's business"})
    judged = check()
    assert judged.code == 0
    assert judged.err.count("first stage: pair ") == WIDE.first_pairs
    assert re.search(r"^PASS: 2 hot paths: .*\(exit code 0\)$", judged.out, re.MULTILINE)
    assert "report: " in judged.out
    rows = {found["witness"]: found for found in judged.findings("toy.Rows")}
    assert {"agreement", "cpu", "statements", "commits", "steps", "bytecodes"} <= set(rows)
    for name, found in rows.items():
        assert found["code"] == 0
        if name not in {"cpu", "agreement", "wall", "claim"}:
            assert (found["verdict"], found["now"]) == ("same", found["before"])
    assert judged.report["tree"] == toy.baseline("toy.Rows")["tree"]


def test_a_name_selects_a_path_or_a_suite(check: Check) -> None:
    judged = check("toy.Work")
    assert {found["path"] for found in judged.report["findings"]} == {"toy.Work"}
    assert {found["case"] for found in judged.report["findings"]} == {"n=20", "n=50"}


def test_counters_of_another_python_are_counted_here(toy: Toy, check: Check) -> None:
    """What is stored is not believed: it is one statement short."""
    baseline = toy.baseline("toy.Rows")
    baseline["environment"]["python"] = "cpython 2.7"
    baseline["counters"]["n=5"]["statements"] -= 1
    toy.write({"benchmarks/baselines/toy.Rows.json": json.dumps(baseline)})
    judged = check("toy.Rows")
    assert judged.code == 0
    (note,) = (note for note in judged.report["notes"] if "counted here" in note)
    assert note.endswith(": toy.Rows")
    assert "instead of cpython 2.7" in note
    toy.plant()
    assert check("toy.Rows").code == 1


# --- exit code 1


def test_one_more_statement(toy: Toy, check: Check) -> None:
    toy.plant()
    judged = check()
    assert judged.code == 1
    (sentence,) = (line for line in judged.sentences("toy.Rows") if "statements" in line)
    assert sentence == "toy.Rows[n=5], statements: rose from 9 to 10 (no more allowed)"
    assert sentence in judged.out
    assert judged.sentences("toy.Work") == []
    assert "REGRESSION: 2 hot paths: " in judged.out


def second_look(patch: pytest.MonkeyPatch, before: int | None, now: int | None) -> None:
    """Let the second look find so many statements; None: nothing."""

    def take(self: measuring.Measurement, key: outcome.Key, found: int | None, side: str) -> None:
        look = self.outcomes[key].again
        assert look is not None
        getattr(look, side).update({} if found is None else {"statements": [found]})

    patch.setattr(
        measuring.Measurement, "_take_before", lambda m, key, _: take(m, key, before, "before")
    )
    patch.setattr(measuring.Measurement, "_take_now", lambda m, key, _: take(m, key, now, "now"))


@pytest.mark.parametrize(
    ("before", "now", "sentences"), [(9, 9, 0), (10, 10, 0), (9, 10, 1), (None, None, 1)]
)
def test_an_increase_is_a_regression_if_both_sides_counted_here_say_so(
    toy: Toy,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    before: int | None,
    now: int | None,
    sentences: int,
) -> None:
    """What was stored only raises the suspicion; what cannot be counted again stays one."""
    second_look(monkeypatch, before, now)
    toy.plant()
    judged = check("toy.Rows")
    said = [line for line in judged.sentences("toy.Rows") if ", statements: " in line]
    assert len(said) == sentences


def test_what_grew_is_named(toy: Toy, check: Check) -> None:
    toy.plant()
    judged = check("toy.Rows")
    (grew,) = judged.report["grew"].values()
    assert ["SELECT ?", 0, 1] in grew["SQL statements"]
    assert "toy.Rows[n=5], what grew most: " in judged.out
    (functions,) = [rows for kind, rows in grew.items() if kind == "bytecodes by function"]
    assert any(name.startswith("rows (optimizer/") for name, _, _ in functions)


def test_cpu_time_is_measured_again_and_then_fails(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_quick(monkeypatch, ALWAYS_SLOWER)
    judged = check("toy.Rows")
    assert judged.code == 1
    assert "a second look at toy.Rows[n=5]" in judged.err
    (sentence,) = judged.sentences("toy.Rows")
    assert sentence.startswith("toy.Rows[n=5], CPU time: rose by ")


# --- exit code 2


def test_a_broken_benchmark_fails_and_the_others_are_judged(toy: Toy, check: Check) -> None:
    toy.write({"benchmarks/broken.py": BROKEN})
    judged = check()
    assert judged.code == 2

    (sentence,) = judged.sentences("broken.Raises")
    assert sentence.startswith("broken.Raises[n=1], run: this code: ArithmeticError at broken.py:")
    assert sentence.endswith("on purpose")
    (sentence,) = judged.sentences("broken.Disagrees")
    assert sentence.startswith("broken.Disagrees[n=1], agreement: before and after gave different")
    (sentence,) = judged.sentences("broken.Dies")
    assert "broken.Dies[n=1], run: this code: the worker died with exit code 7" in sentence
    (sentence,) = judged.sentences("broken.Lacks")
    assert "this code lacks the part: no room called cellar" in sentence

    for name in ("Raises", "Disagrees", "Dies"):
        assert "failed" in judged.verdicts(f"broken.{name}")
    assert "not measured" in judged.verdicts("broken.Lacks")
    for path in ("toy.Rows", "toy.Work"):
        assert judged.verdicts(path) <= {"same", "better"}
        assert any(found["witness"] == "cpu" for found in judged.findings(path))


@pytest.mark.parametrize(
    ("name", "code"), [("Raises", 2), ("Disagrees", 2), ("Dies", 2), ("Lacks", 3)]
)
def test_each_of_them_alone(toy: Toy, check: Check, name: str, code: int) -> None:
    toy.write({"benchmarks/broken.py": BROKEN})
    assert check(f"broken.{name}").code == code


def test_an_unknown_name(check: Check) -> None:
    judged = check("toy.Rowz")
    assert (judged.code, judged.report) == (2, {})
    assert "gate: no hot path toy.Rowz; there are: toy.Rows, toy.Work" in judged.err


def test_a_suite_that_cannot_be_imported(toy: Toy, check: Check) -> None:
    toy.write({"benchmarks/broken.py": "import no_such_module\n"})
    judged = check("toy.Rows")
    assert judged.code == 2
    assert "no_such_module" in judged.err


def test_words_that_make_no_sense(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--no-such-option"], ["rebaseline"], ["rebaseline", "--reason", "x"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, "--root", str(toy.root)])
        assert stop.value.code == 2
    assert "name the hot paths to move, or say --all" in capsys.readouterr().err


# --- exit code 3


def test_a_deleted_path(toy: Toy, check: Check) -> None:
    text = SUITE[: SUITE.index("@_hot_path")] + SUITE[SUITE.rindex("@_hot_path") :]
    toy.write({"benchmarks/toy.py": text})
    judged = check()
    assert judged.code == 3
    (sentence,) = judged.sentences("toy.Rows")
    assert sentence.startswith("toy.Rows, declaration: it has a baseline, but no suite declares it")
    assert judged.verdicts("toy.Work") <= {"same", "better"}
    assert check("toy.Rows").code == 3


def test_an_editable_install_that_wins_is_refused(toy: Toy, tmp_path: Path) -> None:
    """As a real one does: an import hook in a `.pth` file of the interpreter that measures."""
    elsewhere = tmp_path / "elsewhere"
    GitProject(elsewhere).write({"optimizer/__init__.py": CODE})
    venv.create(tmp_path / "env", symlinks=True, with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "_editable_hook.py").write_text(
        "import importlib.util, sys\n"
        "class Hook:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'optimizer':\n"
        f"            file = {str(elsewhere / 'optimizer' / '__init__.py')!r}\n"
        "            return importlib.util.spec_from_file_location(name, file)\n"
        "sys.meta_path.insert(0, Hook)\n"
    )
    (site / "_editable.pth").write_text("import _editable_hook\n")
    python = tmp_path / "env" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "benchmarks.gate"], cwd=toy.root, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    assert f"`import optimizer` came from {elsewhere}" in done.stderr
    assert "expected the staged tree" in done.stderr
    assert "editable install" in done.stderr


# --- exit code 4


def test_a_removed_baseline(toy: Toy, check: Check) -> None:
    (toy.root / "benchmarks/baselines/toy.Rows.json").unlink()
    toy.commit({}, "removed")
    judged = check()
    assert judged.code == 4
    (sentence,) = judged.sentences("toy.Rows")
    assert "toy.Rows, baseline: its baseline benchmarks/baselines/toy.Rows.json was" in sentence
    assert judged.verdicts("toy.Work") <= {"same", "better"}


def test_a_shallow_clone(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.edit("optimizer/__init__.py", "def work", "# another state\n{0}")
    toy.commit({})
    cut = Toy(toy.clone(tmp_path / "cut", "--depth", "1").root)
    judged = cut.check(capsys, "toy.Rows")
    assert judged.code == 4
    (sentence,) = judged.sentences("toy.Rows")
    assert "run `git fetch --unshallow`" in sentence


def test_failures_come_before_missing_baselines_before_regressions(toy: Toy, check: Check) -> None:
    toy.plant()
    (toy.root / "benchmarks/baselines/toy.Work.json").unlink()
    assert check().code == 4
    toy.write({"benchmarks/broken.py": BROKEN})
    judged = check()
    assert judged.code == 2
    assert {found["code"] for found in judged.report["findings"]} == {0, 1, 2, 3, 4}


# --- moving a baseline


def test_rebaseline_refuses_a_dirty_tree(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    before = toy.baseline("toy.Rows")
    toy.plant()
    assert toy.rebaseline("toy.Rows") == 1
    assert "(optimizer/__init__.py): commit first" in capsys.readouterr().err
    toy.git("checkout", "--quiet", "optimizer")
    toy.write({"benchmarks/new.py": ""})
    assert toy.rebaseline("toy.Rows") == 1
    assert "(benchmarks/new.py): commit first" in capsys.readouterr().err
    assert toy.baseline("toy.Rows") == before


def test_rebaseline_refuses_a_slower_result_unless_told(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    before = toy.baseline("toy.Rows")
    toy.plant()
    toy.commit({}, "slower")
    assert toy.rebaseline("toy.Rows") == 1
    err = capsys.readouterr().err
    assert "gate: nothing was stored: toy.Rows[n=5]" in err
    assert "statements: rose from 9 to 10" in err
    assert "if that is intended, add --accept-regression" in err
    assert toy.baseline("toy.Rows") == before

    assert toy.rebaseline("toy.Rows", "--accept-regression", reason="on purpose") == 0
    assert "toy.Rows.json" in capsys.readouterr().out
    after = toy.baseline("toy.Rows")
    assert after["counters"]["n=5"]["statements"] == 10
    assert after["tree"] == toy.git("rev-parse", "HEAD:optimizer")
    assert after["reason"] == "on purpose"
    kept = {name: before[name] for name in ("tree", "commit", "reason", "date")}
    assert after["history"] == [kept]
    assert toy.baseline("toy.Work")["reason"] == "first"  # the other one did not move

    # A baseline that moved and is not committed yet does not make the tree dirty.
    assert toy.rebaseline("toy.Rows", reason="once more") == 0
    assert [entry["reason"] for entry in toy.baseline("toy.Rows")["history"]] == [
        "first",
        "on purpose",
    ]


def test_rebaseline_refuses_a_broken_path(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.commit({"benchmarks/broken.py": BROKEN})
    assert toy.rebaseline("broken", "toy.Rows", "--accept-regression") == 1
    assert "nothing was stored: broken.Dies[n=1]" in capsys.readouterr().err
    assert not list((toy.root / "benchmarks/baselines").glob("broken*"))
    assert toy.baseline("toy.Rows")["reason"] == "first"


def test_rebaseline_stores_all_or_nothing(
    toy: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the second path's ratio is taken."""
    take = ratio.claim_ratio

    def interrupted(side: harness.Side, key: outcome.Key) -> ratio.Ratio:
        if key[0] == "toy.Work":
            raise KeyboardInterrupt
        return take(side, key)

    monkeypatch.setattr(moving, "claim_ratio", interrupted)
    assert toy.rebaseline("--all", reason="second") == cli.INTERRUPTED
    assert "nothing was judged or stored" in capsys.readouterr().err
    assert toy.baseline("toy.Rows")["reason"] == "first"


# --- Ctrl-C


def lives(pid: str) -> bool:
    """Whether a process is there, and not only an entry that its parent has yet to collect."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except OSError:
        return False


@pytest.mark.parametrize("to_all", [True, False], ids=["terminal", "kill"])
def test_ctrl_c_leaves_nothing_behind(toy: Toy, tmp_path: Path, to_all: bool) -> None:
    """A terminal signals the gate and its workers, `kill` the gate alone."""
    toy.write({"benchmarks/broken.py": BROKEN + HANGS})
    hanging = tmp_path / "hanging"
    hanging.mkdir()
    gate = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gate", "broken.Hangs"],
        cwd=toy.root,
        env={**os.environ, "TOY_HANGS": str(hanging)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(hanging.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)  # until both lanes of the exact phase are in the body
        assert len(list(hanging.iterdir())) == 2
        (os.killpg if to_all else os.kill)(gate.pid, signal.SIGINT)
        out, err = gate.communicate(timeout=20)
        deadline = time.monotonic() + 10  # a killed process may take a moment
        while any(map(lives, os.listdir(hanging))) and time.monotonic() < deadline:
            time.sleep(0.02)
        alive = [pid for pid in os.listdir(hanging) if lives(pid)]
    finally:
        gate.kill()
        gate.communicate()
        for name in os.listdir(hanging):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(name), signal.SIGKILL)
    assert gate.returncode == cli.INTERRUPTED
    assert "gate: interrupted" in err
    assert "Traceback" not in out + err
    assert alive == []
