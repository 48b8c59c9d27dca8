"""Regressions to plant in a clone: what the gate must catch, and by what.

A plant edits shipped code so that the output depends on the added work (unused work would be
compiled or optimized away); none scales a time. Sized plants (`Work`) are calibrated where they
run: `_planting.py` measures what n of them cost and chooses n.
"""

from __future__ import annotations

from benchmarks._plants_cpu import (
    ASKING,
    CPU,
    GUARD,
    KEPT_TRACKERS,
    SEEN,
    SUGGESTING,
    SWEEPERS,
    TRACKERS,
    WORK_OF,
)
from benchmarks._plants_kinds import Edit, Plant, Work, after

CONNECTION = "optimizer/stores/_connection.py"

_COMMIT = '                raw.execute("COMMIT")'
_IMPORTS = "from itertools import repeat"
_CONSTANTS = '__all__ = ["NoDupeGuard"]'


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
        (after(GUARD, SEEN, "self._database.fetch(_SEEN, (self._study_id, signature))"),),
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
        ("records.KeepTrials",),
        (Edit(CONNECTION, '"process": "NORMAL",', '"process": "FULL",'),),
        ("fsyncs", "synchronous"),
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
    *("stores.SeenBatch", "n=1000", GUARD, ASKING),
    "padding = bytes({n} + 1000)",
    probe=100_000,
    measure="peak_bytes",
)
_COUNTING = Work(
    *("stores.SeenBatch", "n=1000", GUARD, ASKING),
    "assert _ZEROS.count(1, 0, {n} * len(wanted) // 1000) == 0",
    probe=500_000,
    measure="instructions",
    prior=(after(GUARD, _CONSTANTS, "_ZEROS = bytes(2**22)"),),
)
_ORDER = "_ORDER = np.arange(2**18)"

BLIND_SPOTS = (
    Plant(
        "a gather in random order",
        ("stores.SeenBatch",),
        (Edit(GUARD, _ORDER, "_ORDER = np.random.default_rng(1).permutation(2**18)"),),
        ("cpu", "claim"),
        silent=("bytecodes", "instructions", "c_calls", "python_calls"),
        prior=(
            after(GUARD, _IMPORTS, "import numpy as np"),
            after(GUARD, _CONSTANTS, f"_VALUES = np.ones(2**18); _OUT = np.ones(2**18); {_ORDER}"),
            after(GUARD, ASKING, 'assert _VALUES.take(_ORDER, out=_OUT, mode="clip")[-1] == 1.0'),
        ),
        quick=True,
    ),
    Plant(
        "a sleep",
        ("stores.SeenBatch",),
        # The net for wall time asks for twice the body's: this is more on slow machines, too.
        (Edit(GUARD, "time.sleep(0)", "time.sleep(0.005)"),),
        ("wall",),
        silent=("bytecodes", "instructions", "c_calls", "python_calls", "steps"),
        prior=(
            after(GUARD, _IMPORTS, "import time"),
            after(GUARD, ASKING, "time.sleep(0)"),
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

# LLVM cannot leave them out: it knows no size of an item, which is 8, and reorders no product.
_PRODUCTS = "for extra in range({n}): %s *= close.itemsize * 0.125"


def _in_a_kernel(name: str, work: Work) -> Plant:
    """15% more CPU time where neither bytecodes nor calls can see it."""
    return Plant(
        f"{name}: 15% more CPU time inside its compiled kernel",
        (work.path,),
        caught_by=("cpu",),
        silent=("bytecodes", "c_calls", "python_calls"),
        work=work,
        share=0.15,
    )


KERNELS = (
    _in_a_kernel(
        "the tracker",
        Work(
            *("backtest.Track", "schedule=monthly", "optimizer/backtest/_kernels.py"),
            *("    cash = capital\n    refused = False", _PRODUCTS % "cash"),
            probe=200_000,
            shared=(*TRACKERS, *KEPT_TRACKERS),
        ),
    ),
    _in_a_kernel(
        "the sweep",
        Work(
            *("sweep.SweepSpace", "space=part", "optimizer/backtest/_sweep_kernels.py"),
            "    n_entry, n_exit = limits.entry.shape[0], limits.exit.shape[0]",
            _PRODUCTS % "fee_rate",
            probe=8_000_000,
            shared=SWEEPERS,
        ),
    ),
    _in_a_kernel(
        "the density",
        Work(
            *("sampling.Density", "n=10000", "optimizer/sampling/_tpe_kernels.py"),
            "            top = tops[c]\n            for i in range(size):",
            _PRODUCTS.replace("close", "base") % "top",
            probe=1_000,
            shared=(*SUGGESTING, "sampling.Density"),
        ),
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
        (after(GUARD, SEEN, "signature = signature + 1"),),
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

PLANTS = (*SQL, *BLIND_SPOTS, *KERNELS, *FAULTS, *SIZES)
