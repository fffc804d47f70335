"""The look of a report's page: one sheet for light, dark and paper, and nothing that is fetched."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1d21; --soft: #565c66; --paper: #fdfdfb; --panel: #f2f2ee; --line: #d9d9d2;
  --link: #0b57a4; --good: #14612f; --fair: #775000; --bad: #9c1f1f; --shade: rgb(0 0 0 / .16); }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e7e3; --soft: #a9aeb8; --paper: #16181c; --panel: #20242a;
  --line: #3a3f48; --link: #8ec2ff; --good: #7fd39b; --fair: #f0c060; --bad: #ff9d94; --shade: rgb(0 0 0 / .6); } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 46rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 Charter, "Iowan Old Style", "Source Serif 4", Georgia, serif; overflow-wrap: anywhere; }
h1, h2, h3, h4, h5, h6, .facts, .mark, .card, .chips, .place, nav, footer, table, summary { font-family: system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; } h3 { font-size: 1.1rem; } h4, h5, h6 { font-size: 1rem; }
a { color: var(--link); } a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.facts, .place, footer { color: var(--soft); font-size: .875rem; }
.facts span + span::before { content: " · "; }
blockquote { margin: 1rem 0; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--line); }
pre, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .875em; }
pre { background: var(--panel); padding: .75rem 1rem; white-space: pre-wrap; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
.cite { position: relative; display: inline-block; }
.mark { font-size: .72em; font-weight: 600; text-decoration: none; padding: .05em .4em; margin: 0 .1em;
  border: 1px solid currentcolor; border-radius: .8em; vertical-align: .12em; white-space: nowrap; }
.card { display: none; position: absolute; z-index: 2; left: 0; top: 100%; width: min(25rem, 85vw); padding: .8rem 1rem;
  background: var(--paper); color: var(--ink); border: 1px solid var(--line); border-radius: 8px; text-align: left;
  box-shadow: 0 6px 24px var(--shade); font-size: .875rem; font-weight: 400; line-height: 1.45; }
.card > span { display: block; } .card > span + span { margin-top: .5rem; }
.card .said { font-family: Charter, Georgia, serif; font-size: .95rem; }
.cite:hover .card, .cite:focus-within .card { display: block; }
@media (max-width: 60rem) { .card { position: fixed; left: .75rem; right: .75rem; bottom: .75rem; top: auto;
  width: auto; max-height: 55vh; overflow: auto; } }
.chip { display: inline-block; border: 1px solid currentcolor; border-radius: .8em; padding: 0 .55em;
  margin: .1rem .3rem .1rem 0; font-size: .8125rem; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); } .none { color: var(--soft); }
.citations, .sources { padding: 0; list-style: none; }
.citations > li { padding: .9rem 0; border-top: 1px solid var(--line); }
.citations > li:target { background: var(--panel); }
.citations blockquote { margin: .4rem 0; } .citations p { margin: .3rem 0; } .sources li { margin: .4rem 0; }
.warnings { border: 1px solid var(--fair); border-radius: 8px; padding: .6rem 1rem; margin: 1.2rem 0; }
.warnings h2 { margin: 0; font-size: 1rem; } .warnings ul { margin: .3rem 0; padding-left: 1.2rem; }
.tally { margin: 1rem 0; padding: .6rem 1rem; background: var(--panel); border-radius: 8px; }
.tally p { margin: .2rem 0; font-size: .9rem; }
del { color: var(--bad); } ins { color: var(--good); }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } .card { display: none !important; }
  .mark { border: 0; padding: 0; } .mark::before { content: "["; } .mark::after { content: "]"; }
  .citations > li { break-inside: avoid; } .place a::after { content: " (" attr(href) ")"; } }
""".strip()
