"""Figures that only the answers of a hot path hold, such as the bytes of a file.

The gate's workers say whether two answers agree, not what they are. So a process of its own runs
both sides once, with the staged code, and prints what the class's `figures` makes of the answers.
What else is measured in such a process asks for it here, too.

    python -m benchmarks._claims_answers PATH CASE
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gate.errors import BodyRaisedError, NotMeasuredError
from benchmarks.gate.harness import Side
from benchmarks.gate.outcome import Key

LONGEST_S = 300.0
_LACKING = "NotImplementedError: "


def answered(side: Side, key: Key, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Name -> (before's, after's) of the hot path's figures.

    Raises `BodyRaisedError` where a side fails or they disagree, `NotMeasuredError` where the
    answers have no such figure.
    """
    wanted = list(names)
    if not wanted:
        return {}
    figures = asked(side, key, __name__, key)["figures"]
    if lacking := [name for name in wanted if name not in figures]:
        label = f"{key[0]}[{key[1]}]"
        raise NotMeasuredError(f"{label} answers no {lacking[0]}; it answers {sorted(figures)}")
    return {name: (figures[name][0], figures[name][1]) for name in wanted}


def asked(side: Side, key: Key, module: str, words: Iterable[str]) -> dict[str, Any]:
    """What `python -m module words` answers with the staged code, in a process of its own.

    Raises `NotMeasuredError` where a part is not installed, it took too long, or it ran other code,
    and `BodyRaisedError` where it failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    places = os.pathsep.join(map(str, (side.stage, side.suite_stage, side.home)))
    label = f"{key[0]}[{key[1]}]"
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=os.sep,
            env=kept | {"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1", "PYTHONPATH": places},
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        raise NotMeasuredError(f"{label}: it took longer than {LONGEST_S:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if last.startswith(_LACKING):
            raise NotMeasuredError(f"{label}: {last.removeprefix(_LACKING)}")
        raise BodyRaisedError(f"{label}: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not Path(answer["code"]).is_relative_to(side.stage.resolve()):
        raise NotMeasuredError(f"{label} ran {answer['code']}, expected the staged code")
    return answer


def code() -> str:
    """Where the code under test was imported from."""
    import optimizer

    return str(Path(optimizer.__file__).resolve())


def _main(words: Sequence[str]) -> int:
    from benchmarks import _engine

    name, label = words
    body = _engine.find(name).case(label).open()
    try:
        body.fresh()
        before = body.before()
        body.fresh()
        after = body.after()
        if not body.agree(before, after):
            raise SystemExit("before and after disagree")
        figures = body.figures(before, after)
    finally:
        body.close()
    print(json.dumps({"code": code(), "figures": figures}))
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
