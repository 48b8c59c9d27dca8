"""The gate on a toy project that cannot be judged: broken, not measured, without its baseline."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest
from git_project import GitProject
from toy_project import (
    BROKEN,
    CODE,
    SUITE,
    Check,
    Toy,
    bare,
    check,
    nothing_left,
    quick,
    stored,
    toy,
)

from benchmarks.gate import cli

__all__ = ["bare", "check", "nothing_left", "quick", "stored", "toy"]  # fixtures
pytestmark = pytest.mark.end_to_end

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


def test_code_that_is_no_python_is_said_with_its_place(toy: Toy, check: Check) -> None:
    (toy.root / "optimizer/__init__.py").write_text("def work(:\n")
    judged = check("toy.Work")
    assert judged.code == 2
    assert "SyntaxError at __init__.py:1: invalid syntax" in judged.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rebaseline", "--all", "--reason", "x"], "stores no baselines"),
        (["rename", "one", "two"], "stores no baselines"),
        ([], "neither [tool.velocity-gate] in a pyproject.toml nor an asv.conf.json: name the"),
    ],
)
def test_a_project_that_says_nothing_of_the_gate(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--root", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


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
