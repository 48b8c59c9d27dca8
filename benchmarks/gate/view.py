"""A stored report as its pages see it: cases, their worst verdict, and the words all pages share.

Everything here reads the dictionary that `Report.write` stores, so a page can be drawn again from
a file of another day; a key that is missing is empty, never an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .rules import RANK, Paired, Verdict, telling, uncounted
from .table import percent, seconds

Stored = dict[str, Any]

QUIET = (Verdict.SAME, Verdict.UNCHANGED, Verdict.SKIPPED)
_TIMES = ("cpu", "wall")
_NOT_IN_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HASH_LENGTH = 10
_TIMES_FROM = 9.0  # a change of so much is said as "10 times"


@dataclass(frozen=True)
class Case:
    """The findings of one case of a hot path; of the path as a whole where `label` is empty."""

    path: str
    label: str
    findings: Sequence[Stored]

    @property
    def name(self) -> str:
        return f"{self.path}[{self.label}]" if self.label else self.path

    @property
    def verdict(self) -> str:
        return worst(finding["verdict"] for finding in self.findings)

    @property
    def failing(self) -> list[Stored]:
        """The findings that make the exit code another one than 0, in the order of `RANK`."""
        found = [finding for finding in self.findings if fails(finding)]
        return sorted(found, key=lambda finding: _rank(finding["verdict"]))

    @property
    def cpu(self) -> Stored | None:
        return next((finding for finding in self.findings if finding["witness"] == "cpu"), None)

    @property
    def counted(self) -> list[Stored]:
        """Findings that hold an exact value of both sides."""
        return [finding for finding in self.findings if _exact(finding)]

    @property
    def changed(self) -> list[Stored]:
        """The counted ones whose value differs, the worst and most telling first."""
        found = [finding for finding in self.counted if finding["before"] != finding["now"]]
        return sorted(found, key=lambda f: (_rank(f["verdict"]), telling(f["witness"])))


def cases(report: Stored) -> list[Case]:
    """Every case of a report: those that fail first, then as they were measured."""
    groups: dict[tuple[str, str], list[Stored]] = {}
    for finding in report.get("findings", ()):
        groups.setdefault((finding["path"], finding.get("case") or ""), []).append(finding)
    found = [Case(path, label, findings) for (path, label), findings in groups.items()]
    return sorted(found, key=lambda case: (not case.failing, _rank(case.verdict)))


def fails(finding: Stored) -> bool:
    """Whether a finding makes the gate fail: its code says so, as for the exit code."""
    return bool(finding.get("code"))


def worst(verdicts: Iterable[str]) -> str:
    return min(verdicts, key=_rank, default="not measured")


def _rank(verdict: str) -> int:
    """Its place from the worst on; no unknown word may look well."""
    return RANK.index(verdict) if verdict in RANK else -1


def _exact(finding: Stored) -> bool:
    both = finding.get("before") is not None and finding.get("now") is not None
    return both and finding["witness"] not in (*_TIMES, "claim")


# --- words and numbers


def clean(text: object) -> str:
    """`text` without characters that XML forbids or that cannot be written as UTF-8."""
    return _NOT_IN_TEXT.sub("", str(text))


def code_spans(text: str) -> list[tuple[bool, str]]:
    """`text` in pieces, each with whether it stood between backticks."""
    pieces = re.split(r"`([^`\n]+)`", clean(text))
    return [(index % 2 == 1, piece) for index, piece in enumerate(pieces) if piece]


def verdict_line(report: Stored) -> tuple[str, str]:
    """The last line of the terminal's report: its word, and the rest."""
    word, _, rest = str(report.get("summary") or "NOT MEASURED: no summary").partition(": ")
    return word, rest


def value(witness: str, amount: float | None) -> str:
    """A witness' value in its unit; a dash for nothing."""
    if amount is None:
        return "-"
    if witness in _TIMES:
        return seconds(amount)
    if witness == "claim":
        return f"{amount:.3g}x"
    return size(amount) if witness.endswith("_bytes") else count(amount)


def before(finding: Stored) -> str:
    """The baseline's value; of a claim, what was expected at least."""
    words = value(finding["witness"], finding.get("before"))
    return f"at least {words}" if finding["witness"] == "claim" and words != "-" else words


def count(amount: float) -> str:
    """A count with its thousands apart; three digits of what is no whole number."""
    return f"{amount:,.0f}" if float(amount).is_integer() else f"{amount:,.3g}"


