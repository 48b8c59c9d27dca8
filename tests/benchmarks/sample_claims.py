"""Made-up parts of a claims run: nothing here was measured."""

from __future__ import annotations

from typing import Any

from benchmarks._claims_measured import Amount, Measured, Spread
from benchmarks._claims_report import ClaimsReport
from benchmarks._claims_rows import Line, Role, Row, failed_row, measured_row, told_row
from benchmarks._claims_table import Claim, Per
from benchmarks._claims_trial import TrialCost
from benchmarks.gate.ratio import Interleaved

TRIAL = TrialCost(seconds=0.0005, plus_minus_s=0.00001, default_s=0.008, optuna="5.0.0")


def spread(ratio: float, wide: float = 0.05) -> Spread:
    return Spread(ratio, ratio * (1 - wide), ratio * (1 + wide))


def amount(value: float, wide: float = 0.05) -> Amount:
    return Amount(value, value - wide * abs(value), value + wide * abs(value))


def measured(wall: float, *, wide: float = 0.05, before_s: float = 1.29) -> Measured:
    after_s = before_s / wall
    saved = amount(before_s - after_s, wide)
    return Measured(spread(wall, wide), spread(wall / 2), saved, before_s, after_s, 5)


def interleaved(wall: float, cpu: float, before_s: float = 0.5) -> Interleaved:
    """One process: wall and CPU seconds of the slow side are the same."""
    return Interleaved(
        {"wall_s": before_s, "cpu_s": before_s},
        {"wall_s": before_s / wall, "cpu_s": before_s / cpu},
    )


def claim(name: str = "dedup-insert", **fields: Any) -> Claim:
    values: dict[str, Any] = {
        "what": "slow → fast",
        "source": "A Report",
        "said": "332x",
        "reported": (332.0, 332.0),
        "hot_path": "stores.AddBatch",
        "trials": 1_000,
    }
    return Claim(name, **values | fields)


def line(role: Role = Role.CLAIM, path: str = "stores.AddBatch", **fields: Any) -> Line:
    values: dict[str, Any] = {"claim": claim(), "case": "n=1000", "judged": "n=1000"}
    values |= {"trials": 1_000, "what": f"slow {path} → fast {path}"}
    return Line(role, path=path, **{**values, **fields})


SAVING = claim("default-config", reported=None, saved_s=(1.0, 2.0), said="1-2 s", because="of Y")
SMALL = claim("dedup-disk", reported=None, at_most={"bytes": 1e6}, said="< 1 MB")


def rows() -> list[Row]:
    """One of each kind."""
    study = claim("trial-load", per=Per.STUDY, reported=(1.2, 2.5), because="of X", counted={})
    return [
        measured_row(line(), measured(400.0), {}, TRIAL.seconds),
        measured_row(line(Role.BESIDE, "stores.AddEach"), measured(50.0), {}, TRIAL.seconds),
        measured_row(line(Role.PLAIN, "stores.Plain"), measured(1.25), {}, TRIAL.seconds),
        measured_row(
            line(claim=study, path="records.Load", trials=100), measured(1.05), {}, TRIAL.seconds
        ),
        told_row(Line(Role.CLAIM, claim("pool", hot_path="", plain="a pool of the library"))),
        told_row(Line(Role.CLAIM, claim("tracker-fallback", hot_path="", tested_by="tests/x.py"))),
        failed_row(line(claim=claim("tracker")), "before and after disagree"),
        measured_row(
            line(Role.OURS, "signature.Cold", claim=Claim(""), trials=None),
            measured(0.8),
            {},
            TRIAL.seconds,
        ),
        measured_row(
            line(claim=SAVING, path="configuration.Load", trials=100),
            measured(80.0, before_s=0.02),
            {},
            TRIAL.seconds,
        ),
        measured_row(
            line(claim=SMALL, path="stores.Disk"), measured(1.1), {"bytes": (680_000, 291_000)}, 0.0
        ),
    ]


def report(**fields: Any) -> ClaimsReport:
    values: dict[str, Any] = {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": "Linux x86_64, 2 cores",
        "python": "3.11.7",
        "quick": False,
        "whole": True,
        "seconds": 61.4,
        "trial": TRIAL,
        "rows": tuple(rows()),
    }
    return ClaimsReport(**values | fields)
