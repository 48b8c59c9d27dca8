"""Every command of the project: `nox -s NAME`; `nox -l` lists them.

Environments are made once and used again; uv makes them where it is installed, else virtualenv.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "bench"]
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = True  # skipped would be green

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PROJECT = PYPROJECT["project"]
PARALLEL = ("-n", "auto", "--dist", "worksteal")
CALLER = dict(os.environ)  # before a session changes PATH and VIRTUAL_ENV


def _group(*names: str) -> list[str]:
    return [line for name in names for line in nox.project.dependency_groups(PYPROJECT, name)]


def _install(session: nox.Session, *packages: str) -> None:
    """Install and compile, so that no process of a measurement compiles imports again."""
    session.install(*packages, env={"UV_COMPILE_BYTECODE": "1"})


def _install_suite(session: nox.Session) -> None:
    """What the suites need; not the project itself: the gate stages its code out of git."""
    _install(session, *PROJECT["dependencies"], *_group("bench"))


def _pass_on(session: nox.Session, *command: str, caller: bool = False) -> None:
    """Run a command whose exit code means something; nox would turn each failure into a 1.

    With `caller`, in the environment of whoever called nox: a study belongs there.
    """
    own = {name: value for name, value in session.env.items() if value is not None}
    environment = CALLER if caller else {**os.environ, **own}
    words = [str(Path(session.bin) / command[0]) if command[0] == "python" else command[0]]
    process = subprocess.Popen([*words, *command[1:]], env=environment)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:  # the command got it too, and ends in its own way
            continue
    if code:
        raise SystemExit(code)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure every hot path against its baseline (-- NAME ..., -- --fast, -- --json FILE)."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks.gate", *session.posargs)


@nox.session
def rebaseline(session: nox.Session) -> None:
    """Move a baseline: -- NAME ... --reason "why" (--all; --accept-regression); rename OLD NEW."""
    _install_suite(session)
    command = [] if session.posargs[:1] == ["rename"] else ["rebaseline"]
    _pass_on(session, "python", "-m", "benchmarks.gate", *command, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite on all cores; arguments go to pytest, which then takes one core."""
    _install(session, "-e", ".[fast]", *_group("test", "bench", "profile"))
    quick = ["-m", "not stress and not end_to_end", *PARALLEL]
    session.run("pytest", *(["-m", "not stress", *session.posargs] if session.posargs else quick))


@nox.session
def end_to_end(session: nox.Session) -> None:
    """The whole gate and the whole profiler, each on projects of its own."""
    _install(session, "-e", ".[fast]", *_group("test", "bench", "profile"))
    session.run("pytest", "-m", "end_to_end and not stress", *(session.posargs or PARALLEL))


@nox.session
def stress(session: nox.Session) -> None:
    """Faults at full size: kills, many writers, full disks; and more generated values."""
    _install(session, "-e", ".[fast]", *_group("test", "bench", "profile"))
    chosen = "-m", "stress or hypothesis", "--hypothesis-profile=stress"
    session.run("pytest", *chosen, *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The tests on the lowest versions that pyproject.toml admits."""
    if session.venv_backend != "uv":
        session.error("lowest versions are resolved by uv: install it with `pip install uv`")
    names = "test", "bench", "profile"
    _install(session, "--resolution", "lowest-direct", "-e", ".[fast]", *_group(*names))
    session.run("pytest", "-m", "not stress", *(session.posargs or PARALLEL))


@nox.session
def docs(session: nox.Session) -> None:
    """Run every block and command of docs/ and the README, and write the API reference."""
    _install(session, "-e", ".[fast,report]", *_group("test", "bench", "profile", "docs"))
    session.run("pytest", "tests/test_docs.py", "tests/test_readme.py", *session.posargs)
    session.run("python", "docs/reference.py", ".docs")
    session.log(f"the reference: {ROOT / '.docs' / 'index.html'}")


@nox.session(python=["3.11", "3.13"], tags=["release"])
def release(session: nox.Session) -> None:
    """Build wheel and sdist, install each into an empty environment, and look at what came."""
    asv = (one for one in _group("bench") if one.startswith("asv"))  # the gate judges its suites
    session.install(*_group("release", "test"), *asv)
    folder = Path(session.create_tmp())
    built = folder / "built"
    shutil.rmtree(built, ignore_errors=True)
    # The wheel is built from the sdist, which must hold all that it takes.
    session.run("python", "-m", "build", "--outdir", str(built), str(ROOT))
    session.run("pytest", "tests/benchmarks/test_wheel.py", env={"BUILT": str(built)})
    for archive in (*built.glob("*.whl"), *built.glob("*.tar.gz")):
        empty = folder / f"empty-{archive.suffix[1:]}"
        session.run("python", "-m", "venv", "--clear", str(empty))
        python = str(empty / "bin" / "python")
        session.run(python, "-m", "pip", "install", "--quiet", str(archive), external=True)
        script = str(ROOT / "tests" / "installed.py")
        session.run(python, "-I", script, str(archive), external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    _install(session, "-e", ".[fast]", *_group("lint", "test", "bench"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "optimizer", "benchmarks", "tests", "noxfile.py")
    session.run("mypy", "profiling")  # apart: plain scripts that import each other by name


@nox.session
def claims(session: nox.Session) -> None:
    """Every reported claim beside what is measured (-- NAME ..., -- --quick, -- --list)."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks", "claims", *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """The field's libraries: the same answers, then each side's time (-- NAME ..., -- --quick)."""
    _install(session, "-e", ".[fast]", *_group("test", "bench", "peers"))
    answers = "tests/backtest/test_tracker_vectorbt.py", "tests/benchmarks/test_peers_storage.py"
    session.run("pytest", *answers)
    report = ["--json=.gate/parity.json", "--markdown=.gate/parity.md"]
    words = ["benchmarks", "claims", "--peers", *report, *session.posargs]
    _pass_on(session, "python", "-m", *words)


@nox.session
def start(session: nox.Session) -> None:
    """Seconds from a process' start to its first table, compiled before and not (-- --help)."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks", "start", *session.posargs)


@nox.session
def growth(session: nox.Session) -> None:
    """Milliseconds a trial where 100 to 100,000 trials are finished, with charts (-- GROUP ...)."""
    _install(session, "-e", ".[fast]", *_group("bench", "peers"))
    _pass_on(session, "python", "-m", "benchmarks", "growth", *session.posargs)


@nox.session
def modes(session: nox.Session) -> None:
    """The efficiency modes against plain search: time and quality, 20 seeds (-- --quick)."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks", "modes", *session.posargs)


