"""Regressions to plant, one at a time, in a clone: what the gate must catch, and by what.

A plant edits shipped code so that the output depends on the added work (unused work would be
compiled or optimized away); none scales a time. Sized plants (`Work`) are calibrated where they
run: `_planting.py` measures what n of them cost and chooses n.
"""

from __future__ import annotations

from dataclasses import dataclass

GUARD = "optimizer/stores/guard.py"
CONNECTION = "optimizer/stores/_connection.py"
SIGNATURE = "optimizer/signature.py"
TRACKER = "optimizer/backtest/tracker.py"

Key = tuple[str, str]  # hot path, case


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which must stand exactly once in `file`, by `new`; both None: delete it."""

    file: str
    old: str | None = None
    new: str | None = None


def after(file: str, anchor: str, line: str) -> Edit:
    """Insert `line` after the first line of `anchor`, with its indent."""
    first, newline, rest = anchor.partition("\n")
    indent = first[: len(first) - len(first.lstrip())]
    inserted = f"{first}\n{indent}{line}" if line else first
    return Edit(file, anchor, f"{inserted}{newline}{rest}")


@dataclass(frozen=True)
class Work:
    """Added work of any size: a statement whose cost grows with n, after the line of `anchor`.

    A statement with `{n}` in it stands there once; one without is written n times.
    """

    path: str
    case: str  # the case whose size is named; others of the path get another share
    file: str
    anchor: str
    statement: str
    probe: int  # an n that costs about as much as the body
    measure: str = "cpu"  # what grows: "cpu", or a counter
    alone: bool = False  # other hot paths run the same line: never planted beside theirs
    prior: tuple[Edit, ...] = ()  # on both sides: what the statement needs

    @property
    def key(self) -> Key:
        return self.path, self.case

    @property
    def repeated(self) -> bool:
        """Whether the statement is written n times, so that n = 0 is the shipped code."""
        return "{n}" not in self.statement

    def edit(self, n: int) -> Edit:
        """The work, n units of it."""
        line = "; ".join([self.statement] * n) if self.repeated else self.statement.format(n=n)
        return after(self.file, self.anchor, line)


@dataclass(frozen=True)
class Plant:
    """A defect, the hot paths to look at, and what the gate must answer."""

    name: str
    paths: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    caught_by: tuple[str, ...] = ()  # each of these witnesses must say "worse"
    silent: tuple[str, ...] = ()  # none of these may: they are blind to it, that is the point
    code: int = 1
    says: tuple[str, ...] = ()  # words of the gate's sentences
    prior: tuple[Edit, ...] = ()  # committed first, so that both sides have it
    work: Work | None = None  # instead of `edits`
    share: float = 0.0  # the nominal size of `work`
    stored: bool = False  # judged against the stored baselines, not against the commit below
    needs: tuple[str, ...] = ()  # instruments without which it cannot be caught
    quick: bool = False  # part of the short form


_ADD = "        _require_signature(signature)\n        return self._database.change(_ADD"
_SEEN = "        _require_signature(signature)\n        return bool("
_ADDING = "        wanted = _require_signatures(signatures)\n        if not wanted:"
_ASKING = "        found: set[Signature] = set()"
_COMMIT = '                raw.execute("COMMIT")'
_IMPORTS = "from types import TracebackType"

CPU = (
    Work(
        *("stores.AddBatch", "n=1000", GUARD, _ADDING),
        "assert sum(range({n} * len(wanted) // 1000)) >= 0",
        probe=40_000,
    ),
    Work("stores.AddEach", "n=1000", GUARD, _ADD, "assert signature is not self", probe=500),
    Work(
        *("stores.SeenBatch", "n=1000", GUARD, _ASKING),
        "assert sum(range({n} * len(wanted) // 1000)) >= 0",
        probe=40_000,
    ),
    Work("stores.SeenEach", "n=100", GUARD, _SEEN, "assert signature is not self", probe=300),
    Work(
        *("signature.Cold", "sets=1000", SIGNATURE),
        "    kinds = (*params, *map(type, params.values()))",
        "assert kinds is not params",
        probe=100,
    ),
    Work(
        *("signature.Warm", "sets=1000", SIGNATURE),
        "        kinds = tuple(map(type, params.values()))",
        "assert kinds is not params",
        probe=60,
    ),
    Work(
        *("backtest.Track", "schedule=monthly", TRACKER),
        "    _check_settings(*money, capital_mode)",
        "assert sum(range({n} * prices.size // 100_000)) >= 0",
        probe=6_000,
    ),
    Work(
        *("study.MomentumStudy", "n_trials=200", GUARD, _ADD, "assert sum(range({n})) >= 0"),
        probe=200_000,
        alone=True,
    ),
)
"""For each hot path what makes it slower by any share."""

WORK_OF = {work.path: work for work in CPU}


def slower(path: str, share: float, *, quick: bool = False) -> Plant:
    """A hot path that takes a share more CPU time."""
    name = f"{path}: {share:.0%} more CPU time"
    return Plant(name, (path,), caught_by=("cpu",), work=WORK_OF[path], share=share, quick=quick)


SIZES = (
    slower("stores.SeenEach", 0.10, quick=True),
    *(slower(work.path, 0.10) for work in CPU if work.path != "stores.SeenEach"),
    slower("signature.Cold", 0.03),
    slower("stores.SeenBatch", 0.05),
    slower("stores.AddEach", 1.0),
)

SQL = (
    Plant(
        "one more SQL statement",
        ("stores.SeenEach",),
        (after(GUARD, _SEEN, "self._database.fetch(_STUDY, (self.study,))"),),
        ("statements",),
        quick=True,
    ),
    Plant(
        "one more commit",
        ("stores.AddBatch",),
        (
            Edit(
                CONNECTION,
                _COMMIT,
                "\n".join([_COMMIT, _COMMIT.replace("COMMIT", "BEGIN IMMEDIATE"), _COMMIT]),
            ),
        ),
        ("commits",),
    ),
    Plant(
        "one more fsync",
        ("stores.AddBatch",),
        (
            after(
                CONNECTION,
                _COMMIT,
                "folder = os.open(os.path.dirname(self.path), os.O_RDONLY); os.fsync(folder); "
                "os.close(folder)",
            ),
        ),
        ("fsyncs",),
        needs=("fsyncs",),
    ),
    Plant(
        "an fsync for each commit (synchronous=FULL)",
        ("stores.AddBatch",),
        (Edit(CONNECTION, '"process": "NORMAL",', '"process": "FULL",'),),
        ("fsyncs",),
        silent=("statements", "commits", "bytecodes", "c_calls"),
        needs=("fsyncs",),
        quick=True,
    ),
    Plant(
        "an index that is not used any more",
        ("stores.SeenBatch",),
        (Edit(GUARD, "AND signature IN ({places})", "AND +signature IN ({places})"),),
        ("steps",),
        silent=("statements",),
    ),
)

_PADDING = Work(
    *("stores.SeenBatch", "n=1000", GUARD, _ASKING),
    "padding = bytes({n} + 1000)",
    probe=100_000,
    measure="peak_bytes",
)
_COUNTING = Work(
    *("stores.SeenBatch", "n=1000", GUARD, _ASKING),
    "assert _ZEROS.count(1, 0, {n} * len(wanted) // 1000) == 0",
    probe=500_000,
    measure="instructions",
    prior=(after(GUARD, "CHUNK = 500", "_ZEROS = bytes(2**22)"),),
)
_ORDER = "_ORDER = np.arange(2**20)"

BLIND_SPOTS = (
    Plant(
        "a gather in random order",
        ("stores.SeenBatch",),
        (Edit(GUARD, _ORDER, "_ORDER = np.random.default_rng(1).permutation(2**20)"),),
        ("cpu",),
        silent=("bytecodes", "instructions", "c_calls", "python_calls"),
        prior=(
            after(GUARD, _IMPORTS, "import numpy as np"),
            after(
                GUARD, "CHUNK = 500", f"_VALUES = np.ones(2**20); _OUT = np.ones(2**20); {_ORDER}"
            ),
            after(GUARD, _ASKING, 'assert _VALUES.take(_ORDER, out=_OUT, mode="clip")[-1] == 1.0'),
        ),
        quick=True,
    ),
    Plant(
        "a sleep",
        ("stores.SeenBatch",),
        (Edit(GUARD, "time.sleep(0)", "time.sleep(0.0005)"),),
        ("wall",),
        silent=("bytecodes", "instructions", "c_calls", "python_calls", "steps"),
        prior=(
            after(GUARD, _IMPORTS, "import time"),
            after(GUARD, _ASKING, "time.sleep(0)"),
        ),
        quick=True,
    ),
    Plant(
        "5% more memory",
        ("stores.SeenBatch",),
        caught_by=("peak_bytes",),
        silent=("bytecodes", "c_calls", "python_calls", "steps"),
        work=_PADDING,
        share=0.05,
        needs=("memory",),
        quick=True,
    ),
    Plant(
        "1.5% more instructions inside one C call",
        ("stores.SeenBatch",),
        caught_by=("instructions",),
        silent=("bytecodes", "c_calls", "python_calls", "steps"),
        work=_COUNTING,
        share=0.015,
        needs=("instructions",),
        quick=True,
    ),
)

FAULTS = (
    Plant(
        "a hot path deleted",
        ("signature",),
        (Edit("benchmarks/signature.py"),),
        code=3,
        says=("signature.Cold, declaration", "signature.Warm, declaration"),
        stored=True,
        quick=True,
    ),
    Plant(
        "a benchmark that raises",
        ("stores.SeenEach",),
        (after(GUARD, _SEEN, "signature = signature + 1"),),
        code=2,
        says=("stores.SeenEach[n=100], run", "TypeError"),
    ),
    Plant(
        "sides that disagree",
        ("stores.SeenBatch",),
        (
            Edit(
                GUARD,
                "        return list(map(found.__contains__, wanted))",
                "        return list(map(found.__contains__, reversed(wanted)))",
            ),
        ),
        code=2,
        says=("stores.SeenBatch[n=100], agreement",),
    ),
    Plant(
        "a baseline removed",
        ("stores.SeenEach",),
        (Edit("benchmarks/baselines/stores.SeenEach.json"),),
        code=4,
        says=("stores.SeenEach, baseline", "was removed"),
        stored=True,
    ),
)

PLANTS = (*SQL, *BLIND_SPOTS, *FAULTS, *SIZES)
