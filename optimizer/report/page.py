"""The report as one HTML page, with the plots of `optuna.visualization` in it."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from optimizer.errors import ReportError

if TYPE_CHECKING:
    import optuna

    from optimizer.report.run import RunReport

# The browser refuses whatever is not in the page itself; plotly compiles code for its parallel
# coordinates.
_ONLY_INLINE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)

MOST_BARS = 5_000
"""Trials that a timeline shows; more cannot be told apart, and make the page slow."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid #ddd;
  vertical-align: top; }
td.figure { text-align: right; font-variant-numeric: tabular-nums; }
p.missing { color: #666; }
div.plot { overflow-x: auto; }
"""

Plot = Callable[[], Any]


def page_of(report: RunReport, study: optuna.Study, title: str | None = None) -> str:
    """The page; see `RunReport.html`."""
    plotly_js = _plotly_js()
    name = html.escape(title if title is not None else f"Study {study.study_name}")
    parts = [
        f"<h1>{name}</h1>",
        _table(report.lines()),
        "<h2>Where the time went</h2>",
        _table(report.phase_lines(), ("phase", "time", "of total")),
        *(f"<p>{html.escape(remark)}</p>" for remark in report.remarks),
    ]
    for number, (heading, plot) in enumerate(_plots(study)):
        parts += [f"<h2>{html.escape(heading)}</h2>", _drawn(plot, f"plot-{number}")]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_ONLY_INLINE}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n"
        f"<script>{plotly_js}</script>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def require_plotly() -> None:
    """Refuse early where no page could be made.

    Raises:
        ReportError: plotly is not installed; the message says how to.
    """
    try:
        # It ships no types, and need not be there.
        import plotly.offline  # type: ignore[import, unused-ignore] # noqa: F401
    except ImportError as error:
        raise ReportError(
            f"plotly is not available ({error}), and the HTML report needs it: "
            f"`pip install 'optuna-velocity[report]'` brings it; the text report does without"
        ) from None


def _plotly_js() -> str:
    require_plotly()
    from plotly.offline import get_plotlyjs

    code: str = get_plotlyjs()
    return code


def _plots(study: optuna.Study) -> Iterator[tuple[str, Plot]]:
    """Heading and plot, in the order of the page; none is drawn yet."""
    import optuna.visualization as draw

    count = len(study.directions)
    if count > 1:
        yield "Pareto front", lambda: draw.plot_pareto_front(_finished(study))
    for index in range(count):
        yield from _of_objective(study, index, count)
    yield "Timeline", lambda: _timeline(study)


def _of_objective(study: optuna.Study, index: int, count: int) -> Iterator[tuple[str, Plot]]:
    import optuna.visualization as draw
    from optuna.importance import PedAnovaImportanceEvaluator

    of: dict[str, Any] = {}
    after = ""
    if count > 1:
        names = study.metric_names
        label = names[index] if names else f"Objective {index}"
        of = {"target": lambda trial: trial.values[index], "target_name": label}
        after = f": {label}"

    def importances() -> Any:
        # Needs no scikit-learn, unlike Optuna's default, and stays quick in long studies.
        evaluator = PedAnovaImportanceEvaluator()
        return draw.plot_param_importances(_finished(study), evaluator, **of)

    yield f"History{after}", lambda: draw.plot_optimization_history(_finished(study), **of)
    yield f"Importances{after}", importances
    yield f"Slices{after}", lambda: draw.plot_slice(_finished(study), **of)
    yield (
        f"Parallel coordinates{after}",
        lambda: draw.plot_parallel_coordinate(_finished(study), **of),
    )


class _NothingToDraw(Exception):
    """Why a plot is left out."""


def _finished(study: optuna.Study) -> optuna.Study:
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise _NothingToDraw("no trial is complete")
    return study


def _timeline(study: optuna.Study) -> Any:
    import optuna.visualization as draw

    trials = len(study.get_trials(deepcopy=False))
    if trials > MOST_BARS:
        raise _NothingToDraw(f"{trials} trials, and {MOST_BARS} are the most that fit")
    if not trials:
        raise _NothingToDraw("there is no trial")
    return draw.plot_timeline(study)


def _drawn(plot: Plot, div_id: str) -> str:
    """A plot as part of the page, or the line that says why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental parts of Optuna's say so each time
            figure = plot()
            if not figure.data:  # Optuna says in its log what is missing, and draws nothing
                raise _NothingToDraw("the trials have nothing that it shows")
            text: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=div_id)
    except _NothingToDraw as reason:
        return _missing(str(reason))
    except Exception as error:  # a plot of someone else's must not cost the report
        return _missing(f"{type(error).__name__}: {error}")
    return f'<div class="plot">{text}</div>'


def _missing(reason: str) -> str:
    line = " ".join(reason.split())[:300]
    return f'<p class="missing">Not drawn: {html.escape(line)}</p>'


def _table(rows: Any, head: tuple[str, ...] = ()) -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=figure' * (bool(head) and place > 0)}>{html.escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    return f"<table>\n{f'<tr>{titles}</tr>' if head else ''}{body}</table>"
