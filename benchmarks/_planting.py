"""A clone of the working tree to plant defects in, the gate run there, and sizes measured there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._answer import Answer
from benchmarks._plants_kinds import Edit, Key, Work, together
from benchmarks.gate.errors import GateError
from benchmarks.gate.exact import warm_calls
from benchmarks.gate.files import replace
from benchmarks.gate.harness import BASE, Side, WorkerProcess
from benchmarks.gate.instruments import counted_by
from benchmarks.gate.machine import processor
from benchmarks.gate.outcome import Outcome, Outcomes, exact_core
from benchmarks.gate.pairs import PairedCpu
from benchmarks.gate.project import read_project
from benchmarks.gate.reach import Graph, read_tree
from benchmarks.gate.repository import Repository
from benchmarks.gate.run import Run

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".gate" / "selftest"
ENDS_S = 20.0  # for the gate to end its workers
HANGS_S = 7_200.0  # after which it is taken to hang
SAID_EVERY_S = 30.0  # that it is still at it
HUNG = 124  # its exit code then
NEAR = 0.04  # the smaller of the two sizes
PAIRS = 8  # of each of the two sizes that a calibration measures

Progress = Callable[[str], None]


class PlantError(Exception):
    """A plant does not fit the code any more, or its work costs nothing."""


class Clone:
    """A clone of a project's working tree, to be changed at will."""

    def __init__(self, folder: Path, start: str) -> None:
        self.folder = folder
        self.start = start  # the commit that holds the working tree as it was

    @classmethod
    def make(cls, folder: Path, root: Path = ROOT) -> Clone:
        """Clone `root` to `folder`, with what is not committed there as one commit on top."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        tree = Repository(root).snapshot(".")
        git(folder.parent, "clone", "-q", str(root), str(folder))
        objects = git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        # The snapshot's objects belong to no commit: a clone may lack them.
        (folder / ".git" / "objects" / "info").mkdir(parents=True, exist_ok=True)
        alternates = folder / ".git" / "objects" / "info" / "alternates"
        alternates.write_text(objects + "\n", encoding="utf-8")
        if git(folder, "rev-parse", "HEAD^{tree}") != tree:
            commit = git(folder, "commit-tree", tree, "-p", "HEAD", "-m", "the working tree")
            git(folder, "reset", "-q", "--hard", commit)
        return cls(folder, git(folder, "rev-parse", "HEAD"))

    def reset(self) -> None:
        """Back to the working tree as it was; nothing planted, nothing committed."""
        git(self.folder, "reset", "-q", "--hard", self.start)
        git(self.folder, "clean", "-qfd")

    def apply(self, edits: Iterable[Edit]) -> None:
        """Edit files; `PlantError` names an anchor that is not there exactly once."""
        for edit in edits:
            file = self.folder / edit.file
            if edit.old is None or edit.new is None:
                if not file.is_file():
                    raise PlantError(f"a plant does not fit: there is no {edit.file} to delete")
                file.unlink()
                continue
            file.write_text(edited(file.read_text(encoding="utf-8"), edit), encoding="utf-8")

    def commit(self, message: str = "before the plant") -> None:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "-qm", message)

    def touch(self, *, kernels: bool = True) -> None:
        """Change every file of the code without changing what it does; or all but those of compiled
        kernels and what they import, after whose change they are compiled anew.
        """
        tree = read_tree(self.folder, "optimizer")
        compiled = [file for file in tree if file.endswith("_kernels.py") and not kernels]
        left = Graph(tree, "optimizer").reached(*compiled) if compiled else set()
        for file in sorted(tree.keys() - left):
            if file.endswith(".py"):
                with (self.folder / file).open("a", encoding="utf-8") as stream:
                    stream.write("\n# the same code\n")

    def gate(
        self,
        *words: str,
        python: str = sys.executable,
        progress: Progress = lambda line: None,
    ) -> Answer:
        """Run the gate's command line in the clone; one that hangs is ended."""
        report = self.folder.parent / f"{self.folder.name}-report.json"
        report.unlink(missing_ok=True)
        command = [python, "-m", "benchmarks.gate", "--json", str(report), *words]
        started = time.monotonic()
        try:
            code, errors = _run(command, self.folder, progress)
        except subprocess.TimeoutExpired:
            code, errors = HUNG, [f"gate: it did not end in {HANGS_S:.0f} s and was ended"]
        table = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        said = [line for line in errors if line.startswith("gate:")]
        said += errors[-1:] if not (table or said) else []
        return Answer(code, table, " ".join(said), time.monotonic() - started)

    def rebaseline(self, name: str, reason: str, progress: Progress) -> float:
        """Store and commit baselines of hot paths; returns the seconds it took."""
        command = [sys.executable, "-m", "benchmarks.gate", "rebaseline", name, "--reason", reason]
        started = time.monotonic()
        code, errors = _run(command, self.folder, progress)
        if code:
            raise PlantError(f"no baseline of {name} was stored: {' '.join(errors[-1:])}")
        self.commit(f"baselines of {name}: {reason}")
        return time.monotonic() - started


