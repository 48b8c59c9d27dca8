"""Does the gate work on this machine? Unchanged code must pass, planted defects must not.

    python -m benchmarks._selftest [--quick] [--list] [--json FILE] [NAME ...]
    python -m benchmarks._selftest --budget

Everything happens in a clone of the working tree under `.gate/selftest/`. A line for each plant:
caught, missed or falsely accused, by which witness, and the change that was measured. Slower hot
paths are planted together where none runs another's work, all else one at a time. Exits 1 if
anything was missed or accused, 2 if a plant does not fit the code any more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import sysconfig
import threading
import time
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._answer import Answer
from benchmarks._planting import (
    ROOT,
    SCRATCH,
    Calibration,
    Clone,
    Line,
    PlantError,
    alone_in,
    git,
    plant,
)
from benchmarks._plants import PLANTS
from benchmarks._plants_kinds import Key, Plant, Work, together
from benchmarks._synthetic import budget
from benchmarks.gate import instruments, strace
from benchmarks.gate.files import replace

CAUGHT, PASSED = "caught", "passed"
MISSED, ACCUSED, WRONG = "missed", "falsely accused", "wrong answer"
IMPOSSIBLE = "not possible here"
_BAD = (MISSED, ACCUSED, WRONG)
QUICK_PATHS = ("signature.Warm", "stores.SeenEach")  # of the short form's unchanged code


@dataclass
class Result:
    """How the gate answered one plant."""

    name: str
    outcome: str
    witnesses: list[str] = field(default_factory=list)  # those that said "worse"
    size: str = ""  # what was measured by the witness the plant is meant for
    nominal: float = 0.0  # of a sized plant
    reached: float | None = None
    complaint: str = ""
    seconds: float = 0.0  # of what was planted together, a share
    without: list[str] = field(default_factory=list)  # witnesses that could not be had

    def line(self) -> str:
        lacking = f"without {', '.join(self.without)}" if self.without else ""
        words = [", ".join(self.witnesses), self.size, self.complaint, lacking]
        said = "; ".join(word for word in words if word)
        return f"{self.outcome:17} {self.seconds:5.0f} s  {self.name}{': ' * bool(said)}{said}"


@dataclass
class Bench:
    """What every check works with."""

    clone: Clone
    quick: bool
    calibration: Calibration


@dataclass(frozen=True)
class Check:
    """One thing to try: a plant, or something done by hand."""

    name: str
    quick: bool
    run: Callable[[Bench], Result] | None = None  # None: what the plant says
    plant: Plant | None = None

    def lacking(self) -> str:
        """Why it cannot be tried on this machine; empty if it can."""
        needs = self.plant.needs if self.plant else ()
        return "; ".join(f"{kind}: {why}" for kind in needs if (why := unavailable(kind)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.budget and (options.names or options.json or options.quick or options.list):
        parser.error("--budget stands alone: it takes no NAME, --json, --quick or --list")
    checks = [check for check in _checks() if _asked_for(check, options)]
    if options.list:
        print(*(f"{'quick' if c.quick else '     '}  {c.name}" for c in checks), sep="\n")
        return 0
    if not checks and not options.budget:
        print(f"gate_selftest: no plant is called {' or '.join(options.names)}: see --list")
        return 2
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        with alone_in(SCRATCH):
            clone = Clone.make(SCRATCH / "clone")
            if options.budget:
                return budget(clone, _say)
            results = _run(Bench(clone, options.quick, Calibration(clone, _say)), checks)
    except PlantError as error:
        print(f"gate_selftest: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gate_selftest: interrupted", file=sys.stderr)
        return 130
    tally = Counter(result.outcome for result in results)
    if options.json:
        table = {"tally": tally, "results": [asdict(result) for result in results]}
        replace(options.json, json.dumps(table, indent=1) + "\n")
    print(f"the last clone, to look at: {clone.folder}")
    print(last_line(results))
    return 1 if any(tally[outcome] for outcome in _BAD) else 0


def last_line(results: Sequence[Result]) -> str:
    """How many of each outcome; those that could not be tried are named."""
    tally = Counter(result.outcome for result in results)
    lacking = tally.pop(IMPOSSIBLE, 0)
    words = [f"{count} {outcome}" for outcome, count in tally.items()]
    if lacking:
        names = "; ".join(r.name for r in results if r.outcome == IMPOSSIBLE)
        words.append(f"{lacking} {IMPOSSIBLE}: {names}")
    return ", ".join(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gate_selftest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a plant's name")
    parser.add_argument("--quick", action="store_true", help="the short form, for CI")
    parser.add_argument("--list", action="store_true", help="name the plants and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--budget", action="store_true", help="how long 50 hot paths take, green and red"
    )
    return parser


def _checks() -> Iterator[Check]:
    yield Check("unchanged code", True, _unchanged)
    for one in PLANTS:
        yield Check(one.name, one.quick, plant=one)
    yield Check("an editable install that wins", True, _editable)
    yield Check("a shallow clone", True, _shallow)


def _asked_for(check: Check, options: argparse.Namespace) -> bool:
    if options.names:
        return any(word in check.name for word in options.names)
    return check.quick or not options.quick


def _run(bench: Bench, checks: Sequence[Check]) -> list[Result]:
    results = []
    works = [check.plant.work for check in checks if check.plant and not check.lacking()]
    bench.calibration.lines([work for work in works if work is not None])  # together: it is quicker
    turns = in_turn(checks)
    for number, turn in enumerate(turns, start=1):
        started = time.monotonic()
        _say(f"{number} of {len(turns)}: {', '.join(check.name for check in turn)}")
        found = _tried(bench, turn)
        seconds = time.monotonic() - started
        for result in found:
            result.seconds = seconds / len(found)
            print(result.line(), flush=True)
        results += found
    return results


def in_turn(checks: Sequence[Check]) -> list[list[Check]]:
    """What is tried at once: hot paths that shall be slower, where no two works meet."""

    def work_of(check: Check) -> Work:
        assert check.plant is not None
        assert check.plant.work is not None
        return check.plant.work

    slower = [c for c in checks if c.plant and c.plant.work and c.plant.caught_by == ("cpu",)]
    turns = together(slower, work_of)
    turns += [[check] for check in checks if check not in slower]
    return sorted(turns, key=lambda turn: checks.index(turn[0]))


def _tried(bench: Bench, turn: Sequence[Check]) -> list[Result]:
    """One result for each; of several, each is a sized plant."""
    if lacking := turn[0].lacking():
        return [Result(check.name, IMPOSSIBLE, complaint=lacking) for check in turn]
    bench.clone.reset()
    if turn[0].run is not None:
        return [turn[0].run(bench)]
    plants = [check.plant for check in turn if check.plant]
    return _sized(bench, plants) if plants[0].work else [_planted(bench, plants[0])]


def unavailable(witness: str) -> str:
    """Why a witness cannot be had here; empty if it can."""
    if witness == "fsyncs":
        return strace.unavailable()
    return instruments.unavailable(instruments.Kind(witness))


def _say(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


# --- plants


def _planted(bench: Bench, defect: Plant) -> Result:
    """Edit the clone and ask the gate."""
    bench.clone.apply(defect.prior)
    if defect.prior:
        bench.clone.commit()
    bench.clone.apply(defect.edits)
    return judged(defect, _asked(bench, [defect]))


def _sized(bench: Bench, defects: Sequence[Plant]) -> list[Result]:
    """Plant work in several hot paths, and judge what the gate said of each by itself."""
    works = [defect.work for defect in defects if defect.work is not None]
    lines = bench.calibration.lines(works)
    sizes = {w: lines[w].n_for(d.share) for w, d in zip(works, defects, strict=True)}
    plant(bench.clone, sizes)
    answer = _asked(bench, defects)
    results = []
    for work, defect in zip(works, defects, strict=True):
        result = judged(defect, answer.of(work.path))
        result.size += f"; {sizes[work]:,} planted"
        coarse = too_coarse(lines[work], defect.share)
        result.complaint = "; ".join(filter(None, [result.complaint, coarse]))
        results.append(result)
    return results


def _asked(bench: Bench, defects: Sequence[Plant]) -> Answer:
    words = [path for defect in defects for path in defect.paths]
    # Where nothing but exact counts decides, fewer pairs take nothing away.
    if bench.quick or "cpu" not in defects[0].caught_by:
        words.append("--fast")
    return bench.clone.gate(*words, *([] if defects[0].stored else ["--against", "HEAD"]))


def too_coarse(line: Line, share: float) -> str:
    """Says that a plant is larger than its name; empty if it is not."""
    if not line.too_coarse(share):
        return ""
    return f"not of its nominal size: one unit adds {line.at(1):.1%}, {share:.1%} was asked for"


def judged(plant: Plant, answer: Answer) -> Result:
    """Whether the gate's answer is the right one."""
    worse = answer.worse()
    witnesses = sorted({finding["witness"] for finding in worse})
    own = {f["witness"] for f in worse if plant.work is None or _key(f) == plant.work.key}
    result = Result(plant.name, CAUGHT, witnesses, nominal=plant.share, without=answer.without)
    result.size, result.reached = _size(plant, answer)
    said = answer.said()
    missing = sorted(set(plant.caught_by) - own)
    missing += [words for words in plant.says if words not in said]
    innocent = sorted(set(plant.silent) & set(witnesses))
    if answer.code == 0 or (missing and answer.code == plant.code):
        result.outcome, result.complaint = MISSED, f"by {', '.join(missing)}" if missing else ""
    elif answer.code != plant.code:
        result.outcome = WRONG
        result.complaint = f"exit code {answer.code} instead of {plant.code}: {said}"
    elif innocent:
        result.outcome, result.complaint = ACCUSED, f"{', '.join(innocent)} cannot see it: {said}"
    return result


