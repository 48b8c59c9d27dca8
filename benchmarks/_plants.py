"""Regressions to plant, one at a time, in a clone: what the gate must catch, and how it says so.

A plant edits shipped code so that the output depends on the added work (unused work would be
compiled or optimized away); none scales a time. Each names the exit code and the words that the
gate's sentences must hold.
"""

from __future__ import annotations

from dataclasses import dataclass

GUARD = "optimizer/stores/guard.py"
CONNECTION = "optimizer/stores/_connection.py"
SIGNATURE = "optimizer/signature.py"
TRACKER = "optimizer/backtest/tracker.py"


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which must stand exactly once in `file`, by `new`; both None: delete it."""

    file: str
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True)
class Plant:
    """A defect, the hot paths to look at, and what the gate must answer."""

    name: str
    paths: tuple[str, ...]
    edits: tuple[Edit, ...]
    code: int
    says: tuple[str, ...]
    quick: bool = False  # part of the short form


def _slower(path: str, file: str, anchor: str, work: str) -> Plant:
    """About a tenth more CPU time: the line `work` is inserted after `anchor`'s first line."""
    first, newline, rest = anchor.partition("\n")
    indent = first[: len(first) - len(first.lstrip())]
    planted = f"{first}\n{indent}{work}{newline}{rest}"
    return Plant(
        f"{path} does a tenth more", (path,), (Edit(file, anchor, planted),), 1, (path, "CPU time")
    )


_ADD = "        _require_signature(signature)\n        return self._database.change(_ADD"
_SEEN = "        _require_signature(signature)\n        return bool("

CPU = (
    _slower(
        "stores.AddBatch",
        GUARD,
        "        wanted = _require_signatures(signatures)\n        if not wanted:",
        "assert sum([sum(s[:5]) for s in wanted]) >= 0",
    ),
    _slower("stores.AddEach", GUARD, _ADD, "assert sum(range(200)) > 0"),
    _slower(
        "stores.SeenBatch",
        GUARD,
        "        found: set[Signature] = set()",
        "assert sum([s[0] + s[1] for s in wanted]) >= 0",
    ),
    _slower("stores.SeenEach", GUARD, _SEEN, "assert sum(range(60)) > 0"),
    _slower(
        "signature.Cold",
        SIGNATURE,
        "    kinds = (*params, *map(type, params.values()))",
        'assert max(params) > ""',
    ),
    _slower(
        "signature.Warm",
        SIGNATURE,
        "        kinds = tuple(map(type, params.values()))",
        'assert max(params) > ""',
    ),
    _slower(
        "backtest.Track",
        TRACKER,
        "    _check_settings(*money, capital_mode)",
        "assert not prices[: len(prices) // 2].sum() < 0.0",
    ),
    _slower("study.MomentumStudy", GUARD, _ADD, "assert sum(range(30_000)) > 0"),
)

FAULTS = (
    Plant(
        "one more SQL statement",
        ("stores.AddEach",),
        (
            Edit(
                GUARD,
                _ADD,
                _ADD.replace("\n", "\n        self._database.fetch(_STUDY, (self.study,))\n", 1),
            ),
        ),
        1,
        ("stores.AddEach[n=100], statements",),
        quick=True,
    ),
    Plant(
        "one more commit",
        ("stores.AddBatch",),
        (
            Edit(
                CONNECTION,
                '                raw.execute("COMMIT")',
                '                raw.execute("COMMIT")\n'
                '                raw.execute("BEGIN IMMEDIATE")\n'
                '                raw.execute("COMMIT")',
            ),
        ),
        1,
        ("stores.AddBatch[n=100], commits",),
    ),
    Plant(
        "an index that is not used any more",
        ("stores.SeenBatch",),
        (Edit(GUARD, "AND signature IN ({places})", "AND +signature IN ({places})"),),
        1,
        ("stores.SeenBatch[n=100], steps",),
    ),
    Plant(
        "a hot path deleted",
        ("signature",),
        (Edit("benchmarks/signature.py"),),
        3,
        ("signature.Cold, declaration", "signature.Warm, declaration"),
        quick=True,
    ),
    Plant(
        "a benchmark that raises",
        ("stores.SeenEach",),
        (
            Edit(
                "benchmarks/stores.py",
                "        return [self.fast.seen(signature) for signature in self.asked]",
                "        return [self.fast.seen(signature, 1) for signature in self.asked]",
            ),
        ),
        2,
        ("stores.SeenEach[n=100], run", "TypeError"),
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
        2,
        ("stores.SeenBatch[n=100], agreement",),
    ),
    Plant(
        "a baseline removed",
        ("stores.SeenEach",),
        (Edit("benchmarks/baselines/stores.SeenEach.json"),),
        4,
        ("stores.SeenEach, baseline", "was removed"),
    ),
)
