"""What a sweep found: a column per figure, a row per combination."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._sweep_heatmap import HeatMap
from optimizer.backtest._sweep_space import NAMES, Indexes, Ints, Parameters, chunk_of
from optimizer.errors import SpaceError
from optimizer.space import Choice, SearchSpace

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]

COUNTED = ("trades", "wins")
MEASURED = (
    "final_equity", "mean_return", "std_return", "max_return", "min_return", "exposure",
    "max_drawdown",
)  # fmt: skip
COLUMNS = COUNTED + MEASURED
_BLOCK = 2**16
"""Rows looked at together, so that nothing as long as the columns is made beside them."""
_MOST_CELLS = 2**24
"""Of a heat map; one with more cells than combinations could take all memory."""
_SHOWN = 20
_NAMED = ", ".join(COLUMNS)

Reduction = Literal["max", "min", "mean"]


class SweepResult:
    """The columns of a sweep; `optimizer.sweep.sweep` says what they mean.

    A row is a combination that was run; `len` is the number of rows, `result["trades"]` a column.
    Immutable: the columns are read-only. Pickles.

    Attributes:
        columns: name -> column, (rows,).
        engine: what it ran on.
    """

    def __init__(
        self,
        parameters: Parameters,
        indexes: Indexes,
        counts: Counts,
        measures: Floats,
        engine: str,
    ) -> None:
        self._parameters, self._indexes = parameters, indexes
        for block in (counts, measures):
            block.flags.writeable = False
        self._made_of = counts, measures
        named = dict(zip(COLUMNS, [*counts, *measures], strict=True))
        self.columns: Mapping[str, NDArray[Any]] = MappingProxyType(named)
        self.engine = engine

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._parameters, self._indexes, *self._made_of, self.engine)

    @property
    def space(self) -> SearchSpace:
        """The five parameters, in the order that numbers the combinations."""
        return self._parameters.space

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self.columns[name]
        except KeyError:
            raise SpaceError(f"found column {name!a}, expected one of {_NAMED}") from None

    def __len__(self) -> int:
        return len(self._made_of[0][0])

    def numbers(self) -> Ints:
        """(rows,) the number of each row's combination, its index in `space.grid()`."""
        return chunk_of(self._indexes, 0, len(self))

    def parameters(self) -> dict[str, NDArray[Any]]:
        """(rows,) the values of each parameter, by name; new arrays."""
        digits = self._parameters.digits(self.numbers())
        places = dict(zip(NAMES, digits, strict=True))
        return {name: self._parameters.values[name][places[name]] for name in self.space}

    def params(self, row: int) -> dict[str, Choice]:
        """The parameters of one row, as the space has them.

        Raises:
            IndexError: there is no such row.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"found row {row}, expected one of {len(self)} rows")
        return self.space.grid()[int(self._indexes[row])]

    def top(self, k: int = 10, by: str = "final_equity", *, smallest: bool = False) -> SweepResult:
        """The k rows that are best by one column, best first; among equals the earlier row.

        Rows without that figure (NaN) are never among them. Cost: some passes over the column.

        Args:
            k: rows at most.
            by: a column, such as "final_equity".
            smallest: whether small is good, as it is for "max_drawdown".
        """
        column = self[by]
        key = column if smallest else -column.astype(np.float64)
        known = np.flatnonzero(~np.isnan(key))
        k = max(0, min(k, len(known)))
        if k == 0:
            return self._rows(known[:0])
        limit = np.partition(key[known], k - 1)[k - 1]
        near = np.flatnonzero(key <= limit)
        return self._rows(near[np.argsort(key[near], kind="stable")][:k])

    def _rows(self, rows: NDArray[np.intp]) -> SweepResult:
        if isinstance(self._indexes, range):
            chosen = self._indexes.start + rows.astype(np.int64) * self._indexes.step
        else:
            chosen = self._indexes[rows]
        counts, measures = self._made_of
        return SweepResult(
            self._parameters, chosen, counts[:, rows], measures[:, rows], self.engine
        )

    def to_frame(self) -> Any:
        """A pandas DataFrame: parameters and columns, a row per combination, indexed by number.

        Raises:
            ImportError: pandas is not installed.
        """
        # Not by an import statement: pandas is no dependency, and this room works without it.
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ImportError(f"a frame needs pandas ({error}); `pip install pandas`") from error
        index = pandas.Index(self.numbers(), name="combination")
        return pandas.DataFrame({**self.parameters(), **self.columns}, index=index)

    def heat_map(
        self,
        x: str,
        y: str,
        column: str = "final_equity",
        *,
        reduce: Reduction = "max",
    ) -> HeatMap:
        """A picture of one column over two parameters, the others reduced to their best or mean.

        Rows without the figure (NaN) do not count; a cell without any is left out. Cost: some
        passes over the column.

        Args:
            x: parameter from left to right.
            y: parameter from bottom to top.
            column: what the colours say.
            reduce: "max", "min" or "mean" of the rows that share a cell.

        Raises:
            SpaceError: no such parameter, reduction or column, or too many cells.
        """
        for name in (x, y):
            if name not in NAMES or x == y:
                raise SpaceError(
                    f"found the axes {x!a} and {y!a}, expected two of {', '.join(NAMES)}"
                )
        if reduce not in ("max", "min", "mean"):
            raise SpaceError(f"found reduce {reduce!a}, expected 'max', 'min' or 'mean'")
        values = self._parameters.values
        if len(values[x]) * len(values[y]) > _MOST_CELLS:
            raise SpaceError(
                f"found {len(values[x])} values of {x!a} and {len(values[y])} of {y!a}, expected "
                f"at most {_MOST_CELLS} cells of a heat map: choose two parameters with fewer "
                f"values, or sweep a space with fewer"
            )
        cells = self._reduced(x, y, column, reduce)
        return HeatMap(
            x, y, f"{column}, {reduce} over the other parameters", values[x], values[y], cells
        )

    def _reduced(self, x: str, y: str, column: str, reduce: Reduction) -> Floats:
        width, height = (len(self._parameters.values[name]) for name in (x, y))
        start = {"max": -np.inf, "min": np.inf, "mean": 0.0}[reduce]
        cells = np.full(width * height, start)
        seen = np.zeros(width * height)
        for first in range(0, len(self), _BLOCK):
            numbers = chunk_of(self._indexes, first, min(first + _BLOCK, len(self)))
            digits = self._parameters.digits(numbers)
            places = digits[NAMES.index(y)] * width + digits[NAMES.index(x)]
            found = self[column][first : first + _BLOCK]
            known = ~np.isnan(found)
            places, found = places[known], found[known]
            seen += np.bincount(places, minlength=len(cells))
            {"max": np.maximum, "min": np.minimum, "mean": np.add}[reduce].at(cells, places, found)
        if reduce == "mean":
            cells /= np.maximum(seen, 1.0)
        cells[seen == 0] = np.nan
        return cells.reshape(height, width)

    def __repr__(self) -> str:
        return f"<SweepResult of {len(self)} combinations by {self.engine!r}>"

    def __str__(self) -> str:
        """The first rows as a table of text."""
        part = self._rows(np.arange(min(len(self), _SHOWN)))
        columns = {**part.parameters(), **part.columns}
        table = [list(columns), *zip(*map(_texts, columns.values()), strict=True)]
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in table]
        if len(self) > _SHOWN:
            lines.append(f"... {len(self)} rows in all")
        return "\n".join(lines)


def _texts(column: NDArray[Any]) -> list[str]:
    return [f"{value:.6g}" for value in column.tolist()]


def new_columns(rows: int) -> tuple[Counts, Floats]:
    """Room for the columns of so many combinations, not filled yet.

    Raises:
        SpaceError: there is not so much memory.
    """
    try:
        return np.empty((len(COUNTED), rows), np.int32), np.empty((len(MEASURED), rows))
    except (MemoryError, ValueError) as error:  # numpy's, for sizes beyond any memory
        n_bytes = rows * (4 * len(COUNTED) + 8 * len(MEASURED))
        raise SpaceError(
            f"found {rows} combinations, whose columns take {n_bytes} bytes, more than there is "
            f"memory for; choose some of them at a time: combinations=range(0, 1_000_000)"
        ) from error


def compacted(
    finished: bytes,
    chunk: int,
    indexes: Indexes,
    counts: Counts,
    measures: Floats,
) -> tuple[Indexes, Counts, Floats]:
    """The columns of the finished chunks (1 in `finished`), moved together in place.

    `finished` is a copy that nobody writes to, and no chunk runs any more.
    """
    starts = [number * chunk for number, one in enumerate(finished) if one]
    if len(starts) == len(finished) and starts:
        return indexes, counts, measures
    kept: Indexes = indexes[: len(starts) * chunk]
    if 0 in finished[: len(starts)]:
        kept = np.concatenate([chunk_of(indexes, start, start + chunk) for start in starts])
    at = 0
    for start in starts:
        stop = min(start + chunk, counts.shape[1])
        counts[:, at : at + stop - start] = counts[:, start:stop]
        measures[:, at : at + stop - start] = measures[:, start:stop]
        at += stop - start
    return kept, counts[:, :at], measures[:, :at]
