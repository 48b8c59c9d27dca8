"""Both sides' code out of git, written side by side so that a process imports exactly one of them.

The working tree is read through a temporary index: neither the user's index nor the tree changes,
and files that git ignores stay out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .compiled import carry_over
from .errors import BaselineError, UsageError

STAGE_KEPT_S = 14 * 24 * 3600.0


class Repository:
    """The git repository of the judged project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if shutil.which("git") is None:
            raise UsageError("git was not found on PATH: the gate compares trees that git holds")
        try:
            self.git("rev-parse", "--verify", "HEAD^{commit}")
        except UsageError as error:
            raise UsageError(
                f"{root} is not a git checkout with at least one commit that git will read: {error}"
            ) from None

    def git(self, *arguments: str, index: Path | None = None, cwd: Path | None = None) -> str:
        """Output of a git command; its error text becomes a `UsageError`."""
        # A hook's GIT_DIR and the like would lead to another repository; settings may stay.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_")
        }
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.root,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise UsageError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def _try(self, *arguments: str) -> str | None:
        try:
            return self.git(*arguments)
        except UsageError:
            return None

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    @property
    def shallow(self) -> bool:
        return self.git("rev-parse", "--is-shallow-repository") == "true"

    def dirty(self, *folders: str) -> list[str]:
        """Paths below `folders` that differ from HEAD, untracked ones included."""
        lines = self.git(
            *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal"),
            *("--", *folders),
        )
        inside = self.git("rev-parse", "--show-prefix")  # of the repository, which may be larger
        return [line[3:].removeprefix(inside) for line in lines.split("\0") if line]

    def holds(self, thing: str) -> bool:
        """Whether this clone has the object."""
        return self._try("cat-file", "-e", thing) is not None

    def ever_had(self, path: str) -> bool:
        """Whether any commit behind HEAD touched `path`."""
        return bool(self.git("log", "-1", "--full-history", "--format=%H", "--", path))

    def commit(self, revision: str) -> str:
        """Hash of the commit that `revision` names."""
        found = self._try("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            raise UsageError(f"{revision} names no commit of this clone: fetch it, or name another")
        return found

    def date(self, commit: str) -> str:
        """The day a commit was made."""
        return self.git("log", "-1", "--format=%cs", commit)

    def commits(self, since: str, folder: str) -> list[dict[str, str]]:
        """Commits after `since` that touched `folder`, the newest first."""
        lines = self.git("log", "--format=%H%x09%cs%x09%s", f"{since}..HEAD", "--", folder)
        names = ("hash", "date", "subject")
        return [dict(zip(names, line.split("\t", 2), strict=True)) for line in lines.splitlines()]

    def subtree(self, tree: str, folder: str) -> str:
        """Hash of `folder` inside `tree` (a commit or a tree)."""
        found = self._try("rev-parse", "--verify", f"{tree}:./{folder}")
        if found is None:
            raise BaselineError(f"{tree[:12]} holds no folder {folder}/")
        return found

    def snapshot(self, *folders: str) -> str:
        """Hash of a tree that holds the working tree's `folders` as they are now."""
        index = Path(self.git("rev-parse", "--path-format=absolute", "--git-path", "index"))
        with tempfile.TemporaryDirectory(prefix="gate-index-") as folder:
            own = Path(folder) / "index"
            if index.exists():
                # With its time: git trusts an entry only if it is older than the index.
                shutil.copy2(index, own)
            self.git("add", "--all", "--", *folders, index=own)
            return self.git("write-tree", index=own)

    def stage(self, tree: str, folder: str, scratch: Path) -> Path:
        """Write `tree` out as `scratch/<hash>/<folder>`; returns `scratch/<hash>`.

        A finished stage is renamed into place, so that an interrupted one is never used.
        """
        target = scratch / tree
        if (target / folder).is_dir():
            os.utime(target)
            return target
        shutil.rmtree(target, ignore_errors=True)  # the same tree, staged for another folder
        scratch.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=scratch))
        try:
            index = unfinished / "index"
            self.git("read-tree", f"--prefix={folder}/", tree, index=index)
            top = Path(self.git("rev-parse", "--show-toplevel"))  # else git writes a part only
            out = f"--prefix={unfinished}/tree/"
            self.git("checkout-index", "--all", out, index=index, cwd=top)
            carry_over(scratch, unfinished / "tree")
            try:
                (unfinished / "tree").rename(target)
            except OSError:
                if not target.is_dir():  # else another run staged the same tree first
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return target


def sweep_stages(scratch: Path) -> None:
    """Remove stages that no run used for two weeks."""
    for folder in scratch.glob("*"):
        with contextlib.suppress(OSError):  # another run was first
            if folder.is_dir() and time.time() - folder.stat().st_mtime > STAGE_KEPT_S:
                # Renamed first: a stage that is half removed must not be taken for a whole one.
                unfinished = folder.rename(folder.with_name(f"unfinished-{folder.name}"))
                shutil.rmtree(unfinished, ignore_errors=True)