@nox.session
def gate_selftest(session: nox.Session) -> None:
    """Does the gate work here? Unchanged code must pass, planted regressions must not."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks._selftest", *session.posargs)


@nox.session
def ledger(session: nox.Session) -> None:
    """The gate's ledger of proof: -- aa | inject | replay | asv | report (--help)."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks._ledger", *session.posargs)


@nox.session
def asv_check(session: nox.Session) -> None:
    """Run every asv benchmark once, on the working tree; fails if one of them fails."""
    _install(session, ".[fast]", *_group("bench"))
    session.run("python", "-m", "benchmarks._history", "check", *session.posargs)


@nox.session
def history(session: nox.Session) -> None:
    """Record commits that lack results, publish, serve (-- --last N | --range A..B, --no-serve)."""
    _install_suite(session)
    _pass_on(session, "python", "-m", "benchmarks._history", "record", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """The history and the claims in a headless Chromium without a network; keeps pictures."""
    _install(session, "-e", ".[fast]", *_group("test", "bench"))
    pictures = ROOT / ".gate" / "pictures"
    words = ["tests/benchmarks/test_browser.py", "-m", "stress", *session.posargs]
    settings = {"BROWSER_PICTURES": str(pictures), "BROWSER_REQUIRED": "1"}  # else: skipped
    session.run("pytest", *words, env=settings)
    session.log(f"pictures: {pictures}")


@nox.session
def profile(session: nox.Session) -> None:
    """Profile a study: -- [--memory | --both] study.py its args, -- --pid PID, -- --hot-path NAME.

    The first word chooses: a study may have such options, too. `--arm study.py` starts one that
    can be attached to later; `--compare BEFORE AFTER` shows which phase moved.
    """
    if "--hot-path" in session.posargs:  # this repository's code runs in this environment
        _install(session, *PROJECT["dependencies"], *_group("bench", "profile"))
    else:  # a study runs in its own
        _install(session, *(one for one in _group("profile") if one.startswith("py-spy")))
    script, words = _profiler(list(session.posargs))
    python = str(Path(session.bin) / "python")
    session.chdir(session.invoked_from)
    _pass_on(session, python, str(ROOT / "profiling" / script), *words, caller=True)


def _profiler(words: list[str]) -> tuple[str, list[str]]:
    """The script of profiling/ that a command line means, and what is left for it."""
    chosen = {
        "--memory": "study_memory.py",
        "--both": "study_both.py",
        "--compare": "compare.py",
    }
    first = words[0] if words else ""
    if first in chosen:
        if first == "--memory" and "".join(words[1:2]).partition("=")[0] == "--pid":
            return "attach.py", words
        return chosen[first], words[1:]
    if first in ("--pid", "--arm") or first.startswith("--pid="):
        return "attach.py", words
    return "study_time.py", words


@nox.session
def profile_hot_paths(session: nox.Session) -> None:
    """CPU and memory of every hot path, before and after (-- NAME ..., -- --only memory)."""
    _install(session, *PROJECT["dependencies"], *_group("bench", "profile"))
    _pass_on(session, "python", str(ROOT / "profiling" / "hot_paths.py"), *session.posargs)
