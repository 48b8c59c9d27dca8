"""What a long study keeps in memory: `nox -s parity -- peers_memory`.

Each side is a process of its own, with the workers it starts: the bytes that are its own at the end
less those when some hundred trials were told, shared pages counted in parts (Linux's PSS).

    python -m benchmarks._peers_memory plain|ours TRIALS FILE
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import optuna_storage as _storage
from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("cpu", "wall", "claim")
_SEED = 7
_WARM = 500  # trials after which what a process is made of is there
_SHORT, _MANY = 600, 10_000
_LONGEST_S = 300.0


@_hot_path(
    claim="",
    witnesses=_WITNESSES,
    clock="tree",
    slow_before=(_MANY,),
    once=(_SHORT, _MANY),
    claim_at=_MANY,
)
class _KeptInMemory:
    """Random trials of ten mixed parameters: Optuna, in memory → ours by two workers, on a file."""

    params = (_SHORT, _MANY)
    param_names = ("trials",)

    def setup(self, trials: int) -> None:
        try:
            from optimizer.study import optimize  # noqa: F401 - here to say early that it is there
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        if not Path("/proc/self/smaps_rollup").exists():
            raise NotImplementedError("only Linux tells what a process keeps")
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self, trials: int) -> None:
        self.folder.cleanup()

    def fresh(self, trials: int) -> None:
        for file in Path(self.folder.name).iterdir():
            file.unlink()

    def before(self, trials: int) -> dict[str, Any]:
        return self._told("plain", trials)

    def after(self, trials: int) -> dict[str, Any]:
        return self._told("ours", trials)

    def _told(self, side: str, trials: int) -> dict[str, Any]:
        file = str(Path(self.folder.name, "study.db"))
        done = subprocess.run(
            [sys.executable, "-m", __name__, side, str(trials), file],
            capture_output=True, text=True, timeout=_LONGEST_S, check=True,
        )  # fmt: skip
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def agree(self, before: dict[str, int], after: dict[str, int]) -> bool:
        """As many trials, all complete; two workers draw them in another order."""
        return before["trials"] == before["complete"] == after["trials"] == after["complete"]

    def figures(self, before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[int, int]]:
        return {"bytes": (before["bytes"], after["bytes"])}


# --- in the process


def _own_bytes() -> int:
    """Of this process and those below it."""
    from benchmarks.gate.clocks import _descendants

    found = 0
    for pid in ("self", *(one.pid for one in _descendants())):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:  # it ended
            continue
        found += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return found


def _run(side: str, trials: int, file: str) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=_SEED)
    seen: list[int] = []

    def note(study: Any, trial: Any) -> None:
        if trial.number == _WARM:
            seen.append(_own_bytes())
        if trial.number == trials - 1:
            seen.append(_own_bytes())

    if side == "plain":
        study = optuna.create_study(sampler=sampler)
        study.optimize(_storage._suggested, n_trials=trials, callbacks=[note])
    else:
        from optimizer.study import optimize

        asked: dict[str, Any] = {"n_trials": trials, "storage": file, "sampler": sampler}
        study = optimize(_storage._suggested, callbacks=[note], workers=2, **asked).study
    told = study.get_trials(deepcopy=False)
    complete = sum(trial.value is not None for trial in told)
    return {"bytes": max(seen[1] - seen[0], 1), "trials": len(told), "complete": complete}


def _main(words: Sequence[str]) -> int:
    side, trials, file = words
    print(json.dumps(_run(side, int(trials), file)))
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
