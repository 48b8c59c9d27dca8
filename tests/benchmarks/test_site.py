"""asv's page without a network: what it loads is pinned, cached, beside it; or nothing changes."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import _site
from benchmarks._site import Package, SiteError

PAGE = """<html><head>
<script src="https://one.example/ajax/1.0/first.min.js" integrity="sha256-abc=" crossorigin="anonymous" onerror="failed()"></script>
<script language="javascript" src="own.js">
</script>
<link rel="stylesheet" href="https://two.example/npm/look@1/look.css" integrity="sha256-def=">
</head><body><a href="https://three.example/">a link</a></body></html>
"""  # noqa: E501 - the page's own lines


def packed(files: dict[str, bytes]) -> bytes:
    """A tarball as npm makes it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return target.getvalue()


FIRST = packed({"dist/first.js": b"first", "other.js": b"never asked for"})
LOOK = packed({"look.css": b"look"})
TARBALLS = {"first-1.0.0.tgz": FIRST, "look-2.0.0.tgz": LOOK}


class Registry:
    """What is asked of it, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.tarballs = dict(TARBALLS)

    def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        name = address.rpartition("/")[2]
        if name not in self.tarballs:
            raise SiteError(f"{address} cannot be had: no network")
        return self.tarballs[name]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    sums = [hashlib.sha256(contents).hexdigest() for contents in (FIRST, LOOK)]
    packages = (
        Package("first", "1.0.0", sums[0], {"first.min.js": "dist/first.js"}),
        Package("look", "2.0.0", sums[1], {"look.css": "look.css"}),
    )
    monkeypatch.setattr(_site, "PACKAGES", packages)
    monkeypatch.setenv("npm_config_registry", "https://registry.example/npm/")
    return Registry()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    return folder


def test_what_the_page_loads_lies_beside_it(registry: Registry, site: Path, tmp_path: Path) -> None:
    assert _site.make_self_contained(site, tmp_path / "cache", registry) == 2
    page = (site / "index.html").read_text()
    assert '<script src="vendor/first.min.js" onerror="failed()">' in page
    assert '<link rel="stylesheet" href="vendor/look.css">' in page
    assert '<a href="https://three.example/">' in page  # a link is not loaded
    assert 'src="own.js"' in page
    assert _site.loaded(page) == []
    found = {file.name: file.read_bytes() for file in (site / "vendor").iterdir()}
    assert found == {"first.min.js": b"first", "look.css": b"look"}
    assert registry.asked == [
        f"https://registry.example/npm/{name}/-/{name}-{version}.tgz"
        for name, version in (("first", "1.0.0"), ("look", "2.0.0"))
    ]


def test_the_cache_needs_no_network(registry: Registry, site: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    _site.make_self_contained(site, cache, registry)
    assert {file.name for file in cache.iterdir()} == TARBALLS.keys()  # nothing unfinished
    (site / "index.html").write_text(PAGE)
    registry.tarballs.clear()
    assert _site.make_self_contained(site, cache, registry) == 2
    assert len(registry.asked) == 2


def test_a_damaged_cache_is_fetched_anew(registry: Registry, site: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "first-1.0.0.tgz").write_bytes(b"half of")
    _site.make_self_contained(site, cache, registry)
    assert (cache / "first-1.0.0.tgz").read_bytes() == FIRST


def test_a_cache_that_cannot_be_written(registry: Registry, site: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert _site.make_self_contained(site, tmp_path / "cache", registry) == 2


def as_it_was(site: Path) -> bool:
    only = [file.name for file in site.iterdir()] == ["index.html"]
    return only and (site / "index.html").read_text() == PAGE


def test_with_no_network_the_site_stays_as_it_was(
    registry: Registry, site: Path, tmp_path: Path
) -> None:
    registry.tarballs.pop("look-2.0.0.tgz")
    with pytest.raises(SiteError, match=r"look-2\.0\.0\.tgz cannot be had"):
        _site.make_self_contained(site, tmp_path / "cache", registry)
    assert as_it_was(site)


def test_other_contents_are_not_used(registry: Registry, site: Path, tmp_path: Path) -> None:
    registry.tarballs["first-1.0.0.tgz"] = packed({"dist/first.js": b"something else"})
    with pytest.raises(SiteError, match=r"has sha256 [0-9a-f]{64}, expected .*: not used"):
        _site.make_self_contained(site, tmp_path / "cache", registry)
    assert as_it_was(site)
    assert not (tmp_path / "cache").exists()


def test_a_page_that_loads_something_new(registry: Registry, site: Path, tmp_path: Path) -> None:
    with_more = PAGE.replace("first.min.js", "unheard.js")
    (site / "index.html").write_text(with_more)
    with pytest.raises(SiteError, match=r"loads unheard\.js, of which no copy is known"):
        _site.make_self_contained(site, tmp_path / "cache", registry)
    assert (site / "index.html").read_text() == with_more
    assert registry.asked == []


def test_everything_that_the_installed_asv_loads_is_pinned() -> None:
    page = (importlib.resources.files("asv") / "www" / "index.html").read_text()
    known = [name for package in _site.PACKAGES for name in package.files]
    assert sorted(_site.loaded(page)) == sorted(known)
    assert _site.loaded(_site.rewritten(page)) == []
    assert all(len(package.sha256) == 64 for package in _site.PACKAGES)


def test_the_registry_is_the_one_that_npm_would_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _site.registry({}) == _site.REGISTRY
    (tmp_path / ".npmrc").write_text("color=false\nregistry = https://mine.example/\n")
    assert _site.registry({}) == "https://mine.example/"
    assert _site.registry({"npm_config_registry": "https://now.example"}) == "https://now.example"


def test_the_cache_lies_where_the_user_has_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert _site.cache_folder({}) == Path("/home/somebody/.cache/optuna-velocity/site")
    assert _site.cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/optuna-velocity/site")


def refuse(address: str) -> Callable[..., object]:
    def urlopen(*words: object, **more: object) -> object:
        raise OSError("Temporary failure in name resolution")

    return urlopen


def test_a_network_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", refuse(""))
    with pytest.raises(SiteError, match=r"https://x\.example/y cannot be had: Temporary failure"):
        _site.fetch("https://x.example/y")
    with pytest.raises(SiteError, match="is no web address"):
        _site.fetch("file:///etc/passwd")
