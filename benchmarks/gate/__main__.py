"""`python -m benchmarks.gate`, or `python -m velocity_gate` from the wheel."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
