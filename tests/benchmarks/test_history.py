"""The history's command: which commits, what is recorded of them, what is said and served."""

from __future__ import annotations

import argparse
import dataclasses
import http.server
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject
from sample_history import MACHINE, described, record, recorded
from toy_project import Toy, bare, nothing_left, quick

from benchmarks import _history, _history_measured, _history_store, _site
from benchmarks._history import Progress, tasks
from benchmarks._history_asv import Commit
from benchmarks._history_store import HistoryError, Record
from benchmarks.gate.errors import UsageError
from benchmarks.gate.repository import Repository

__all__ = ["bare", "nothing_left", "quick"]  # fixtures

OTHER = dataclasses.replace(MACHINE, cores=64)


@pytest.fixture
def project(tmp_path: Path) -> tuple[GitProject, list[str]]:
    """Three commits of code among others; the code's commits, newest first."""
    made = GitProject.create(tmp_path / "project")
    hashes: list[str] = []
    for i in range(3):
        hashes.insert(0, made.commit({f"{_history.CODE}/__init__.py": f"A = {i}\n"}, f"code {i}"))
        made.commit({"README.md": f"{i}\n"}, "text")
    return made, hashes


# --- which commits


def hashes_of(found: list[Commit]) -> list[str]:
    return [commit.hash for commit in found]


def test_only_commits_that_changed_the_code(project: tuple[GitProject, list[str]]) -> None:
    made, hashes = project
    repository = Repository(made.root)
    assert hashes_of(_history.commits(repository)) == hashes
    assert hashes_of(_history.commits(repository, last=2)) == hashes[:2]
    assert hashes_of(_history.commits(repository, span=f"{hashes[1]}..HEAD")) == hashes[:1]
    assert _history.commits(repository)[0].subject == "code 2"


def test_a_working_tree_is_no_commit(project: tuple[GitProject, list[str]]) -> None:
    made, hashes = project
    made.write({f"{_history.CODE}/__init__.py": "A = 99\n"})
    assert hashes_of(_history.commits(Repository(made.root), last=1)) == hashes[:1]


def test_a_range_that_git_does_not_know(project: tuple[GitProject, list[str]]) -> None:
    repository = Repository(project[0].root)
    with pytest.raises(HistoryError, match="no range of commits"):
        _history.commits(repository, span="--output=x")
    with pytest.raises(UsageError, match=r"nowhere\.\.HEAD"):
        _history.commits(repository, span="nowhere..HEAD")


# --- what is still to be recorded

COMMITS = [Commit(f"c{i}", f"t{i}", 1_700_000_000 + i, f"change {i}") for i in (3, 2, 1)]
PATHS = [described("stores.Add"), described("stores.Seen")]


def held(tree: str, workload: str = "w1", **facts: Any) -> Record:
    paths = {path["name"]: recorded(workload=workload) for path in PATHS}
    return record(tree, paths, **facts)


def names(found: list[_history.Task]) -> dict[str, list[str]]:
    return {task.commit.hash: [path["name"] for path in task.paths] for task in found}


def test_recorded_commits_are_not_recorded_again() -> None:
    both = ["stores.Add", "stores.Seen"]
    records = [held("t2")]
    assert names(tasks(COMMITS, PATHS, records, MACHINE)) == {"c3": both, "c1": both}
    assert names(tasks(COMMITS, PATHS, records, MACHINE, again=True)).keys() == {"c1", "c2", "c3"}


def test_another_machine_lacks_them_all_unless_nobody_asked() -> None:
    records = [held("t3", machine=OTHER), held("t2", machine=OTHER)]
    assert names(tasks(COMMITS, PATHS, records, MACHINE)).keys() == {"c1", "c2", "c3"}
    assert names(tasks(COMMITS, PATHS, records, None)).keys() == {"c1"}


def test_only_what_a_record_lacks_is_recorded() -> None:
    partly = record("t3", {"stores.Add": recorded()})
    stale = held("t2", "old")
    found = names(tasks(COMMITS[:2], PATHS, [partly, stale], MACHINE))
    assert found == {"c3": ["stores.Seen"], "c2": ["stores.Add", "stores.Seen"]}


def test_other_packages_are_another_record() -> None:
    newer = dataclasses.replace(MACHINE, packages={"numpy": "3.0"})
    assert names(tasks(COMMITS[:1], PATHS, [held("t3")], newer)).keys() == {"c3"}


def test_a_revert_is_the_same_code_once_more() -> None:
    revert = Commit("c4", "t2", 1, "back again")
    assert names(tasks([revert, *COMMITS], PATHS, [], MACHINE)).keys() == {"c4", "c3", "c1"}


def test_progress_says_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    progress = Progress(2, _started=0.0)
    progress.begin(_history.Task(COMMITS[0], PATHS))
    now_s = 50.0
    progress.within("process 2 of 2")
    now_s = 100.0
    progress.done(Path("file.json"))
    now_s = 130.0
    progress.within("process 1 of 2")
    now_s = 250.0
    progress.within("the exact counts are still under way")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("commit 1 of 2, c3 change 3 (2 hot paths)")
    assert lines[1] == "[   50 s] commit 1 of 2, c3: process 2 of 2"  # nothing to judge it by
    assert lines[2].endswith("file.json, about 100 s left")
    assert lines[3].endswith("process 1 of 2, about 70 s left")
    assert lines[4].endswith("under way")  # longer than it should


# --- the whole command


