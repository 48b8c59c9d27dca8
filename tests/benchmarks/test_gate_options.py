"""What the gate may be asked: another commit, a part, other forms of the report."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from git_project import GitProject
from toy_project import Check, Toy, bare, check, nothing_left, quick, stored, toy

from benchmarks.gate import cli, run

__all__ = ["bare", "check", "nothing_left", "quick", "stored", "toy"]  # fixtures
pytestmark = pytest.mark.end_to_end

NEW_PATH = """

@_hot_path(claim="", witnesses=("cpu",), after_only=(1,))
class Cube:
    params = (1,)
    param_names = ("n",)

    def setup(self, n):
        import optimizer

        self.cube = optimizer.cube

    def before(self, n):
        return n

    def after(self, n):
        return self.cube(n)

    def agree(self, before, after):
        return True
"""


def test_against_a_commit_nothing_stored_is_used(toy: Toy, check: Check) -> None:
    (toy.root / "benchmarks/baselines/toy.Rows.json").write_text("not a baseline")
    judged = check("--against", "HEAD")
    assert judged.code == 0
    assert "the code is that of HEAD: nothing differs" in judged.report["notes"]
    toy.plant()
    judged = check("--against", "HEAD", "toy.Rows")
    assert judged.code == 1
    assert any("statements: rose from 9 to 10" in line for line in judged.sentences("toy.Rows"))


def test_a_benchmark_of_what_the_commit_lacks_is_new(toy: Toy, check: Check) -> None:
    toy.edit("optimizer/__init__.py", "def work", "def cube(n):\n    return n**3\n\n\n{0}")
    with (toy.root / "benchmarks/toy.py").open("a") as suite:
        suite.write(NEW_PATH)
    judged = check("--against", "HEAD", "toy.Cube", "toy.Work")
    assert judged.code == 0
    assert judged.verdicts("toy.Cube") == {"new"}


def test_a_commit_that_is_not_here(check: Check) -> None:
    judged = check("--against", "no-such-branch")
    assert judged.code == 2
    assert "no-such-branch names no commit of this clone" in judged.err


def test_what_it_writes_is_hidden_from_git(toy: Toy, check: Check) -> None:
    (toy.root / ".gitignore").unlink(missing_ok=True)
    check("--against", "HEAD", "toy.Work")
    assert any((toy.root / ".gate").iterdir())
    assert ".gate" not in toy.git("status", "--porcelain")


def test_only_what_a_change_can_reach(toy: Toy, check: Check) -> None:
    judged = check("--changed")
    assert judged.code == 0
    assert judged.verdicts("toy.Rows") == judged.verdicts("toy.Work") == {"unchanged"}
    assert "PASS: 2 hot paths: 2 unchanged" in judged.out
    toy.plant()
    judged = check("--changed")
    assert judged.code == 1
    assert "worse" in judged.verdicts("toy.Rows")


def test_other_forms_of_the_report(toy: Toy, check: Check, tmp_path: Path) -> None:
    toy.plant()
    forms = {name: tmp_path / name for name in ("junit", "markdown", "html")}
    words = [word for name, file in forms.items() for word in (f"--{name}", str(file))]
    assert check("toy.Rows", *words).code == 1
    suite = ET.parse(forms["junit"]).getroot()
    assert [test.get("classname") for test in suite.iter("testcase")] == ["toy.Rows"]
    for name in ("markdown", "html"):
        assert "rose from 9 to 10" in forms[name].read_text(encoding="utf-8")

    assert check("toy.Rowz", *words).code == 2  # an older verdict must not stay behind
    assert not any(file.exists() for file in forms.values())


def test_a_renamed_hot_path_keeps_its_baseline(toy: Toy, check: Check) -> None:
    toy.edit("benchmarks/toy.py", "class Rows:", "class Lines:")
    judged = check()
    assert judged.code == 3
    assert any("velocity-gate rename toy.Rows NEW" in line for line in judged.sentences("toy.Rows"))
    assert cli.main(["rename", "toy.Rows", "toy.Lines", "--root", str(toy.root)]) == 0
    judged = check()
    assert judged.code == 0
    assert "new" not in judged.verdicts("toy.Lines")
    assert cli.main(["rename", "toy.Rows", "toy.Lines", "--root", str(toy.root)]) == 4


def test_a_defect_of_the_gate_does_not_look_like_a_regression(
    toy: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: run.Run) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(run.Run, "judge", broken)
    assert cli.main(["--root", str(toy.root)]) == 2
    assert "gate: it broke off (OSError); nothing was judged" in capsys.readouterr().err


def test_a_project_in_a_folder_of_its_repository(
    bare: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    around = GitProject.create(tmp_path / "toy")
    inner = bare.copy(tmp_path / "toy" / "inner" / "project")
    inner.git("rev-parse", "HEAD")
    (inner.root / ".git").rename(tmp_path / "git of the copy")
    around.commit({"README.md": ""})
    judged = inner.check(capsys, "toy.Work")
    assert judged.code == 0
    assert inner.rebaseline("toy.Work") == 0
    inner.plant()
    assert inner.rebaseline("toy.Work") == 1
    assert "(optimizer/__init__.py): commit first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("Scikit_Learn>=1.0", "scikit-learn"),
        ("numpy", "numpy"),
        ("psycopg[binary] >= 3", "psycopg"),
        ("a.b ; python_version < '4'", "a-b"),
    ],
)
def test_packages_are_compared_as_indexes_spell_them(requirement: str, name: str) -> None:
    assert run._name(requirement) == name


def test_counts_depend_on_what_the_requirements_need_too() -> None:
    installed = {
        "optuna": {
            "version": "5",
            "requires": ["SQL.Alchemy>=2", "absent", "ruff; extra == 'dev'"],
        },
        "sql_alchemy": {"version": "2", "requires": ["optuna"]},  # a circle
        "pytest": {"version": "8", "requires": []},
        "ruff": {"version": "1", "requires": []},
    }
    assert run._needed({"optuna"}, installed) == {"optuna": "5", "sql_alchemy": "2"}


def test_notes_about_hot_paths_that_were_not_asked_for_are_left_out() -> None:
    notes = ["one.A: 4 of 8 combinations", "two.B: 4 of 8 combinations", "2 peakmem benchmarks"]
    mine = run.Run.__new__(run.Run)
    declared = [{"name": "one.A"}, {"name": "two.B"}]
    vars(mine).update(declared=declared, selected=declared[:1], notes=[])
    vars(mine)["_description"] = {"notes": notes}
    mine._take_notes()
    assert mine.notes == [notes[0], notes[2]]
