"""Which Python runs the study: the caller's own, not the one these scripts run in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Written for any Python 3, because the study's may be older than ours. A package is really
# imported: one that is installed but broken must count as missing.
_PROBE = """
import json, sys
package = sys.argv[1] if len(sys.argv) > 1 else None
version = None
if package:
    sys.path = [folder for folder in sys.path if folder]
    try:
        version = getattr(__import__(package), "__version__", "unknown")
    except Exception:
        pass
print(json.dumps([sys.executable, ".".join(map(str, sys.version_info[:3])), version]))
"""

_COMPILE = """
import sys
try:
    with open(sys.argv[1], "rb") as script:
        compile(script.read(), sys.argv[1], "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    line = getattr(error, "lineno", None)
    print("%s%s" % ("line %d: " % line if line else "", getattr(error, "msg", error)))
"""


class InterpreterError(Exception):
    """No Python to run the study with; the message says what was looked for and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that was started once and answered."""

    path: str
    version: str
    origin: str
    package_version: str | None = None  # of the package asked for; None: it cannot be imported


def callers_environ(environ: Mapping[str, str], own_prefix: str) -> dict[str, str]:
    """The environment as it was before nox put its session's environment in front.

    Outside nox nothing changes: whoever activates an environment and runs a script in it means
    that environment.

    environ: the variables this process sees. own_prefix: `sys.prefix` of this process.
    Returns a new dictionary.
    """
    cleaned = dict(environ)
    if "NOX_CURRENT_SESSION" not in environ:
        return cleaned
    own = Path(own_prefix).resolve()
    active = environ.get("VIRTUAL_ENV")
    if active and Path(active).resolve() == own:
        del cleaned["VIRTUAL_ENV"]
    folders = environ.get("PATH", "").split(os.pathsep)
    cleaned["PATH"] = os.pathsep.join(
        f for f in folders if not f or Path(f).resolve().parent != own
    )
    return cleaned


def choose(environ: Mapping[str, str], own_prefix: str) -> tuple[str, str]:
    """Find the interpreter of the caller's active environment.

    Looks at $VIRTUAL_ENV, then at `python3` and `python` on PATH, both as the caller had them.

    environ, own_prefix: as for `callers_environ`. Returns (path, where it was found).
    Raises InterpreterError when there is none.
    """
    caller = callers_environ(environ, own_prefix)
    active = caller.get("VIRTUAL_ENV")
    if active:
        found = shutil.which("python", path=str(Path(active, "bin")))
        if found is None:
            raise InterpreterError(
                f"VIRTUAL_ENV is {active}, but there is no bin/python in it; "
                "activate another environment or name the interpreter with --python"
            )
        return os.path.abspath(found), "the active environment, $VIRTUAL_ENV"
    for name in ("python3", "python"):
        found = shutil.which(name, path=caller.get("PATH", os.defpath))
        if found is not None:
            return os.path.abspath(found), f"{name} on PATH"
    raise InterpreterError(
        "neither python3 nor python is on PATH; name the study's interpreter with --python"
    )


def named(executable: str, environ: Mapping[str, str]) -> str:
    """The absolute path of an interpreter given by hand, as a path or as a name on PATH."""
    found = shutil.which(os.path.expanduser(executable), path=environ.get("PATH", os.defpath))
    if found is None:
        raise InterpreterError(f"--python {executable}: there is no such program")
    return os.path.abspath(found)


def probe(
    path: str, origin: str, environ: Mapping[str, str], package: str | None = None
) -> Interpreter:
    """Start the interpreter once and ask what it is, and whether it can import `package`.

    A launcher in front of the interpreter (pyenv's shims, for example) is seen through.

    Cost: one process. Raises InterpreterError when it does not start or is not a Python 3.
    """
    command = [path, "-c", _PROBE, *([package] if package else [])]
    try:
        answer = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        # The last line: a sitecustomize may print before it.
        real, version, package_version = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(
            f"{path} (from {origin}) does not answer as a Python 3 ({error}); "
            "name the study's interpreter with --python"
        ) from error
    return Interpreter(real or path, version, origin, package_version)


def why_no_script(path: str, script: Path, environ: Mapping[str, str]) -> str:
    """What keeps the interpreter from reading a file as a script; empty when nothing does.

    Only plain files of source are looked at: a pipe can be read once, and an archive or compiled
    code runs as it is. Cost: one process.
    """
    if not script.is_file() or script.suffix == ".pyc" or zipfile.is_zipfile(script):
        return ""
    command = [path, "-S", "-W", "ignore", "-c", _COMPILE, str(script)]
    try:
        answer = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # it answered before: the study itself will say what is wrong
    return answer.stdout.decode("utf-8", "replace").strip()
