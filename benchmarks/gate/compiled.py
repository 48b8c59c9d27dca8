"""numba's disk caches, carried over to a stage that was just written.

numba keeps compiled kernels in `__pycache__` beside their source file, so a new stage would compile
every kernel again, which takes long under valgrind. It trusts a cache if that one file is the same
(its content, in older versions its time and size), the numba version, the processor, and the bytes
of the function. It does not look at files that the kernel's file imports, so this module does.

Only caches that earlier runs wrote into stages of the same scratch folder are used.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .reach import Graph, read_tree

_STAGE = re.compile(r"[0-9a-f]{40}")
_CACHES = "__pycache__"


def carry_over(scratch: Path, stage: Path) -> int:
    """Copy caches that fit into the new `stage` from other stages below `scratch`; how many files.

    A source file gets caches from the one stage that holds most of them, if it and all it imports
    from its package are byte for byte the same there. Its time of change becomes that of its
    equal, which older versions of numba ask for. An interrupted copy leaves no half file.
    """
    best: dict[Path, tuple[int, Path]] = {}  # source file, relative -> caches there, which stage
    graphs = _Graphs()
    for other in sorted(scratch.glob("*")):
        if _STAGE.fullmatch(other.name) is None or other == stage or other.is_symlink():
            continue
        with contextlib.suppress(FileNotFoundError):  # another run swept it away meanwhile
            for file in _compiled_files(other):
                count = len(_caches(other / file))
                if count > best.get(file, (0, other))[0] and _same(other, stage, file, graphs):
                    best[file] = (count, other)
    copied = 0
    for file, (_, other) in sorted(best.items()):
        with contextlib.suppress(FileNotFoundError):
            copied += _copy(other / file, stage / file)
    return copied


class _Graphs(dict[tuple[Path, str], Graph]):
    """The import graphs of packages in stages, read when first asked for."""

    def __missing__(self, key: tuple[Path, str]) -> Graph:
        graph = self[key] = Graph(read_tree(*key), key[1])
        return graph


def _compiled_files(stage: Path) -> Iterator[Path]:
    """Source files of a stage that have caches, relative to it."""
    for folder in sorted(stage.rglob(_CACHES)):
        for name in sorted({cache.name.partition(".")[0] for cache in folder.glob("*.nbi")}):
            source = folder.parent / f"{name}.py"
            if source.is_file():
                yield source.relative_to(stage)


def _caches(source: Path) -> list[Path]:
    """numba's files of `source`: data first, so that a copied index never points to nothing."""
    folder = source.parent / _CACHES
    return [
        cache
        for kind in ("nbc", "nbi")
        for cache in sorted(folder.glob(f"*.{kind}"))
        if cache.name.startswith(f"{source.stem}.") and not cache.is_symlink()
    ]


def _same(other: Path, stage: Path, file: Path, graphs: _Graphs) -> bool:
    """Whether `file`, and whatever it imports from its package, is the same in both stages."""
    if not _equal(other / file, stage / file):
        return False
    needed = {name for side in (other, stage) for name in _needed(side, file, graphs)}
    return all(_equal(other / name, stage / name) for name in sorted(needed))


def _needed(side: Path, file: Path, graphs: _Graphs) -> Iterable[str]:
    """What `file` may import; everything, where it does not lie in a regular package."""
    package = file.parts[0]
    if (side / package / "__init__.py").is_file():
        return graphs[side, package].reached(file.as_posix())
    return [source.relative_to(side).as_posix() for source in side.rglob("*.py")]


def _equal(one: Path, two: Path) -> bool:
    if one.is_symlink() or two.is_symlink() or not (one.is_file() and two.is_file()):
        return False
    return one.read_bytes() == two.read_bytes()


def _copy(source: Path, target: Path) -> int:
    folder = target.parent / _CACHES
    folder.mkdir(exist_ok=True)
    caches = _caches(source)
    for cache in caches:
        handle, unfinished = tempfile.mkstemp(dir=folder, prefix=".unfinished-")
        os.close(handle)
        try:
            shutil.copyfile(cache, unfinished)
            shutil.copystat(cache, unfinished)
            os.replace(unfinished, folder / cache.name)
        except BaseException:
            os.unlink(unfinished)
            raise
    times = source.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    return len(caches)
