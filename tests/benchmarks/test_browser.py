"""The pages as a browser without a network shows them; the pictures are kept.

They lie in the folder that BROWSER_PICTURES names, or in the test's own. Where BROWSER_REQUIRED is
set, as `nox -s browser` does, a browser or scripts that cannot be had fail the tests.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from git_project import GitProject
from headless import Browser, chromium
from sample_history import record, recorded

from benchmarks import _claims_page, _history, _history_asv, _history_store, _site
from benchmarks._history import CODE, ROOT
from benchmarks._history_asv import Commit
from benchmarks._history_store import Record
from benchmarks.gate.repository import Repository

pytestmark = pytest.mark.stress

COMMITS, STEP_AT = 24, 16


def lacking(reason: str) -> NoReturn:
    """Skip; fail where looking at the pages is what was asked for."""
    if os.environ.get("BROWSER_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    try:
        program = chromium()
    except pytest.skip.Exception as error:
        lacking(str(error))
    return Browser(program, tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("BROWSER_PICTURES")
    return Path(named).resolve() if named else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site of a made-up history in which one path became slower, served on loopback."""
    folder = tmp_path_factory.mktemp("history")
    project, records = GitProject.create(folder / "project"), []
    for i in range(COMMITS):
        project.commit({f"{CODE}/__init__.py": f"A = {i}\n"}, f"change {i}")
    commits = _history.commits(Repository(project.root))
    for i, commit in enumerate(reversed(commits)):
        slower = 1.3 if i >= STEP_AT else 1.0
        wobble = 1 + 0.004 * (i % 3)
        paths = {
            "stores.Add": recorded("n=1", "n=10", ratio=0.1 * slower * wobble),
            "signature.Warm": recorded("n=1", ratio=0.3 * wobble),
        }
        records.append(record(commit.tree, paths, commit=commit.hash))
    with served(records, commits, project.root, folder / "asv") as found:
        yield found


@contextmanager
def served(
    records: Sequence[Record], commits: Sequence[Commit], root: Path, folder: Path
) -> Iterator[str]:
    """The address of asv's site of these records."""
    if not _history_asv.write_results(records, commits, folder / "results"):
        lacking("no record is of a commit of this clone: git fetch --unshallow")
    site = _history_asv.publish(records, root, folder)
    try:
        _site.make_self_contained(site)
    except _site.SiteError as error:
        lacking(f"the page's scripts are neither cached nor to be had: {error}")
    with _site.server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(10)


def test_the_summary_draws_a_line_for_every_graph(
    browser: Browser, address: str, pictures: Path
) -> None:
    text = browser.text(address)
    assert "failed to load" not in text  # what asv's page says where a script is lacking
    for name in ("Add.cost_ratio", "Warm.instructions", "Add.peak_memory"):
        assert name in text
    picture = browser.picture(address, pictures / "summary.png")
    assert picture.coloured_columns(left=0, top=60) > 4 * 250  # four graphs stand side by side


def test_a_graph_draws_its_lines_across_the_plot(
    browser: Browser, address: str, pictures: Path
) -> None:
    graph = f"{address}#stores.Add.cost_ratio"
    text = browser.text(graph)
    assert "case-n=10" in text
    picture = browser.picture(graph, pictures / "graph.png")
    assert picture.coloured_columns(left=280, top=60) > 800


def test_the_regressions_are_listed(browser: Browser, address: str, pictures: Path) -> None:
    page = f"{address}#/regressions"
    text = browser.text(page)
    assert "stores.Add.cost_ratio(" in text
    assert "1.30x" in text
    assert "signature.Warm.cost_ratio(" not in text
    browser.picture(page, pictures / "regressions.png")


def test_the_claims_chart_is_drawn(browser: Browser, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "claims.html"
    assert _claims_page.main(file) == 0
    assert "Beyond the reports" in browser.text(file.as_uri())
    picture = browser.picture(file.as_uri(), pictures / "claims.png")
    assert picture.coloured_columns(left=0, top=300) > 300


def test_the_recorded_history_is_drawn(browser: Browser, pictures: Path, tmp_path: Path) -> None:
    """That of benchmarks/history/, as `nox -s history` publishes it."""
    records = _history_store.read_all()
    if not records:
        pytest.skip("benchmarks/history/ holds no records: nox -s history records some")
    commits = _history.commits(Repository(ROOT))
    with served(records, commits, ROOT, tmp_path / "asv") as address:
        text = browser.text(address)
        assert "failed to load" not in text
        for name in _history_store.workloads_now(records):
            assert f"{name.rpartition('.')[2]}." in text, name
        picture = browser.picture(address, pictures / "recorded-summary.png")
        assert picture.coloured_columns(left=0, top=60) > 0
