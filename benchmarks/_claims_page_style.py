"""The style sheet of the claims page: the gate's palettes, tables of its own.

Colour never says anything alone: each verdict stands there as a word.
"""

from benchmarks.gate.html_style import STYLE as _GATE

STYLE = (
    _GATE
    + """
h1 { font-size: 22px; margin: 0 0 16px; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 6px 12px;
}
figure.card { margin: 20px 0 0; padding: 8px; overflow-x: auto; }
figure svg { width: 100%; min-width: 720px; height: auto; }
.wide { margin-top: 16px; }
ul.hint { padding-left: 20px; } .hint li { margin: 2px 0; }
.card td, .card th { padding: 3px 12px 3px 0; vertical-align: baseline; }
.card tbody .row td { border-top: 1px solid var(--line); padding-top: 8px; }
.card .row .n { font-weight: 600; }
.card .n { min-width: 170px; overflow-wrap: normal; }
.card .n small, .card .num small { display: block; font-weight: 400; }
.card .below td { color: var(--soft); } .card .below .n { padding-left: 14px; }
.card .below + .why td { padding-left: 14px; }
.card .why td { font-size: 13.5px; color: var(--soft); padding-bottom: 8px; }
.card .why p { max-width: 130ch; } .card .why code { color: var(--ink); }
.card .group th { font-size: 14px; color: var(--ink); padding: 18px 0 6px; }
.card .pill { white-space: normal; }
@media print { .wide { overflow: visible; } body { background: none; } }
"""
)
