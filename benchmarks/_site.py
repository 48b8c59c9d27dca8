"""asv's site made to work without a network: the scripts that its page loads come from beside it.

They are taken from the npm registry's packages, by version and sha256, kept in the user's cache
folder, and written beside the page. `npm_config_registry` in the environment, or a `registry=` line
of `~/.npmrc`, names another registry; proxies and certificates are the environment's.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import os
import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate.files import replace

REGISTRY = "https://registry.npmjs.org"
VENDOR = "vendor"  # the folder beside the page
TIMEOUT_S = 30.0
LARGEST_BYTES = 20_000_000  # no package is a tenth of it


class SiteError(Exception):
    """What the page loads cannot be had, or nothing can be served."""


@dataclass(frozen=True)
class Package:
    """A package of the registry, and the files of it that a page asks for."""

    name: str
    version: str
    sha256: str  # of the tarball
    files: Mapping[str, str]  # last part of the address that the page has -> file in the package

    @property
    def tarball(self) -> str:
        return f"{self.name}-{self.version}.tgz"

    def address(self, registry: str) -> str:
        return f"{registry.rstrip('/')}/{self.name}/-/{self.tarball}"


_FLOT = ("flot", "flot.time", "flot.selection", "flot.categories")

PACKAGES = (
    Package(
        *("jquery", "3.3.1"),
        "2c7c70a1e796c1568ff05d45a8cb2da2a0fc6e37426c65e4eef6ee55e217933e",
        {"jquery-3.3.1.min.js": "dist/jquery.min.js"},
    ),
    Package(
        *("flot", "0.8.3"),
        "5e4cea78a9efa2d3dbba363ac76c688951e6c638ee916883c36e23516208b1ed",
        {f"jquery.{name}.min.js": f"jquery.{name}.js" for name in _FLOT},
    ),
    Package(
        *("flot-orderbars", "1.0.0"),
        "e5523ee7cca778f194b34fc31afb6dda40bf1557e6669fda4730c29f53e87101",
        {"jquery.flot.orderBars.js": "js/jquery.flot.orderBars.js"},
    ),
    Package(  # the page asks for 1.0.1, which the registry lacks
        *("stupid-table-plugin", "1.1.3"),
        "1186089584b7c2f7fec9ad4232e9aa1adbfea273eaa233b713beb8c2c916b4ac",
        {"stupidtable.min.js": "stupidtable.min.js"},
    ),
    Package(
        *("blueimp-md5", "2.19.0"),
        "0fff5798c7733b21f3e4c0de69ccba12af266e0f01c3e3a41051c0e49a655512",
        {"md5.min.js": "js/md5.min.js"},
    ),
    Package(
        *("bootstrap", "3.1.1"),
        "23b27da4dd80b8fbe8972ac4be87037627e007ad5dd1edb27435844f0a4646a0",
        {"bootstrap.min.js": "dist/js/bootstrap.min.js"}
        | {"bootstrap.min.css": "dist/css/bootstrap.min.css"},
    ),
)

_TAG = re.compile(r"<(?:script|link)\b[^>]*>")
_LOADED = re.compile(r'\b(src|href)="(?:https?:)?//[^"]*/([^"/?#]+)[^"]*"')
_NEEDLESS = re.compile(r'\s+(?:integrity|crossorigin|referrerpolicy)="[^"]*"')


# --- where the packages come from


def registry(environment: Mapping[str, str] = os.environ) -> str:
    """The registry that npm would use here."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if environment.get(name):
            return environment[name]
    try:
        lines = (Path.home() / ".npmrc").read_text(encoding="utf-8").splitlines()
    except (OSError, RuntimeError, UnicodeDecodeError):  # no home, or no such file
        return REGISTRY
    said = [line.partition("=")[2].strip() for line in lines if re.match(r"\s*registry\s*=", line)]
    return said[-1] if said else REGISTRY


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's cache folder of this project."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "optuna-velocity" / "site"


def fetch(address: str) -> bytes:
    """What lies at an address; `SiteError` says why it cannot be had."""
    if not address.startswith(("https://", "http://")):
        raise SiteError(f"{address} is no web address")
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            contents: bytes = answer.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # what urllib raises derives from the first
        reason = getattr(error, "reason", error)
        raise SiteError(f"{address} cannot be had: {reason}") from None
    return contents


def tarball(package: Package, cache: Path, get: Callable[[str], bytes]) -> bytes:
    """A package's tarball, from the cache or the registry; no other contents than the pinned."""
    kept = cache / package.tarball
    if kept.is_file():
        contents = kept.read_bytes()
        if hashlib.sha256(contents).hexdigest() == package.sha256:
            return contents
    address = package.address(registry())
    contents = get(address)
    found = hashlib.sha256(contents).hexdigest()
    if found != package.sha256:
        raise SiteError(f"{address} has sha256 {found}, expected {package.sha256}: not used")
    _keep(kept, contents)
    return contents


def _keep(file: Path, contents: bytes) -> None:
    """Into the cache, whole or not at all; one that cannot be written is done without."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(contents)
        unfinished.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _files(package: Package, contents: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a package that a page asks for; only members named here are read."""
    with tarfile.open(fileobj=io.BytesIO(contents), mode="r:gz") as archive:
        for asked, member in package.files.items():
            stream = archive.extractfile(f"package/{member}")
            assert stream is not None  # a pinned tarball: the member is a plain file
            yield asked, stream.read()


# --- the page


def loaded(page: str) -> list[str]:
    """The last parts of the addresses that a page loads from elsewhere."""
    return [name for tag in _TAG.findall(page) for _, name in _LOADED.findall(tag)]


def rewritten(page: str) -> str:
    """The page with everything that it loads from beside it."""

    def local(tag: re.Match[str]) -> str:
        if not _LOADED.search(tag[0]):
            return tag[0]
        return _NEEDLESS.sub("", _LOADED.sub(rf'\1="{VENDOR}/\2"', tag[0]))

    return _TAG.sub(local, page)


def make_self_contained(
    site: Path, cache: Path | None = None, get: Callable[[str], bytes] = fetch
) -> int:
    """Put what the page loads from elsewhere beside it; returns how many files.

    Raises `SiteError` where one of them cannot be had: then the site is as it was.
    """
    index = site / "index.html"
    page = index.read_text(encoding="utf-8")
    asked = loaded(page)
    known = {name for package in PACKAGES for name in package.files}
    if unknown := [name for name in asked if name not in known]:
        raise SiteError(f"this version of asv loads {unknown[0]}, of which no copy is known here")
    found: dict[str, bytes] = {}
    for package in PACKAGES:
        if set(package.files) & set(asked):
            found |= _files(package, tarball(package, cache or cache_folder(), get))
    (site / VENDOR).mkdir(exist_ok=True)
    for name in asked:
        (site / VENDOR / name).write_bytes(found[name])
    replace(index, rewritten(page))
    return len(asked)


# --- on loopback


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing of what is there; of what is not, as always."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No line."""


def server(site: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of the site that only this machine reaches; port 0 takes a free one."""
    handler = functools.partial(_Quiet, directory=str(site))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SiteError(f"port {port} of loopback: {reason}; --port 0 takes a free one") from None
