"""The style sheet of the HTML report: two palettes, one column on a phone.

Colour never says anything alone: each verdict stands beside it as a word.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f6f6f3; --card: #ffffff; --ink: #1d2126; --soft: #5b636d; --line: #dfe1e0;
  --good: #14715a; --bad: #b3261e; --warn: #8a5a00; --new: #2a5db0; --quiet: #7b858f;
  --code: #efefeb; --shade: 9%;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1c2024; --ink: #e4e7e9; --soft: #9aa4ad; --line: #33393f;
    --good: #5cc4a3; --bad: #ff8a7e; --warn: #e3b055; --new: #86b1f5; --quiet: #8a949e;
    --code: #272c31; --shade: 14%;
  }
}
.t-good { --tone: var(--good); } .t-bad { --tone: var(--bad); } .t-warn { --tone: var(--warn); }
.t-new { --tone: var(--new); } .t-quiet { --tone: var(--quiet); }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
main { max-width: 1160px; margin: 0 auto; padding: 28px 24px 80px; }
h1, h2, h3, h4, p, dl, dd, ul, figure { margin: 0; }
h2 { font-size: 17px; margin: 36px 0 8px; }
h3 { font-size: 15px; margin: 0 0 10px; display: flex; gap: 10px; align-items: center; }
h4 { font-size: 13px; margin: 16px 0 6px; color: var(--soft); font-weight: 600; }
small, .aside, .label, time { color: var(--soft); }
code {
  font: 0.87em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--code); border-radius: 4px; padding: 1px 5px;
  overflow-wrap: anywhere; white-space: pre-wrap;
}
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: 3px; }
a:hover { text-decoration-color: currentColor; }
:focus-visible { outline: 2px solid var(--new); outline-offset: 2px; border-radius: 3px; }

.verdict {
  background: color-mix(in srgb, var(--tone) var(--shade), var(--card));
  border-left: 5px solid var(--tone); border-radius: 6px; padding: 16px 20px;
}
.verdict h1 { font-size: 20px; line-height: 1.35; font-weight: 500; overflow-wrap: anywhere; }
.verdict .word { color: var(--tone); font-weight: 700; margin-right: 10px; }
.facts {
  display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; margin: 20px 0 0;
}
.facts dt { color: var(--soft); }
.facts dd { overflow-wrap: anywhere; }
.lines h2 { margin-top: 22px; font-size: 15px; }
.lines ul { padding-left: 20px; }
.hint { color: var(--soft); font-size: 13.5px; max-width: 92ch; margin: 0 0 12px; }
.hint b { color: var(--ink); font-weight: 600; }

.pill {
  display: inline-block; padding: 1px 9px; border-radius: 10px; font-size: 12.5px;
  font-weight: 600; line-height: 1.55; white-space: nowrap; color: var(--tone);
  background: color-mix(in srgb, var(--tone) 13%, transparent);
}
.pill.t-quiet { background: none; padding-left: 0; font-weight: 500; }

.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th {
  text-align: left; font-size: 12.5px; font-weight: 600; color: var(--soft);
  padding: 4px 12px 6px 0; vertical-align: bottom; white-space: nowrap;
}
td { padding: 0 12px 0 0; vertical-align: middle; overflow-wrap: break-word; }
.n, .c { overflow-wrap: anywhere; }
.num { text-align: right; white-space: nowrap; }
th.num { text-align: right; }
td.picture, th.picture { padding: 0 12px; width: 27%; min-width: 190px; }
th.picture + th, td.picture + td { padding-left: 14px; }
svg { display: block; overflow: visible; }

.summary, .path { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.summary { border-collapse: separate; border-spacing: 0; padding: 8px 0 2px; }
.summary th:first-child, .summary td:first-child { padding-left: 16px; width: 1%; }
.summary .row td { border-top: 1px solid var(--line); height: 31px; }
.summary .n, .summary .c { padding-top: 4px; padding-bottom: 4px; }
.none { color: var(--quiet); }
.summary .n { font-weight: 500; min-width: 240px; }
.summary .label { font-weight: 400; margin-left: 4px; }
.summary .c { color: var(--soft); font-size: 13.5px; }
.summary .change { font-weight: 500; }
.summary .t-bad .c, .summary .t-warn .c, .summary .t-good .c { color: var(--ink); }
.summary tbody.t-bad td, .summary tbody.t-warn td {
  background: color-mix(in srgb, var(--tone) calc(var(--shade) / 2), transparent);
}
.summary .why td { padding-bottom: 10px; font-size: 14px; color: var(--tone); }
.summary .why p { max-width: 100ch; }

.path { margin: 0 0 10px; }
.path > summary {
  padding: 10px 16px; cursor: pointer; display: flex; gap: 12px; align-items: baseline;
  list-style: none;
}
.path > summary::-webkit-details-marker { display: none; }
.path > summary::after {
  content: "show"; margin-left: auto; color: var(--soft); font-size: 13px;
}
.path[open] > summary::after { content: "hide"; }
.path[open] > summary { border-bottom: 1px solid var(--line); }
.path .name { font-weight: 600; overflow-wrap: anywhere; }
.path.t-bad, .path.t-warn { border-left: 4px solid var(--tone); }
.body { padding: 14px 16px 18px; }
.anchor { display: block; scroll-margin-top: 70px; }
section.case { padding: 16px 0 4px; margin-top: 14px; border-top: 1px solid var(--line); }
.said { margin: 0 0 10px; max-width: 100ch; }
.witnesses td { height: 31px; border-top: 1px solid var(--line); }
.witnesses td:last-child { width: 1%; }
.more { margin: 10px 0 0; font-size: 13.5px; }
.more > summary { cursor: pointer; color: var(--soft); }
.more.quiet { font-size: inherit; border-top: 1px solid var(--line); padding-top: 10px; }
.more.quiet > summary b { color: var(--ink); margin-left: 8px; }
.more.quiet section.case { border: 0; margin: 0; padding-top: 8px; }
.equal, .commits { list-style: none; padding: 6px 0 0; }
.equal { display: flex; flex-wrap: wrap; gap: 2px 22px; color: var(--soft); }
.equal b { color: var(--ink); font-weight: 500; font-variant-numeric: tabular-nums; }
.commits { padding: 0; font-size: 14px; }
.commits li { padding: 2px 0; overflow-wrap: anywhere; }
.commits time { margin: 0 6px; white-space: nowrap; font-size: 13px; }
figure { margin: 18px 0 0; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 4px; }
.grew table { font-size: 14px; margin-bottom: 12px; table-layout: fixed; }
.grew .more { margin: -4px 0 14px; }
.grew th.num { width: 13%; } .grew th:last-child { width: 18%; }
.grew td { padding-top: 4px; padding-bottom: 4px; border-top: 1px solid var(--line); }

text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.tick { text-anchor: middle; } .limit { stroke: var(--soft); stroke-dasharray: 3 3; }
text.limit { stroke: none; text-anchor: middle; }
.zero { stroke: var(--soft); } .grid { stroke: var(--line); }
text.lane { fill: var(--ink); stroke: var(--card); stroke-width: 5px; paint-order: stroke; }
.v-same, .v-unchanged, .v-skipped { --tone: var(--quiet); } .v-better { --tone: var(--good); }
.v-new { --tone: var(--new); } .v-not-measured { --tone: var(--warn); }
.v-worse, .v-failed { --tone: var(--bad); }
.bar { fill: var(--tone); fill-opacity: 0.45; } .whisker { stroke: var(--ink); }
.arrow { fill: var(--tone); }
.band { fill: var(--tone); fill-opacity: 0.16; } .mean { stroke: var(--tone); stroke-width: 2; }
.pair { stroke: var(--tone); stroke-width: 1.4; fill: var(--tone); fill-opacity: 0.8; }
.pair.first { fill: var(--card); fill-opacity: 1; }

@media (max-width: 760px) {
  main { padding: 14px 12px 60px; }
  .verdict { padding: 12px 14px; } .verdict h1 { font-size: 17px; }
  .verdict .word { display: block; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: 8px; }
  .summary thead { display: none; }
  .summary, .summary tbody { display: block; } .summary { padding: 0; }
  .summary tbody { padding: 10px 12px; border-top: 1px solid var(--line); }
  .summary tbody:first-of-type { border-top: 0; }
  .summary tbody.t-bad, .summary tbody.t-warn {
    background: color-mix(in srgb, var(--tone) calc(var(--shade) / 2), transparent);
  }
  .summary tbody.t-bad td, .summary tbody.t-warn td { background: none; }
  .summary .row { display: grid; grid-template-columns: 1fr auto; gap: 2px 10px; }
  .summary .row td, .summary td:first-child, .summary .why td {
    border: 0; padding: 0; height: auto; width: auto; min-width: 0;
  }
  .summary .n { grid-row: 1; grid-column: 1; }
  .summary .v { grid-row: 1; grid-column: 2; justify-self: end; }
  .summary .change { grid-row: 2; grid-column: 1; text-align: left; }
  .summary .cpu { grid-row: 2; grid-column: 2; font-weight: 400; color: var(--soft); }
  .summary .picture { grid-column: 1 / 3; } .summary .c { grid-column: 1 / 3; }
  .summary .none { display: none; }
  .summary .pill.t-quiet { padding-right: 0; }
  .summary .why, .summary .why td { display: block; }
  .summary .why td:first-child { display: none; }
  .body { padding: 10px 12px 14px; }
  .witnesses .picture, .witnesses small { display: none; }
  .witnesses th, .witnesses td, .grew th, .grew td { padding-right: 8px; font-size: 13px; }
  .witnesses td.num, .witnesses th { white-space: normal; }
  .witnesses .pill { font-size: 11.5px; padding: 1px 6px; }
  .witnesses .pill.t-quiet { padding-left: 0; }
  .witnesses td.num { overflow-wrap: normal; }
  .grew table { table-layout: auto; }
  .grew th { white-space: normal; }
  .grew .aside { display: none; }
  .path > summary { padding: 10px 12px; flex-wrap: wrap; gap: 4px 10px; }
}
@media print { body { background: none; } .path > summary::after { content: ""; } }
"""
