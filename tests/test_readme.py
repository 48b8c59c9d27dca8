"""The README keeps its word: its code runs, its tables are those of the stored runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _claims_code, _engine, _modes, _peers, _readme, _registry
from benchmarks._engine_workloads import WORKLOADS
from benchmarks._growth_curves import GROUPS, SIZES
from benchmarks.gate.own import source_hash

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EVERY = list(_readme.REPORTS)
SUITES = {peers: _claims_code.suites(ROOT, peers=peers) for peers in (False, True)}
_WHO = ("NAME", "EMAIL")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_generated_blocks_are_those_of_the_stored_runs() -> None:
    assert _readme.rendered(TEXT) == TEXT


def test_a_changed_figure_is_noticed() -> None:
    start = TEXT.index("<!-- generated: claims -->")
    changed = TEXT[:start] + TEXT[start:].replace("x", "0x", 1)
    assert _readme.rendered(changed) != changed


@pytest.mark.parametrize(
    "name", ["bench", "claims", "parity", "start", "studies", "growth", "modes"]
)
@pytest.mark.parametrize("command", ["store", "check"])
def test_a_lost_block_is_told(
    name: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(TEXT.replace(f"<!-- end: {name} -->", ""), encoding="utf-8")
    before = readme.read_bytes()
    monkeypatch.setattr(_readme, "README", readme)
    monkeypatch.setattr(_readme, "_store", lambda names: None)
    assert _readme.main([command]) == 1
    assert capsys.readouterr().out.startswith(f"the README lost its block '{name}'")
    assert readme.read_bytes() == before


def whole_runs() -> dict[str, dict[str, Any]]:
    """Last reports that may be stored, by the name of their file."""
    names = [path.name for path in _registry.load()]
    bench = {
        "gate": source_hash(),
        "tree": "t0",
        "exit_code": 0,
        "rule": _readme.CAREFUL,
        "findings": [{"path": name, "witness": "cpu"} for name in names],
        "baselines": {name: {"tree": "t0"} for name in names},
    }
    studies = [path.name for path in _engine.load()]
    claims: dict[str, Any] = {"quick": False, "rows": [{"hot_path": name} for name in studies]}
    peers: dict[str, Any] = {"rows": [{"hot_path": path.name} for path in _peers.load()]}
    claims |= {"tree": "t0", "suite": SUITES[False]}
    peers |= {"tree": "t0", "suite": SUITES[True]}
    start = {"tree": "t0", "starts": []}
    growth: dict[str, Any] = {"tree": "t0", "date": "2026-01-01", "machine": "m", "python": "3"}
    growth["groups"] = [
        {"name": name, "title": name, "ended": {}, "lines": {"ours": [[n, 1.0] for n in SIZES]}}
        for name in GROUPS
    ]
    runs = [
        {"workload": name, "seed": seed, "arms": {}} for name in WORKLOADS for seed in _modes.SEEDS
    ]
    modes: dict[str, Any] = growth | {"suite": _modes.suite(), "quick": False, "runs": runs}
    modes["trials"] = _modes.TRIALS
    found = {"last": bench, "claims": claims, "parity": peers, "start": start, "growth": growth}
    found["modes"] = modes
    return {f"{name}.json": report for name, report in found.items()}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the last reports are; what is stored goes to `results` below it."""
    monkeypatch.setattr(_readme, "SCRATCH", tmp_path)
    monkeypatch.setattr(_readme, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(_readme, "_chart", lambda claims: "")  # these rows have no figures
    for name, report in whole_runs().items():
        (tmp_path / name).write_text(json.dumps(report), encoding="utf-8")
    return tmp_path


def test_whole_runs_of_unchanged_code_are_stored(folder: Path) -> None:
    _readme._store(EVERY)
    for name, source in _readme.REPORTS.items():
        stored = json.loads((folder / "results" / f"{name}.json").read_text(encoding="utf-8"))
        assert stored.pop("machine")
        assert stored.items() <= whole_runs()[source].items()
    charts = {path.stem for path in (folder / "results").glob("*.svg")}
    assert charts == {"claims", *(f"growth-{name}" for name in GROUPS)}


def test_what_is_named_is_stored_alone(folder: Path) -> None:
    (folder / "parity.json").unlink()
    _readme._store(["start", "growth"])
    stored = {path.name for path in (folder / "results").iterdir()}
    assert stored == {"start.json", "growth.json", *(f"growth-{name}.svg" for name in GROUPS)}


@pytest.mark.parametrize("words", [[], ["keep"], ["check", "start"], ["store", "nothing"]])
def test_other_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _readme.main(words) == 2
    assert "store [NAME ...]" in capsys.readouterr().out


OTHER = sorted(path.name for path in _registry.load())[1]


@pytest.mark.parametrize(
    ("source", "part", "value", "told"),
    [
        ("last.json", "gate", "g0", r"judged by gate g0, this is \w+: run it again"),
        ("last.json", "tree", "t1", "compared changed code .*--against HEAD"),
        ("last.json", "baselines", {}, "compared changed code"),
        ("last.json", "exit_code", 1, "`nox -s bench` was red, quick or of some paths only"),
        ("last.json", "rule", {}, "`nox -s bench` was red, quick or of some paths only"),
        ("last.json", "findings", [], "`nox -s bench` was red, quick or of some paths only"),
        ("claims.json", "quick", True, "`nox -s claims` was red, quick or of some paths only"),
        ("claims.json", "rows", [], "`nox -s claims` was red, quick or of some paths only"),
        ("parity.json", "rows", [], "`nox -s parity` was red, quick or of some paths only"),
        ("claims.json", "tree", "t1", "`nox -s claims` measured code t1, expected t0: run it"),
        ("claims.json", "tree", "", "`nox -s claims` measured code of no known hash, expected t0"),
        ("parity.json", "tree", "t1", "`nox -s parity` measured code t1, expected t0: run it"),
        ("start.json", "tree", "t1", "`nox -s start` measured code t1, expected t0: run it"),
        ("growth.json", "tree", "t1", "`nox -s growth` measured code t1, expected t0: run it"),
        ("growth.json", "groups", [], "`nox -s growth` was red, quick or of some paths only"),
        ("modes.json", "runs", [], "`nox -s modes` was red, quick or of some paths only"),
        ("modes.json", "tree", "t1", "`nox -s modes` measured code t1, expected t0: run it"),
        ("modes.json", "suite", "s1", "`nox -s modes` measured searches s1, expected"),
        ("claims.json", "suite", "s1", "`nox -s claims` measured suites s1, expected"),
        ("parity.json", "suite", "s1", "`nox -s parity` measured suites s1, expected"),
    ],
)
def test_any_other_run_is_refused_and_nothing_stored(
    folder: Path, source: str, part: str, value: Any, told: str
) -> None:
    report = whole_runs()[source] | {part: value}
    (folder / source).write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(SystemExit, match=told):
        _readme._store(EVERY)
    assert not (folder / "results").exists()


def test_the_hot_paths_whose_code_changed_are_named(folder: Path) -> None:
    report = whole_runs()["last.json"]
    report["baselines"][OTHER] = {"tree": "t1"}
    (folder / "last.json").write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(SystemExit, match=rf"changed code \({OTHER}\)"):
        _readme._store(EVERY)


def test_storing_without_a_run_says_what_to_run(folder: Path) -> None:
    (folder / "claims.json").unlink()
    with pytest.raises(SystemExit, match="run `nox -s claims` first"):
        _readme._store(EVERY)


def test_the_code_runs(tmp_path: Path) -> None:
    assert len(BLOCKS) == 2
    said = ""
    for block in BLOCKS:  # each by itself, as a reader would try it
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # this code, whatever is installed
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "{'lookback': 6, 'exposure': " in said
    assert "served from the cache" in said


@pytest.mark.stress
def test_the_gate_sees_what_got_slower_in_a_project_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("asv_runner")
    (script,) = re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(script.splitlines()) < 11
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "velocity_gate").symlink_to(ROOT / "benchmarks" / "gate")
    program = f'velocity-gate() {{ "{sys.executable}" -m velocity_gate "$@"; }}\n'
    author = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in _WHO}
    done = subprocess.run(
        ["bash", "-euc", program + script],
        cwd=tmp_path,
        env={**os.environ, **author, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "total.time_total[default], bytecodes: rose from" in done.stdout


def test_its_two_lines_are_what_ci_runs() -> None:
    lines = re.findall(r"^    (python3 -m venv .*)$", TEXT, flags=re.MULTILINE)
    setup = 'python3 -m venv .venv && .venv/bin/pip install "nox[uv]" && .venv/bin/nox -s '
    assert lines == [setup + "bench", setup + "tests"]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("session", sorted(set(re.findall(r"nox -s (\w+)", TEXT))))
def test_every_session_it_names_exists(session: str) -> None:
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert re.search(rf"@nox\.session(\(.*\))?\ndef {session}\(", source)
