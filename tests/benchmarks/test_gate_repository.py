"""Both sides' code out of real, small git repositories."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from git_project import GitProject, files_below

from benchmarks.gate import repository as repository_module
from benchmarks.gate.errors import BaselineError, UsageError
from benchmarks.gate.project import Project, read_project
from benchmarks.gate.repository import Repository, sweep_stages

CODE = {"code/__init__.py": "A = 1\n", "code/room/deep.py": "B = 2\n"}
SUITE = {"suite/__init__.py": "", "suite/s.py": "C = 3\n"}
OTHER = {"README.md": "text\n", ".gitignore": "*.log\n__pycache__/\n"}


@pytest.fixture
def project(tmp_path: Path) -> GitProject:
    made = GitProject.create(tmp_path / "a project")  # with a space, everywhere
    made.commit({**CODE, **SUITE, **OTHER})
    return made


@pytest.fixture
def repository(project: GitProject) -> Repository:
    return Repository(project.root)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "stages"
    folder.mkdir()
    return folder


def staged(repository: Repository, scratch: Path, folder: str = "code") -> dict[str, str]:
    """What a stage of the working tree holds."""
    tree = repository.subtree(repository.snapshot("code", "suite"), folder)
    return files_below(repository.stage(tree, folder, scratch))


def test_a_clean_working_tree_is_its_commit(repository: Repository) -> None:
    snapshot = repository.snapshot("code", "suite")
    assert snapshot == repository.git("rev-parse", "HEAD^{tree}")
    assert repository.dirty("code", "suite") == []


def test_changed_new_deleted_and_ignored_files(
    project: GitProject, repository: Repository, tmp_path: Path
) -> None:
    project.write(
        {
            "code/__init__.py": "A = 10\n",  # changed, not added
            "code/new one.py": "N = 1\n",  # untracked
            "code/staged.py": "S = 1\n",
            "code/noise.log": "ignored\n",
            "code/__pycache__/x.pyc": "ignored\n",
            "README.md": "changed, and none of the gate's business\n",
        }
    )
    project.git("add", "code/staged.py")
    (project.root / "code/room/deep.py").unlink()
    assert staged(repository, tmp_path / "stages") == {
        "code/__init__.py": "A = 10\n",
        "code/new one.py": "N = 1\n",
        "code/staged.py": "S = 1\n",
    }


def test_a_snapshot_leaves_index_and_files_alone(
    project: GitProject, repository: Repository
) -> None:
    project.write({"code/__init__.py": "A = 10\n", "code/staged.py": "S = 1\n"})
    project.git("add", "code/staged.py")
    status, files = project.git("status", "--porcelain"), set(project.root.rglob("*"))
    index = (project.root / ".git" / "index").read_bytes()
    repository.snapshot("code", "suite")
    assert (project.root / ".git" / "index").read_bytes() == index
    assert project.git("status", "--porcelain") == status
    objects = project.root / ".git" / "objects"
    assert all(file.is_relative_to(objects) for file in set(project.root.rglob("*")) - files)


def test_the_same_files_have_the_same_hash_however_they_are_kept(
    project: GitProject, repository: Repository
) -> None:
    project.write({"code/__init__.py": "A = 10\n"})
    untouched = repository.subtree(repository.snapshot("code", "suite"), "code")
    project.commit({})
    assert repository.subtree("HEAD", "code") == untouched
    assert repository.subtree(repository.head, "code") == untouched


def test_a_missing_folder_is_a_baseline_error(repository: Repository) -> None:
    with pytest.raises(BaselineError, match="holds no folder nothing/"):
        repository.subtree("HEAD", "nothing")


# --- stages


def test_a_stage_holds_exactly_one_package(repository: Repository, scratch: Path) -> None:
    tree = repository.subtree("HEAD", "code")
    stage = repository.stage(tree, "code", scratch / "my own")
    assert stage == scratch / "my own" / tree
    assert files_below(stage) == CODE
    assert [entry.name for entry in stage.parent.iterdir()] == [tree]  # nothing unfinished


def test_a_stage_of_an_older_commit(
    project: GitProject, repository: Repository, scratch: Path
) -> None:
    old = repository.subtree("HEAD", "code")
    project.commit({"code/__init__.py": "A = 2\n"})
    assert files_below(repository.stage(old, "code", scratch)) == CODE


def test_a_finished_stage_is_used_again(repository: Repository, scratch: Path) -> None:
    tree = repository.subtree("HEAD", "code")
    stage = repository.stage(tree, "code", scratch)
    (stage / "code" / "__pycache__").mkdir()  # what a run compiled stays with it
    os.utime(stage, (1, 1))
    assert repository.stage(tree, "code", scratch) == stage
    assert (stage / "code" / "__pycache__").is_dir()
    assert stage.stat().st_mtime > 1  # used now: the sweep spares it


class Stop(BaseException):
    """An interruption at a chosen moment."""


def test_an_interrupted_stage_is_never_used(
    repository: Repository, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = repository.subtree("HEAD", "code")
    whole = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        (self / "code" / "__init__.py").unlink()
        raise Stop

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(Stop):
        repository.stage(tree, "code", scratch)
    assert list(scratch.iterdir()) == []
    monkeypatch.setattr(Path, "rename", whole)
    assert files_below(repository.stage(tree, "code", scratch)) == CODE


def test_what_a_killed_stage_left_is_never_used(repository: Repository, scratch: Path) -> None:
    tree = repository.subtree("HEAD", "code")
    half = scratch / "unfinished-abc" / "tree" / "code"
    half.mkdir(parents=True)
    (half / "__init__.py").write_text("half of it")
    assert files_below(repository.stage(tree, "code", scratch)) == CODE


def test_two_runs_may_stage_the_same_tree_at_once(
    repository: Repository, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = repository.subtree("HEAD", "code")
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        shutil.copytree(self, target)  # the other run was first
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert files_below(repository.stage(tree, "code", scratch)) == CODE
    assert [entry.name for entry in scratch.iterdir()] == [tree]


def test_the_sweep_removes_only_what_nobody_used_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, recent, report = tmp_path / "old", tmp_path / "recent", tmp_path / "last.json"
    old.mkdir()
    recent.mkdir()
    report.write_text("{}")
    for entry in (old, report):
        os.utime(entry, (1, 1))
    sweep_stages(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"recent", "last.json"}
    monkeypatch.setattr(repository_module, "STAGE_KEPT_S", -60.0)
    sweep_stages(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"last.json"}


# --- questions


def test_dirty_names_each_file_whole(project: GitProject, repository: Repository) -> None:
    project.write(
        {
            "code/__init__.py": "A = 10\n",  # its status line begins with a space
            "code/new one.py": "",
            "code/ü.py": "",
            "README.md": "changed",
        }
    )
    assert sorted(repository.dirty("code", "suite")) == [
        "code/__init__.py",
        "code/new one.py",
        "code/ü.py",
    ]


def test_dirty_sees_untracked_files_whatever_the_user_configured(
    project: GitProject, repository: Repository
) -> None:
    project.git("config", "status.showUntrackedFiles", "no")
    project.write({"code/new.py": ""})
    assert repository.dirty("code") == ["code/new.py"]


def test_holds(repository: Repository) -> None:
    assert repository.holds("HEAD^{tree}")
    assert repository.holds(repository.head)
    assert not repository.holds("1" * 40)
    assert not repository.holds("HEAD^")


def test_ever_had(project: GitProject, repository: Repository) -> None:
    project.commit({"code/gone one.py": "x"})
    assert repository.ever_had("code/gone one.py")
    (project.root / "code/gone one.py").unlink()
    assert repository.ever_had("code/gone one.py")
    project.commit({})
    assert repository.ever_had("code/gone one.py")
    project.write({"code/never committed.py": ""})
    assert not repository.ever_had("code/never committed.py")


def test_shallow(project: GitProject, repository: Repository, tmp_path: Path) -> None:
    project.commit({"code/__init__.py": "A = 2\n"})
    assert not repository.shallow
    assert not Repository(project.clone(tmp_path / "whole").root).shallow
    assert Repository(project.clone(tmp_path / "cut", "--depth", "1").root).shallow


def test_a_change_of_the_same_size_in_the_same_second_is_seen(
    project: GitProject, repository: Repository
) -> None:
    """Git believes an entry that is older than the index: the copy must not look younger."""
    file = project.root / "code" / "__init__.py"
    project.commit({"code/__init__.py": "A = 24\n"})
    before = repository.snapshot("code")
    stat = file.stat()
    file.write_text("A = 48\n", encoding="utf-8")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.utime(project.root / ".git" / "index", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert repository.snapshot("code") != before


def test_a_git_that_fails_says_what_it_said(repository: Repository) -> None:
    with pytest.raises(UsageError, match=r"git rev-parse --verify nothing: fatal: .*"):
        repository.git("rev-parse", "--verify", "nothing")


# --- not a project


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="is not a git checkout with at least one commit"):
        Repository(tmp_path)


def test_no_commit(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path / "empty")
    with pytest.raises(UsageError, match="at least one commit"):
        Repository(project.root)


def test_no_git(project: GitProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="git was not found"):
        Repository(project.root)


TABLE = """[tool.velocity-gate]
code = "code"
suite = "suite"
loader = "suite.s:load"
baselines = "suite/baselines"
"""


def test_a_project_is_read_from_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE)
    project = read_project(tmp_path)
    assert project == Project(tmp_path, "code", "suite", "suite.s:load", "suite/baselines")
    assert project.baseline_dir == tmp_path / "suite" / "baselines"
    assert project.scratch_dir == tmp_path / ".gate"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace('suite = "suite"\n', ""), "missing suite"),
        (TABLE + 'colour = "red"\n', "unknown colour"),
        ("[tool.other]\n", "missing baselines; missing code; missing loader; missing suite"),
        (None, "no pyproject.toml in .*: name the project with --root"),
    ],
)
def test_a_project_that_is_not_described(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_project(tmp_path)