def _key(finding: dict[str, Any]) -> Key:
    return finding["path"], finding["case"]


def _size(plant: Plant, answer: Answer) -> tuple[str, float | None]:
    """What the witness that the plant is meant for measured, in words and as a share."""
    for finding in answer.findings:
        named = plant.work is None or _key(finding) == plant.work.key
        if finding["witness"] in plant.caught_by and named:
            break
    else:
        return "", None
    change: float | None = finding["change"]
    if finding["witness"] in ("cpu", "wall"):
        text = f"{change:+.1%}"
        text += f" ± {finding['plus_minus']:.1%}" if finding["plus_minus"] else ""
    else:
        text = f"{finding['before']:,.0f} → {finding['now']:,.0f}"
        text += f" ({change:+.1%})" if change is not None else ""
    nominal = f", nominal {plant.share:+.1%}" if plant.share else ""
    return f"{finding['witness']} {text}{nominal}", change


# --- what is no plant


def _unchanged(bench: Bench) -> Result:
    """The same code twice, under different names: every witness must stay silent."""
    bench.clone.touch()
    words = [*QUICK_PATHS, "--fast"] if bench.quick else []
    answer = bench.clone.gate("--against", "HEAD", *words)
    result = Result("unchanged code", PASSED, without=answer.without)
    cpu = [finding["change"] for finding in answer.findings if finding["witness"] == "cpu"]
    if cpu:
        result.size = f"cpu {min(cpu):+.1%} to {max(cpu):+.1%} in {len(cpu)} cases"
    if answer.code:
        result.outcome, result.complaint = ACCUSED, answer.said()
        result.witnesses = sorted({finding["witness"] for finding in answer.worse()})
    return result


