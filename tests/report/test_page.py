"""The HTML: whole, without network, and never worth a failure."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import optuna
import pytest

from optimizer.errors import ReportError
from optimizer.report import RunReport, page

REPORT = RunReport(
    total_s=2.0, phases_s={"objective": 1.5}, states={"COMPLETE": 8}, remarks=("a & b",)
)
HEADINGS = ["History", "Importances", "Slices", "Parallel coordinates", "Timeline"]
NASTY = "</script><script>alert(1)"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(name="small")
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plotly's own code, which takes long to look through."""
    pytest.importorskip("plotly")
    monkeypatch.setattr(page, "_plotly_js", lambda: "/* plotly */")


class Reader(HTMLParser):
    """Headings, texts of missing plots, and whatever a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.missing: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.scripts = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = dict(attributes)
        self.open.append("missing" if names.get("class") == "missing" else tag)
        self.scripts += tag == "script"
        self.fetched += [str(v) for k, v in attributes if k in ("src", "href", "srcset", "data")]
        if tag == "link":
            self.fetched.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] == "missing":
            self.missing.append(data)
        if data.strip() or (self.open and self.open[-1] in ("h2", "missing")):
            self.open.append("")


def study_of(n: int, objectives: int = 1, name: str = "s") -> optuna.Study:
    study = optuna.create_study(
        study_name=name,
        directions=["minimize"] * objectives,
        sampler=optuna.samplers.RandomSampler(seed=1),
    )

    def objective(trial: optuna.Trial) -> float | list[float]:
        x = trial.suggest_float("x", 0.0, 1.0)
        side = trial.suggest_categorical(NASTY, ["a", "b"])
        value = x + (side == "a")
        return value if objectives == 1 else [value, *[1.0 - x] * (objectives - 1)]

    study.optimize(objective, n_trials=n)
    return study


@pytest.mark.usefixtures("small")
def test_a_study_of_one_objective() -> None:
    study = study_of(12)
    text = REPORT.html(study)
    read = Reader(text)
    assert read.headings == ["Where the time went", *HEADINGS]
    assert read.missing == []
    assert read.fetched == []
    assert read.scripts == 1 + len(HEADINGS)  # plotly, and one for each plot
    assert "<title>Study s</title>" in text
    assert "a &amp; b" in text
    assert "75.0%" in text
    assert REPORT.html(study) == text


@pytest.mark.usefixtures("small")
def test_names_are_text_and_nothing_else() -> None:
    text = REPORT.html(study_of(12, name=f"{NASTY} & <b>"))
    read = Reader(text)
    assert read.scripts == 1 + len(HEADINGS)
    assert "<script>alert" not in text
    assert "&lt;b&gt;" in text
    assert "<h1>&lt;i&gt;</h1>" in REPORT.html(study_of(1), title="<i>")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("objectives", [2, 4])
def test_several_objectives(objectives: int) -> None:
    study = study_of(12, objectives)
    names = [f"f{number}" for number in range(objectives)]
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(names)
    read = Reader(REPORT.html(study))
    each = [f"{heading}: {name}" for name in names for heading in HEADINGS[:-1]]
    assert read.headings == ["Where the time went", "Pareto front", *each, "Timeline"]
    # Optuna draws fronts of two and three objectives.
    assert len(read.missing) == (objectives == 4)
    if objectives == 4:
        assert "Not drawn: ValueError: " in read.missing[0]


@pytest.mark.usefixtures("small")
def test_a_plot_that_cannot_be_made_says_why() -> None:
    read = Reader(REPORT.html(study_of(0)))
    assert read.missing == [
        *["Not drawn: no trial is complete"] * 4,
        "Not drawn: there is no trial",
    ]


@pytest.mark.usefixtures("small")
def test_a_plot_that_raises_costs_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("line one\n<b>")

    monkeypatch.setattr("optuna.visualization.plot_slice", broken)
    text = REPORT.html(study_of(12))
    assert Reader(text).missing == ["Not drawn: RuntimeError: line one <b>"]
    assert len(re.findall("Plotly.newPlot", text)) == 4


@pytest.mark.usefixtures("small")
def test_a_timeline_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_BARS", 5)
    read = Reader(REPORT.html(study_of(6)))
    assert read.missing == ["Not drawn: 6 trials, and 5 are the most that fit"]


def test_plotly_is_in_the_page() -> None:
    pytest.importorskip("plotly")
    text = REPORT.html(study_of(2))
    head, _, body = text.partition("</head>")
    assert len(head) > 1_000_000 > len(body)
    assert "default-src 'none'" in head
    assert "Plotly.newPlot" in body


def test_without_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ReportError, match=r"pip install 'optuna-velocity\[report\]'") as caught:
        REPORT.html(study_of(0))
    assert "\n" not in str(caught.value)
