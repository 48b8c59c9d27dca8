"""asv's history of the repository: record, publish, serve; and every benchmark once.

python -m benchmarks._history record [--last N] [--no-serve] [--port P]
python -m benchmarks._history check [--quick]
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / ".asv" / "html"
CODE = "optimizer"
# In `check --quick`: everything but the sides that take seconds a call.
_SLOW = r"(stores\.Add|backtest\.Day|features\.Walk|sweep\.Sweep)\w+"
QUICK = rf"^(?!study\.Momentum)(?!{_SLOW}\.(time_before|track_cost_ratio))"


class HistoryError(Exception):
    """There is nothing to record, or nowhere to serve it."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="history", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    record = commands.add_parser("record", help="record commits, publish, serve")
    record.add_argument("--last", type=int, default=3, metavar="N", help="commits (default: 3)")
    record.add_argument("--no-serve", action="store_true", help="publish only")
    record.add_argument("--port", type=int, default=8080, help="on loopback; 0: any (8080)")
    check = commands.add_parser("check", help="run every benchmark once on the working tree")
    check.add_argument("--quick", action="store_true", help="leave the slow sides out")
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            return _check(quick=options.quick)
        return (
            _record(options.last) or _publish() or (0 if options.no_serve else _serve(options.port))
        )
    except HistoryError as error:
        print(f"history: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("history: interrupted; finished commits are kept", file=sys.stderr)
        return 130


def _asv(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "asv", *words], cwd=ROOT).returncode


def _commits(last: int) -> list[str]:
    """The last commits that changed the code under test, newest first."""
    command = ["git", "log", f"-{last}", "--format=%H", "--", CODE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0 or not done.stdout.strip():
        reason = done.stderr.strip() or f"no commit changed {CODE}/"
        raise HistoryError(f"nothing to record in {ROOT}: {reason}")
    return done.stdout.split()


def _record(last: int) -> int:
    """asv's run over the commits that lack results."""
    if _asv("machine", "--yes"):
        return 1
    with tempfile.NamedTemporaryFile("w", suffix=".commits", delete=False) as stream:
        stream.write("\n".join(_commits(last)) + "\n")
    try:
        return _asv("run", "--skip-existing-successful", "--show-stderr", f"HASHFILE:{stream.name}")
    finally:
        os.unlink(stream.name)


def _publish() -> int:
    code = _asv("publish")
    if code == 0:
        print(f"history: {SITE / 'index.html'}")
    return code


def _serve(port: int) -> int:
    """Serve the site on loopback until Ctrl-C; the page loads asv's scripts from the network."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(SITE))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise HistoryError(f"port {port} of loopback: {error.strerror}; say --port 0") from None
    with server:
        print(f"serving http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
    return 0


def _check(*, quick: bool) -> int:
    """Every benchmark once in this environment, where the project is installed."""
    if _asv("machine", "--yes"):
        return 1
    words = ["run", "--quick", "--dry-run", "--show-stderr", "-E", f"existing:{sys.executable}"]
    return _asv(*words, *(["--bench", QUICK] if quick else []))


if __name__ == "__main__":
    raise SystemExit(main())