def size(amount: float) -> str:
    """Bytes in the largest unit that leaves at least 1; exact below 1,000 bytes."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(amount) >= length:
            return f"{amount / length:.4g} {unit}"
    return f"{amount:,.0f} bytes"


def change(finding: Stored | None) -> str:
    """A relative change with its three standard errors, where it has them."""
    if finding is None or finding.get("change") is None:
        return "-"
    text = relative(finding["change"])
    spread = finding.get("plus_minus")
    if spread is None:
        return text
    return f"{text} ± {percent(spread, '.1%') if math.isfinite(spread) else 'unknown'}"


def relative(moved: float) -> str:
    """A relative change: a percentage, or how many times where it is very large."""
    return f"{1 + moved:,.0f} times" if moved >= _TIMES_FROM else percent(moved, "+.1%")


def changed_counters(case: Case, most: int = 3) -> str:
    """`"11 equal"`, or the counters that changed with both values; a dash where none was taken.

    Without any: whether the two sides' answers agree, and the claim.
    """
    counted, changed = case.counted, case.changed
    if not changed:
        found = ((f["witness"], f["verdict"], f.get("now")) for f in case.findings)
        return f"{len(counted)} equal" if counted else uncounted(found)
    shown = [
        f"{finding['witness']} {value(finding['witness'], finding['before'])} → "
        f"{value(finding['witness'], finding['now'])}"
        for finding in changed[:most]
    ]
    more = f" and {len(changed) - most} more" if len(changed) > most else ""
    return ", ".join(shown) + more


def short(digest: object) -> str:
    """The beginning of a commit's or tree's hash; a question mark for none."""
    return str(digest or "?")[:_HASH_LENGTH]


def rule_words(rule: Stored) -> str:
    """The stages of the CPU rule as a sentence; empty if the report holds no rule."""
    try:
        return (
            f"up to {rule['first_pairs']} pairs of fresh processes for each case; where their mean "
            f"or median is above {rule['suspect_above']:+.1%}, {rule['second_pairs']} new pairs; "
            f"slower if their mean is above {rule['fail_mean_above']:+.1%} and mean - 3 se above "
            f"{rule['fail_bound_above']:+.1%}, and if as many later pairs confirm it"
        )
    except (KeyError, TypeError, ValueError):
        return ", ".join(f"{name} {amount}" for name, amount in rule.items())


def environment_words(environment: Stored) -> str:
    """Python, packages and the processor in one line."""
    packages = environment.get("packages") or {}
    parts = [str(environment.get("python", "")), *(f"{n} {v}" for n, v in packages.items())]
    return ", ".join(part for part in [*parts, str(environment.get("processor") or "")] if part)


def counting_words(environment: Stored) -> str:
    """What the exact counts were taken with, in one line."""
    counting = environment.get("instruments") or environment.get("counting") or ""
    if isinstance(counting, dict):
        return ", ".join(f"{what} ({how})" for what, how in counting.items())
    return str(counting)


# --- what lies behind a verdict


def stage_pairs(report: Stored, case: Case, stage: str) -> list[tuple[float, float]]:
    """CPU seconds a call of this code and of the baseline's, for each pair of a stage."""
    found = (report.get("pairs") or {}).get(case.name) or {}
    pairs = [(float(head), float(base)) for head, base in found.get(stage) or ()]
    return [pair for pair in pairs if min(pair) > 0 and math.isfinite(sum(pair))]


def paired(pairs: Sequence[tuple[float, float]]) -> Paired:
    """The arithmetic of the verdict over stored pairs."""
    return Paired(tuple(math.log(head / base) for head, base in pairs))


def growth(report: Stored, case: Case) -> dict[str, list[tuple[str, float, float]]]:
    """What grew in a case: for each kind, the things with their amount before and now."""
    found = (report.get("grew") or {}).get(case.name) or {}
    return {kind: [(str(n), b, now) for n, b, now in rows] for kind, rows in found.items() if rows}


def grew_most(report: Stored, case: Case) -> str:
    """The first of each kind in one line; empty if nothing grew."""
    return "; ".join(
        f"{kind}: {name} {grown_value(kind, before)} → {grown_value(kind, now)}"
        for kind, [(name, before, now), *_] in growth(report, case).items()
    )


def grown_value(kind: str, amount: float) -> str:
    """An amount in a table of what grew; memory is in bytes, all else is counted."""
    return size(amount) if kind.startswith("allocated") else count(amount)