@pytest.fixture
def toy(bare: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy project with a second commit, as the command's own."""
    made = bare.copy(tmp_path / "toy")
    made.edit("optimizer/__init__.py", "i * i", "i * i * 1")
    made.commit({}, "a change")
    monkeypatch.setattr(_history, "ROOT", made.root)
    monkeypatch.setattr(_history, "FOLDER", tmp_path / "asv")
    folder = made.root / "benchmarks" / "history"
    read = _history_store.read_all
    monkeypatch.setattr(_history_store, "read_all", lambda: read(folder))
    write = Record.write
    monkeypatch.setattr(Record, "write", lambda self: write(self, folder))
    monkeypatch.setattr(_history_measured, "TURNS", 1)
    return made


def test_record_publish_and_record_no_more(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(*words: object) -> int:
        raise _site.SiteError("the registry cannot be had")

    monkeypatch.setattr(_site, "make_self_contained", no_network)
    assert _history.main(["record", "toy.Work", "--last", "2", "--no-serve"]) == 0
    files = sorted((toy.root / "benchmarks" / "history").glob("*/*.json"))
    out, err = capsys.readouterr()
    assert len(files) == 2
    assert "commit 2 of 2" in err
    assert "2 of 2 commits that changed optimizer/ are recorded, by 1 machine" in out
    assert "the page needs a network to be looked at, as asv made it" in out
    site = _history.FOLDER / "html"
    assert (site / "index.html").is_file()
    assert list(site.rglob("toy.Work.cost_ratio.json"))
    before = [file.read_bytes() for file in files]
    assert _history.main(["record", "toy.Work", "--last", "2", "--no-serve"]) == 0
    assert [file.read_bytes() for file in files] == before
    assert "commit 1 of" not in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_finished(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def measure(run: object, commit: str, tree: str, *rest: object, **more: object) -> Record:
        measured.append(commit)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return record(tree, commit=commit)

    monkeypatch.setattr(_history_measured, "measure", measure)
    assert _history.main(["record", "--last", "2"]) == 130
    assert "finished commits are kept" in capsys.readouterr().err
    (kept,) = (toy.root / "benchmarks" / "history").glob("*/*")
    assert kept.name == f"{measured[0][:12]}.json"


def test_nothing_is_recorded_unasked_where_all_is_there(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*words: object, **more: object) -> None:
        raise AssertionError("measured what another machine has")

    monkeypatch.setattr(_history_measured, "measure", never)
    monkeypatch.setattr(_history_measured, "machine_of", never)
    for commit in _history.commits(Repository(toy.root)):
        record(commit.tree, commit=commit.hash, machine=OTHER).write()
    _history._record(_history._parser().parse_args(["record"]))


def test_a_clone_without_records_says_what_to_do(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _history.main(["record", "--no-record", "--no-serve"]) == 1
    err = capsys.readouterr().err
    assert "none of 0 records" in err
    assert "--last N" in err


def test_paths_of_another_workload_are_counted() -> None:
    records = [held("t1", "old", date="2026-01-01"), held("t2", date="2026-02-01")]
    assert _history.stale(records) == [
        f"{path['name']}: 1 of 2 records are of another workload, not shown" for path in PATHS
    ]
    assert _history.stale(records[1:]) == []


@pytest.mark.parametrize(
    "words",
    [
        *([], ["nothing"], ["record", "--last"], ["record", "--last", "0"], ["check", "--last"]),
        ["record", "--last", "2", "--range", "A..B"],
    ],
)
def test_words_that_make_no_sense(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        _history.main(words)
    assert stop.value.code == 2


def test_the_default_port_is_a_free_one() -> None:
    assert _history._parser().parse_args(["record"]).port == 0


# --- serving


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[http.server.ThreadingHTTPServer]]:
    """The servers that are started, shut down in the end."""
    servers: list[http.server.ThreadingHTTPServer] = []

    class Watched(http.server.ThreadingHTTPServer):
        def serve_forever(self, poll_interval: float = 0.02) -> None:
            servers.append(self)
            super().serve_forever(poll_interval)

    monkeypatch.setattr(http.server, "ThreadingHTTPServer", Watched)
    yield servers
    for server in servers:
        server.shutdown()


def test_the_site_is_served_on_loopback_only(
    tmp_path: Path,
    watched: list[http.server.ThreadingHTTPServer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "index.html").write_text("the site")
    thread = threading.Thread(target=_history._serve, args=(tmp_path, 0), daemon=True)
    thread.start()
    for _ in range(1000):  # 10 s: a busy machine starts a thread late
        if watched:
            break
        thread.join(0.01)
    (server,) = watched
    assert server.server_address[0] == "127.0.0.1"
    url = f"http://127.0.0.1:{server.server_port}/"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        assert answer.read() == b"the site"
    server.shutdown()
    thread.join(10)
    assert f"serving {url} (Ctrl-C ends it)" in capsys.readouterr().out


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with _site.server(tmp_path, 0) as server:
        port = server.server_port
        with pytest.raises(_site.SiteError, match=f"port {port} of loopback: .*--port 0"):
            _history._serve(tmp_path, port)


# --- every benchmark once


def test_check_runs_every_benchmark_once_here(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []

    def note(*words: str) -> int:
        said.append(words)
        return 0

    monkeypatch.setattr(_history, "_asv", note)
    assert _history.main(["check"]) == 0
    assert {"run", "--quick", "--dry-run"} <= set(said[-1])
    assert f"existing:{sys.executable}" in said[-1]
    assert "--bench" not in said[-1]
    assert _history.main(["check", "--quick"]) == 0
    assert said[-1][-2:] == ("--bench", _history.QUICK)


def test_asv_is_run_from_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(options, command=command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    assert _history._asv("publish") == 7
    assert seen["command"] == [sys.executable, "-m", "asv", "publish"]
    assert (seen["cwd"] / "asv.conf.json").is_file()


def test_a_number_of_commits() -> None:
    assert _history._number("20") == 20
    with pytest.raises(argparse.ArgumentTypeError, match="'-1' is no number of commits"):
        _history._number("-1")
