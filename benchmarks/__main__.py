"""`python -m benchmarks list | drive NAME before|after | claims | start | growth | modes`."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import _claims, _engine, _growth, _modes, _registry, _start


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("list", help="every hot path with its cases and witnesses")
    drive = commands.add_parser("drive", help="repeat one side of a hot path, for a profiler")
    drive.add_argument("name", help="for example stores.AddBatch")
    drive.add_argument("side", choices=("before", "after"))
    drive.add_argument("--case", help="for example n=1000 (default: where the claim is judged)")
    drive.add_argument("--seconds", type=float, default=5.0, help="how long (default: 5)")
    drive.add_argument("--calls", type=int, help="exactly so many calls instead")
    _claims.add_arguments(commands.add_parser("claims", help="reported beside measured"))
    _start.add_arguments(commands.add_parser("start", help="seconds to a process' first table"))
    _growth.add_arguments(commands.add_parser("growth", help="ms a trial, 100 to 100,000 trials"))
    _modes.add_arguments(commands.add_parser("modes", help="the efficiency modes, 20 seeds"))
    options = parser.parse_args()
    try:
        if options.command == "list":
            return _list()
        if options.command == "claims":
            return _claims.main(options)
        if options.command == "start":
            return _start.main(options)
        if options.command == "growth":
            return _growth.main(options)
        if options.command == "modes":
            return _modes.main(options)
        return _drive(options)
    except KeyError as error:
        print(f"benchmarks: {error.args[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130


def _list() -> int:
    for path in _registry.load():
        cases = " ".join(case.label for case in path.cases)
        print(f"{path.name:24} {cases:36} {', '.join(path.witnesses)}")
    return 0


def _drive(options: argparse.Namespace) -> int:
    case = _engine.find(options.name).case(options.case)
    body = case.open()
    call = getattr(body, options.side)
    calls, end = 0, time.perf_counter() + options.seconds
    try:
        while calls < options.calls if options.calls else time.perf_counter() < end:
            body.fresh()
            call()
            calls += 1
    finally:
        body.close()
    print(f"{options.name}[{case.label}] {options.side}: {calls} calls")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
