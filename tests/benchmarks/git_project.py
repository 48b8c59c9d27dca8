"""A small git project for tests: files in, commits out. (Not a test file.)"""

from __future__ import annotations

import subprocess
from pathlib import Path

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "gc.auto=0")


class GitProject:
    """A folder under git."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> GitProject:
        root.mkdir(parents=True)
        project = cls(root)
        project.git("init", "--quiet", "--initial-branch=main")
        return project

    def git(self, *words: str) -> str:
        command = ["git", *IDENTITY, *words]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def commit(self, files: dict[str, str], message: str = "a change") -> str:
        """Write, add all, commit; the hash."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def clone(self, target: Path, *options: str) -> GitProject:
        """A clone through the file protocol: only what is reachable."""
        self.git("clone", "--quiet", *options, f"file://{self.root}", str(target))
        return GitProject(target)


def files_below(folder: Path) -> dict[str, str]:
    """Every file below `folder` with its text."""
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