def _run(
    command: Sequence[str], folder: Path, progress: Progress = lambda line: None
) -> tuple[int, list[str]]:
    """Exit code and lines of standard error; interrupted, it lets the command end its workers.

    `subprocess.TimeoutExpired` if it hangs.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us, and we tell it once
    )
    try:
        while True:
            try:
                _, errors = process.communicate(timeout=min(SAID_EVERY_S, HANGS_S))
                break
            except subprocess.TimeoutExpired:
                if (seconds := time.monotonic() - started) >= HANGS_S:
                    raise
                progress(f"still at it, after {seconds:.0f} s")
    except BaseException:
        process.terminate()
        try:
            process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise
    return process.returncode, errors.strip().splitlines()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep `folder` from other processes that ask; `PlantError` names the one that has it."""
    import fcntl  # which Windows lacks

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise PlantError(
                f"process {stream.read().strip() or 'unknown'} works in {folder}: wait until it "
                f"has ended, or end it"
            ) from None
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def edited(text: str, edit: Edit) -> str:
    """`text` with the edit made; `PlantError` where the anchor is not there exactly once."""
    assert edit.old is not None
    assert edit.new is not None
    if (count := text.count(edit.old)) != 1:
        raise PlantError(
            f"a plant does not fit {edit.file} any more: its anchor stands there {count} times, "
            f"expected once; give the plant another one:\n{edit.old}"
        )
    return text.replace(edit.old, edit.new)


