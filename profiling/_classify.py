"""From a stack to its phase, by the table in `_rules.py`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import _rules
from _libraries import Libraries
from _rules import IMPORT, OBJECTIVE, OTHER, WAIT
from _samples import Frame
from _sources import Sources


class Kind(Enum):
    """Whose code a frame is."""

    USER = "user"
    OPTUNA = "optuna"
    PACKAGE = "package"
    STANDARD = "standard library"
    MACHINERY = "import machinery"
    NONE = "none"  # ours, or no file: it belongs to its caller


@dataclass(frozen=True)
class Verdict:
    """The phase of a stack.

    `waits`: it waits for others of the study, so it counts only while none of them works.
    `blamed`: the position in the stack (root first) of the frame that explains it; -1: none.
    `program`: what it waits for is a program that the study started.
    """

    phase: str
    waits: bool
    blamed: int
    program: bool = False


@dataclass(frozen=True)
class _Known:
    """What is known of a frame, whatever stack it is in."""

    kind: Kind
    owner: str  # of its file; empty: none
    by_name: str  # of its function's name; only for the user's own
    hint: str
    function: str
    file: str


class Classifier:
    """Answers for stacks of one table of frames; frames and lines of source are looked up once."""

    def __init__(self, frames: Sequence[Frame], sources: Sources | None = None) -> None:
        self._frames = frames
        self._sources = sources or Sources()
        self._libraries = Libraries({file for _, file, _ in frames})
        self._known: dict[int, _Known] = {}

    def verdict(self, stack: tuple[int, ...]) -> Verdict:
        """The phase of a stack, root first; without any frame the interpreter is starting."""
        if not stack:
            return Verdict(IMPORT, False, -1)
        places = [place for place in range(len(stack) - 1, -1, -1) if self._counts(stack[place])]
        if not places:  # generated code alone
            return Verdict(OTHER, False, -1)
        line = self._line(stack[places[0]])
        for rule in _rules.HARD_LINES:
            if rule.pattern.search(line):
                return Verdict(rule.phase, False, places[0])
        return _Walk(self, stack, places, line).verdict()

    def known(self, frame: int) -> _Known:
        found = self._known.get(frame)
        if found is None:
            found = self._known[frame] = _look(self._frames[frame], self._libraries)
        return found

    def line(self, frame: int) -> str:
        return self._line(frame)

    def _line(self, frame: int) -> str:
        _, file, line = self._frames[frame]
        return self._sources.line(file, line)

    def _counts(self, frame: int) -> bool:
        return self.known(frame).kind is not Kind.NONE


class _Walk:
    """One stack on its way from the leaf to the root."""

    def __init__(
        self, classifier: Classifier, stack: tuple[int, ...], places: list[int], line: str
    ) -> None:
        self.classifier = classifier
        self.places = places
        self.frames = [classifier.known(stack[place]) for place in places]
        self.stack = stack
        self.in_trial = self._take_the_objective_for_own()
        self.leaf_line = line
        leaf = self.frames[0]
        self.sends = bool(_rules.SENDS.search(f"{leaf.file} {leaf.function}"))
        self.keeps_house = any(
            _rules.HOUSEKEEPING.search(f"{known.file} {known.function}")
            for known in self.frames[-4:]
        )
        self.waits = self._leaf_waits()

    def verdict(self) -> Verdict:
        if self.waits and self.frames[0].owner and self.frames[0].kind is not Kind.STANDARD:
            return self._waiting(0)
        end = next(
            (i for i, known in enumerate(self.frames) if known.kind is Kind.MACHINERY),
            len(self.frames),
        )
        if end < len(self.frames) and self._library_is_imported(end):
            return Verdict(IMPORT, False, self._outside(end, Kind.USER))
        core: list[int] = []
        hint = ""
        for i, known in enumerate(self.frames[:end]):
            if known.owner and not (self.waits and known.kind is Kind.STANDARD):
                if _rules.WORKER_LOOPS.search(f"{known.file} {known.function}"):
                    return self._run_by_a_pool(i, known.owner)
                by_user = known.owner in _rules.BLAMED_ON_USER
                blamed = self._outside(i, Kind.USER) if by_user else self.places[i]
                return Verdict(known.owner, False, blamed)
            if known.kind is Kind.OPTUNA:
                core.append(i)
            elif known.kind is Kind.USER:
                if self.waits:
                    return self._waiting(i)
                return self._left_over(core) if core else self._of_the_user(i, end, hint)
            hint = hint or known.hint
        if self.waits:
            return self._waiting(core[0] if core else 0)
        if core:
            return self._left_over(core)
        return Verdict(IMPORT if end < len(self.frames) else hint or OTHER, False, self.places[0])

    def _take_the_objective_for_own(self) -> bool:
        """Count what is called as objective as the user's own, even if it is installed.

        Returns whether a trial is run at all.
        """
        runs = (
            i
            for i, known in enumerate(self.frames)
            if (known.function == "_run_trial" and known.kind is Kind.OPTUNA)
            or _rules.CALLS_OBJECTIVE.search(f"{known.file} {known.function}")
        )
        called = next(runs, -1)
        for i in range(called - 1, -1, -1):
            known = self.frames[i]
            if known.file.endswith(("/functools.py", "/contextlib.py")):
                continue
            data = _rules.DATA.search(f"{known.file} {known.function}")
            if known.kind is Kind.PACKAGE and not data:
                name = phase_of_name(known.function)
                own = dataclasses.replace(known, kind=Kind.USER, owner="", by_name=name)
                self.frames[i] = own
            break
        return called >= 0

    def _run_by_a_pool(self, i: int, owner: str) -> Verdict:
        """What a worker's loop runs is its work; the loop itself moves messages, or waits."""
        if self.waits:
            return self._waiting(i)
        for inner in range(i):
            known = self.frames[inner]
            if known.kind is Kind.PACKAGE and not _rules.POOLS.search(known.file):
                return Verdict(OBJECTIVE, False, self.places[inner])
        return Verdict(owner, False, self.places[i])

    def _outside(self, first: int, kind: Kind) -> int:
        """The place of the innermost frame of a kind that asked for this one; else of this one."""
        found = (i for i in range(first, len(self.frames)) if self.frames[i].kind is kind)
        return self.places[next(found, first)]

    def _leaf_waits(self) -> bool:
        leaf = self.frames[0]
        where = f"{leaf.file} {leaf.function}"
        if _rules.POOL_WAITS.search(where):
            return True
        if _rules.POOL_READS.search(where):
            return self._reads_a_head()
        joblib = _rules.WAITING_LIBRARIES.search(where)
        if self.sends or self.keeps_house or joblib:
            return True
        if leaf.kind is not Kind.STANDARD or not _rules.WAIT_FILES.search(leaf.file):
            return False
        line = self.leaf_line
        if line and not _rules.WAIT_LINES.search(line):
            return False
        return not leaf.function.endswith("._recv") or self._reads_a_head()

    def _reads_a_head(self) -> bool:
        """Whether the leaf reads what comes before a message's body, by its caller's line."""
        if len(self.frames) == 1:
            return True
        caller = self.classifier.line(self.stack[self.places[1]])
        return not caller or bool(_rules.HEAD_OF_MESSAGE.search(caller))

    def _library_is_imported(self, end: int) -> bool:
        """Whether the frames before `end` are the body of a module that is not the user's own."""
        if end == 0:
            return True
        body = self.frames[end - 1]
        return body.function != "<module>" or body.kind is not Kind.USER

    def _waiting(self, i: int) -> Verdict:
        """A program that a trial waits for is its objective; any other wait is for workers.

        Who sends waits for who receives, and there the message is booked already.
        """
        if self.sends:
            return Verdict("transport", True, self.places[0])
        outside = any(known.file.endswith("/subprocess.py") for known in self.frames[: i + 1])
        program = outside and self.in_trial
        return Verdict(OBJECTIVE if program else WAIT, True, self.places[i], program)

    def _left_over(self, core: list[int]) -> Verdict:
        for phase, pattern in _rules.LEFT_OVER:
            for i in core:
                if pattern.search(f"{self.frames[i].file} {self.frames[i].function}"):
                    return Verdict(phase, False, self.places[i])
        return Verdict(OTHER, False, self.places[core[0]])

    def _of_the_user(self, first: int, end: int, hint: str) -> Verdict:
        place = self.places[first]
        line = self.classifier.line(self.stack[place])
        sleeps = first == 0 and bool(_rules.SLEEPS.search(line))
        by_name = self._by_name(first, end)
        if by_name:
            return Verdict(by_name, False, place)
        for rule in _rules.SOFT_LINES:
            if rule.pattern.search(line):
                return Verdict(rule.phase, rule.phase == WAIT, place)
        if hint:
            return Verdict(hint, False, place)
        at_import = end < len(self.frames) and self.frames[first].function == "<module>"
        return Verdict(IMPORT if at_import else OBJECTIVE, sleeps and not self.in_trial, place)

    def _by_name(self, first: int, end: int) -> str:
        """The innermost speaking name among the user's functions below Optuna."""
        for known in self.frames[first:end]:
            if known.kind is Kind.OPTUNA or known.owner:
                break
            if known.by_name:
                return known.by_name
        return ""


