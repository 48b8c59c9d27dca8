"""asv's history: which commits, which words, and a server that only this machine reaches."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject

from benchmarks import _history

Words = list[tuple[str, ...]]


@pytest.fixture
def asv(monkeypatch: pytest.MonkeyPatch) -> Words:
    """What asv would have been told; it succeeds."""
    said: Words = []

    def note(*words: str) -> int:
        said.append(words)
        return 0

    monkeypatch.setattr(_history, "_asv", note)
    return said


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[GitProject, list[str]]:
    """Three commits of code among others; the code's commits, newest first."""
    made = GitProject.create(tmp_path / "project")
    hashes: list[str] = []
    for i in range(3):
        hashes.insert(0, made.commit({f"{_history.CODE}/__init__.py": f"A = {i}\n"}, "code"))
        made.commit({"README.md": f"{i}\n"}, "text")
    monkeypatch.setattr(_history, "ROOT", made.root)
    return made, hashes


def test_only_commits_that_changed_the_code(project: tuple[GitProject, list[str]]) -> None:
    _, hashes = project
    assert _history._commits(10) == hashes
    assert _history._commits(2) == hashes[:2]


def test_a_working_tree_is_no_commit(project: tuple[GitProject, list[str]]) -> None:
    made, hashes = project
    made.write({f"{_history.CODE}/__init__.py": "A = 99\n"})
    assert _history._commits(1) == hashes[:1]


def test_record_names_the_commits_in_a_file(
    asv: Words, project: tuple[GitProject, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []

    def read(*words: str) -> int:
        asv.append(words)
        if words[0] == "run":
            listed.extend(Path(words[-1].removeprefix("HASHFILE:")).read_text().split())
        return 0

    monkeypatch.setattr(_history, "_asv", read)
    assert _history.main(["record", "--last", "2", "--no-serve"]) == 0
    assert [words[0] for words in asv] == ["machine", "run", "publish"]
    run = asv[1]
    assert "--skip-existing-successful" in run
    assert listed == project[1][:2]
    assert not Path(run[-1].removeprefix("HASHFILE:")).exists()


def test_record_serves_unless_told_otherwise(
    asv: Words, project: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []

    def serve(port: int) -> int:
        ports.append(port)
        return 0

    monkeypatch.setattr(_history, "_serve", serve)
    assert _history.main(["record", "--port", "0"]) == 0
    assert _history.main(["record"]) == 0
    assert _history.main(["record", "--no-serve"]) == 0
    assert ports == [0, 8080]


@pytest.mark.parametrize("failing", ["machine", "run", "publish"])
def test_what_asv_could_not_do_ends_it(
    failing: str, project: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def fail(*words: str) -> int:
        said.append(words[0])
        return 1 if words[0] == failing else 0

    def never(port: int) -> int:
        raise AssertionError("served what was not published")

    monkeypatch.setattr(_history, "_asv", fail)
    monkeypatch.setattr(_history, "_serve", never)
    assert _history.main(["record"]) == 1
    assert said[-1] == failing


def test_check_runs_every_benchmark_once_here(asv: Words) -> None:
    assert _history.main(["check"]) == 0
    run = asv[-1]
    assert {"run", "--quick", "--dry-run"} <= set(run)
    assert f"existing:{sys.executable}" in run
    assert "--bench" not in run
    assert _history.main(["check", "--quick"]) == 0
    assert asv[-1][-2:] == ("--bench", _history.QUICK)


@pytest.mark.parametrize("words", [[], ["nothing"], ["record", "--last"], ["check", "--last", "3"]])
def test_words_that_make_no_sense(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        _history.main(words)
    assert stop.value.code == 2


def test_ctrl_c_while_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*words: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(_history, "_asv", interrupt)
    assert _history.main(["record"]) == 130
    assert "finished commits are kept" in capsys.readouterr().err


def test_asv_is_run_from_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(options, command=command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    assert _history._asv("publish") == 7
    assert seen["command"] == [sys.executable, "-m", "asv", "publish"]
    assert (seen["cwd"] / "asv.conf.json").is_file()


def test_the_site_is_served_on_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("the site")
    monkeypatch.setattr(_history, "SITE", tmp_path)
    servers: list[http.server.ThreadingHTTPServer] = []
    started = threading.Event()

    class Watched(http.server.ThreadingHTTPServer):
        def serve_forever(self, poll_interval: float = 0.02) -> None:
            servers.append(self)
            started.set()
            super().serve_forever(poll_interval)

    monkeypatch.setattr(http.server, "ThreadingHTTPServer", Watched)
    # No line for each request among the test's own output.
    monkeypatch.setattr(
        http.server.SimpleHTTPRequestHandler, "log_message", lambda self, *words: None
    )
    thread = threading.Thread(target=_history._serve, args=(0,))
    thread.start()
    try:
        assert started.wait(10)
        (server,) = servers
        assert server.server_address[0] == "127.0.0.1"
        url = f"http://127.0.0.1:{server.server_port}/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            assert answer.read() == b"the site"
    finally:
        for server in servers:
            server.shutdown()
        thread.join(10)
    assert f"serving {url} (Ctrl-C ends it)" in capsys.readouterr().out