def environment() -> dict[str, str]:
    """Nothing that leads git to another repository, or Python to other code."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PYTHON"))}


def git(folder: Path, *words: str) -> str:
    """Output of git, without the user's hooks, signing or name."""
    own = ["-c", "commit.gpgsign=false", "-c", f"core.hooksPath={os.devnull}", "-c", "gc.auto=0"]
    own += ["-c", "user.name=self-test", "-c", "user.email=self-test@localhost"]
    command = ["git", *own, *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise PlantError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


# --- how much of a work makes a named size


@dataclass(frozen=True)
class Line:
    """Two measured points: what n of a work adds, as a share of the body."""

    low_n: int
    low: float
    high_n: int
    high: float

    def n_for(self, share: float) -> int:
        """The n that adds `share`; at least 1. `PlantError` if n makes no difference."""
        return max(1, round(self.low_n + (share - self.low) / self._slope()))

    def at(self, n: int) -> float:
        """What n adds."""
        return self.low + (n - self.low_n) * self._slope()

    def too_coarse(self, share: float) -> bool:
        """Whether a single unit adds more than `share`, so that no n is that small."""
        return self.at(1) > share

    def _slope(self) -> float:
        slope = (self.high - self.low) / (self.high_n - self.low_n)
        if not slope > 0.0:
            raise PlantError(
                f"the planted work costs nothing: n = {self.low_n:,} added {self.low:.2%}, "
                f"n = {self.high_n:,} added {self.high:.2%}"
            )
        return slope


def near(probe: int, change: float) -> int:
    """About the n that adds `NEAR` where `probe` adds `change`; less than `probe`, at least 1."""
    return max(1, min(probe // 2, round(probe * NEAR / max(change, NEAR))))


class Calibration:
    """Lines of works, measured in a clone and kept beside it for as long as nothing changes.

    With `anew`, what was kept is not used.
    """

    def __init__(self, clone: Clone, progress: Progress, *, anew: bool = False) -> None:
        self._clone = clone
        self._progress = progress
        self._file = clone.folder.parent / "calibration.json"
        self._stamp = " ".join(
            [
                git(clone.folder, "rev-parse", f"{clone.start}:optimizer"),
                _sources_hash(clone.folder),
                sys.version,
                processor(),
            ]
        )
        self._lines = {} if anew else self._read()

    def lines(self, works: Sequence[Work]) -> dict[Work, Line]:
        """A line for each work; those that meet are measured apart."""
        missing = [work for work in dict.fromkeys(works) if _name(work) not in self._lines]
        cpu = [work for work in missing if work.measure == "cpu"]
        for group in together(cpu, lambda work: work):
            self._keep(self._cpu(group))
        for work in missing:
            if work.measure != "cpu":
                self._keep({work: self._counted(work)})
        return {work: self._lines[_name(work)] for work in works}

    def _read(self) -> dict[str, Line]:
        with contextlib.suppress(OSError, ValueError):
            table = json.loads(self._file.read_text(encoding="utf-8"))
            if table["stamp"] == self._stamp:
                return {name: Line(**line) for name, line in table["lines"].items()}
        return {}

    def _keep(self, found: Mapping[Work, Line]) -> None:
        self._lines |= {_name(work): line for work, line in found.items()}
        lines = {name: asdict(line) for name, line in self._lines.items()}
        replace(self._file, json.dumps({"stamp": self._stamp, "lines": lines}, indent=1) + "\n")

    def _cpu(self, works: Sequence[Work]) -> dict[Work, Line]:
        high = {work: work.probe for work in works}
        at_high = self._changes(high)
        # Near the smallest sizes asked for: what one statement costs is not quite the same there.
        low = {work: near(work.probe, at_high[work.key]) for work in works}
        at_low = self._changes(low)
        return {w: Line(low[w], at_low[w.key], high[w], at_high[w.key]) for w in works}

    def _changes(self, sizes: Mapping[Work, int]) -> dict[Key, float]:
        """Relative change of CPU time of each work's case with n of it planted."""
        keys = [work.key for work in sizes]
        self._progress(f"what planted work costs, in {', '.join(work.path for work in sizes)}")
        with self._planted(sizes) as run:
            outcomes: Outcomes = {key: Outcome() for key in keys}
            PairedCpu(run.head, outcomes, self._progress).measure(
                {_base(run): keys}, PAIRS, "first"
            )
        found = {}
        for key, outcome in outcomes.items():
            if outcome.first is None:
                raise PlantError(f"{key[0]}[{key[1]}] cannot be calibrated: {outcome.error}")
            found[key] = outcome.first.mean
        return found

    def _counted(self, work: Work) -> Line:
        """The same of a counter, which is exact: one count each of none, and of the probe."""
        self._progress(
            f"{work.path}[{work.case}]: counting {work.measure} of {work.probe:,} planted"
        )
        with self._planted({work: work.probe}) as run:
            none, some = (_count(side, work) for side in (_base(run), run.head))
        return Line(0, 0.0, work.probe, some / none - 1.0)

    @contextlib.contextmanager
    def _planted(self, sizes: Mapping[Work, int]) -> Iterator[Run]:
        """A run of the gate on the clone, with these works planted."""
        try:
            plant(self._clone, sizes)
            names = sorted({work.path for work in sizes})
            yield Run(read_project(self._clone.folder), names, against="HEAD")
        except GateError as error:
            raise PlantError(f"a calibration failed: {error}") from error
        finally:
            self._clone.reset()


def plant(clone: Clone, sizes: Mapping[Work, int]) -> None:
    """Commit what both sides have, then plant n of each work in the working tree."""
    clone.reset()
    clone.apply(edit for work in sizes for edit in work.prior)
    # A statement that holds n stands on both sides, with 0 in the base: only n differs.
    counted = [work for work in sizes if work.measure != "cpu"]
    clone.apply(work.edit(0) for work in counted)
    if git(clone.folder, "status", "--porcelain"):
        clone.commit()
    for work, n in sizes.items():
        none, some = work.edit(0), work.edit(n)
        clone.apply([Edit(work.file, none.new, some.new) if work in counted else some])


def _base(run: Run) -> Side:
    commit = run.repository.commit("HEAD")
    return run.side(BASE, run.repository.subtree(commit, run.project.code))


def _count(side: Side, work: Work) -> float:
    kind = counted_by(work.measure)
    with WorkerProcess(side, core=exact_core(), instrument=kind) as worker:
        worker.ask("open", path=work.path, case=work.case, warm=warm_calls(kind))
        return float(worker.ask("count")["counters"][work.measure])


def _name(work: Work) -> str:
    return f"{work.path}[{work.case}] {work.measure}: {work.statement} ({work.probe})"


def _sources_hash(folder: Path) -> str:
    from benchmarks._records import gate_hash, suite_hash

    return f"{gate_hash(folder)} {suite_hash(folder)}"