def _look(frame: Frame, libraries: Libraries) -> _Known:
    function, file, _ = frame
    part = libraries.part(file)
    kind = _kind(function, file, part)
    whose = file if kind is Kind.STANDARD else part  # one's own files are called as one likes
    owner = next((rule.phase for rule in _rules.OWNERS if rule.pattern.search(whose)), "")
    if kind in (Kind.NONE, Kind.MACHINERY):
        owner = ""
    by_name = phase_of_name(function) if kind is Kind.USER else ""
    hint = next((rule.phase for rule in _rules.HINTS if rule.pattern.search(whose)), "")
    return _Known(kind, owner, by_name, hint, function, file)


def _kind(function: str, file: str, part: str) -> Kind:
    if is_nobodys((function, file, 0)):
        return Kind.NONE
    standard = bool(_rules.STANDARD_LIBRARY.search(file))
    if standard and _rules.IMPORT_MACHINERY.search(file):
        return Kind.MACHINERY
    if standard:
        return Kind.STANDARD
    if _rules.DATA.search(f"{part} {function}"):
        return Kind.PACKAGE
    if _rules.OPTUNA.search(part):
        return Kind.OPTUNA
    from_source = part.startswith("/optimizer/") and not _rules.PACKAGES.search(file)
    return Kind.PACKAGE if part and not from_source else Kind.USER


def is_nobodys(frame: Frame) -> bool:
    """Whether a frame is ours, or of generated code: it counts as its caller."""
    return bool(_rules.NO_FILE.search(frame[1]) or _rules.OURS.search(frame[1]))


def phase_of_name(function: str) -> str:
    """What a function's name says; empty when it says nothing.

    The function's own name goes first, then its class; functions around it say nothing.
    """
    inner = function.rpartition("<locals>.")[2]
    for text in (inner.rpartition(".")[2], inner):
        words = set(_words(text))
        for name in _rules.NAMES:
            if all(group & words for group in name.groups):
                return name.phase
    return ""


def _words(name: str) -> list[str]:
    parts = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", name)
    return [word for word in re.split(r"[^a-z0-9]+", parts.lower()) if word]
