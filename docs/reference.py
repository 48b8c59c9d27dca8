"""The API reference as pages: `python docs/reference.py FOLDER`, which `nox -s docs` runs."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pdoc

ROOMS = (
    *("optimizer", "optimizer.efficiency", "optimizer.errors", "optimizer.protocols"),
    *("optimizer.report", "optimizer.study", "optimizer.sweep"),
)


def main(folder: str) -> None:
    warnings.simplefilter("error")  # a name that leads nowhere
    for room in map(importlib.import_module, ROOMS):
        for name in getattr(room, "__all__", ()):  # pdoc asks no module-level __getattr__
            setattr(room, name, getattr(room, name))
    # Sections are written in either way, "Args:" or "Parameters" underlined.
    pdoc.render.configure(docformat="google numpy", search=False)
    pdoc.pdoc(*ROOMS, output_directory=Path(folder))


if __name__ == "__main__":
    main(sys.argv[1])