def _answered(name: str, code: int, says: Sequence[str], answer: Answer) -> Result:
    return judged(Plant(name, (), code=code, says=tuple(says)), answer)


def _editable(bench: Bench) -> Result:
    """An interpreter in which another `optimizer` stands first on the path, whatever we say."""
    folder = SCRATCH / "editable"
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False)
    here = next(folder.glob("lib/python*/site-packages"), folder / "Lib" / "site-packages")
    packages = sysconfig.get_path("purelib")
    (here / "wins.pth").write_text(f"{packages}\nimport sys; sys.path.insert(0, {str(ROOT)!r})\n")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    answer = bench.clone.gate("signature", "--fast", python=str(python))
    return _answered("an editable install that wins", 3, ["expected the staged tree"], answer)


def _shallow(bench: Bench) -> Result:
    """A clone of the last commit only, whose code is not the baselines' code."""
    bench.clone.touch()
    bench.clone.commit("a commit after the baselines")
    folder = SCRATCH / "shallow"
    shutil.rmtree(folder, ignore_errors=True)
    git(SCRATCH, "clone", "-q", "--depth", "1", bench.clone.folder.as_uri(), str(folder))
    answer = Clone(folder, "HEAD").gate("signature", "--fast")
    says = ["signature.Cold, baseline", "git fetch --unshallow"]
    return _answered("a shallow clone", 4, says, answer)


if __name__ == "__main__":
    raise SystemExit(main())
